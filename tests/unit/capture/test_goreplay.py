from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from gnomon.capture import Limits
from gnomon.model import Body, Exchange, Reject

Read = Callable[..., list[Exchange | Reject]]

START = 1_772_355_600_000_000_000
MS = 1_000_000
REQUEST = b"POST /cart?id=7 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 9\r\n\r\n" + b'{"sku":1}'
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}'


def record(kind: int, name: str, at_ms: float, payload: bytes, latency_ms: float | None = None) -> bytes:
    """Return one record with its separator."""
    head = f"{kind} {name} {START + int(at_ms * MS)}" + (f" {int(latency_ms * MS)}" if latency_ms is not None else "")
    return head.encode() + b"\n" + payload + "\n🐵🙈🙉\n".encode()


def pair(name: str, at_ms: float = 0) -> bytes:
    """Return a request and its live response."""
    return record(1, name, at_ms, REQUEST, 0) + record(2, name, at_ms + 10, RESPONSE, 5)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: data.removesuffix("\n🐵🙈🙉\n".encode())])
def test_live_and_replayed_responses(read: Read, pack: Callable[[bytes], bytes]) -> None:
    """A request with both responses gives a live and a shadow exchange under its id, each with its own times."""
    data = pair("aaa") + record(3, "aaa", 60_000, RESPONSE.replace(b"true", b"null"), 30)
    live, shadow = read(pack(data))
    assert isinstance(live, Exchange)
    assert isinstance(shadow, Exchange)
    assert (live.role, live.request_id, live.emitter) == ("live", "aaa", "goreplay")
    assert (shadow.role, shadow.request_id) == ("shadow", "aaa")
    assert (live.started_us, live.duration_us) == (START // 1000, 15_000)
    assert (shadow.started_us, shadow.duration_us) == (START // 1000 + 60_000_000, 30_000)
    assert (live.request.method, live.request.path, live.request.host) == ("POST", "/cart?id=7", "shop.example")
    assert live.request.body == Body('{"sku":1}', "text", 9)
    assert live.response is not None
    assert live.response.body == Body('{"ok":true}', "text", 11)
    assert shadow.response is not None
    assert shadow.response.body == Body('{"ok":null}', "text", 11)


def test_records_out_of_order_are_paired(read: Read) -> None:
    """Responses may come before their request and among others."""
    data = (
        record(2, "b", 20, RESPONSE, 1)
        + record(1, "a", 0, REQUEST)
        + record(1, "b", 0, REQUEST)
        + record(2, "a", 30, RESPONSE, 1)
    )
    found = [item for item in read(data) if isinstance(item, Exchange)]
    assert {item.request_id: item.duration_us for item in found} == {"a": 31_000, "b": 21_000}


def test_repeated_ids_are_told_apart(read: Read) -> None:
    """The second request of an id is another request."""
    found = [item for item in read(pair("a") + pair("b") + pair("a", 500)) if isinstance(item, Exchange)]
    assert sorted(item.request_id for item in found) == ["a", "a:2", "b"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"X-Request-ID: r1", "r1"),
        (b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (b"x: y", "aaa"),
    ],
)
def test_the_join_key(read: Read, header: bytes, expected: str) -> None:
    """The request's own id wins over GoReplay's."""
    request = REQUEST.replace(b"Host:", header + b"\r\nHost:")
    (found,) = read(record(1, "aaa", 0, request) + record(2, "aaa", 1, RESPONSE))
    assert isinstance(found, Exchange)
    assert found.request_id == expected


@pytest.mark.parametrize(
    ("kinds", "role", "expected"),
    [
        ((2, 3), None, [("live", "2"), ("shadow", "3")]),
        ((2, 3), "live", [("live", "2")]),
        ((2, 3), "shadow", [("shadow", "3")]),
        ((2, 3), "control", [("control", "3")]),
        ((2,), "shadow", [("shadow", "2")]),
        ((3,), "live", [("live", "3")]),
        ((3,), None, [("shadow", "3")]),
    ],
)
def test_roles(read: Read, kinds: tuple[int, ...], role: str | None, expected: list[tuple[str, str]]) -> None:
    """A role that was asked for takes the side of the file that fits it, never both."""
    data = record(1, "a", 0, REQUEST)
    for kind in kinds:
        data += record(kind, "a", 1, b"HTTP/1.1 200 OK\r\n\r\n%d" % kind)
    found = [item for item in read(data, role=role) if isinstance(item, Exchange)]
    assert [(item.role, item.response.body.data) for item in found if item.response and item.response.body] == expected


def test_what_has_no_counterpart_is_a_reject(read: Read) -> None:
    """A request without a response, and a response without a request, are kept with the reason."""
    items = read(record(1, "a", 0, REQUEST) + record(2, "b", 0, RESPONSE) + pair("c"))
    reasons = {item.place.line: item.reason for item in items if isinstance(item, Reject)}
    assert "whose response is not in the capture" in reasons[1]
    assert "whose request is not in the capture" in reasons[8]
    assert [item.request_id for item in items if isinstance(item, Exchange)] == ["c"]


def test_waiting_requests_are_bounded(read: Read) -> None:
    """When too many requests wait, by number or by bytes, the oldest is given out as it is."""
    data = b"".join(record(1, f"r{number}", number, REQUEST) for number in range(5))
    data += b"".join(record(2, f"r{number}", number, RESPONSE) for number in range(5))
    for limits in (Limits(pending=3), Limits(pending_bytes=3 * len(REQUEST))):
        items = read(data, limits=limits)
        assert [item.request_id for item in items if isinstance(item, Exchange)] == ["r2", "r3", "r4"]
        assert len([item for item in items if isinstance(item, Reject)]) == 4


def test_a_second_response_of_a_kind_has_no_request(read: Read) -> None:
    """The first response of a kind is the request's; another one is kept as a reject."""
    items = read(pair("a") + record(2, "a", 20, RESPONSE))
    assert [type(item) for item in items] == [Exchange, Reject]


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (b"Transfer-Encoding: chunked", b"4\r\nWiki\r\n6;x=y\r\npedia \r\n0\r\n\r\n", Body("Wikipedia ", "text", 10)),
        (b"Transfer-Encoding: chunked", b"4\r\nWiki\r\n6\r\nped", Body("Wikiped", "text", 7, None, True)),
        (b"Transfer-Encoding: chunked", b"4\r\nWiki\r\n", Body("Wiki", "text", 4, None, True)),
        (b"Transfer-Encoding: chunked", b"", Body("", "text", 0, None, True)),
        (b"Transfer-Encoding: chunked", b"already whole", Body("already whole", "text", 13)),
        (
            b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip",
            b"2\r\n\x1f\x8b\r\n0\r\n\r\n",
            Body("H4s=", "base64", 2),
        ),
        (b"Content-Length: 900", b"cut", Body("cut", "text", 900, None, True)),
        (b"Content-Length: 3", b"all", Body("all", "text", 3)),
        (b"Content-Length: 0", b"", Body("", "text", 0)),
        (b"Content-Length: many", b"all", Body("all", "text", 3)),
    ],
)
def test_bodies(read: Read, headers: bytes, body: bytes, expected: Body) -> None:
    """Chunks are put together, content-encoding stays, and a body shorter than it says is truncated."""
    payload = b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n" + body
    (found,) = read(record(1, "a", 0, REQUEST) + record(2, "a", 1, payload))
    assert isinstance(found, Exchange)
    assert found.response is not None
    if expected.encoding == "base64":
        expected = Body("H4s=", "base64", 2)
        assert ("Content-Encoding", "gzip") in found.response.headers
    assert found.response.body == expected


