"""The server holds connections for those who ask."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gnomon.web import server


async def _answer(_: Request) -> PlainTextResponse:
    await asyncio.sleep(0.1)
    return PlainTextResponse("well")


@pytest.mark.parametrize(
    ("sent", "answers"),
    [(b"", 0), (b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ", 0), (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 2, 2)],
    ids=["says nothing", "does not end its request", "asks twice, and no more"],
)
def test_who_does_not_ask_in_time_is_hung_up_on(monkeypatch: pytest.MonkeyPatch, sent: bytes, answers: int) -> None:
    """At once, after part of a request, and after answers; an answer under way is waited for."""
    monkeypatch.setattr(server, "ASKING_SECONDS", 0.05)

    async def check() -> bytes:
        app = Starlette(routes=[Route("/", _answer)])
        app.state.give_up = lambda: None
        listening = server.listen_on("127.0.0.1:0")
        serving = asyncio.create_task(server.serve(app, listening))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(sent)
        got = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        listening.close()
        return got

    assert asyncio.run(check()).count(b"well") == answers
