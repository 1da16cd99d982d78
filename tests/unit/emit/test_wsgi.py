from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from gnomon.core.tags import Tags
from gnomon.emit import Emitter, WSGIMiddleware, current_tags
from gnomon.model import Exchange
from gnomon.testing import ListTransport


def environ(body: bytes = b"", **more: Any) -> dict[str, Any]:
    """What a server hands over for a POST."""
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/shop",
        "PATH_INFO": "/items",
        "SERVER_NAME": "shop.example",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_REQUEST_ID": "r-1",
        "wsgi.input": io.BytesIO(body),
        **more,
    }


def recorded(emitter: Emitter, transport: ListTransport) -> Exchange:
    """The one record."""
    assert emitter.flush(10)
    [exchange] = transport.exchanges
    return exchange


def serve(app: Any, given: dict[str, Any], start_response: Any = lambda *_: None) -> list[bytes]:
    """Serve one request as a server would, to its end."""
    result = app(given, start_response)
    try:
        return list(result)
    finally:
        if hasattr(result, "close"):
            result.close()


def answering(*parts: bytes, headers: Iterable[tuple[str, str]] = ()) -> Any:
    """An application that gives parts one by one."""

    def app(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", list(headers))
        return iter(parts)

    return app


@pytest.mark.parametrize(
    "read",
    [
        lambda stream: stream.read(),
        lambda stream: stream.read(-1),
        lambda stream: stream.read(None),
        lambda stream: b"".join(line for line in stream),
        lambda stream: b"".join(stream.readlines()),
        lambda stream: stream.readline() + stream.readline(3) + stream.read(100),
        lambda stream: b"".join(iter(lambda: stream.read(4), b"")),
    ],
)
def test_however_the_body_is_read_it_is_recorded(
    emitter: Emitter, transport: ListTransport, read: Callable[[Any], bytes]
) -> None:
    """By size, by line, by iteration; the application gets the same bytes."""
    body = b"a line\nanother one\n"

    def app(given: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [read(given["wsgi.input"])]

    assert serve(WSGIMiddleware(app, emitter), environ(body)) == [body]
    exchange = recorded(emitter, transport)
    assert exchange.request.body is not None
    assert (exchange.request.body.data, exchange.request.body.truncated) == (body.decode(), False)
    assert exchange.request.path == "/shop/items"
    assert exchange.service == "shop.example"


def test_the_stream_of_the_server_is_what_it_was_else(emitter: Emitter) -> None:
    """Whatever a server's stream can do, the application can have of it."""
    seen: list[int] = []

    def app(given: Any, start_response: Any) -> list[bytes]:
        seen.append(given["wsgi.input"].tell())
        start_response("200 OK", [])
        return []

    serve(WSGIMiddleware(app, emitter), environ())
    assert seen == [0]


@pytest.mark.parametrize("missing", ["REQUEST_METHOD", "wsgi.input"])
def test_a_server_that_hands_over_nonsense_gets_what_the_application_makes_of_it(
    emitter: Emitter, missing: str
) -> None:
    """What cannot be recorded is served all the same."""
    given = environ()
    del given[missing]
    assert serve(WSGIMiddleware(answering(b"x"), emitter), given) == [b"x"]
    assert emitter.flush(10)


def test_a_status_that_is_none_is_the_servers_business(emitter: Emitter) -> None:
    """The middleware only stops recording."""

    def app(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("fine", [])
        return [b"x"]

    said: list[Any] = []
    assert serve(WSGIMiddleware(app, emitter), environ(), lambda *head: said.append(head)) == [b"x"]
    assert said == [("fine", [])]
    assert emitter.stats.failed == 1


@pytest.mark.parametrize(
    ("headers", "method", "complete"),
    [([], "GET", False), ([("Content-Length", "5")], "GET", True), ([], "HEAD", True)],
)
def test_a_server_that_knows_the_end_need_not_ask_for_it(
    emitter: Emitter, transport: ListTransport, headers: list[tuple[str, str]], method: str, complete: bool
) -> None:
    """Closing early is a client that went away and got a part, unless all that was announced has been given."""
    app = WSGIMiddleware(answering(b"hello", b"", headers=headers), emitter)
    result: Any = app(environ(REQUEST_METHOD=method), lambda *_: None)
    assert next(iter(result)) == b"hello"
    result.close()
    exchange = recorded(emitter, transport)
    assert exchange.response is not None
    assert exchange.response.body is not None
    assert exchange.response.body.truncated is not complete


def test_a_client_that_leaves_before_there_is_a_response(emitter: Emitter, transport: ListTransport) -> None:
    """There is nothing to compare then: it is a reset."""
    result: Any = WSGIMiddleware(answering(b"hello", headers=[]), emitter)(environ(), lambda *_: None)
    result.close()
    exchange = recorded(emitter, transport)
    assert exchange.error is not None
    assert exchange.error.kind == "reset"


def test_tags_are_those_of_the_request_until_it_is_closed(emitter: Emitter) -> None:
    """Also where the parts are made one by one; a thread that serves another request later has none of them."""
    seen: list[Tags] = []

    def app(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        seen.append(current_tags())
        yield b"x"
        seen.append(current_tags())

    result: Any = WSGIMiddleware(app, emitter)(environ(), lambda *_: None)
    list(result)
    result.close()
    assert seen == [Tags(request_id="r-1")] * 2
    assert current_tags() == Tags()


def test_a_failure_is_the_servers_to_handle(emitter: Emitter, transport: ListTransport) -> None:
    """It is raised as it was, and leaves no tags behind."""

    def app(_environ: Any, _start_response: Any) -> list[bytes]:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        WSGIMiddleware(app, emitter)(environ(), lambda *_: None)
    assert current_tags() == Tags()
    response = recorded(emitter, transport).response
    assert response is not None
    assert (response.status, response.body) == (500, None)


def test_a_client_that_is_gone_while_parts_are_pushed(emitter: Emitter, transport: ListTransport) -> None:
    """The server's exception reaches the application that pushes."""

    def start_response(*_: Any) -> Any:
        def write(_data: bytes) -> None:
            raise OSError("gone")

        return write

    def app(_environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [])(b"x")
        return []

    with pytest.raises(OSError, match="gone"):
        WSGIMiddleware(app, emitter)(environ(), start_response)
    error = recorded(emitter, transport).error
    assert error is not None
    assert error.kind == "reset"


def test_closing_closes_what_the_application_gave(emitter: Emitter) -> None:
    """Even if that fails, the request is over."""

    class Result:
        def __iter__(self) -> Iterator[bytes]:
            """Give nothing."""
            return iter(())

        def close(self) -> None:
            """Fail."""
            raise LookupError("mine")

    result: Any = WSGIMiddleware(lambda *_: Result(), emitter)(environ(), lambda *_: None)
    list(result)
    with pytest.raises(LookupError, match="mine"):
        result.close()
    assert current_tags() == Tags()
    assert emitter.stats.seen == 1


def test_nothing_is_recorded_where_that_is_switched_off(make_emitter: Callable[..., Emitter]) -> None:
    """The tags travel all the same, and the stream is the server's own."""
    emitter = make_emitter(enabled=False)
    given = environ()
    stream = given["wsgi.input"]
    seen: list[Any] = []

    def app(given: Any, start_response: Any) -> list[bytes]:
        seen.extend([current_tags(), given["wsgi.input"]])
        start_response("200 OK", [])
        return [b"x"]

    assert serve(WSGIMiddleware(app, emitter), given) == [b"x"]
    assert seen == [Tags(request_id="r-1"), stream]
    assert emitter.stats.seen == 0
