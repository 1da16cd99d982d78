"""ASGI middleware (ASGI 3.0, HTTP and lifespan): watches each request on its way and changes nothing.

Every message goes on at once, as the object that it was. What differs for the application: a request without an id has
an `x-request-id`, and the extensions by which a server sends a file by itself are not offered, for nobody would see
the file. WebSockets pass through as if the middleware were not there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from gnomon.emit.context import put_tags, take_back_tags
from gnomon.emit.emitter import Emitter, shared_emitter
from gnomon.emit.observed import TAG_HEADERS, Identity, Observed, identify

__all__ = ["ASGIMiddleware"]

_Scope: TypeAlias = "MutableMapping[str, Any]"
_Message: TypeAlias = "MutableMapping[str, Any]"
_Receive: TypeAlias = "Callable[[], Awaitable[_Message]]"
_Send: TypeAlias = "Callable[[_Message], Awaitable[None]]"
_App: TypeAlias = "Callable[[_Scope, _Receive, _Send], Awaitable[None]]"

_FILES: Final = ("http.response.pathsend", "http.response.zerocopysend")


class ASGIMiddleware:
    """Records the exchanges of an ASGI application; wrap it outermost, around what compresses and what handles errors.

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

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _Lifespan(self.emitter, send).send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            watch = _Watch(self.emitter, self._identity, scope, receive, send)
        except Exception as error:  # noqa: BLE001 - an odd server must not cost the service an answer
            self.emitter.fault(error)
            await self.app(scope, receive, send)
            return
        token = put_tags(watch.seen.tags)
        try:
            if self.emitter.enabled:
                await self.app(watch.scope, watch.receive, watch.send)
            else:
                await self.app(watch.scope, receive, send)
        except BaseException as error:
            watch.end(error)
            raise
        finally:
            take_back_tags(token)
        watch.end(None)


