from __future__ import annotations

import base64
import hashlib
import hmac
import random

import msgspec
import pytest

from gnomon.core.decode import decode_exchange
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.core.tags import Tags
from gnomon.emit.observed import BodyCapture, Identity, Observed, RawHeaders
from gnomon.emit.record import RecordWriter, shrink
from gnomon.model import Body, Exchange, Place

REDACTOR = Redactor(b"k")
LIMIT = 100_000
TOKEN = "ghp_" + "a1B2" * 9


def body(data: bytes = b"", limit: int = 1000, *, whole: bool = True) -> BodyCapture:
    """A body of one chunk."""
    captured = BodyCapture(limit, REDACTOR.body_hasher)
    if data:
        captured.add(data)
    captured.whole = whole
    return captured


def observed(
    request: BodyCapture | None = None,
    response: BodyCapture | None = None,
    *,
    headers: RawHeaders | None = None,
    answer_headers: RawHeaders | None = None,
) -> Observed:
    """A GET of /items that was answered 200."""
    tags = Tags(request_id="r-1", synthetic="probe", flags={"a": "b"})
    seen = Observed(Identity("shop", "shop@2", "live"), tags, request or body(), response or body())
    seen.method, seen.path, seen.status = "GET", b"/items", 200
    seen.request_headers = headers or []
    seen.response_headers = answer_headers or []
    seen.stop()
    return seen


def written(seen: Observed, rules: str = "", limit: int = LIMIT, redactor: Redactor = REDACTOR) -> Exchange:
    """The record as a reader decodes it."""
    record = RecordWriter(redactor, parse_rules(rules), limit).write(seen)
    assert record is not None
    assert record.key == b"r-1"
    assert len(record.value) <= limit
    exchange = decode_exchange(record.value, Place("test"))
    assert isinstance(exchange, Exchange), exchange
    return exchange


def answer(exchange: Exchange) -> Body:
    """The body of its response."""
    assert exchange.response is not None
    assert exchange.response.body is not None
    return exchange.response.body


def test_a_record_says_who_answered_what() -> None:
    """Identity, tags, times and both messages are in it."""
    exchange = written(observed(response=body(b'{"a":1}'), headers=[(b"host", b"shop.example")]))
    assert (exchange.service, exchange.target, exchange.role) == ("shop", "shop@2", "live")
    assert (exchange.synthetic, exchange.flags, exchange.emitter) == ("probe", {"a": "b"}, "gnomon.emit")
    assert exchange.started_us > 0
    assert exchange.duration_us is not None
    assert (exchange.request.method, exchange.request.path, exchange.request.host) == ("GET", "/items", "shop.example")
    assert answer(exchange).data == '{"a":1}'


def test_without_a_name_the_service_is_the_host() -> None:
    """The header's, else the server's own."""
    seen = observed(headers=[(b"host", b"cart.example:8080")])
    seen.identity = Identity("", "", "live")
    assert written(seen).service == "cart.example:8080"
    seen.request_headers, seen.host = [], "localhost"
    assert written(seen).service == "localhost"


def test_secrets_do_not_leave_the_service() -> None:
    """Headers, parameters and bodies are redacted, and the hash of a body is keyed."""
    seen = observed(
        response=body(f'{{"token": "{TOKEN}"}}'.encode()),
        headers=[(b"Authorization", f"Bearer {TOKEN}".encode())],
        answer_headers=[(b"content-type", b"application/json")],
    )
    seen.query = f"api_key={TOKEN}".encode()
    exchange = written(seen)
    assert TOKEN not in msgspec.json.encode(exchange).decode()
    assert (answer(exchange).hash or "").startswith("hmac-sha256:")


def test_rules_redact_at_the_edge_too() -> None:
    """What a rule hides at an endpoint never reaches Kafka, whatever the template that names the endpoint."""
    rules = """
    [[rule]]
    endpoint = "GET /things/{thing}"
    path = "/body/note"
    redact = "drop"

    [[endpoint]]
    template = "GET /things/{thing}"
    """
    seen = observed(response=body(b'{"note":"mine"}'), answer_headers=[(b"content-type", b"application/json")])
    assert answer(written(seen, rules)).data == '{"note":"mine"}'
    seen.path = b"/things/blue"
    assert answer(written(seen, rules)).data == '{"note":"redacted"}'


def test_two_large_bodies_can_still_be_told_equal() -> None:
    """The hash of a body that was cut is that of one that was kept whole."""
    data = b"0123456789" * 100
    cut, kept = (answer(written(observed(response=body(data, limit)))) for limit in (10, 1000))
    assert (cut.data, cut.size, cut.truncated) == ("0123456789", 1000, True)
    assert (kept.size, kept.truncated) == (1000, False)
    assert cut.hash == kept.hash == f"hmac-sha256:{hmac.digest(b'k', data, 'sha256').hex()}"


