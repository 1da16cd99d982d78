"""WSGI middleware (PEP 3333): watches each request on its way and changes nothing.

Every piece of the response goes on as the application gives it, when the server asks for it. What differs for the
application: a request without an id has an `HTTP_X_REQUEST_ID`. Files that the server could send by itself go through
Python, for nobody would see them otherwise; their length is the application's to tell, as frameworks do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import Token
from typing import Any, Final, TypeAlias

from gnomon.core.tags import Tags
from gnomon.emit.context import put_tags, take_back_tags
from gnomon.emit.emitter import Emitter, shared_emitter
from gnomon.emit.observed import TAG_HEADERS, BodyCapture, Identity, Observed, RawText, identify

__all__ = ["WSGIMiddleware"]

_Environ: TypeAlias = "dict[str, Any]"
_Headers: TypeAlias = "list[tuple[str, str]]"
_Write: TypeAlias = "Callable[[bytes], object]"
_StartResponse: TypeAlias = "Callable[..., _Write]"
_App: TypeAlias = "Callable[[_Environ, _StartResponse], Iterable[bytes]]"

_TAGS: Final = frozenset("HTTP_" + name.decode().upper().replace("-", "_") for name in TAG_HEADERS)


class WSGIMiddleware:
    """Records the exchanges of a WSGI application; wrap it outermost, around what compresses and what handles errors.

    Args:
        app: The application.
        emitter: Where records go; by default the one of this process, made from the settings.
        service: The service's name; by default the setting `emit.service`, else the host that is asked.
        target: Which build this is, `cart@2.4.0-rc1`; by default the setting `emit.target`.

    Raises:
        ConfigError: The settings say something impossible.
    """

    def __init__(self, app: _App, emitter: Emitter | None = None, *, service: str = "", target: str = "") -> None:
        self.app = app
        self.emitter = emitter if emitter is not None else shared_emitter()
        self._identity = self.emitter.identity(service, target)

    def __call__(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        try:
            watch = _Watch(self.emitter, self._identity, environ, start_response)
            if self.emitter.enabled:
                environ["wsgi.input"] = _Input(environ["wsgi.input"], watch.seen.request_body)
        except Exception as error:  # noqa: BLE001 - an odd server must not cost the service an answer
            self.emitter.fault(error)
            return self.app(environ, start_response)
        watch.token = put_tags(watch.seen.tags)
        try:
            if self.emitter.enabled:
                start_response = watch.start_response
            result = self.app(environ, start_response)
            return _SizedResult(watch, result) if hasattr(result, "__len__") else _Result(watch, result)
        except BaseException as error:
            watch.end(error)
            raise


class _Watch:
    """Sees one request: what is answered, and how it ends."""

    def __init__(self, emitter: Emitter, identity: Identity, environ: _Environ, start_response: _StartResponse) -> None:
        tags, made = identify([(_header(name), environ[name]) for name in _TAGS if name in environ])
        seen = Observed(identity, tags, emitter.body(), emitter.body())
        seen.request_headers = [
            (_header(name), value) for name, value in environ.items() if name.startswith("HTTP_") and type(value) is str
        ]
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(name):
                seen.request_headers.append((_header(name), environ[name]))
        seen.method = environ["REQUEST_METHOD"]
        seen.path, seen.query, seen.quoted = _target(environ)
        seen.host = environ.get("SERVER_NAME", "")
        seen.http_version = environ.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/")
        if made and tags.request_id is not None:
            environ["HTTP_X_REQUEST_ID"] = tags.request_id
        self.seen = seen
        self.token: Token[Tags] | None = None
        self._body = seen.response_body or emitter.body()
        self._emitter = emitter
        self._start_response = start_response
        self._began = False
        self._over = not emitter.enabled
        self._write: _Write | None = None

    def start_response(self, status: str, headers: _Headers, *exc_info: object) -> _Write:
        """Pass on the head of the response."""
        self._write = self._start_response(status, headers, *exc_info)
        if not self._over:
            try:
                self.seen.status = int(status[:3])
                self.seen.response_headers = list(headers)
            except Exception as error:  # noqa: BLE001 - the server has it already
                self._give_up(error)
        return self.write

    def write(self, data: bytes) -> object:
        """Pass on a part of the body that the application pushes."""
        if self._write is None:  # start_response gave it out, so it was set
            return None
        try:
            done = self._write(data)
        except BaseException:
            self.gone()
            raise
        self.pass_on(data)
        return done

    def pass_on(self, data: bytes) -> None:
        """Take note of a part of the body."""
        if self._over or not data:
            return
        try:
            self._began = True
            if not self.seen.bodyless:
                self._body.add(data if type(data) is bytes else bytes(data))
        except Exception as error:  # noqa: BLE001 - the server gets it all the same
            self._give_up(error)

    def complete(self) -> None:
        """Take note that the server has taken all of the response."""
        self._body.whole = True
        self._finish("")

    def gone(self) -> None:
        """Take note that the server stopped before the end: the client is gone."""
        if self._over:
            return
        if self._is_all_there():
            self.complete()
        else:
            # That is no fault of who answers: what was sent so far is the response, with a body that is cut
            self._finish("" if self._began else "the client went away before there was a response")

    def end(self, error: BaseException) -> None:
        """Take note that the application failed; before the first byte of a body, servers answer 500 themselves."""
        if not self._began:
            self.seen.status = 500
            self.seen.response_headers = []
            self.seen.response_body = None
            self._finish("")
        else:
            self._finish(f"the application failed with {type(error).__name__} in the middle of the response")
        self.leave()

    def leave(self) -> None:
        """Take the tags back: the request is over."""
        token, self.token = self.token, None
        if token is not None:
            take_back_tags(token)

    def _is_all_there(self) -> bool:
        """Tell whether the body is complete though the server did not ask for its end: it knows from the head."""
        if self.seen.status is None:
            return False
        declared = next((value for name, value in self.seen.response_headers if name.lower() == "content-length"), None)
        return self.seen.bodyless or str(declared) == str(self._body.size)

    def _finish(self, error: str) -> None:
        if self._over:
            return
        self._over = True
        self.seen.stop()
        self.seen.error = error
        try:
            self._emitter.put(self.seen)
        except Exception as fault:  # noqa: BLE001 - no thread at the very end of a process, say
            self._emitter.fault(fault)

    def _give_up(self, error: Exception) -> None:
        self._over = True
        self._emitter.fault(error)


class _Result:
    """The application's response on its way to the server, part by part."""

    def __init__(self, watch: _Watch, result: Iterable[bytes]) -> None:
        self._watch = watch
        self._result = result
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Give the parts; there is one way through them."""
        return self

    def __next__(self) -> bytes:
        """Ask the application for the next part."""
        try:
            if self._parts is None:
                self._parts = iter(self._result)
            part = next(self._parts)
        except StopIteration:
            self._watch.complete()
            raise
        except BaseException as error:
            self._watch.end(error)
            raise
        self._watch.pass_on(part)
        return part

    def close(self) -> None:
        """End the response, as servers do whatever happened."""
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        finally:
            self._watch.gone()
            self._watch.leave()


class _SizedResult(_Result):
    """A response whose number of parts is known: of a single one, servers know the length."""

    def __len__(self) -> int:
        """How many parts there are."""
        return len(self._result)  # type: ignore[arg-type]


class _Input:
    """The request's body on its way to the application."""

    def __init__(self, stream: Any, body: BodyCapture) -> None:  # noqa: ANN401 - whatever the server made
        self._stream = stream
        self._body = body

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else the server's stream can do
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[bytes]:
        """Give the lines that are left."""
        return iter(self.readline, b"")

    def read(self, *size: int | None) -> bytes:
        """Read so many bytes, or all."""
        data: bytes = self._stream.read(*size)
        self._note(data, whole=_is_last(data, size))
        return data

    def readline(self, *size: int | None) -> bytes:
        """Read a line."""
        data: bytes = self._stream.readline(*size)
        self._note(data, whole=not data and _is_last(data, size))
        return data

    def readlines(self, *hint: int) -> list[bytes]:
        """Read the lines that are left."""
        lines: list[bytes] = self._stream.readlines(*hint)
        for line in lines:
            self._note(line, whole=False)
        return lines

    def _note(self, data: bytes, *, whole: bool) -> None:
        if data:
            self._body.add(data)
        if whole:
            self._body.whole = True


def _is_last(data: bytes, size: tuple[int | None, ...]) -> bool:
    """Tell whether a stream is at its end by what it gave for a size: all that there is, or nothing."""
    wanted = size[0] if size else None
    return wanted is None or wanted < 0 or (not data and wanted > 0)


def _header(name: str) -> str:
    return name.removeprefix("HTTP_").lower().replace("_", "-")


def _target(environ: _Environ) -> tuple[RawText, RawText, bool]:
    """Give path, query, and whether the path is as it was on the wire."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    query: str = environ.get("QUERY_STRING", "")
    if raw.startswith("/"):
        return raw.partition("?")[0], query, True
    return environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), query, False
