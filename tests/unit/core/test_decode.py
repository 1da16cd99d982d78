"""Records to exchanges or rejects."""

from __future__ import annotations

import base64
import binascii
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.decode import EXCERPT_BYTES, decode_exchange, peek_request_id
from gnomon.model import Exchange, Place, Reject

PLACE = Place("capture.ndjson", 7)
BASE: dict[str, object] = {
    "v": 1,
    "request_id": "r-1",
    "role": "live",
    "started_us": 1_700_000_000_000_000,
    "request": {"method": "GET", "path": "/users/1?x=1", "host": "shop.test"},
    "response": {"status": 200, "headers": [["content-type", "text/plain"]]},
}
BODY = {"data": "a", "encoding": "text", "size": 1}


def record(without: str = "", **changes: object) -> bytes:
    """Write the base record with some members changed or one left out."""
    return json.dumps({key: value for key, value in {**BASE, **changes}.items() if key != without}).encode()


def reason(data: bytes) -> str:
    """Decode what must be refused."""
    reject = decode_exchange(data, PLACE)
    assert isinstance(reject, Reject)
    assert reject.place == PLACE
    assert reject.excerpt == data[:4096]
    return reject.reason


def exchange(data: bytes) -> Exchange:
    """Decode what must be accepted."""
    decoded = decode_exchange(data, PLACE)
    assert isinstance(decoded, Exchange), decoded
    return decoded


def test_a_whole_record_is_decoded() -> None:
    """All fields of the shape arrive as they were written."""
    data = record(
        target="cart@2",
        expect=["shadow:cart@2", "control"],
        service="cart",
        duration_us=1234,
        request={"method": "POST", "path": "/", "host": "h", "headers": [["a", "b"]], "body": BODY},
        response={"status": 200, "headers": [], "body": {**BODY, "hash": "sha256:ab", "truncated": True}},
        error=None,
        synthetic="probe",
        flags={"new-cart": "on"},
        as_of="2027-07-12T00:00:00Z",
        emitter="envoy",
    )
    decoded = exchange(data)
    assert decoded.expect == ["shadow:cart@2", "control"]
    assert decoded.request.headers == [("a", "b")]
    assert decoded.response is not None
    assert decoded.response.body is not None
    assert decoded.response.body.truncated
    assert decoded.flags == {"new-cart": "on"}
    assert decoded == exchange(msgspec.json.encode(decoded))


