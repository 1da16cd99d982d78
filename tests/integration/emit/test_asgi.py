"""The ASGI middleware under uvicorn and Hypercorn, with real clients: answers stay as they are, records are whole."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import httpx
import pytest
from tests.integration.emit.asgi_app import ANSWER, Shop
from tests.integration.emit.servers import with_hypercorn, with_uvicorn
from tests.kafka.brokers import wait_for

from gnomon.emit import ASGIMiddleware, Emitter
from gnomon.model import Body, Exchange
from gnomon.testing import ListTransport

pytestmark = pytest.mark.integration

SERVERS = {
    "uvicorn": (with_uvicorn, {}),
    "hypercorn": (with_hypercorn, {}),
    "hypercorn-h2": (with_hypercorn, {"http1": False, "http2": True}),
}


class Site(NamedTuple):
    """A served application and what is recorded of it."""

    app: Shop
    client: httpx.Client
    emitter: Emitter
    transport: ListTransport
    http2: bool

    def recorded(self) -> Exchange:
        """Wait for the one record there is."""
        wait_for("an exchange was recorded", lambda: self.emitter.stats.seen > 0, 20)
        assert self.emitter.flush(20)
        [exchange] = self.transport.exchanges
        return exchange


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, emitter: Emitter, transport: ListTransport) -> Iterator[Site]:
    """The shop behind the middleware, under each server."""
    serve, options = SERVERS[request.param]
    app = Shop()
    with (
        serve(ASGIMiddleware(app, emitter, service="shop", target="shop@2")) as url,
        httpx.Client(base_url=url, timeout=20, trust_env=False, **options) as client,
    ):
        yield Site(app, client, emitter, transport, bool(options))


def answer_of(exchange: Exchange) -> Body:
    """The body of the response."""
    assert exchange.response is not None
    assert exchange.response.body is not None
    return exchange.response.body


def test_a_record_is_whole(site: Site) -> None:
    """Request and response as they were on the wire, the time it took, and the tags."""
    headers = {
        "x-request-id": "r-1",
        "x-synthetic": "probe",
        "x-gnomon-role": "shadow",
        "baggage": "flag.theme=b",
        "authorization": "Bearer 0123456789abcdef",
    }
    response = site.client.post("/echo?q=a%20b&q=c", json={"a": [1]}, headers=headers)
    assert (response.status_code, response.json()) == (201, {"a": [1]})
    exchange = site.recorded()
    assert (exchange.request_id, exchange.role, exchange.synthetic) == ("r-1", "shadow", "probe")
    assert (exchange.service, exchange.target, exchange.flags) == ("shop", "shop@2", {"theme": "b"})
    assert (exchange.request.method, exchange.request.path) == ("POST", "/echo?q=a%20b&q=c")
    assert exchange.request.host == site.client.base_url.netloc.decode()
    assert ("x-synthetic", "probe") in exchange.request.headers
    assert "0123456789abcdef" not in str(exchange.request.headers)
    assert exchange.request.body is not None
    assert exchange.request.body.data == '{"a":[1]}'
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.headers) == (201, [("content-type", "application/json")])
    assert answer_of(exchange).data == '{"a":[1]}'
    assert exchange.duration_us is not None
    assert 0 < exchange.duration_us < 20_000_000


def test_a_body_of_5_mb_is_passed_whole_and_recorded_within_the_bound(site: Site) -> None:
    """The beginning is kept, and size and hash are of all of it."""
    data = random.Random(1).randbytes(5_000_000)
    response = site.client.post("/echo", content=data)
    assert response.content == data
    exchange = site.recorded()
    digest = f"hmac-sha256:{hmac.digest(b'k', data, hashlib.sha256).hex()}"
    for body in (exchange.request.body, answer_of(exchange)):
        assert body is not None
        assert (body.size, body.truncated, body.hash) == (5_000_000, True, digest)


def test_a_chunked_request_is_recorded_as_one_body(site: Site) -> None:
    """Whatever the client cut it into."""
    response = site.client.post("/echo", content=iter([b"one ", b"two ", b"three"]))
    assert response.content == b"one two three"
    exchange = site.recorded()
    assert exchange.request.body is not None
    assert (exchange.request.body.data, exchange.request.body.truncated) == ("one two three", False)


def test_a_stream_stays_a_stream(site: Site) -> None:
    """A client has the first chunk before there is a second."""
    with site.client.stream("GET", "/stream") as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"first\n"
        assert site.emitter.stats.seen == 0
        site.app.open_gate()
        assert b"".join(chunks) == b"second\nthird\n"
    assert answer_of(site.recorded()).data == "first\nsecond\nthird\n"


def test_an_application_that_listens_for_the_client_is_recorded_to_the_end(site: Site) -> None:
    """Servers say "disconnect" after a whole response too, and some do so while its end is being sent."""
    for _ in range(20):
        assert site.client.get("/listening").content == b"one two three"
    wait_for("all exchanges were recorded", lambda: site.emitter.stats.seen == 20, 20)
    assert site.emitter.flush(20)
    assert {answer_of(exchange).data for exchange in site.transport.exchanges} == {"one two three"}


def test_gzip_is_recorded_as_it_was_on_the_wire(site: Site) -> None:
    """With its content-encoding; nothing is decoded for the client's sake."""
    response = site.client.get("/zipped")
    assert response.content == ANSWER
    exchange = site.recorded()
    assert exchange.response is not None
    assert ("content-encoding", "gzip") in exchange.response.headers
    assert answer_of(exchange).size < len(ANSWER)
    assert answer_of(exchange).encoding == "base64"