@pytest.mark.parametrize(
    ("headers", "seen_of_it", "http_version", "method", "expected"),
    [
        ([], b"", "1.1", "POST", Body("", "text", 0)),
        ([], b"", "2", "GET", Body("", "text", 0)),
        ([], b"", "2", "POST", None),
        ([(b"transfer-encoding", b"chunked")], b"", "1.1", "POST", None),
        ([(b"content-length", b"3")], b"abc", "1.1", "POST", Body("abc", "text", 3)),
        ([(b"content-length", b"9")], b"abc", "1.1", "POST", Body("abc", "text", 9, truncated=True)),
        ([(b"content-length", b"9")], b"", "1.1", "POST", Body("", "text", 9, truncated=True)),
        ([(b"content-length", b"x")], b"abc", "1.1", "POST", Body("abc", "text", 3, truncated=True)),
    ],
)
def test_a_request_that_was_not_read_to_its_end(
    headers: RawHeaders, seen_of_it: bytes, http_version: str, method: str, expected: Body | None
) -> None:
    """What the application left unread is said to be missing; what cannot be there is said to be empty."""
    seen = observed(body(seen_of_it, whole=False), headers=headers)
    seen.http_version, seen.method = http_version, method
    found = written(seen, redactor=Redactor(b"k", enabled=False)).request.body
    assert found == expected


def test_bytes_that_are_no_text_are_base64() -> None:
    """Nothing is changed on the way."""
    exchange = written(observed(response=body(b"\xff\0")))
    assert base64.b64decode(answer(exchange).data) == b"\xff\0"


def test_a_path_that_was_decoded_is_encoded_again() -> None:
    """Servers that do not say what was on the wire are read as RFC 3986 has it."""
    seen = observed()
    seen.path, seen.quoted, seen.query = "/a b/Ã©", False, "q=1"
    assert written(seen).request.path == "/a%20b/%C3%A9?q=1"
    seen.path, seen.quoted = b"/a%20b", True
    assert written(seen).request.path == "/a%20b?q=1"
    seen.path, seen.query = b"", b""
    assert written(seen).request.path == "/"


def test_a_record_is_cut_until_it_is_small_enough() -> None:
    """The larger body is cut first; both keep the size and the hash of the whole."""
    rng = random.Random(1)
    large, small = rng.randbytes(3000), b'"quotes"' * 200
    seen = observed(body(small, 10_000), body(large, 10_000))
    exchange = written(seen, limit=3000)
    assert answer(exchange).truncated
    assert answer(exchange).size == 3000
    assert large.startswith(base64.b64decode(answer(exchange).data))
    assert answer(exchange).hash == f"hmac-sha256:{hmac.digest(b'k', large, 'sha256').hex()}"
    assert exchange.request.body is not None
    assert exchange.request.body.size == 1600


def test_a_body_that_is_cut_is_hashed_first() -> None:
    """Without redaction a whole body has no hash until its data go."""
    data = b"abc" * 1000
    exchange = written(observed(response=body(data, 10_000)), limit=1500, redactor=Redactor(b"k", enabled=False))
    assert answer(exchange).hash == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_record_that_cannot_be_small_enough_is_none() -> None:
    """Where headers alone are too much, there is no record."""
    seen = observed(body(b"a" * 500), body(b"b" * 500), headers=[(b"x", b"y" * 2000)])
    assert RecordWriter(REDACTOR, parse_rules(""), 1500).write(seen) is None


def test_a_written_record_can_be_shrunk() -> None:
    """For a topic that takes less than the settings say."""
    record = RecordWriter(REDACTOR, parse_rules(""), LIMIT).write(observed(response=body(b"a" * 900)))
    assert record is not None
    smaller = shrink(record.value, 700)
    assert smaller is not None
    assert len(smaller) <= 700
    assert shrink(record.value, 100) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("none", []),
        (" shadow:cart@2 ,control", ["shadow:cart@2", "control"]),
        ("", None),
        ("shadow,everybody", None),
        (", ".join(f"shadow:{number}" for number in range(100)), [f"shadow:{number}" for number in range(100)]),
        ("shadow," * 100 + "control", None),
        ("shadow:a," * 5_000, None),
    ],
)
def test_a_proxy_says_who_else_was_sent_the_request(header: str | None, expected: list[str] | None) -> None:
    """Where it says nothing the setting `join.expect` holds."""
    headers = [] if header is None else [(b"x-gnomon-expect", header.encode())]
    assert written(observed(headers=headers)).expect == expected
