"""A bare WSGI application that does what services do, well and badly."""
# ruff: noqa: ARG002 - each path is served with all that WSGI hands over

from __future__ import annotations

import gzip
import io
import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from gnomon.emit import current_tags

ANSWER = json.dumps({"items": list(range(1000))}).encode()
TEXT = (("Content-Type", "text/plain"),)


class Closing:
    """A response in parts that must be closed."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        """Give the parts."""
        return self._parts

    def close(self) -> None:
        """Remember it."""
        self.closed.set()


class Shop:
    """The application; `gate` holds back what comes after the first part of /stream."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.last = Closing(iter(()))

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        served: Iterable[bytes] = getattr(self, environ["PATH_INFO"].strip("/").replace("-", "_"))(
            environ, start_response
        )
        return served

    def echo(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer with what was sent, read in pieces of several kinds."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(min(length, 10)) + environ["wsgi.input"].readline(max(0, length - 10))
        body += environ["wsgi.input"].read(length - len(body))
        start_response("201 Created", list(TEXT))
        return [body]

    def chunked(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer with all that comes, as far as the server knows where it ends."""
        body = environ["wsgi.input"].read()
        start_response("200 OK", list(TEXT))
        return [body]

    def plain(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer at once with one part, whose length servers can tell."""
        start_response("200 OK", [("Content-Type", "application/json")])
        return [ANSWER]

    def zipped(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer compressed."""
        start_response("200 OK", [*TEXT, ("Content-Encoding", "gzip")])
        return (part for part in [gzip.compress(ANSWER, mtime=0)])

    def nothing(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer 204."""
        start_response("204 No Content", [])
        return []

    def tags(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer with the tags of the request, seen where the parts are made."""
        start_response("200 OK", [("Content-Type", "application/json")])
        return self._tags(environ)

    def _tags(self, environ: Any) -> Iterator[bytes]:
        tags = current_tags()
        yield json.dumps({"id": tags.id, "synthetic": tags.synthetic, "given": environ["HTTP_X_REQUEST_ID"]}).encode()

    def written(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Push a part, and give another."""
        write = start_response("200 OK", list(TEXT))
        write(b"pushed ")
        return [b"given"]

    def file(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer with a file, which some servers would send by themselves."""
        start_response("200 OK", [*TEXT, ("Content-Length", str(len(ANSWER)))])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(ANSWER))
        return wrapped

    def stream(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer in parts, the second when the gate is open."""
        start_response("200 OK", list(TEXT))
        self.last = Closing(self._stream())
        return self.last

    def _stream(self) -> Iterator[bytes]:
        yield b"first\n"
        assert self.gate.wait(20)
        yield b"second\n"
        yield b"third\n"

    def endless(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Send until the server is told that the client is gone."""
        start_response("200 OK", list(TEXT))
        self.last = Closing(iter(lambda: b"more\n" * 1000, b""))
        return self.last

    def fail(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Fail before anything is said."""
        raise LookupError(environ["PATH_INFO"])

    def fail_first(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Fail where the first part is asked for."""
        start_response("200 OK", list(TEXT))
        return self._fail(())

    def fail_late(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Fail in the middle of the response."""
        start_response("200 OK", [*TEXT, ("Content-Length", "100000")])
        return self._fail([b"a beginning" * 100])

    def _fail(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        yield from parts
        raise LookupError

    def handled(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Take back what was said, as frameworks do with what fails."""
        start_response("200 OK", list(TEXT))
        try:
            raise LookupError  # noqa: TRY301 - what a framework catches
        except LookupError as error:
            start_response("500 Internal Server Error", list(TEXT), (type(error), error, error.__traceback__))
        return [b"sorry"]