def test_one_record_cannot_expect_thousands() -> None:
    """Each of them would be a row that says it is missing."""
    assert exchange(record(expect=[f"shadow:cart@{n}" for n in range(100)])).expect is not None
    assert "`expect`" in reason(record(expect=[f"shadow:cart@{n}" for n in range(101)]))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty, expected a JSON object"),
        (b" \t ", "empty, expected a JSON object"),
        (b"\xef\xbb\xbf", "empty, expected a JSON object"),
        (b"[]", "the record is an array, expected an object"),
        (b"17", "the record is an integer, expected an object"),
        (b"null", "the record is null, expected an object"),
        (b"hello", "not JSON: invalid character at byte 0"),
        (record()[:40], "not JSON: it ends in the middle, at byte 40"),
        (record() + b"{}", f"not JSON: trailing characters at byte {len(record())}"),
        (record(x="Q").replace(b'"Q"', b"NaN"), "not JSON: NaN at byte 232"),
        (record(request_id="Q").replace(b"Q", b"\xff"), "not JSON: not UTF-8 (0xff) at byte 24"),
        (record(x="Q").replace(b"Q", b"\xff"), "not JSON: not UTF-8 (0xff) at byte 233"),
        (b"\xef\xbb\xbf{x}", "not JSON: object keys must be strings at byte 4"),
        (record(request_id="\ud800"), "not JSON: unexpected end of escaped utf-16 surrogate pair at byte 30"),
        (record(request_id="\ud800x1234567"), "not JSON: unexpected end of escaped utf-16 surrogate pair at byte 30"),
        (record(x="\ud800"), "not JSON: no low surrogate in string at byte 233"),
        (record(without="v"), "`v` is missing"),
        (record(v=2), "`v` is 2, expected 1"),
        (record(v="1"), "`v` is a string, expected 1"),
        (record(without="request_id"), "`request_id` is missing"),
        (record(request_id=""), "`request_id` is empty, expected at least 1 character"),
        (record(request_id="x" * 257), "`request_id` has 257 characters, expected at most 256 characters"),
        (record(request_id=7), "`request_id` is an integer, expected a string"),
        (record(without="role"), "`role` is missing"),
        (record(role="foo"), "`role` is 'foo', expected live, shadow or control"),
        (record(role=None), "`role` is null, expected live, shadow or control"),
        (record(without="started_us"), "`started_us` is missing"),
        (record(started_us=1.5), "`started_us` is a number with a fraction or an exponent, expected an integer"),
        (record(started_us=-1), "`started_us` is -1, expected 0 or more"),
        (record(started_us=10**18), f"`started_us` is {10**18}, expected 253402300799999999 or less"),
        (record(started_us=10**30), f"`started_us` is {10**30}, expected 253402300799999999 or less"),
        (record(duration_us=-3), "`duration_us` is -3, expected 0 or more"),
        (record(duration_us="3"), "`duration_us` is a string, expected an integer or null"),
        (record(expect="shadow"), "`expect` is a string, expected an array or null"),
        (record(expect=["foo"]), "`expect[0]` is 'foo', expected shadow, shadow:TARGET or control"),
        (
            record(expect=["control", "controls"]),
            "`expect[1]` is 'controls', expected shadow, shadow:TARGET or control",
        ),
        (record(without="request"), "`request` is missing"),
        (record(request={"path": "/"}), "`request.method` is missing"),
        (record(response={"status": 1000}), "`response.status` is 1000, expected 999 or less"),
        (
            record(response={"status": 200, "headers": [["a", "b"], ["a"]]}),
            "`response.headers[1]` has 1 element, expected 2 elements",
        ),
        (record(response={"status": 200, "headers": {"a": "b"}}), "`response.headers` is an object, expected an array"),
        (
            record(response={"status": 200, "body": {**BODY, "encoding": "hex"}}),
            "`response.body.encoding` is 'hex', expected text or base64",
        ),
        (
            record(response={"status": 200, "body": {"data": "", "encoding": "text"}}),
            "`response.body.size` is missing",
        ),
        (
            record(response={"status": 200, "body": {**BODY, "hash": "0a1b"}}),
            "`response.body.hash` is '0a1b', expected ALGORITHM:HEX",
        ),
        (
            record(response={"status": 200, "body": {**BODY, "encoding": "base64"}}),
            "`response.body.data` is not base64, which its `encoding` says it is",
        ),
        (
            record(request={"method": "PUT", "path": "/", "body": {**BODY, "data": "YQ==YQ==", "encoding": "base64"}}),
            "`request.body.data` is not base64, which its `encoding` says it is",
        ),
        (record(flags={"a": 1}), "`flags[...]` is an integer, expected a string"),
        (
            record(response=None),
            "`response` and `error` are both missing or null, expected exactly one of them",
        ),
        (
            record(error={"kind": "reset"}),
            "`response` and `error` are both set, expected exactly one of them",
        ),
        (
            record(response=None, error={"kind": "oops"}),
            "`error.kind` is 'oops', expected timeout, connect, reset, protocol or overload",
        ),
        (
            record(as_of="yesterday"),
            "`as_of` is 'yesterday', expected an RFC 3339 time such as 2027-07-12T00:00:00Z",
        ),
        (
            record(as_of="2027-02-30T00:00:00Z"),
            "`as_of` is '2027-02-30T00:00:00Z', expected an RFC 3339 time such as 2027-07-12T00:00:00Z",
        ),
    ],
)
def test_a_refused_record_says_which_field_and_what_was_expected(data: bytes, expected: str) -> None:
    """The reason is a sentence with the field, its value and what it should be."""
    assert reason(data) == expected


@pytest.mark.parametrize("at_the_end", [False, True])
def test_twenty_thousand_levels_are_refused_with_a_reason(at_the_end: bool) -> None:
    """Nesting in an unknown field exhausts no stack, wherever it stands."""
    deep = b'"x":' + b"[" * 20_000 + b"]" * 20_000
    data = record()[:-1] + b"," + deep + b"}" if at_the_end else b"{" + deep + b"," + record()[1:]
    assert reason(data) == "nested 20,001 levels deep, more than can be read"
    assert peek_request_id(data) in {None, "r-1"}


def test_brackets_in_a_body_are_no_nesting() -> None:
    """A body is a string here, however many brackets it has."""
    body = {"data": "[{" * 20_000, "encoding": "text", "size": 40_000}
    assert exchange(record(response={"status": 200, "body": body}))


@pytest.mark.parametrize(
    "data",
    [
        record(x=10**30),
        record(x="Q").replace(b'"Q"', b"1e999"),
        record(x="Q").replace(b'"Q"', b"9" * 6000),
        record(x={"role": 3}, y=[[[]]]),
        b"\xef\xbb\xbf" + record(),
        record() + b"\r",
        record(request_id="a\0b"),
        record(request_id="x" * 256),
        record(expect=[]),
        record(expect=["shadow", "shadow:", "shadow:cart@2", "control"]),
        record(response={"status": 200, "body": {**BODY, "hash": "fnv1a-64:00FF"}}),
        record(response={"status": 200, "body": {**BODY, "data": "YQ==", "encoding": "base64"}}),
        record(response={"status": 200, "body": {**BODY, "data": "", "encoding": "base64", "size": 0}}),
        record(response=None, error={"kind": "timeout", "message": "60 s"}),
        record(as_of="2027-07-12t23:59:60.123456789+05:30"),
        record(as_of="2027-07-12T00:00:00.5z"),
    ],
)
def test_what_the_shape_allows_is_decoded(data: bytes) -> None:
    """Unknown fields of any kind, a byte order mark and odd but valid values stop nothing."""
    assert exchange(data).role == "live"