def test_a_compressed_request_reaches_the_application_as_it_was(site: Site) -> None:
    """The same for what clients send."""
    data = gzip.compress(b"hello " * 100)
    response = site.client.post("/echo", content=data, headers={"content-encoding": "gzip"})
    assert response.content == b"hello " * 100
    exchange = site.recorded()
    assert exchange.request.body is not None
    assert exchange.request.body.size == len(data)


@pytest.mark.parametrize(("method", "path", "status"), [("HEAD", "/plain", 200), ("GET", "/nothing", 204)])
def test_responses_without_a_body(site: Site, method: str, path: str, status: int) -> None:
    """What is not sent is recorded as empty, whatever the application made."""
    assert site.client.request(method, path).status_code == status
    exchange = site.recorded()
    assert answer_of(exchange) == Body("", "text", 0, answer_of(exchange).hash)
    assert exchange.request.body is not None
    assert (exchange.request.body.data, exchange.request.body.truncated) == ("", False)


def test_an_application_that_fails_is_recorded_as_the_500_that_the_client_saw(site: Site) -> None:
    """The server makes that answer, so its body is not known."""
    assert site.client.get("/fail").status_code == 500
    exchange = site.recorded()
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.body) == (500, None)


def test_a_failure_in_the_middle_of_a_response_is_a_reset(site: Site) -> None:
    """The client has half a response, which is none."""
    with pytest.raises(httpx.HTTPError):
        site.client.get("/fail-late")
    exchange = site.recorded()
    assert exchange.response is None
    assert exchange.error is not None
    assert exchange.error.kind == "reset"
    assert exchange.error.message == "the application failed with LookupError in the middle of the response"


def test_a_failure_after_the_response_changes_nothing(site: Site) -> None:
    """A framework that answers 500 and raises again has answered 500."""
    response = site.client.get("/handled")
    assert (response.status_code, response.content) == (500, b"sorry")
    exchange = site.recorded()
    assert exchange.response is not None
    assert (exchange.response.status, answer_of(exchange).data) == (500, "sorry")