@pytest.mark.parametrize("response", [b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 200 OK"])
def test_responses_without_a_body_are_not_truncated(read: Read, response: bytes) -> None:
    """A response to HEAD, and 304, say a length and have none."""
    request = REQUEST.replace(b"POST", b"HEAD")
    payload = response + b"\r\nContent-Length: 900\r\n\r\n"
    (found,) = read(record(1, "a", 0, request) + record(2, "a", 1, payload))
    assert isinstance(found, Exchange)
    assert found.response is not None
    assert found.response.body == Body("", "text", 0)


def test_the_shape_of_messages(read: Read) -> None:
    """Interim responses are skipped, folded headers joined, trailers kept, absolute targets taken apart."""
    request = b"GET http://shop.example/a?b=1 HTTP/1.1\nX: 1\n  2\nno colon here\n\n"
    response = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-L: \xe9\r\n\r\n"
        b"2\r\nhi\r\n0\r\nGrpc-Status: 0\r\n\r\n"
    )
    (found,) = read(record(1, "a", 0, request) + record(2, "a", 1, response))
    assert isinstance(found, Exchange)
    assert (found.request.path, found.request.host, found.request.headers) == ("/a?b=1", "shop.example", [("X", "1 2")])
    assert found.response is not None
    assert found.response.status == 200
    assert found.response.headers == [("Transfer-Encoding", "chunked"), ("X-L", "é")]
    assert found.response.trailers == [("Grpc-Status", "0")]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record(1, "x", 0, b"\x16\x03\x01 TLS") + record(2, "x", 0, RESPONSE), "not an HTTP/1 request line"),
        (record(1, "x", 0, REQUEST) + record(2, "x", 0, b"SSH-2.0"), "not an HTTP/1 status line"),
        (record(7, "x", 0, REQUEST), "not a GoReplay record"),
        (b"noise" + "\n🐵🙈🙉\n".encode(), "not a GoReplay record"),
        (record(1, "x", 0, b"GET ftp://a/ HTTP/1.1\r\n\r\n") + record(2, "x", 0, RESPONSE), "scheme 'ftp'"),
    ],
)
def test_a_broken_record_is_a_reject_among_good_ones(read: Read, bad: bytes, reason: str) -> None:
    """What is wrong with one record is said with its line, and the others are read."""
    items = read(pair("a") + bad + pair("b"))
    assert [item.request_id for item in items if isinstance(item, Exchange)] == ["a", "b"]
    (reject,) = [item for item in items if isinstance(item, Reject)]
    assert reason in reject.reason
    assert (reject.place.line or 0) >= pair("a").count(b"\n")


def test_a_file_that_is_cut_off_gives_the_exchanges_before(read: Read) -> None:
    """Broken gzip is one reject at the end; what waited comes out before it."""
    data = b"".join(pair(f"r{number}", number) for number in range(2000))
    packed = gzip.compress(data)
    *found, last = read(packed[: len(packed) // 2])
    assert len([item for item in found if isinstance(item, Exchange)]) > 100
    assert isinstance(last, Reject)
    assert "gzip data ends in the middle" in last.reason


def test_a_record_over_the_limit_is_a_reject(read: Read) -> None:
    """A huge message is skipped without being held; its neighbours are read."""
    huge = record(2, "a", 1, RESPONSE + b"x" * 2_000_000)
    items = read(record(1, "a", 0, REQUEST) + huge + pair("b"), limits=Limits(record=10_000))
    assert [item.request_id for item in items if isinstance(item, Exchange)] == ["b"]
    assert any(isinstance(item, Reject) and "at most 10,000 are read" in item.reason for item in items)
