"""A service with the middleware, as an ASGI application: `uvicorn tests.integration.nginx.service:app`."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from gnomon.emit import ASGIMiddleware

NAME = os.environ["SERVICE_NAME"]


PAUSE = 1.5
"""Seconds; longer than the mirrored request of the proxy lasts."""


async def stream(receive: Any, send: Any, *, pause_first: bool) -> None:
    """Stream with a pause, and stop where the client leaves meanwhile, as frameworks do."""
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
    parts = [b"first\n", b"last\n"]
    if not pause_first:
        await send(head)
        await send({"type": "http.response.body", "body": parts.pop(0), "more_body": True})
    left = asyncio.ensure_future(receive())
    done, _ = await asyncio.wait({left}, timeout=PAUSE)
    left.cancel()
    if done:
        return
    if pause_first:
        await send(head)
    await send({"type": "http.response.body", "body": b"".join(parts)})


async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer with who this is and the tags that came in; `/slow` only after a while."""
    if scope["type"] != "http":
        return
    size, more = 0, True
    while more:
        part = await receive()
        size, more = size + len(part.get("body", b"")), part.get("more_body", False)
    if scope["path"] == "/slow" and NAME == "shadow":
        await asyncio.sleep(40)
    if scope["path"] in ("/paced", "/late"):
        await stream(receive, send, pause_first=scope["path"] == "/late")
        return
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    body = json.dumps({"service": NAME, "got": size, "headers": headers}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


app = ASGIMiddleware(answer)
