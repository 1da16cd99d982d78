"""The gRPC side: Envoy's access log streams in, batches of entries out to the backlog.

A stream never sees an error of ours: what cannot be read is counted and the stream goes on, and Envoy is never made to
wait for anything but the parsing of its message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from gnomon.collect.backlog import Backlog, Batch
from gnomon.collect.counts import Counts
from gnomon.collect.exchange import Origin, read_log_name
from gnomon.collect.wire import METHOD, SERVICE, HTTPAccessLogEntry, StreamAccessLogsMessage
from gnomon.errors import DependencyError

__all__ = ["AccessLogServer"]

MAX_MESSAGE: Final = 16 * 2**20
ENTRIES_AT_ONCE: Final = 200
ENTRY_OVERHEAD: Final = 1000
"""Bytes that an entry takes in memory beside those it had on the wire, roughly."""
GRACE: Final = 1.0
"""How long, in seconds, streams may go on after the server was told to stop. Envoy never ends one by itself."""


class AccessLogServer:
    """Serves `StreamAccessLogs`.

    Args:
        bind: `host:port` to listen on; port 0 takes a free one.
        backlog: Where entries go.
        counts: What is counted.
    """

    def __init__(self, bind: str, backlog: Backlog, counts: Counts) -> None:
        self._bind = bind
        self._backlog = backlog
        self._counts = counts
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            DependencyError: The address is taken, or is not this machine's.
        """
        # Two servers on one port would each see half of the exchanges
        options = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.so_reuseport", 0)]
        server = grpc.aio.server(options=options)
        handler = grpc.stream_unary_rpc_method_handler(self._stream)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        try:
            self.port = server.add_insecure_port(self._bind)
        except RuntimeError as error:
            raise DependencyError(
                f"cannot listen on {self._bind} for Envoy: {error}", "free that address, or set collect.bind to another"
            ) from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Stop taking entries."""
        if self._server is not None:
            await self._server.stop(GRACE)

    async def _stream(self, messages: AsyncIterator[bytes], _: Any) -> bytes:  # noqa: ANN401 - grpc's context
        origin = Origin()
        async for data in messages:
            try:
                message = StreamAccessLogsMessage.FromString(data)
            except DecodeError:
                self._counts.undecodable += 1
                continue
            if message.HasField("identifier"):
                origin = read_log_name(message.identifier.log_name)
            await self._take(message.http_logs.log_entry, origin)
        return b""

    async def _take(self, entries: Sequence[bytes], origin: Origin) -> None:
        """Put into the backlog what it has room for; some at a time, for a hostile message may have millions."""
        self._counts.received += len(entries)
        for start in range(0, len(entries), ENTRIES_AT_ONCE):
            kept, size = [], 0
            for data in entries[start : start + ENTRIES_AT_ONCE]:
                try:
                    entry = HTTPAccessLogEntry.FromString(data)
                except DecodeError:
                    self._counts.skip("undecodable")
                    continue
                if self._backlog.admits(entry.request.request_id):
                    kept.append(entry)
                    size += len(data) + ENTRY_OVERHEAD
                else:
                    self._counts.shed += 1
            if kept:
                self._backlog.put(Batch(kept, origin, size))
            await asyncio.sleep(0)
