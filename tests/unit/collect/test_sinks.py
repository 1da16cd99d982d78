from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence

import pytest

from gnomon.collect.counts import Counts
from gnomon.collect.sinks import Sink, StreamTransport
from gnomon.emit.record import Record
from gnomon.emit.transport import Sent

LARGE = (
    b'{"v":1,"request_id":"r","role":"live","started_us":0,"request":{"method":"GET","path":"/","host":"","headers":[]'
)


class ListTransport:
    """A transport that does as it is told with each sending."""

    def __init__(self, *deeds: Callable[[Sequence[Record]], Sent]) -> None:
        self.written: list[Record] = []
        self._deeds = list(deeds)
        self.closed = threading.Event()

    def send(self, records: Sequence[Record], timeout: float) -> Sent:  # noqa: ARG002 - as a transport has it
        """Do the next deed, else write."""
        if self._deeds:
            return self._deeds.pop(0)(records)
        self.written += records
        return Sent(len(records))

    def close(self, timeout: float) -> None:  # noqa: ARG002 - as a transport has it
        """Note it."""
        self.closed.set()

    def forget(self) -> None:
        """Nothing is open."""


def record(number: int = 0) -> Record:
    """One of many."""
    return Record(b"r-%d" % number, b"{}")


def run(transport: ListTransport, *records: Record) -> tuple[Counts, list[str]]:
    """Put records, close, and give the counts and what was told."""
    counts, told = Counts(), []
    sink = Sink(transport, 1_000_000, counts, told.append)
    for one in records:
        assert sink.put(one)
    sink.close(10)
    return counts, told


def test_what_is_put_is_written_before_it_closes() -> None:
    """In order, all of it, and then the transport is let go."""
    transport = ListTransport()
    counts, told = run(transport, *(record(n) for n in range(10)))
    assert transport.written == [record(n) for n in range(10)]
    assert (counts.written, counts.lost, told, transport.closed.is_set()) == (10, 0, [], True)


def test_what_was_not_written_is_tried_again_and_the_problem_told() -> None:
    """Once when it begins and once when it is over."""
    transport = ListTransport(lambda records: Sent(0, records, problem="no broker"))
    counts, told = run(transport, record())
    assert (transport.written, counts.written) == ([record()], 1)
    assert told == ["no broker", ""]


def test_a_transport_that_raises_costs_what_it_had() -> None:
    """The records are counted as lost, and the thread goes on."""

    def fail(records: Sequence[Record]) -> Sent:
        raise ValueError("odd")

    transport = ListTransport(fail)
    counts, told = Counts(), []
    sink = Sink(transport, 1_000_000, counts, told.append)
    sink.put(record(1))
    assert wait(lambda: counts.lost == 1)
    sink.put(record(2))
    sink.close(10)
    assert (transport.written, counts.written, told) == ([record(2)], 1, ["ValueError: odd", ""])


def test_there_is_room_for_so_many_bytes() -> None:
    """What is being written counts too."""
    let_go = threading.Event()

    def slow(records: Sequence[Record]) -> Sent:
        let_go.wait(10)
        return Sent(len(records))

    counts = Counts()
    sink = Sink(ListTransport(slow), 1000, counts, lambda _: None)
    put = [sink.put(Record(b"r", b"x" * 100)) for _ in range(10)]
    let_go.set()
    sink.close(10)
    assert put == [True] * 3 + [False] * 7
    assert counts.written == 3


def test_a_record_that_the_broker_finds_too_large_is_cut() -> None:
    """Its bodies become shorter until it is taken; without bodies there is nothing to cut."""
    body = b',"body":{"data":"%s","encoding":"text","size":5000}}' % (b"x" * 5000)
    large = Record(b"r", LARGE + body + b',"error":{"kind":"reset"}}')
    hopeless = Record(b"r", LARGE + b'},"error":{"kind":"reset"}}')
    transport = ListTransport(lambda records: Sent(0, (), records, problem="too large"))
    counts, _ = run(transport, large, hopeless)
    (cut,) = transport.written
    assert len(cut.value) <= len(large.value) // 2
    assert (counts.written, counts.lost) == (1, 1)


def test_a_stream_gets_a_line_a_record_at_once() -> None:
    """Standard output, or any other stream that is open."""
    stream = io.BytesIO()
    transport = StreamTransport(stream)
    assert transport.send([Record(b"a", b"1"), Record(b"b", b"2")], 1) == Sent(2)
    transport.close(1)
    assert stream.getvalue() == b"1\n2\n"


def test_when_nobody_reads_putting_says_so() -> None:
    """There is no trying again."""

    def gone(records: Sequence[Record]) -> Sent:
        raise BrokenPipeError

    sink = Sink(ListTransport(gone), 1000, Counts(), lambda _: None)
    sink.put(record())
    assert wait(lambda: sink.failure is not None)
    with pytest.raises(BrokenPipeError):
        sink.put(record())


def wait(condition: Callable[[], bool]) -> bool:
    """Wait up to ten seconds for a condition."""
    tick = threading.Event()
    return any(condition() or tick.wait(0.01) for _ in range(1000))
