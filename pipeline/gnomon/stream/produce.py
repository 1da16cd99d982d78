"""A capture onto Kafka, as emitters would have put it there: redacted, keyed by request id, and waited for.

What cannot be read goes out as it is, for the workers to refuse and keep: nothing of a capture is lost on the way.
Bodies that make a record larger than `emit.record_bytes` are cut; their size and hash stay those of the whole. Several
captures go out merged by time, or one side of each request would come when the window of the other is long closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from operator import itemgetter
from typing import Final, Protocol

import msgspec

from gnomon.capture import FormatChoice, Limits, RawRecord, Source, are_ndjson, read_captures
from gnomon.config import Settings
from gnomon.core.decode import EXCERPT_BYTES, decode_exchange, peek_request_id
from gnomon.core.rules import RuleSet
from gnomon.emit.record import Record, RecordWriter, shrink
from gnomon.emit.transport import Sent
from gnomon.errors import DependencyError
from gnomon.model import Exchange, Reject
from gnomon.redaction import make_redactor

__all__ = ["ProduceRequest", "Produced", "produce"]

MOST_MERGED: Final = 100
"""How many captures may be open at once."""
_BATCH_RECORDS: Final = 2000
_BATCH_BYTES: Final = 4 * 2**20
_EARLY_SECONDS: Final = 0.01
"""How much before its time a record may be sent, so that records of a high rate go out together."""
_SEND_SECONDS: Final = 30.0
_PATIENCE_SECONDS: Final = 60.0
"""How long Kafka may take nothing at all before that is an error."""
_PAUSE_SECONDS: Final = 0.2
_CLOSE_SECONDS: Final = 10.0


class ProduceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to put on Kafka, and how fast.

    Attributes:
        sources: The captures.
        fmt: Their format.
        rules: What is to be redacted beside what always is.
        settings: Redaction, limits and the topic.
        rate: Records a second; None: as fast as Kafka takes them.
        as_recorded: Whether each record waits for the moment at which its exchange was complete, counted from the
            first one; `rate` is not looked at then.
    """

    sources: Sequence[Source]
    fmt: FormatChoice = "auto"
    rules: RuleSet
    settings: Settings
    rate: float | None = None
    as_recorded: bool = False


class Produced(msgspec.Struct):
    """What became of a capture's records: all that were sent, and of those the unreadable and the cut ones."""

    sent: int = 0
    unreadable: int = 0
    cut: int = 0
    seconds: float = 0.0


class SendsRecords(Protocol):
    """What producing asks of a transport (`gnomon.emit.kafka.KafkaTransport`)."""

    def send(self, records: Sequence[Record], timeout: float) -> Sent:
        """Send records and wait for them, in `timeout` seconds; what was not sent is in the answer."""

    def close(self, timeout: float) -> None:
        """Let go of the brokers."""


