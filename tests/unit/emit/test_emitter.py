from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from gnomon.config import Settings
from gnomon.config.settings import Emit, Redact
from gnomon.core.join import Group, Member
from gnomon.core.sampling import place
from gnomon.core.tags import Tags
from gnomon.emit.doubt import HOLD
from gnomon.emit.emitter import EmitStats, Emitter, shared_emitter
from gnomon.emit.observed import Observed
from gnomon.emit.record import Record
from gnomon.emit.transport import FileTransport
from gnomon.errors import ConfigError
from gnomon.model import Exchange
from gnomon.testing import ListTransport

FIRST = min((f"r-{number}" for number in range(1000)), key=place)
"""An id that is kept as long as there is room."""


def seen(emitter: Emitter, request_id: str = "r-1", answer: bytes = b"") -> Observed:
    """An exchange of an emitter's."""
    found = Observed(emitter.identity("shop", ""), Tags(request_id=request_id), emitter.body(), emitter.body())
    found.method, found.path, found.status = "GET", b"/", 200
    if answer and found.response_body:
        found.response_body.add(answer)
        found.response_body.whole = True
    return found


def wait_for_a_problem(emitter: Emitter) -> None:
    """Wait until the emitter says that it has one."""
    deadline = time.monotonic() + 10
    while not emitter.stats.problem:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_is_put_is_written(emitter: Emitter, transport: ListTransport) -> None:
    """In order, and counted."""
    for number in range(1200):
        emitter.put(seen(emitter, f"r-{number}"))
    assert emitter.flush(10)
    assert [exchange.request_id for exchange in transport.exchanges] == [f"r-{number}" for number in range(1200)]
    assert emitter.stats == EmitStats(seen=1200, written=1200, shed=0, failed=0, waiting=0)


def test_a_full_queue_sheds_and_counts(make_emitter: Callable[..., Emitter], transport: ListTransport) -> None:
    """A slow broker fills the queue; what comes then is gone, and whoever put it has not waited."""
    emitter = make_emitter(queue_records=3)
    transport.gate.clear()
    emitter.put(seen(emitter))
    assert transport.entered.wait(10)
    for _ in range(10):
        emitter.put(seen(emitter, FIRST))
    assert emitter.stats == EmitStats(seen=11, written=0, shed=8, failed=0, waiting=3)
    transport.gate.set()
    assert emitter.flush(10)
    assert emitter.stats == EmitStats(seen=11, written=3, shed=8, failed=0, waiting=0, unsure=2)


def test_what_is_kept_of_an_overload_goes_by_the_request_ids(
    make_emitter: Callable[..., Emitter], transport: ListTransport
) -> None:
    """The fuller the queue, the smaller the share, so that two that fill up keep the same requests."""
    emitters = [make_emitter(queue_records=100), make_emitter(queue_records=100)]
    transport.gate.clear()
    for number in range(400):
        for emitter in emitters:
            emitter.put(seen(emitter, f"r-{number}"))
    transport.gate.set()
    assert all(emitter.flush(10) for emitter in emitters)
    counted = Counter(exchange.request_id for exchange in transport.exchanges)
    assert set(counted.values()) == {2}
    assert 90 < len(counted) <= 100
    late = [request_id for request_id in counted if int(request_id[2:]) > 150]
    assert late
    assert all(place(request_id) < 0.3 for request_id in late)


def _outage(
    make_emitter: Callable[..., Emitter], transport: ListTransport, requests: int, waited_ns: int = 0
) -> tuple[list[Emitter], list[Exchange]]:
    """Kafka is away while a service with two live processes and one of the shadow answers requests, then back."""
    live = [make_emitter(queue_records=1000, role="live") for _ in range(2)]
    shadow = make_emitter(queue_records=1000, role="shadow")
    transport.gate.clear()
    for number in range(requests):
        for emitter in (live[number % 2], shadow):
            exchange = seen(emitter, f"r-{number}")
            exchange.request_headers = [(b"x-gnomon-expect", b"shadow")]
            exchange.stop()
            exchange.began_ns -= waited_ns
            emitter.put(exchange)
    transport.gate.set()
    emitters = [*live, shadow]
    assert all(emitter.flush(30) for emitter in emitters)
    return emitters, transport.exchanges


