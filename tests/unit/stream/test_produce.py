from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gnomon.capture import FormatChoice, NdjsonWriter, Source
from gnomon.config import Emit, Redact, Settings
from gnomon.core.rules import parse_rules
from gnomon.emit.record import Record
from gnomon.emit.transport import Sent
from gnomon.errors import DependencyError
from gnomon.model import Exchange, Role
from gnomon.stream.produce import ProduceRequest, produce
from gnomon.testing import STARTED_US, exchange

KEYED = Redact(key="a key for tests")


class Time:
    """A clock that moves by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        """Give the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Kept:
    """A transport that is a list of (when, record); what it answers first can be given."""

    def __init__(self, time: Time, *answers: Sent) -> None:
        self.sent: list[tuple[float, Record]] = []
        self.closed = False
        self._time = time
        self._answers = list(answers)

    def send(self, records: Sequence[Record], timeout: float) -> Sent:  # noqa: ARG002 - a list takes no time
        """Keep records, or give the next answer."""
        if self._answers:
            answer = self._answers.pop(0)
            return answer if answer.too_large else msgspec.structs.replace(answer, again=records)
        self.sent += [(round(self._time.now, 3), record) for record in records]
        return Sent(len(records))

    def close(self, timeout: float) -> None:  # noqa: ARG002 - the same
        """Take note."""
        self.closed = True

    @property
    def values(self) -> list[bytes]:
        """What was sent."""
        return [record.value for _, record in self.sent]


def capture(path: Path, *records: Exchange | bytes) -> list[Source]:
    """A capture of exchanges and of lines as they are."""
    lines = [record if isinstance(record, bytes) else msgspec.json.encode(record) for record in records]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return [Source(str(path))]


def request(sources: list[Source], settings: Settings | None = None, **fields: Any) -> ProduceRequest:
    """A request without rules."""
    given = settings or Settings(redact=KEYED)
    return ProduceRequest(sources=sources, rules=parse_rules("", "none"), settings=given, **fields)


def test_a_rate_is_kept(tmp_path: Path) -> None:
    """At 10 records a second, a record goes out every tenth of a second, however fast Kafka is."""
    time = Time()
    kept = Kept(time)
    sources = capture(tmp_path / "c.ndjson", *(exchange(f"r-{number}") for number in range(5)))
    produced = produce(request(sources, rate=10), kept, clock=time.clock, sleep=time.sleep)
    assert [when for when, _ in kept.sent] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert (produced.sent, kept.closed) == (5, True)


def test_records_go_out_as_they_came(tmp_path: Path) -> None:
    """Each waits for when its exchange was complete, counted from the first; a late or unreadable one does not wait."""
    time = Time()
    kept = Kept(time)
    at = [0.0, 2.0, 1.0, 3.0]
    exchanges = [exchange(f"r-{n}", started_us=STARTED_US + int(s * 1e6), duration_us=0) for n, s in enumerate(at)]
    sources = capture(tmp_path / "c.ndjson", *exchanges, b"no record")
    produce(request(sources, as_recorded=True), kept, clock=time.clock, sleep=time.sleep)
    assert time.now == 3.0
    assert [when for when, _ in kept.sent] == [0.0, 2.0, 2.0, 3.0, 3.0]


def at(seconds: float, role: Role) -> Exchange:
    """One side of a request that was complete at a time."""
    return exchange(f"r-{seconds:g}", role, started_us=STARTED_US + int(seconds * 1e6), duration_us=0)


def sent_ids(kept: Kept) -> list[tuple[str, str]]:
    """What was sent, `("", "")` for what cannot be read."""
    values = [msgspec.json.decode(value) if value.startswith(b"{") else {} for value in kept.values]
    return [(value.get("request_id", ""), value.get("role", "")) for value in values]


@pytest.mark.parametrize("fmt", ["auto", "ndjson"])
def test_captures_of_the_sides_are_merged_by_time(tmp_path: Path, fmt: FormatChoice) -> None:
    """As if all had been recorded into one; what has no time follows what it stood behind."""
    sources = [
        *capture(tmp_path / "live.ndjson", at(0, "live"), b"no record", at(100, "live"), at(5_000, "live")),
        *capture(tmp_path / "shadow.ndjson", at(0, "shadow"), at(99, "shadow"), at(5_001, "shadow")),
    ]
    kept = Kept(Time())
    produced = produce(request(sources, fmt=fmt), kept)
    assert sent_ids(kept) == [
        ("r-0", "live"),
        ("", ""),
        ("r-0", "shadow"),
        ("r-99", "shadow"),
        ("r-100", "live"),
        ("r-5000", "live"),
        ("r-5001", "shadow"),
    ]
    assert (produced.sent, produced.unreadable) == (7, 1)