def produce(
    request: ProduceRequest,
    transport: SendsRecords,
    progress: Callable[[int], None] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Produced:
    """Put captures on Kafka; everything has been delivered when this returns.

    Args:
        request: What and how fast.
        transport: Where to; it is closed at the end.
        progress: Takes the bytes read of the captures since it was called last.
        clock: Gives seconds, to keep the rate by.
        sleep: Waits as many seconds.

    Raises:
        InputError: A capture cannot be read at all.
        DependencyError: Kafka took nothing for a minute; says how many records it has.
    """
    run = _Run(request, transport, clock, sleep)
    try:
        run.execute(progress)
    finally:
        transport.close(_CLOSE_SECONDS)
    return run.produced


class _Prepared(msgspec.Struct, frozen=True):
    """A record to send, and when its exchange was complete, in epoch microseconds; None where nobody knows."""

    record: Record
    completed_us: int | None


class _Run:
    """One run of `produce`."""

    def __init__(
        self,
        request: ProduceRequest,
        transport: SendsRecords,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        settings = request.settings
        redactor = make_redactor(settings.redact, settings.limits.body_bytes)
        self.produced = Produced()
        self._request = request
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._limit = settings.emit.record_bytes
        self._keeps_bytes = not redactor.enabled
        self._writer = RecordWriter(redactor, request.rules, self._limit)
        self._first_us: int | None = None

    def execute(self, progress: Callable[[int], None] | None) -> None:
        started = self._clock()
        batch: list[Record] = []
        size = 0
        for number, prepared in enumerate(self._prepared(progress)):
            wait = started + self._due(number, prepared) - self._clock()
            if wait > _EARLY_SECONDS or len(batch) >= _BATCH_RECORDS or size >= _BATCH_BYTES:
                self._deliver(batch)
                batch, size = [], 0
                wait = started + self._due(number, prepared) - self._clock()
                if wait > _EARLY_SECONDS:
                    self._sleep(wait)
            batch.append(prepared.record)
            size += len(prepared.record.value)
        self._deliver(batch)
        self.produced.seconds = self._clock() - started

    def _due(self, number: int, prepared: _Prepared) -> float:
        """Give when a record is to be sent, in seconds since the start."""
        if self._request.as_recorded:
            if prepared.completed_us is None:
                return 0
            if self._first_us is None:
                self._first_us = prepared.completed_us
            return (prepared.completed_us - self._first_us) / 1e6
        return number / self._request.rate if self._request.rate else 0

    def _prepared(self, progress: Callable[[int], None] | None) -> Iterator[_Prepared]:
        request = self._request
        sources = request.sources
        if not 1 < len(sources) <= MOST_MERGED or not are_ndjson(sources, request.fmt):
            yield from self._read(sources, progress)
            return
        in_time = merge(*(self._timed(source, progress) for source in sources), key=itemgetter(0))
        yield from (prepared for _, prepared in in_time)

    def _timed(self, source: Source, progress: Callable[[int], None] | None) -> Iterator[tuple[int, _Prepared]]:
        """Read one capture, each record with its time; one that has none keeps its place behind the one before."""
        at = 0
        for prepared in self._read([source], progress):
            at = at if prepared.completed_us is None else prepared.completed_us
            yield at, prepared

    def _read(self, sources: Sequence[Source], progress: Callable[[int], None] | None) -> Iterator[_Prepared]:
        request = self._request
        limits = Limits(record=request.settings.limits.line_bytes)
        for item in read_captures(sources, request.fmt, progress, limits):
            if isinstance(item, Reject):
                yield self._unreadable(item.excerpt, None)
                continue
            exchange = decode_exchange(item.data, item.place, role=item.role)
            if isinstance(exchange, Reject):
                yield self._unreadable(item.data, peek_request_id(item.data))
            else:
                yield self._readable(item, exchange)

    def _readable(self, item: RawRecord, exchange: Exchange) -> _Prepared:
        if self._keeps_bytes and item.role is None and len(item.data) <= self._limit:
            record: Record | None = Record(exchange.request_id.encode(), item.data)
        else:
            record = self._writer.encode(exchange)
        if record is None:  # even without its bodies it is no message
            return self._unreadable(item.data, exchange.request_id)
        self.produced.cut += len(item.data) > self._limit
        return _Prepared(record, exchange.completed_us)

    def _unreadable(self, data: bytes, request_id: str | None) -> _Prepared:
        self.produced.unreadable += 1
        key = b"" if request_id is None else request_id.encode()
        return _Prepared(Record(key, data if len(data) <= self._limit else data[:EXCERPT_BYTES]), None)

    def _deliver(self, records: Sequence[Record]) -> None:
        """Send records, however often it takes as long as Kafka takes some."""
        deadline = self._clock() + _PATIENCE_SECONDS
        while records:
            sent = self._transport.send(records, _SEND_SECONDS)
            self.produced.sent += sent.written
            if sent.written or sent.too_large:
                deadline = self._clock() + _PATIENCE_SECONDS
            elif self._clock() > deadline:
                what = f"{sent.problem}; {self.produced.sent} records were delivered"
                raise DependencyError(what, "look into the broker's log, and produce the rest or all of it again")
            records = [*sent.again, *(self._smaller(record) for record in sent.too_large)]
            if records and not sent.written:
                self._sleep(_PAUSE_SECONDS)

    def _smaller(self, record: Record) -> Record:
        """Cut a record that the topic found too large, until it is no more than an excerpt."""
        self.produced.cut += 1
        if len(record.value) <= EXCERPT_BYTES:
            raise DependencyError(
                f"the topic takes no records of {len(record.value)} bytes", "raise its max.message.bytes to a megabyte"
            )
        limit = len(record.value) // 2
        try:
            smaller = shrink(record.value, limit)
        except msgspec.MsgspecError:  # it was unreadable before
            smaller = None
        return Record(record.key, record.value[:EXCERPT_BYTES] if smaller is None else smaller)
