"""A hook server that does as it is told, and alerts to send; shared by unit and integration tests."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from gnomon.model import Alert

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)


class Received(msgspec.Struct):
    """One request that the server got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


class HookServer:
    """Answers with the statuses it was given, the last one again and again; `hang` is no answer until it is closed."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[int | str] = [200]
        self.headers: dict[str, str] = {}
        self.body = b"ok"
        self.arrived = threading.Condition()
        self._closing = threading.Event()
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with hooks.arrived:
                    hooks.received.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                    answer = hooks.answers.pop(0) if len(hooks.answers) > 1 else hooks.answers[0]
                    hooks.arrived.notify_all()
                if answer == "hang":
                    hooks._closing.wait(30)
                    self.close_connection = True
                    return
                self.send_response(int(answer))
                for name, value in hooks.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(hooks.body)))
                self.end_headers()
                self.wfile.write(hooks.body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of what it overrides
                """Keep quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that give up are what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def wait(self, count: int, seconds: float = 90) -> list[Received]:
        """Wait until it has got so many requests."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, seconds), self.received
            return list(self.received)

    def close(self) -> None:
        """Stop."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def make_alert(**changes: Any) -> Alert:
    """An alert that fires."""
    fields: dict[str, Any] = {
        "name": "prices",
        "key": "prices:0123456789abcdef",
        "state": "firing",
        "severity": "critical",
        "service": "cart",
        "endpoint": "GET /cart/{id}",
        "target": "cart@2",
        "metric": "divergence_rate",
        "value": 0.5,
        "threshold": 0.01,
        "interval": (0.4, 0.6),
        "since": NOW,
        "at": NOW,
        "summary": "cart against cart@2: divergence rate 50 %",
        "patterns": ["/body/price"],
        "request_ids": ["r-1", "r-2"],
        "link": "http://gnomon.example/api/differences?service=cart",
    }
    return Alert(**{**fields, **changes})
