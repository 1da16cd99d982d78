"""A stand-in for a Schema Registry that speaks the part of Confluent's HTTP API by which schemas are read."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit


class _Schema(NamedTuple):
    kind: str
    text: str
    serialized: str
    references: list[dict[str, Any]]


class RegistryServer:
    """Serves what was registered; a context manager. `stop` and `start` take it away and back, on the same port.

    `answer` is a status with which all is answered while it is set, or "hang"; `password` is asked of the user
    `gnomon`; `asked` has the paths that were asked for.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: int | str | None = None
        self.body: bytes | None = None
        self.password: str | None = None
        self._schemas: dict[int, _Schema] = {}
        self._versions: dict[str, list[int]] = {}
        self._closing = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it is, also while it is stopped."""
        return f"http://127.0.0.1:{self._port}"

    def register(
        self, subject: str, text: str, kind: str = "AVRO", serialized: bytes = b"", references: Any = ()
    ) -> int:
        """Register a schema, with references as (name, subject, version); give its id."""
        number = len(self._schemas) + 1
        named = [{"name": name, "subject": other, "version": version} for name, other, version in references]
        self._schemas[number] = _Schema(kind, text, base64.b64encode(serialized).decode(), named)
        self._versions.setdefault(subject, []).append(number)
        return number

    def start(self) -> None:
        """Listen."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                if registry.answer == "hang":
                    registry._closing.wait(30)
                    self.close_connection = True
                    return
                status, document = registry._respond(self.path, self.headers.get("authorization"))
                body = json.dumps(document).encode() if registry.body is None else registry.body
                self.send_response(status)
                self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._closing.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Let go of the port: nobody answers there."""
        self._closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _respond(self, target: str, authorization: str | None) -> tuple[int, Any]:
        if self.password is not None:
            wanted = base64.b64encode(f"gnomon:{self.password}".encode()).decode()
            if authorization != f"Basic {wanted}":
                return 401, {"error_code": 401, "message": "Unauthorized"}
        if isinstance(self.answer, int):
            return self.answer, {"error_code": self.answer * 100 + 1, "message": "told to"}
        parts = urlsplit(target)
        serialized = parse_qs(parts.query).get("format") == ["serialized"]
        match [unquote(step) for step in parts.path.strip("/").split("/")]:
            case ["schemas", "ids", number]:
                found = self._schemas.get(int(number))
                code = 40403
            case ["subjects", subject, "versions", version]:
                numbers = self._versions.get(subject, [])
                found = self._schemas[numbers[int(version) - 1]] if int(version) <= len(numbers) else None
                code = 40402 if numbers else 40401
            case _:
                return 404, {"message": "HTTP 404 Not Found"}
        if found is None:
            return 404, {"error_code": code, "message": "not found"}
        text = found.serialized if serialized and found.kind == "PROTOBUF" else found.text
        answer: dict[str, Any] = {"schema": text}
        if found.kind != "AVRO":
            answer["schemaType"] = found.kind
        if found.references:
            answer["references"] = found.references
        return 200, answer