def test_an_excerpt_ends_after_four_kilobytes() -> None:
    """Of an endless broken line only its start is kept."""
    reject = decode_exchange(b"x" * 10_000, PLACE)
    assert isinstance(reject, Reject)
    assert reject.excerpt == b"x" * EXCERPT_BYTES


def test_a_long_value_is_shortened_in_the_reason() -> None:
    """A reason stays a sentence, whatever was sent."""
    assert len(reason(record(role="x" * 100_000))) < 120
    assert "\n" not in reason(record(role="a\nb"))


@pytest.mark.parametrize(
    ("request_fields", "service", "expected"),
    [
        ({"host": "shop.test:8080"}, None, "shop.test:8080"),
        ({"host": "shop.test"}, "cart", "cart"),
        ({"headers": [["Host", "from-header"]]}, None, "from-header"),
        ({}, None, ""),
    ],
)
def test_the_service_is_the_host_where_none_is_named(
    request_fields: dict[str, object], service: str | None, expected: str
) -> None:
    """A record without `service` gets the request's host, from the field or from the header."""
    changes: dict[str, object] = {} if service is None else {"service": service}
    data = record(request={"method": "GET", "path": "/", **request_fields}, **changes)
    assert exchange(data).service == expected


@pytest.mark.parametrize("data", [record(), record(without="role")])
def test_a_role_from_outside_overrides_the_records(data: bytes) -> None:
    """Where roles are in separate files, what a record says of its role does not count."""
    decoded = decode_exchange(data, PLACE, role="shadow")
    assert isinstance(decoded, Exchange)
    assert decoded.role == "shadow"


def test_a_record_without_a_role_can_still_be_refused() -> None:
    """Its excerpt is what was read, not what was made of it."""
    data = record(without="role", duration_us=-1)
    reject = decode_exchange(data, PLACE, role="shadow")
    assert reject == Reject(PLACE, "`duration_us` is -1, expected 0 or more", data)


@pytest.mark.parametrize("request_id", ["r-1", "a b", 'quoted " id', "back\\slash", "é", "x" * 256, "\n"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : ")])
@pytest.mark.parametrize("first", ["v", "request_id", "role"])
def test_the_peeked_id_is_the_records(request_id: str, separators: tuple[str, str], first: str) -> None:
    """The cheap first look reads the same id as the whole decode, however the record is written."""
    fields = {**BASE, "request_id": request_id}
    data = json.dumps({first: fields.pop(first), **fields}, separators=separators).encode()
    assert peek_request_id(data) == exchange(data).request_id == request_id
    assert peek_request_id(b"\xef\xbb\xbf" + data) == request_id


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"v":1,"request_id":""}', b'{"v":1,"request_id":"%b"}' % (b"x" * 257)])
def test_what_has_no_id_has_none_to_peek_at(data: bytes) -> None:
    """Nothing is made up where there is no id that a record may have."""
    assert peek_request_id(data) is None


def test_brackets_that_never_close_are_refused() -> None:
    """Ten megabytes of them exhaust neither stack nor patience."""
    assert reason(b"[" * 10_000_000) == "nested 10,000,000 levels deep, more than can be read"


@given(
    st.one_of(
        st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode()),
        st.text(alphabet="aZ9+/= \n-é", max_size=12),
    )
)
def test_what_is_taken_for_base64_can_be_decoded(data: str) -> None:
    """The cheap look at the letters agrees with strict decoding."""
    try:
        binascii.a2b_base64(data, strict_mode=True)
        expected: type[Exchange | Reject] = Exchange
    except ValueError:
        expected = Reject if data else Exchange
    body = {"data": data, "encoding": "base64", "size": len(data)}
    assert isinstance(decode_exchange(record(response={"status": 200, "body": body}), PLACE), expected)


anything = st.binary(max_size=200) | st.builds(
    lambda cut, at, more: record()[:at] + more + record()[at + cut :],
    st.integers(0, 8),
    st.integers(0, 220),
    st.binary(max_size=8) | st.sampled_from([b"null", b"1e999", b'"', b"{", b"]", b"-1", b"\\ud800", b"\xff"]),
)


@given(anything)
def test_any_bytes_are_an_exchange_or_a_reject(data: bytes) -> None:
    """Decoding never raises; what has no key has no exchange; an exchange survives being written again."""
    decoded = decode_exchange(data, PLACE)
    if isinstance(decoded, Reject):
        assert decoded.reason
        assert decoded.excerpt == data
    else:
        assert peek_request_id(data) is not None
        assert decode_exchange(msgspec.json.encode(decoded), PLACE) == decoded


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([*BASE, "duration_us", "error", "flags", "expect", "as_of", "x"]), json_values)
def test_any_value_in_any_field_is_an_exchange_or_a_named_reject(field: str, value: object) -> None:
    """A wrong value is refused with the field's name in the reason; in an unknown field it is never refused."""
    text = json.dumps({**BASE, field: value}, allow_nan=True).encode()
    decoded = decode_exchange(text, PLACE)
    if isinstance(decoded, Reject):
        assert f"`{field}" in decoded.reason or "not JSON" in decoded.reason
        assert field != "x" or "not JSON" in decoded.reason
