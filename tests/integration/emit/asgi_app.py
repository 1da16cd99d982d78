"""A bare ASGI application that does what services do, well and badly."""
# ruff: noqa: ARG002 - each path is served with all that ASGI hands over

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.responses import StreamingResponse

from gnomon.emit import current_tags

Header = tuple[bytes, bytes]
ANSWER = json.dumps({"items": list(range(1000))}).encode()


async def read(receive: Any) -> bytes:
    """Read the whole body of a request."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


async def answer(send: Any, chunks: Iterable[bytes], status: int = 200, headers: Iterable[Header] = ()) -> None:
    """Send a response in so many chunks."""
    await send({"type": "http.response.start", "status": status, "headers": iter(list(headers))})
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body"})


class Shop:
    """The application; `gate` holds back what comes after the first chunk of /stream, `left` tells who went away."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.gate: asyncio.Event | None = None
        self.entered = 0

    def open_gate(self) -> None:
        """Let the stream go on, from any thread."""
        assert self.loop is not None
        assert self.gate is not None
        self.loop.call_soon_threadsafe(self.gate.set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        assert scope["type"] == "http", "no lifespan here"
        await getattr(self, scope["path"].strip("/").replace("-", "_"))(scope, receive, send)

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with what was sent."""
        kind = [header for header in scope["headers"] if header[0] in {b"content-type", b"content-encoding"}]
        await answer(send, [await read(receive)], 201, kind)

    async def plain(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer at once, without a look at the request."""
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
        await answer(send, [ANSWER], headers=headers)

    async def zipped(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer compressed."""
        await answer(send, [gzip.compress(ANSWER, mtime=0)], headers=[(b"content-encoding", b"gzip")])

    async def nothing(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 204."""
        await answer(send, [], 204)

    async def tags(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with the tags of the request, and the id that the application was given."""
        tags = current_tags()
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode()
        found = {"id": tags.id, "synthetic": tags.synthetic, "flags": tags.flags, "as_of": tags.as_of, "given": given}
        await answer(send, [json.dumps(found).encode()], headers=[(b"content-type", b"application/json")])

    async def stream(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer in parts, the second when the gate is open."""
        self.loop, self.gate = asyncio.get_running_loop(), asyncio.Event()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
        await self.gate.wait()
        await send({"type": "http.response.body", "body": memoryview(b"second\n"), "more_body": True})
        await send({"type": "http.response.body", "body": b"third\n"})

    async def endless(self, scope: Any, receive: Any, send: Any) -> None:
        """Send until the client is gone, as frameworks do."""
        gone = asyncio.ensure_future(self._gone(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.done():
            await send({"type": "http.response.body", "body": b"more\n", "more_body": True})
            await asyncio.sleep(0.001)

    async def listening(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer by Starlette, which listens for the client's going while it sends."""

        async def parts() -> AsyncIterator[bytes]:
            for part in (b"one ", b"two ", b"three"):
                yield part

        await StreamingResponse(parts())(scope, receive, send)

    async def hanging(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer nothing until the client is gone."""
        self.entered += 1
        await self._gone(receive)

    async def _gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def fail(self, scope: Any, receive: Any, send: Any) -> None:
        """Fail before anything is sent."""
        raise LookupError(scope["path"])

    async def fail_late(self, scope: Any, receive: Any, send: Any) -> None:
        """Fail in the middle of the response."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"a beginning", "more_body": True})
        raise LookupError(scope["path"])

    async def handled(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 500 and then fail all the same, as Starlette does with what nobody handles."""
        await answer(send, [b"sorry"], 500)
        raise LookupError(scope["path"])

    async def trailing(self, scope: Any, receive: Any, send: Any) -> None:
        """Send trailers after the body."""
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        trailers = [(b"grpc-status", b"0")]
        await send({"type": "http.response.trailers", "headers": trailers, "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"grpc-message", b"ok")]})