@pytest.mark.parametrize(("requests", "shed_by_live"), [(3000, True), (900, False)])
def test_an_outage_invents_nothing_about_the_shadow(
    make_emitter: Callable[..., Emitter], transport: ListTransport, requests: int, *, shed_by_live: bool
) -> None:
    """What the shadow's only process shed and live's two did not is not missed, and pairs are compared all the same."""
    emitters, exchanges = _outage(make_emitter, transport, requests, 0 if shed_by_live else 3 * 10**9)
    assert all(bool(emitter.stats.shed) is shed_by_live for emitter in emitters[:2])
    groups: dict[str, Group] = {}
    for exchange in exchanges:
        groups.setdefault(exchange.request_id, Group(exchange.request_id)).add(Member(exchange))
    assert [group.request_id for group in groups.values() if group.missing(["shadow"])] == []
    written = emitters[-1].stats.written
    assert emitters[-1].stats.shed > 50
    assert sum(group.complete(["shadow"]) for group in groups.values()) > 0.95 * written
    unsure = sum(exchange.role == "live" and exchange.expect == [] for exchange in exchanges)
    assert sum(emitter.stats.unsure for emitter in emitters) == unsure > 0


def test_after_an_outage_live_says_again_who_was_asked(
    make_emitter: Callable[..., Emitter], transport: ListTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doubt ends a while after the last sign of trouble."""
    emitters, _ = _outage(make_emitter, transport, 3000)
    now = time.monotonic()
    monkeypatch.setattr("gnomon.emit.emitter.time.monotonic", lambda: now + HOLD)
    exchange = seen(emitters[0], "after")
    exchange.request_headers = [(b"x-gnomon-expect", b"shadow")]
    emitters[0].put(exchange)
    assert emitters[0].flush(10)
    assert transport.exchanges[-1].expect == ["shadow"]


def test_a_queue_that_sheds_says_so_once(
    make_emitter: Callable[..., Emitter], transport: ListTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it happens meanwhile."""
    caplog.set_level(logging.WARNING, "gnomon.emit")
    emitter = make_emitter(queue_records=2)
    for _ in range(3):
        transport.gate.clear()
        for number in range(10):
            emitter.put(seen(emitter, f"r-{number}"))
        transport.gate.set()
        assert emitter.flush(10)
        emitter.put(seen(emitter))
        assert emitter.flush(10)
    assert [record.message.partition(",")[0] for record in caplog.records] == ["the queue of records is full"]


def test_memory_is_bounded_by_bytes_too(make_emitter: Callable[..., Emitter], transport: ListTransport) -> None:
    """A few large bodies fill the queue."""
    emitter = make_emitter(queue_bytes=150_000)
    transport.gate.clear()
    for _ in range(3):
        emitter.put(seen(emitter, answer=b"x" * 100_000))
    assert emitter.stats.shed == 2


def test_a_broker_that_comes_back_gets_what_waited(
    emitter: Emitter, transport: ListTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost while there is room, and the log says so once each way."""
    caplog.set_level(logging.WARNING, "gnomon.emit")
    transport.refusals = 2
    emitter.put(seen(emitter))
    assert emitter.flush(10)
    assert emitter.stats == EmitStats(seen=1, written=1, shed=0, failed=0, waiting=0)
    assert [record.message for record in caplog.records] == [
        "records are not written: the broker is down; they wait while there is room, then they are shed",
        "records are written again; 0 were shed so far",
    ]


def test_a_problem_is_in_the_counters(emitter: Emitter, transport: ListTransport) -> None:
    """A health page can say why nothing is written."""
    transport.refusals = 10**9
    emitter.put(seen(emitter))
    wait_for_a_problem(emitter)
    assert emitter.stats == EmitStats(seen=1, written=0, shed=0, failed=0, waiting=1, problem="the broker is down")
    assert not emitter.close(0.2)
    assert emitter.stats.shed == 1


def test_a_record_that_the_broker_does_not_take_is_cut(emitter: Emitter, transport: ListTransport) -> None:
    """Until it fits; where nothing is left to cut it is counted as failed."""
    transport.largest = 1000
    emitter.put(seen(emitter, "large", b"x" * 5000))
    huge = seen(emitter, "huge")
    huge.request_headers = [(b"x", b"y" * 5000)]
    emitter.put(huge)
    assert emitter.flush(10)
    assert [exchange.request_id for exchange in transport.exchanges] == ["large"]
    assert emitter.stats == EmitStats(seen=2, written=1, shed=0, failed=1, waiting=0)


def test_an_exchange_that_makes_no_record_costs_only_itself(emitter: Emitter, transport: ListTransport) -> None:
    """Whatever is wrong with it, the next one is written."""
    broken = seen(emitter)
    broken.method = object()  # type: ignore[assignment]
    emitter.put(broken)
    emitter.put(seen(emitter, "fine"))
    assert emitter.flush(10)
    assert [exchange.request_id for exchange in transport.exchanges] == ["fine"]
    assert emitter.stats == EmitStats(seen=2, written=1, shed=0, failed=1, waiting=0)


def test_a_transport_that_raises_does_not_end_the_thread(
    emitter: Emitter, transport: ListTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a bug in it is only counted."""
    with monkeypatch.context() as patch:
        patch.setattr(transport, "send", lambda *_: 1 / 0)
        emitter.put(seen(emitter))
        assert emitter.flush(10)
    assert emitter.stats.failed == 1
    assert emitter.stats.problem == "ZeroDivisionError: division by zero"
    emitter.put(seen(emitter))
    assert emitter.flush(10)
    assert emitter.stats == EmitStats(seen=2, written=1, shed=0, failed=1, waiting=0)


def test_closing_writes_what_waits(emitter: Emitter, transport: ListTransport) -> None:
    """And lets go of the transport; what comes later is shed."""
    for _ in range(20):
        emitter.put(seen(emitter))
    assert emitter.close(10)
    assert len(transport.records) == 20
    assert transport.closed
    emitter.put(seen(emitter))
    assert emitter.close()
    assert emitter.stats == EmitStats(seen=21, written=20, shed=1, failed=0, waiting=0)


def test_closing_does_not_wait_longer_than_it_may(
    make_emitter: Callable[..., Emitter], transport: ListTransport
) -> None:
    """What could not be written by then is shed, and the count is final."""
    emitter = make_emitter(drain=timedelta(milliseconds=50))
    transport.gate.clear()
    emitter.put(seen(emitter))
    assert not emitter.close()
    transport.gate.set()
    assert (emitter.stats.shed, emitter.stats.waiting) == (1, 0)


def test_a_fault_is_counted_and_logged_once(emitter: Emitter, caplog: pytest.LogCaptureFixture) -> None:
    """A server that hands over nonsense with each request does not fill the log."""
    for _ in range(3):
        emitter.fault(ValueError("odd"))
    assert emitter.stats == EmitStats(seen=3, written=0, shed=0, failed=3, waiting=0)
    assert len(caplog.records) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_starts_anew(emitter: Emitter, transport: ListTransport) -> None:
    """The child has a thread and a queue of its own; the parent goes on, and nothing is written twice."""
    transport.gate.clear()
    emitter.put(seen(emitter, "parent"))
    assert transport.entered.wait(10)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            transport.gate.set()
            emitter.put(seen(emitter, "child"))
            emitter.flush(10)
            ids = ",".join(exchange.request_id for exchange in transport.exchanges)
            os.write(writer, f"{ids} {emitter.stats.seen} {transport.forgot}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"child 1 1"
    os.close(reader)
    os.close(writer)
    transport.gate.set()
    assert emitter.flush(10)
    assert [exchange.request_id for exchange in transport.exchanges] == ["parent"]


def test_no_thread_before_the_first_exchange(emitter: Emitter) -> None:
    """So a server that loads the application and then forks has none to lose."""
    assert emitter.flush(0)
    assert "gnomon-emit" not in [thread.name for thread in threading.enumerate()]
    assert emitter.close()


def test_the_shared_emitter_is_made_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One for all middlewares of a process that are not given another."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.ndjson"
    for name, value in {"OUT": out, "DRAIN": "1s"}.items():
        monkeypatch.setenv(f"GNOMON_EMIT_{name}", str(value))
    for name, value in {"SERVICE": "cart", "TARGET": "cart@2", "ROLE": "shadow", "REDACT_KEY": "k"}.items():
        monkeypatch.setenv(f"GNOMON_{name}", value)
    shared_emitter.cache_clear()
    emitter = shared_emitter()
    assert shared_emitter() is emitter
    identity = emitter.identity("", "")
    assert (identity.service, identity.target, identity.role) == ("cart", "cart@2", "shadow")
    emitter.put(seen(emitter))
    assert emitter.close()
    assert out.read_bytes().count(b'"request_id":"r-1"') == 1
    shared_emitter.cache_clear()


def test_a_missing_redaction_key_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Hashes that nobody else makes compare with nothing."""
    Emitter(Settings(emit=Emit(out=tmp_path / "out"))).close()
    assert "GNOMON_REDACT_KEY" in caplog.text


def test_rules_that_cannot_be_read_are_an_error_at_the_start(tmp_path: Path) -> None:
    """What should be hidden is not sent on because a file is missing."""
    settings = Settings(emit=Emit(out=tmp_path / "out"), redact=Redact(key="k"), rules=tmp_path / "no.toml")
    with pytest.raises(ConfigError, match="no.toml cannot be read"):
        Emitter(settings)


def test_a_file_gets_a_line_per_record(tmp_path: Path) -> None:
    """Opened when the first is written, appended to when it is there."""
    path = tmp_path / "out.ndjson"
    for number in range(2):
        emitter = Emitter(Settings(emit=Emit(out=path), redact=Redact(key="k")))
        assert number or not path.exists()
        emitter.put(seen(emitter, f"r-{number}"))
        assert emitter.close(10)
    assert [line.startswith(b'{"v":1,"request_id":"r-') for line in path.read_bytes().splitlines()] == [True, True]


def test_a_file_that_cannot_be_written_is_a_problem_not_an_exception(tmp_path: Path) -> None:
    """The records wait for the directory to be there."""
    path = tmp_path / "later" / "out.ndjson"
    emitter = Emitter(Settings(emit=Emit(out=path), redact=Redact(key="k")))
    emitter.put(seen(emitter))
    wait_for_a_problem(emitter)
    assert "cannot write" in emitter.stats.problem
    path.parent.mkdir()
    assert emitter.flush(10)
    assert path.exists()
    assert emitter.close()


def test_a_torn_line_is_ended_before_the_rest_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was full in the middle of a record costs one line that is no record, and no record."""
    path = tmp_path / "out"
    transport = FileTransport(path)
    records = [Record(b"k", letter * 10) for letter in (b"a", b"b", b"c")]
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[:15]))
        sent = transport.send(records, 1)
    assert (sent.written, len(sent.again)) == (1, 2)
    assert transport.send(sent.again, 1).written == 2
    transport.close(1)
    assert path.read_bytes().split(b"\n") == [b"a" * 10, b"b" * 4, b"b" * 10, b"c" * 10, b""]