def test_what_cannot_be_read_side_by_side_goes_out_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directories, and more files than may be open at once."""
    (tmp_path / "live").mkdir()
    capture(tmp_path / "live" / "1.ndjson", at(0, "live"), at(100, "live"))
    shadow = capture(tmp_path / "shadow.ndjson", at(1, "shadow"))
    kept = Kept(Time())
    produce(request([Source(str(tmp_path / "live")), *shadow]), kept)
    assert [request_id for request_id, _ in sent_ids(kept)] == ["r-0", "r-100", "r-1"]
    monkeypatch.setattr("gnomon.stream.produce.MOST_MERGED", 1)
    kept = Kept(Time())
    produce(request([Source(str(tmp_path / "live" / "1.ndjson")), *shadow]), kept)
    assert [request_id for request_id, _ in sent_ids(kept)] == ["r-0", "r-100", "r-1"]


def test_what_cannot_be_read_goes_out_as_it_is(tmp_path: Path) -> None:
    """A line that is no record keeps its bytes, and its id as the key where it has one."""
    lines = [b"{broken", b'{"request_id":"r-7","role":"nobody"}', b"\xff\xfe"]
    kept = Kept(Time())
    produced = produce(request(capture(tmp_path / "c.ndjson", *lines, exchange("r-1"))), kept)
    assert kept.values[:3] == lines
    assert [record.key for _, record in kept.sent] == [b"", b"r-7", b"", b"r-1"]
    assert (produced.sent, produced.unreadable) == (4, 3)


def test_secrets_do_not_reach_kafka(tmp_path: Path) -> None:
    """Records are redacted on the way; without redaction their bytes stay as they are."""
    secret = exchange("r-1", answer={"token": "hunter2hunter2"}, headers=(("authorization", "Bearer abc.def"),))
    sources = capture(tmp_path / "c.ndjson", msgspec.json.encode(secret).replace(b'"v":1,', b'"v":1,"more":[1],'))
    kept = Kept(Time())
    produce(request(sources), kept)
    assert b"hunter2" not in kept.values[0]
    assert b"Bearer abc" not in kept.values[0]
    plain = Kept(Time())
    produce(request(sources, Settings(redact=Redact(enabled=False))), plain)
    assert plain.values == [Path(sources[0].path).read_bytes().rstrip(b"\n")]


@pytest.mark.parametrize("redact", [KEYED, Redact(enabled=False)])
def test_a_body_that_is_too_large_keeps_its_size_and_hash(tmp_path: Path, redact: Redact) -> None:
    """A cut record is still an exchange; the hash of its body is keyed where redaction is on."""
    text = "x" * 50_000
    settings = Settings(redact=redact, emit=Emit(record_bytes=4_000))
    kept = Kept(Time())
    produced = produce(request(capture(tmp_path / "c.ndjson", exchange("r-1", answer=text)), settings), kept)
    assert len(kept.values[0]) <= 4_000
    sent = msgspec.json.decode(kept.values[0], type=Exchange)
    assert sent.response is not None
    assert sent.response.body is not None
    body = sent.response.body
    assert (body.truncated, body.size, body.data[:10]) == (True, 50_000, "x" * 10)
    assert str(body.hash).startswith("hmac-sha256:" if redact.enabled else "sha256:")
    assert (produced.sent, produced.cut, produced.unreadable) == (1, 1, 0)


def test_what_does_not_fit_even_without_bodies_becomes_an_excerpt(tmp_path: Path) -> None:
    """A record whose headers alone are too large, or an unreadable line, goes out as its first 4 KiB."""
    settings = Settings(redact=KEYED, emit=Emit(record_bytes=6_000))
    headers = (("x-long", "y" * 10_000),)
    sources = capture(tmp_path / "c.ndjson", exchange("r-1", headers=headers), b"z" * 10_000)
    kept = Kept(Time())
    produced = produce(request(sources, settings), kept)
    assert [len(value) for value in kept.values] == [4096, 4096]
    assert produced.unreadable == 2


def test_what_the_topic_finds_too_large_is_cut_further(tmp_path: Path) -> None:
    """Where the topic takes less than the settings say, the record is halved until it fits."""
    time = Time()
    large = Record(b"r-1", msgspec.json.encode(exchange("r-1", answer="x" * 20_000)))
    kept = Kept(time, Sent(0, too_large=[large], problem="too large"))
    produced = produce(
        request(capture(tmp_path / "c.ndjson", exchange("r-1"))), kept, clock=time.clock, sleep=time.sleep
    )
    assert len(kept.values[0]) <= len(large.value) // 2
    assert (produced.sent, produced.cut) == (1, 1)


def test_kafka_that_comes_back_gets_everything(tmp_path: Path) -> None:
    """While Kafka takes nothing, records are tried again."""
    time = Time()
    kept = Kept(time, *[Sent(0, problem="no broker")] * 10)
    produced = produce(
        request(capture(tmp_path / "c.ndjson", exchange("r-1"))), kept, clock=time.clock, sleep=time.sleep
    )
    assert produced.sent == 1


def test_kafka_that_stays_away_is_an_error(tmp_path: Path) -> None:
    """After a minute without a record taken it is said what was delivered, and the transport is closed."""
    time = Time()
    kept = Kept(time, *[Sent(0, problem="127.0.0.1:9092 takes no records")] * 1000)
    with pytest.raises(DependencyError, match="127.0.0.1:9092 takes no records; 0 records were delivered"):
        produce(request(capture(tmp_path / "c.ndjson", exchange())), kept, clock=time.clock, sleep=time.sleep)
    assert 60 <= time.now < 62
    assert kept.closed


def test_other_formats_are_turned_into_records(tmp_path: Path) -> None:
    """A compressed capture is read like any; `role` overrides what it says."""
    file = tmp_path / "c.ndjson.zst"
    with NdjsonWriter(file) as writer:
        writer.write(exchange("r-1"))
    kept = Kept(Time())
    produce(request([Source(str(file), "control")]), kept)
    assert msgspec.json.decode(kept.values[0], type=Exchange).role == "control"
