"""Whatever the bytes are: no other exception than InputError, and only records and rejects come out."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.capture import FORMATS, FormatChoice, Limits, RawRecord, Source, read_captures
from gnomon.core.decode import decode_exchange
from gnomon.errors import InputError
from gnomon.model import Exchange, Reject

MONKEYS = "\n🐵🙈🙉\n".encode()
WORDS = [
    *(b'{"log":{"entries":[', b"]}}", b'{"request":{"method":"GET","url":"http://a/"},"response":{"status":200},'),
    *(b'"startedDateTime":"2026-01-01T00:00:00Z","time":1}', b'{"http_buffered_trace":{"request":{"headers":['),
    *(b'{"key":":method","value":"GET"}', b"]}}}", b'{"http_streamed_trace_segment":{"trace_id":"1"}}', MONKEYS),
    *(b"1 a 1772355600000000000\n", b"2 a 1772355600000000000 5\n", b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
    *(b"transfer-encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b'{"sourceRequest":{"Method":"GET",'),
    *(b'"Request-URI":"/"},"connectionId":"c","sourceResponse":{"Status-Code":200,"body":"aGk="}}', b"\n", b","),
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def check(data: bytes, fmt: FormatChoice, limits: Limits) -> None:
    """Read bytes to the end, and decode what came out."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        try:
            for item in read_captures([Source(file.name)], fmt, limits=limits):
                assert isinstance(item, RawRecord | Reject)
                if isinstance(item, RawRecord):
                    assert isinstance(decode_exchange(item.data, item.place, role=item.role), Exchange | Reject)
                else:
                    assert len(item.excerpt) <= 4096
        except InputError:
            pass


LIMITS = st.sampled_from([Limits(), Limits(record=16, pending=1, pending_bytes=10)])
FORMAT = st.sampled_from(["auto", *FORMATS])
PACK = st.sampled_from([bytes, gzip.compress, zstandard.ZstdCompressor().compress])


@settings(deadline=None)
@given(st.binary(max_size=300), FORMAT, LIMITS)
def test_any_bytes(data: bytes, fmt: FormatChoice, limits: Limits) -> None:
    """Noise in any format."""
    check(data, fmt, limits)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(WORDS), max_size=20), FORMAT, LIMITS, PACK)
def test_any_words_of_the_formats(words: list[bytes], fmt: FormatChoice, limits: Limits, pack: object) -> None:
    """Pieces of all formats in any order, compressed or not."""
    data = b"".join(words)
    check(pack(data) if callable(pack) else data, fmt, limits)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.binary(max_size=4), PACK)
def test_damaged_compression(data: bytes, at: int, damage: bytes, pack: object) -> None:
    """Compressed captures that are cut, changed or followed by something."""
    packed = pack(data) if callable(pack) else data
    check(packed[:at] + damage + packed[at + len(damage) :], "ndjson", Limits())
    check(packed[:at], "auto", Limits())


def shapes(template: object) -> st.SearchStrategy[object]:
    """Return the template with any part of it replaced by any JSON."""
    if isinstance(template, dict):
        inner: st.SearchStrategy[object] = st.fixed_dictionaries(
            {}, optional={name: shapes(value) for name, value in template.items()}
        )
    elif isinstance(template, list):
        inner = st.lists(st.one_of([shapes(value) for value in template]), max_size=3)
    else:
        inner = st.just(template)
    return st.one_of(inner, inner, inner, JSON)


HEADERS = [{"name": "x-request-id", "key": ":method", "value": "GET", "raw_value": "R0VU"}, ["a", "b"]]
BODY = {"as_bytes": "aGk=", "as_string": "x", "truncated": True}
MESSAGE = {"headers": HEADERS, "body": BODY, "trailers": HEADERS, "headers_received_time": "2026-01-01T00:00:00Z"}
HAR = {
    "startedDateTime": "2026-01-01T00:00:00Z",
    "time": 3,
    "timings": {"send": 1, "wait": -1},
    "request": {"method": "GET", "url": "http://a/b", "headers": HEADERS, "postData": {"params": HEADERS, "text": "x"}},
    "response": {"status": 200, "headers": HEADERS, "content": {"text": "aGk=", "encoding": "base64", "size": 2}},
}
OPENSEARCH = {
    "sourceRequest": {"Method": "GET", "Request-URI": "/", "body": "aGk=", "h": ["x"]},
    "sourceResponse": {"Status-Code": 200, "response_time_ms": 5, "payload": {"inlinedJsonBody": {}}, "date": "x"},
    "targetResponses": [{"Status-Code": "200", "payload": {"inlinedJsonSequenceBodies": [1]}}],
    "connectionId": "c",
    "error": "e",
}
TAP = {"http_buffered_trace": {"request": MESSAGE, "response": MESSAGE}}
SEGMENT = {
    "http_streamed_trace_segment": {
        "trace_id": 1,
        "request_headers": MESSAGE,
        "request_body_chunk": BODY,
        "response_headers": MESSAGE,
        "response_trailers": MESSAGE,
    }
}


@pytest.mark.parametrize(
    ("fmt", "template"),
    [("har", HAR), ("envoy-tap", TAP), ("envoy-tap", SEGMENT), ("opensearch", OPENSEARCH)],
)
def test_any_json_anywhere(fmt: FormatChoice, template: object) -> None:
    """Any part of an entry may be missing or any other JSON value."""

    @settings(deadline=None, max_examples=150)
    @given(st.lists(shapes(template), max_size=3))
    def run(entries: list[object]) -> None:
        if fmt == "har":
            check(json.dumps({"log": {"entries": entries}}).encode(), fmt, Limits())
        else:
            check("\n".join(map(json.dumps, entries)).encode(), fmt, Limits())

    run()
