"""The collector as a whole: entries of Envoy's access log in, exchange records out, all of it bounded.

One loop: streams are read (`server`), wait in the backlog, become exchanges, are sampled, redacted and encoded, and
go to a sink. Where the sink has no room the loop waits, the backlog fills, and entries are shed and counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import msgspec

from gnomon.collect.backlog import Backlog, Batch
from gnomon.collect.counts import Counts
from gnomon.collect.exchange import Skip, read_entry
from gnomon.collect.server import AccessLogServer
from gnomon.collect.sinks import Sink
from gnomon.core.sampling import Sampler
from gnomon.model import Exchange

__all__ = ["Collector", "CollectorOptions", "Encode"]

log = logging.getLogger("gnomon.collect")

PAUSE: Final = 0.01
"""Seconds between two looks at a sink that had no room."""


class Encode(msgspec.Struct, frozen=True):
    """How an exchange becomes a record: `name` gives its endpoint, `encode` its redacted JSON, None if too large."""

    name: Callable[[Exchange], str]
    encode: Callable[[Exchange], bytes | None]


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
        encode: How they become records.
        sink: Where records go.
    """

    def __init__(self, options: CollectorOptions, sampler: Sampler, encode: Encode, sink: Sink) -> None:
        self.counts = Counts()
        self.backlog = Backlog(options.queue_bytes)
        self.server = AccessLogServer(options.bind, self.backlog, self.counts)
        self._options = options
        self._sampler = sampler
        self._encode = encode
        self._sink = sink

    async def run(self, stop: asyncio.Event, drain: float) -> None:
        """Collect until `stop` is set, then write what waits, in `drain` seconds at most.

        Raises:
            DependencyError: The address cannot be listened on, or the sink takes no more.
        """
        await self.server.start()
        work = asyncio.create_task(self._work())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            await self.server.stop()
            self.backlog.close()
            await asyncio.wait({work}, timeout=drain)
        finally:
            stopped.cancel()
            work.cancel()
        if work.done() and not work.cancelled():
            work.result()

    async def _work(self) -> None:
        while True:
            if not self.backlog.waiting_bytes:
                self._sink.idle()
            batch = await self.backlog.get()
            if batch is None:
                return
            await self._write(batch)
            # Let streams be read between two batches, however full the backlog is
            await asyncio.sleep(0)

    async def _write(self, batch: Batch) -> None:
        for entry in batch.entries:
            exchange = read_entry(
                entry,
                batch.origin,
                body_bytes=self._options.body_bytes,
                service=self._options.service,
                emitter=self._options.emitter,
            )
            if isinstance(exchange, Skip):
                self.counts.skip(exchange.reason)
            elif not self._keeps(exchange):
                self.counts.sampled_out += 1
            else:
                await self._put(exchange)

    def _keeps(self, exchange: Exchange) -> bool:
        endpoint = self._encode.name(exchange) if self._sampler.needs_endpoint else ""
        return self._sampler.keeps(exchange.request_id, endpoint, time.time_ns() // 1_000)

    async def _put(self, exchange: Exchange) -> None:
        value = self._encode.encode(exchange)
        if value is None:
            self.counts.skip("too_large")
            return
        key = exchange.request_id.encode()
        while not self._sink.put(key, value):
            await asyncio.sleep(PAUSE)
        self.counts.written += 1
