"""The small HTTP endpoint of the long-running commands: `/healthz`, `/readyz`, `/metrics`.

It runs in the event loop of the work itself, so a loop that hangs answers no `/healthz`. aiohttp is what Faust brings.
"""

from __future__ import annotations

import errno
import logging
import socket
from types import TracebackType
from typing import Final, Self

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from gnomon.config import Operations
from gnomon.errors import ConfigError, DependencyError
from gnomon.operations.metrics import ProcessMetrics
from gnomon.operations.readiness import Readiness

__all__ = ["OperationsServer"]

logger = logging.getLogger(__name__)

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_SHUTDOWN_SECONDS: Final = 1.0


class OperationsServer:
    """Serves what an operator asks of a process; an asynchronous context manager.

    Args:
        operations: Where to listen.
        readiness: What `/readyz` answers from.
        metrics: What `/metrics` answers from.
        chosen: Whether somebody chose the address: then it is an error when it is taken. Otherwise a free port is
            used and said in the log.
    """

    def __init__(
        self, operations: Operations, readiness: Readiness, metrics: ProcessMetrics, *, chosen: bool | None = None
    ) -> None:
        self._bind = operations.bind
        self._chosen = operations.bind != Operations().bind if chosen is None else chosen
        self._readiness = readiness
        self._metrics = metrics
        self._runner: web.AppRunner | None = None
        self.address = ""
        """`host:port` that it listens on, once it does."""

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        await self.stop()

    async def start(self) -> None:
        """Listen.

        Raises:
            DependencyError: The address that was chosen is taken.
            ConfigError: There is no such address on this machine.
        """
        listening = self._listen()
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._serve_metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        host, port = listening.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        logger.info("health and metrics are at http://%s", self.address)

    async def stop(self) -> None:
        """Stop listening; stopping again does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _listen(self) -> socket.socket:
        try:
            return _listen(self._bind)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                what = f"operations.bind: cannot listen on {self._bind}: {error.strerror or error}"
                raise ConfigError(what, "name an address of this machine and a port above 1023") from error
            if self._chosen:
                what = f"operations.bind: {self._bind} is taken by another process"
                raise DependencyError(what, "stop that one, or choose another address") from error
        listening = _listen(f"{self._bind.rpartition(':')[0]}:0")
        logger.warning("%s is taken, so a free port is used; set operations.bind to choose one", self._bind)
        return listening

    async def _healthz(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"}, 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = self._readiness.reasons
        return _json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={**_HEADERS, "Content-Type": CONTENT_TYPE_LATEST})


def _listen(bind: str) -> socket.socket:
    """Listen on `host:port`. Raises OSError where that cannot be."""
    host, _, port = bind.rpartition(":")
    family, kind, protocol, _, address = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)  # noqa: FBT003 - takes no keyword
    return listening


def _json(value: object, status: int) -> web.Response:
    body = msgspec.json.encode(value) + b"\n"
    return web.Response(body=body, status=status, headers={**_HEADERS, "Content-Type": "application/json"})
