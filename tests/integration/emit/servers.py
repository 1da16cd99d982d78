"""Real servers, each in a thread of the test, on a free port of this machine."""

from __future__ import annotations

import asyncio
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import hypercorn.asyncio
import uvicorn
import waitress.server
from hypercorn.config import Config
from tests.kafka.brokers import free_port, is_listening, wait_for

STOP_SECONDS = 20


@contextmanager
def _in_thread(run: Callable[[], object], stop: Callable[[], object], port: int) -> Iterator[str]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_for("the server listens", lambda: is_listening(f"127.0.0.1:{port}"), STOP_SECONDS)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop()
        thread.join(STOP_SECONDS)
    assert not thread.is_alive()


@contextmanager
def with_uvicorn(app: Any) -> Iterator[str]:
    """Serve an ASGI application by uvicorn."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", ws="none"))

    def stop() -> None:
        server.should_exit = True

    with _in_thread(server.run, stop, port) as url:
        yield url


@contextmanager
def with_hypercorn(app: Any) -> Iterator[str]:
    """Serve an ASGI application by Hypercorn, which speaks HTTP/2 too."""
    port = free_port()
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = config.accesslog = None
    config.graceful_timeout = 1
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        serving = hypercorn.asyncio.serve(app, config, shutdown_trigger=stopping.wait)  # type: ignore[arg-type]
        loop.run_until_complete(serving)
        loop.close()

    with _in_thread(run, lambda: loop.call_soon_threadsafe(stopping.set), port) as url:
        yield url


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Threads(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """Say nothing of clients that went away."""


@contextmanager
def with_wsgiref(app: Any) -> Iterator[str]:
    """Serve a WSGI application by the server of the standard library."""
    server = make_server("127.0.0.1", 0, app, _Threads, _Quiet)
    with server, _in_thread(server.serve_forever, server.shutdown, server.server_port) as url:
        yield url


@contextmanager
def with_waitress(app: Any) -> Iterator[str]:
    """Serve a WSGI application by waitress."""
    server = waitress.server.create_server(app, host="127.0.0.1", port=0, threads=16)
    port = int(server.effective_port)

    def run() -> None:
        with suppress(OSError):  # its socket is closed under it: that is how it is stopped
            server.run()

    def stop() -> None:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(server.close)

    with _in_thread(run, stop, port) as url:
        yield url
