"""The WSGI middleware under wsgiref and waitress, with real clients: answers stay as they are, records are whole."""

from __future__ import annotations

import hashlib
import hmac
import random
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import pytest
from tests.integration.emit.servers import with_waitress, with_wsgiref
from tests.integration.emit.wsgi_app import ANSWER, Shop
from tests.kafka.brokers import wait_for

from gnomon.emit import Emitter, WSGIMiddleware
from gnomon.model import Body, Exchange
from gnomon.testing import ListTransport

pytestmark = pytest.mark.integration

SERVERS = {"wsgiref": with_wsgiref, "waitress": with_waitress}


class Site(NamedTuple):
    """A served application and what is recorded of it."""

    app: Shop
    client: httpx.Client
    emitter: Emitter
    transport: ListTransport

    def recorded(self) -> Exchange:
        """Wait for the one record there is."""
        wait_for("an exchange was recorded", lambda: self.emitter.stats.seen > 0, 20)
        assert self.emitter.flush(20)
        [exchange] = self.transport.exchanges
        return exchange


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, emitter: Emitter, transport: ListTransport) -> Iterator[Site]:
    """The shop behind the middleware, under each server."""
    app = Shop()
    with (
        SERVERS[request.param](WSGIMiddleware(app, emitter, service="shop", target="shop@2")) as url,
        httpx.Client(base_url=url, timeout=20, trust_env=False) as client,
    ):
        yield Site(app, client, emitter, transport)


def answer_of(exchange: Exchange) -> Body:
    """The body of the response."""
    assert exchange.response is not None
    assert exchange.response.body is not None
    return exchange.response.body


def test_a_record_is_whole(site: Site) -> None:
    """Request and response as they were on the wire, the time it took, and the tags."""
    headers = {"x-request-id": "r-1", "x-synthetic": "probe", "x-gnomon-role": "shadow", "x-odd": "é".encode()}
    response = site.client.post("/echo?q=a%20b", content=b"one line\nand another", headers=headers)  # type: ignore[arg-type]
    assert (response.status_code, response.content) == (201, b"one line\nand another")
    exchange = site.recorded()
    assert (exchange.request_id, exchange.role, exchange.synthetic) == ("r-1", "shadow", "probe")
    assert (exchange.service, exchange.target) == ("shop", "shop@2")
    assert (exchange.request.method, exchange.request.path) == ("POST", "/echo?q=a%20b")
    assert exchange.request.host == site.client.base_url.netloc.decode()
    assert ("x-odd", "é") in exchange.request.headers
    assert ("content-length", "20") in exchange.request.headers
    assert exchange.request.body is not None
    assert (exchange.request.body.data, exchange.request.body.truncated) == ("one line\nand another", False)
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.headers) == (201, [("Content-Type", "text/plain")])
    assert answer_of(exchange).data == "one line\nand another"
    assert exchange.duration_us is not None
    assert 0 < exchange.duration_us < 20_000_000


def test_a_body_of_5_mb_is_passed_whole_and_recorded_within_the_bound(site: Site) -> None:
    """The beginning is kept, and size and hash are of all of it."""
    data = random.Random(1).randbytes(5_000_000)
    assert site.client.post("/echo", content=data).content == data
    exchange = site.recorded()
    digest = f"hmac-sha256:{hmac.digest(b'k', data, hashlib.sha256).hex()}"
    for body in (exchange.request.body, answer_of(exchange)):
        assert body is not None
        assert (body.size, body.truncated, body.hash) == (5_000_000, True, digest)


def test_a_stream_stays_a_stream(site: Site) -> None:
    """A client has the first part before there is a second, and the response is closed in the end."""
    with site.client.stream("GET", "/stream") as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"first\n"
        assert site.emitter.stats.seen == 0
        site.app.gate.set()
        assert b"".join(chunks) == b"second\nthird\n"
    assert answer_of(site.recorded()).data == "first\nsecond\nthird\n"
    assert site.app.last.closed.wait(20)


