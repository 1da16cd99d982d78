"""The demo's own end of an alert: a hook on this machine that keeps what it is sent."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import TracebackType
from typing import Any, Final, Self

import orjson

__all__ = ["HookServer"]

_MOST_BYTES: Final = 1 << 20


class HookServer:
    """Listens on a port of the loopback interface; a context manager.

    Attributes:
        alerts: The alerts that came, as JSON objects, oldest first.
    """

    def __init__(self, port: int) -> None:
        self.alerts: list[dict[str, Any]] = []
        alerts = self.alerts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = min(int(self.headers.get("content-length", "0")), _MOST_BYTES)
                alerts.append(orjson.loads(self.rfile.read(size)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing: the terminal is the demo's."""

        self._server = HTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="hook", daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
