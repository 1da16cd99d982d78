"""The collector as a whole: entries of Envoy's access log in, exchange records out, all of it bounded.

One loop: streams are read (`server`), wait in the backlog, become exchanges, are sampled, redacted and encoded, and
go to a sink. Where the sink has no room the loop waits, the backlog fills, and entries are shed and counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

import msgspec

from gnomon.collect.backlog import Backlog, Batch
from gnomon.collect.counts import Counts
from gnomon.collect.exchange import Origin, Skip, read_entry
from gnomon.collect.server import AccessLogServer
from gnomon.collect.sinks import Sink
from gnomon.collect.wire import Entry
from gnomon.core.sampling import Sampler
from gnomon.emit.doubt import Doubt
from gnomon.emit.record import Record, RecordWriter
from gnomon.emit.transport import Transport
from gnomon.model import Exchange
from gnomon.operations import Readiness

__all__ = ["Collector", "CollectorOptions"]

_LOG: Final = logging.getLogger("gnomon.collect")
PAUSE: Final = 0.01
"""Seconds between two looks at a sink that had no room."""


class CollectorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds a collector: `body_bytes` of a body are kept, `queue_bytes` of messages wait."""

    bind: str
    body_bytes: int
    queue_bytes: int
    service: str
    emitter: str


class Collector:
    """Collects until it is told to stop.

    Args:
        options: Its bounds.
        sampler: Which exchanges are kept.
        writer: Makes records of them, redacted.
        transport: Where records go.
    """

    def __init__(self, options: CollectorOptions, sampler: Sampler, writer: RecordWriter, transport: Transport) -> None:
        self.counts = Counts()
        self.backlog = Backlog(options.queue_bytes)
        self.server = AccessLogServer(options.bind, self.backlog, self.counts)
        self.readiness = Readiness(["envoy", "records"])
        self.sink = Sink(transport, options.queue_bytes, self.counts, self._tell)
        self._options = options
        self._sampler = sampler
        self._writer = writer
        self._doubt = Doubt()
        self._torn = 0

    async def run(self, stop: asyncio.Event, drain: float) -> None:
        """Collect until `stop` is set, then write what waits, in `drain` seconds at most.

        Raises:
            DependencyError: The address cannot be listened on.
            BrokenPipeError: Whoever read the records has gone.
        """
        await self.server.start()
        self.readiness.ready("envoy")
        self.readiness.ready("records")
        work = asyncio.create_task(self._work())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            until = asyncio.get_running_loop().time() + drain
            self.readiness.not_ready("envoy", "the collector is stopping")
            await self.server.stop()
            self.backlog.close()
            await asyncio.wait({work}, timeout=max(0.0, until - asyncio.get_running_loop().time()))
            await asyncio.to_thread(self.sink.close, max(0.1, until - asyncio.get_running_loop().time()))
        finally:
            stopped.cancel()
            work.cancel()
        if work.done() and not work.cancelled():
            work.result()
        self.counts.lost += self.counts.under_way

    def _tell(self, problem: str) -> None:
        if problem:
            self.readiness.not_ready("records", problem)
        else:
            self.readiness.ready("records")

    async def _work(self) -> None:
        while True:
            batch = await self.backlog.get()
            if batch is None:
                return
            await self._write(batch)
            # Let streams be read between two batches, however full the backlog is
            await asyncio.sleep(0)

    async def _write(self, batch: Batch) -> None:
        for entry in batch.entries:
            try:
                record = self._record(entry, batch.origin)
            except Exception as error:  # noqa: BLE001 - one hostile exchange must not cost the others
                self.counts.skip("fault")
                _LOG.debug("an entry could not be made a record", exc_info=error)
                continue
            while record is not None and not self.sink.put(record):  # noqa: ASYNC110 - a thread makes the room
                await asyncio.sleep(PAUSE)

    def _record(self, entry: Entry, origin: Origin) -> Record | None:
        """Make the record of one entry; None where it is to have none, which is counted."""
        options = self._options
        exchange = read_entry(
            entry, origin, body_bytes=options.body_bytes, service=options.service, emitter=options.emitter
        )
        if isinstance(exchange, Skip):
            self.counts.skip(exchange.reason)
            return None
        if not self._keeps(exchange):
            self.counts.sampled_out += 1
            return None
        record = self._writer.encode(self._vouched(exchange))
        if record is None:
            self.counts.skip("too_large")
        return record

    def _vouched(self, exchange: Exchange) -> Exchange:
        """Let a live exchange expect nobody where entries of the other sides may have been shed alone."""
        torn, self._torn = self.backlog.torn - self._torn, self.backlog.torn
        now = time.monotonic()
        if torn and not self._doubt.holds(now):
            _LOG.warning(
                "entries are shed whose other side was kept, so live's say of nobody that it was asked: give them room"
                " (collect.queue_bytes), or sample (collect.sample)"
            )
        self._doubt.note(now, shed=bool(torn))
        if exchange.role != "live" or not self._doubt.holds(now):
            return exchange
        return msgspec.structs.replace(exchange, expect=[])

    def _keeps(self, exchange: Exchange) -> bool:
        if self._sampler.share >= 1:
            return True
        endpoint = self._writer.endpoint(exchange) if self._sampler.needs_endpoint else ""
        return self._sampler.keeps(exchange.request_id, endpoint, time.time_ns() // 1_000)