def go_away(site: Site, path: str, after: bytes) -> None:
    """Ask for a path and leave when some bytes have come."""
    host, port = site.client.base_url.host, site.client.base_url.port
    with socket.create_connection((host, port), 20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nx-request-id: r-1\r\n\r\n".encode())
        if after:
            seen = b""
            while after not in seen:
                seen += connection.recv(4096)
        else:
            wait_for("the application has the request", lambda: site.app.entered > 0, 20)


@pytest.mark.parametrize(("path", "after"), [("/endless", b"more"), ("/hanging", b"")])
def test_a_client_that_goes_away_is_not_held_against_the_service(site: Site, path: str, after: bytes) -> None:
    """Within the response: what it got, with a body that is cut. Before there is one nothing can be compared."""
    if site.http2:
        with suppress(httpx.ReadTimeout), site.client.stream("GET", path, timeout=0.5) as response:
            next(response.iter_raw())
        site.client.close()
    else:
        go_away(site, path, after)
    exchange = site.recorded()
    if after:
        assert exchange.response is not None
        assert (exchange.response.status, answer_of(exchange).truncated) == (200, True)
    else:
        assert exchange.response is None
        assert exchange.error is not None
        assert exchange.error.kind == "reset"
        assert exchange.error.message == "the client went away before there was a response"


def test_an_id_is_made_and_passed_on(site: Site) -> None:
    """The application sees the id that the record has, in its headers and in the context."""
    found = site.client.get("/tags").json()
    exchange = site.recorded()
    assert found["id"] == found["given"] == exchange.request_id
    assert "x-request-id" not in dict(exchange.request.headers)


def test_a_hundred_at_once_do_not_mix(site: Site) -> None:
    """Each record has its own request's id, body and tags, and so has the application."""
    options = {"http1": False, "http2": True} if site.http2 else {}

    async def ask(client: httpx.AsyncClient, number: int) -> bytes:
        headers = {"x-request-id": f"r-{number}", "x-synthetic": f"s-{number}"}
        if number % 2 or site.http2:  # Hypercorn 0.18 loses an HTTP/2 connection where bodies and answers cross
            return (await client.get("/tags", headers=headers)).content
        return (await client.post("/echo", content=b"%d" % number, headers=headers)).content

    async def ask_all() -> list[bytes]:
        async with httpx.AsyncClient(base_url=site.client.base_url, trust_env=False, timeout=20, **options) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(100)))

    answers = asyncio.run(ask_all())
    wait_for("all exchanges were recorded", lambda: site.emitter.stats.seen == 100, 20)
    assert site.emitter.flush(20)
    by_id = {exchange.request_id: exchange for exchange in site.transport.exchanges}
    assert len(by_id) == len(site.transport.exchanges) == 100
    for number, answer in enumerate(answers):
        exchange = by_id[f"r-{number}"]
        assert exchange.synthetic == f"s-{number}"
        assert answer_of(exchange).data == answer.decode()
        if number % 2 or site.http2:
            assert json.loads(answer)["synthetic"] == f"s-{number}"
        else:
            assert answer == b"%d" % number


def test_trailers_are_recorded_where_the_server_has_them(emitter: Emitter, transport: ListTransport) -> None:
    """Hypercorn sends them over HTTP/2; gRPC's status is there."""
    with (
        with_hypercorn(ASGIMiddleware(Shop(), emitter)) as url,
        httpx.Client(base_url=url, trust_env=False, http1=False, http2=True) as client,
    ):
        assert client.get("/trailing", headers={"te": "trailers"}).content == b"body"
    assert emitter.flush(20)
    [exchange] = transport.exchanges
    assert exchange.response is not None
    assert exchange.response.trailers == [("grpc-status", "0"), ("grpc-message", "ok")]
    assert answer_of(exchange).data == "body"


@pytest.mark.parametrize("path", ["/plain", "/zipped", "/nothing", "/handled", "/fail"])
def test_the_client_sees_the_same_with_and_without(make_emitter: Callable[..., Emitter], path: str) -> None:
    """Status, headers and bytes are those of the application alone, recording or not."""
    answers = []
    for app in (
        Shop(),
        ASGIMiddleware(Shop(), make_emitter()),
        ASGIMiddleware(Shop(), make_emitter(enabled=False)),
    ):
        with with_uvicorn(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
            with client.stream("GET", path) as response:
                raw = b"".join(response.iter_raw())
            headers = [(name, value) for name, value in response.headers.items() if name != "date"]
            answers.append((response.status_code, headers, raw))
    assert answers[0] == answers[1] == answers[2]
