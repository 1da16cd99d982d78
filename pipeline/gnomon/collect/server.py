"""The gRPC side: Envoy's access log streams in, batches of entries out to the backlog.

A stream never sees an error of ours: what cannot be read is counted and the stream goes on, and Envoy is never made to
wait for anything but the parsing of its message.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from gnomon.collect.backlog import Backlog, Batch
from gnomon.collect.counts import Counts
from gnomon.collect.exchange import Origin, read_log_name
from gnomon.collect.wire import METHOD, SERVICE, Entry, StreamAccessLogsMessage
from gnomon.errors import DependencyError

__all__ = ["AccessLogServer"]

MAX_MESSAGE: Final = 64 * 2**20
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
            self._take(list(message.http_logs.log_entry), origin, len(data))
        return b""

    def _take(self, entries: list[Entry], origin: Origin, size: int) -> None:
        """Put into the backlog what it has room for."""
        self._counts.received += len(entries)
        kept = [entry for entry in entries if self._backlog.admits(entry.request.request_id)]
        self._counts.shed += len(entries) - len(kept)
        if kept:
            self._backlog.put(Batch(kept, origin, size * len(kept) // len(entries)))
