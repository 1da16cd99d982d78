"""Serves the application until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from gnomon.config import Web
from gnomon.errors import ConfigError, DependencyError
from gnomon.operations.server import listen
from gnomon.web.guard import is_loopback, split_address

__all__ = ["guarding_token", "listen_on", "serve"]

MOST_CONNECTIONS: Final = 128
ASKING_SECONDS: Final = 10.0
"""How long a client may take to ask, from when it connected or got its last answer."""


def guarding_token(web: Web) -> str | None:
    """Give the token that guards what is served, None where it listens for this machine alone and none is set.

    Raises:
        ConfigError: It listens for others and there is no token, or the token's file cannot be read.
    """
    token = web.read_token()
    if token is None and not is_loopback(split_address(web.bind)[0]):
        raise ConfigError(
            f"web.bind: {web.bind} can be reached from other machines, and there is no token",
            "set web.token_file or GNOMON_WEB_TOKEN, or listen on 127.0.0.1",
        )
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError("web.token is not printable ASCII without spaces", "choose another, such as 32 hex digits")
    return token


def listen_on(bind: str) -> socket.socket:
    """Listen on `host:port`.

    Raises:
        DependencyError: The address is taken.
        ConfigError: There is no such address on this machine.
    """
    try:
        return listen(bind)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            what = f"web.bind: {bind} is taken by another process"
            raise DependencyError(what, "stop that one, or choose another address") from error
        what = f"web.bind: cannot listen on {bind}: {error.strerror or error}"
        raise ConfigError(what, "name an address of this machine and a port above 1023") from error


async def serve(app: Starlette, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; answers under way are let finish for a few seconds."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        http=_Connection,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        ws="none",
        lifespan="off",
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    try:
        await server.serve([listening])
    finally:
        app.state.give_up()  # or the end of the process would wait for what nobody waits for


class _Connection(H11Protocol):
    """Hangs up on a client that does not ask: it holds one of few connections."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request."""
        super().connection_made(transport)
        self._expect()

    def on_response_complete(self) -> None:
        """Expect another one."""
        super().on_response_complete()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(ASKING_SECONDS, self._hang_up)

    def _hang_up(self) -> None:
        if getattr(self.cycle, "response_complete", True):  # before the first request there is no cycle
            self.transport.close()


class _Server(uvicorn.Server):
    """A server that leaves signals to us: being told to stop is an ordinary end."""

    def stop(self) -> None:
        """Have `serve` return."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not."""
        yield