@pytest.mark.parametrize(("method", "path", "status"), [("HEAD", "/plain", 200), ("GET", "/nothing", 204)])
def test_responses_without_a_body(site: Site, method: str, path: str, status: int) -> None:
    """What is not sent is recorded as empty, whatever the application made."""
    assert site.client.request(method, path).status_code == status
    exchange = site.recorded()
    assert answer_of(exchange) == Body("", "text", 0, answer_of(exchange).hash)


@pytest.mark.parametrize(("path", "expected"), [("/written", b"pushed given"), ("/file", ANSWER), ("/zipped", ANSWER)])
def test_every_way_of_answering_is_recorded(site: Site, path: str, expected: bytes) -> None:
    """Parts that are pushed, files, what is compressed."""
    assert site.client.get(path).content == expected
    body = answer_of(site.recorded())
    assert not body.truncated
    assert body.encoding == ("base64" if path == "/zipped" else "text")
    assert path == "/zipped" or body.data.encode() == expected


@pytest.mark.parametrize("path", ["/fail", "/fail-first"])
def test_an_application_that_fails_is_recorded_as_the_500_that_the_client_saw(site: Site, path: str) -> None:
    """The server makes that answer, so its body is not known."""
    assert site.client.get(path).status_code == 500
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
    assert exchange.error.message == "the application failed with LookupError in the middle of the response"


def test_a_response_that_was_taken_back_is_not_recorded(site: Site) -> None:
    """What counts is what was said last, before anything was sent."""
    response = site.client.get("/handled")
    assert (response.status_code, response.content) == (500, b"sorry")
    exchange = site.recorded()
    assert exchange.response is not None
    assert (exchange.response.status, answer_of(exchange).data) == (500, "sorry")


def test_a_client_that_goes_away_got_a_part(site: Site) -> None:
    """The server finds out when it cannot send, and closes the response."""
    host, port = site.client.base_url.host, site.client.base_url.port
    assert port is not None
    with socket.create_connection((host, port), 20) as connection:
        connection.sendall(f"GET /endless HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        assert connection.recv(100)
    exchange = site.recorded()
    assert exchange.response is not None
    assert (exchange.response.status, answer_of(exchange).truncated) == (200, True)


def test_a_hundred_at_once_do_not_mix(site: Site) -> None:
    """Each record has its own request's id and tags, and so has the application."""

    def ask(number: int) -> Any:
        headers = {"x-request-id": f"r-{number}", "x-synthetic": f"s-{number}"}
        return site.client.get("/tags", headers=headers).json()

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(ask, range(100)))
    assert answers == [{"id": f"r-{n}", "synthetic": f"s-{n}", "given": f"r-{n}"} for n in range(100)]
    wait_for("all exchanges were recorded", lambda: site.emitter.stats.seen == 100, 20)
    assert site.emitter.flush(20)
    assert {(exchange.request_id, exchange.synthetic) for exchange in site.transport.exchanges} == {
        (f"r-{n}", f"s-{n}") for n in range(100)
    }


def test_an_id_is_made_and_passed_on(site: Site) -> None:
    """The application sees the id that the record has."""
    found = site.client.get("/tags").json()
    exchange = site.recorded()
    assert found["id"] == found["given"] == exchange.request_id
    assert "x-request-id" not in dict(exchange.request.headers)


@pytest.mark.parametrize("serve", SERVERS.values(), ids=SERVERS)
@pytest.mark.parametrize("path", ["/plain", "/zipped", "/nothing", "/written", "/file", "/handled", "/fail"])
def test_the_client_sees_the_same_with_and_without(
    make_emitter: Callable[..., Emitter], serve: Callable[[Any], Any], path: str
) -> None:
    """Status, headers (a length that the server can tell, say) and bytes are those of the application alone."""
    answers = []
    apps = (Shop(), WSGIMiddleware(Shop(), make_emitter()), WSGIMiddleware(Shop(), make_emitter(enabled=False)))
    for app in apps:
        with serve(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
            with client.stream("GET", path) as response:
                raw = b"".join(response.iter_raw())
            headers = [(name, value) for name, value in response.headers.items() if name != "date"]
            answers.append((response.status_code, headers, raw))
    assert answers[0] == answers[1] == answers[2]