class _Watch:
    """Sees one request: stands between the application and the server in both directions."""

    __slots__ = (
        "_emitter",
        "_ending",
        "_gone",
        "_more_trailers",
        "_over",
        "_receive",
        "_send",
        "_started",
        "scope",
        "seen",
    )

    def __init__(self, emitter: Emitter, identity: Identity, scope: _Scope, receive: _Receive, send: _Send) -> None:
        headers = list(scope["headers"])
        tags, made = identify([header for header in headers if header[0] in TAG_HEADERS])
        seen = Observed(identity, tags, emitter.body(), emitter.body())
        seen.request_headers = headers
        seen.method = scope["method"]
        seen.path = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
        seen.quoted = bool(scope.get("raw_path"))
        seen.query = scope.get("query_string", b"")
        seen.http_version = scope.get("http_version", "1.1")
        self.seen = seen
        self.scope = _passed_on(scope, headers, tags.request_id if made else None)
        self._emitter = emitter
        self._receive = receive
        self._send = send
        self._started = False
        self._more_trailers = False
        self._ending = False
        self._gone = False
        self._over = not emitter.enabled

    async def receive(self) -> _Message:
        """Pass on what the client sends."""
        message = await self._receive()
        if not self._over:
            try:
                self._note_request(message)
            except Exception as error:  # noqa: BLE001 - whatever it is, the application gets its message
                self._give_up(error)
        return message

    async def send(self, message: _Message) -> None:
        """Pass on what the application sends, then look at it."""
        if self._over:
            await self._send(message)
            return
        try:
            message = _settled(message)
            self._ending = self._is_last(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server gets the message
            self._give_up(error)
        try:
            await self._send(message)
        except Exception:
            self._gone = True
            raise
        except BaseException:
            # Starlette cancels what it sends when the server says "disconnect", which may be at the very end
            if self._ending:
                self._look_at(message)
            raise
        self._look_at(message)

    def end(self, error: BaseException | None) -> None:
        """Take note that the application has ended; whoever waited for more has got what the server makes of that."""
        if self._over:
            return
        failed = error is None or isinstance(error, Exception)
        if failed and not self._started and not self._gone:
            self.seen.status = 500
            self.seen.response_body = None
            self._finish("")
        elif self._gone:
            self._finish("")
        elif not failed:
            self._finish("the server gave the request up before the response was complete")
        else:
            cause = f"failed with {type(error).__name__}" if error is not None else "ended"
            self._finish(f"the application {cause} in the middle of the response")

    def _look_at(self, message: _Message) -> None:
        if not self._over:
            try:
                self._note_response(message)
            except Exception as error:  # noqa: BLE001 - the message is on its way already
                self._give_up(error)

    def _note_request(self, message: _Message) -> None:
        if message["type"] == "http.request":
            body = message.get("body", b"")
            if body:
                self.seen.request_body.add(body if type(body) is bytes else bytes(body))
            if not message.get("more_body", False):
                self.seen.request_body.whole = True
        elif message["type"] == "http.disconnect" and not self._ending:
            self._gone = True

    def _is_last(self, message: _Message) -> bool:
        """Tell whether nothing comes after a message; servers may say "disconnect" as soon as they have it."""
        if message["type"] == "http.response.body":
            return not self._more_trailers and not message.get("more_body", False)
        return bool(message["type"] == "http.response.trailers" and not message.get("more_trailers", False))

    def _note_response(self, message: _Message) -> None:
        seen = self.seen
        kind = message["type"]
        if kind == "http.response.body":
            body = message.get("body", b"")
            if body and seen.response_body is not None and not seen.bodyless:
                seen.response_body.add(body)
            if not message.get("more_body", False):
                if seen.response_body is not None:
                    seen.response_body.whole = True
                if not self._more_trailers:
                    self._finish("")
        elif kind == "http.response.start":
            self._started = True
            seen.status = message["status"]
            seen.response_headers = list(message.get("headers", ()))
            self._more_trailers = bool(message.get("trailers", False))
        elif kind == "http.response.trailers":
            seen.trailers = [*seen.trailers, *message.get("headers", ())]
            if not message.get("more_trailers", False):
                self._finish("")

    def _finish(self, error: str) -> None:
        self._over = True
        seen = self.seen
        seen.stop()
        if self._gone:
            # That is no fault of who answers: what was sent so far is the response, with a body that is cut
            error = "" if self._started else "the client went away before there was a response"
        seen.error = error
        try:
            self._emitter.put(seen)
        except Exception as fault:  # noqa: BLE001 - no thread at the very end of a process, say
            self._emitter.fault(fault)

    def _give_up(self, error: Exception) -> None:
        self._over = True
        self._emitter.fault(error)


def _passed_on(scope: _Scope, headers: list[Any], made: str | None) -> _Scope:
    """Give the scope that the application gets; the same one where nothing is to be said."""
    extensions = scope.get("extensions") or {}
    files = any(name in extensions for name in _FILES)
    if made is None and not files:
        return scope
    passed = dict(scope)
    if made is not None:  # in place of one that is too long, or empty
        others = [header for header in headers if header[0] != b"x-request-id"]
        passed["headers"] = [*others, (b"x-request-id", made.encode())]
    if files:
        passed["extensions"] = {name: value for name, value in extensions.items() if name not in _FILES}
    return passed


def _settled(message: _Message) -> _Message:
    """Give a message whose headers can be read twice, and whose body does not change."""
    headers = message.get("headers")
    if headers is not None and not isinstance(headers, list | tuple):
        message = {**message, "headers": list(headers)}
    body = message.get("body")
    if body is not None and type(body) is not bytes:
        message = {**message, "body": bytes(body)}
    return message


class _Lifespan:
    """Lets what waits be written before the server is told that the application has shut down.

    Some servers end by a signal after that, so it is the last chance.
    """

    def __init__(self, emitter: Emitter, send: _Send) -> None:
        self._emitter = emitter
        self._send = send

    async def send(self, message: _Message) -> None:
        """Pass on what the application says of its start and end."""
        if message["type"].startswith("lifespan.shutdown."):
            import asyncio  # noqa: PLC0415 - WSGI services have no use for it

            try:
                await asyncio.get_running_loop().run_in_executor(None, self._emitter.flush)
            except RuntimeError:  # another kind of loop, or one that starts no threads any more
                self._emitter.flush()
        await self._send(message)
