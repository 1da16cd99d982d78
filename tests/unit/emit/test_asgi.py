from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gnomon.core.tags import Tags
from gnomon.emit import ASGIMiddleware, Emitter, current_tags
from gnomon.model import Body
from gnomon.testing import ListTransport

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/é",
    "query_string": b"",
    "headers": [(b"host", b"shop.example"), (b"x-request-id", b"r-1")],
}


async def fine(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body."""
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def serve(app: Any, scope: Any = SCOPE, *incoming: Any, sending: Any = None) -> list[Any]:
    """Serve one request as a server would, and give what it was sent."""
    messages = iter(incoming or [{"type": "http.request", "body": b"hello"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)
        if sending:
            sending(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_messages_pass_as_the_objects_that_they_are(emitter: Emitter) -> None:
    """Nothing is copied on the way but what could change under way."""
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
    body = {"type": "http.response.body", "body": b"x"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send(body)

    sent = serve(ASGIMiddleware(app, emitter))
    assert sent[0] is start
    assert sent[1] is body


def test_a_path_without_its_wire_form_is_encoded(emitter: Emitter, transport: ListTransport) -> None:
    """Servers need not give raw_path."""
    serve(ASGIMiddleware(fine, emitter))
    assert emitter.flush(10)
    assert transport.exchanges[0].request.path == "/%C3%A9"


@pytest.mark.parametrize(
    "change",
    [{"headers": None}, {"headers": [(b"x-request-id", 7)]}, {"headers": [b"x"]}],
    ids=["none", "number", "no-pair"],
)
def test_a_server_that_hands_over_nonsense_gets_its_answer(emitter: Emitter, change: dict[str, Any]) -> None:
    """What cannot be recorded is served all the same, and counted."""
    sent = serve(ASGIMiddleware(fine, emitter), SCOPE | change)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert emitter.flush(10)
    assert emitter.stats.failed == 1


@pytest.mark.parametrize("given", [b"r" * 257, b" ", None])
def test_the_application_sees_one_request_id(emitter: Emitter, transport: ListTransport, given: bytes | None) -> None:
    """That of the record: one that is made stands in place of one that no record could have."""
    ids: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ids.extend(value for name, value in scope["headers"] if name == b"x-request-id")
        await fine(scope, receive, send)

    headers = [(b"host", b"shop.example"), *([] if given is None else [(b"x-request-id", given)])]
    serve(ASGIMiddleware(app, emitter), {**SCOPE, "headers": headers})
    assert emitter.flush(10)
    assert ids == [transport.exchanges[0].request_id.encode()]


@pytest.mark.parametrize("odd", [{"type": "http.response.start"}, {"type": "http.response.body", "body": "text"}, {}])
def test_an_application_that_sends_nonsense_is_the_servers_business(emitter: Emitter, odd: dict[str, Any]) -> None:
    """The server gets what the application sent; the middleware only stops recording."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(odd)

    assert serve(ASGIMiddleware(app, emitter)) == [odd]
    assert emitter.stats.seen == 1


@pytest.mark.parametrize("started", [False, True])
def test_a_server_that_cannot_send_is_heard_by_the_application(
    emitter: Emitter, transport: ListTransport, *, started: bool
) -> None:
    """Its exception is the application's; the record has what was sent until then, or that the client went away."""

    def broken(message: Any) -> None:
        if message["type"] == "http.response.body" or not started:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        serve(ASGIMiddleware(fine, emitter), sending=broken)
    assert emitter.flush(10)
    (exchange,) = transport.exchanges
    if started:
        assert exchange.response is not None
        assert exchange.response.body == Body("", "text", 0, None, truncated=True)
    else:
        assert exchange.error is not None
        assert (exchange.error.kind, exchange.response) == ("reset", None)


@pytest.mark.parametrize("messages", [[], [{"type": "http.response.start", "status": 200, "headers": []}]])
def test_an_application_that_ends_early(emitter: Emitter, transport: ListTransport, messages: list[Any]) -> None:
    """Without a word it is a 500, which the server makes; without an end it is half a response, which is none."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    serve(ASGIMiddleware(app, emitter))
    assert emitter.flush(10)
    exchange = transport.exchanges[0]
    if messages:
        assert exchange.error is not None
        assert exchange.error.message == "the application ended in the middle of the response"
    else:
        assert exchange.response is not None
        assert (exchange.response.status, exchange.response.body) == (500, None)


@pytest.mark.parametrize("started", [False, True])
def test_a_request_that_the_server_gives_up_is_a_reset(
    emitter: Emitter, transport: ListTransport, started: bool
) -> None:
    """A server that shuts down cancels what it serves; that is no failure of the application."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        serve(ASGIMiddleware(app, emitter))
    assert emitter.flush(10)
    error = transport.exchanges[0].error
    assert error is not None
    assert error.message == "the server gave the request up before the response was complete"


def test_servers_do_not_offer_to_send_files_by_themselves(emitter: Emitter) -> None:
    """Nobody would see them; other extensions stay, and the server's own scope is as it was."""
    offered = {"http.response.pathsend": {}, "http.response.zerocopysend": {}, "tls": {}}
    scope = SCOPE | {"extensions": dict(offered)}
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await fine(scope, receive, send)

    serve(ASGIMiddleware(app, emitter), scope)
    assert seen[0]["extensions"] == {"tls": {}}
    assert scope["extensions"] == offered


def test_the_scope_is_the_servers_own_where_nothing_is_to_be_said(emitter: Emitter) -> None:
    """And its tags are the current ones while the application runs."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([scope, current_tags()])
        await fine(scope, receive, send)

    serve(ASGIMiddleware(app, emitter))
    assert seen == [SCOPE, Tags(request_id="r-1")]
    assert seen[0] is SCOPE
    assert current_tags() == Tags()


def test_websockets_pass_untouched(emitter: Emitter) -> None:
    """The application gets the very functions of the server."""
    got: list[Any] = []

    async def app(*args: Any) -> None:
        got.extend(args)

    async def never() -> None:
        """Stand for the server."""

    scope = {"type": "websocket"}
    asyncio.run(ASGIMiddleware(app, emitter)(scope, never, never))  # type: ignore[arg-type]
    assert got == [scope, never, never]
    assert emitter.stats.seen == 0


def test_what_waits_is_written_before_the_server_hears_of_the_shutdown(
    emitter: Emitter, transport: ListTransport
) -> None:
    """A server may end by a signal right after."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await fine(scope, receive, send)
            return
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})

    written: list[int] = []
    middleware = ASGIMiddleware(app, emitter)
    serve(middleware)
    sent = serve(
        middleware,
        {"type": "lifespan"},
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
        sending=lambda _: written.append(len(transport.records)),
    )
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert written[1] == 1


def test_nothing_is_recorded_where_that_is_switched_off(make_emitter: Callable[..., Emitter]) -> None:
    """The tags travel all the same."""
    emitter = make_emitter(enabled=False)
    seen: list[Tags] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(current_tags())
        await fine(scope, receive, send)

    assert len(serve(ASGIMiddleware(app, emitter))) == 2
    assert seen == [Tags(request_id="r-1")]
    assert emitter.stats.seen == 0
