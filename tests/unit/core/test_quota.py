"""Bodies made to hold the worker up: work on them grows with their length, and ends at a bound."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.body import BodyOptions, read_body
from gnomon.core.formats.markup import MAX_ATTRIBUTES
from gnomon.core.json import Unreadable
from gnomon.core.quota import Quota
from gnomon.model import JsonValue

MULTIPART = "multipart/form-data; boundary=B"


def read(data: bytes, content_type: str, most: int = 100_000) -> JsonValue:
    """Read a body whose document may have so many values."""
    options = BodyOptions(max_values=most)
    return read_body(data, content_type=content_type, content_encoding="", grpc_method="/a.B/C", options=options)


def multipart(count: int) -> bytes:
    """Write parts of ten values each."""
    part = b'--B\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    return b"".join([part + b"[0,0,0,0,0,0,0,0,0]\r\n"] * (count // 10)) + b"--B--\r\n"


def frames(count: int) -> bytes:
    """Write gRPC frames of two values each."""
    return b"\0\0\0\0\3[0]" * (count // 2)


BODIES: list[tuple[str, str, Callable[[int], bytes]]] = [
    ("numbers", "application/json", lambda n: b"[" + b",".join([b"0"] * n) + b"]"),
    ("members", "application/json", lambda n: orjson.dumps({str(i): 0 for i in range(n)})),
    ("objects", "application/json", lambda n: b"[" + b",".join([b'{"a":0}'] * (n // 2)) + b"]"),
    ("UTF-16", "application/json; charset=utf-16", lambda n: str([0] * n).encode("utf-16")),
    ("no type", "", lambda n: b"[" + b",".join([b"0"] * n) + b"]"),
    ("lines", "application/x-ndjson", lambda n: b"0\n" * n),
    ("long lines", "application/x-ndjson", lambda n: b"[0,0,0,0,0,0,0,0,0]\n" * (n // 10)),
    ("sequence", "application/json-seq", lambda n: b"\x1e0\n" * n),
    ("events", "text/event-stream", lambda n: b"data: [0,0]\n\n" * (n // 5)),
    ("empty lines of events", "text/event-stream", lambda n: b"\r" * n),
    ("form", "application/x-www-form-urlencoded", lambda n: b"a=1&" * (n // 2)),
    ("parts", MULTIPART, multipart),
    ("frames", "application/grpc+json", frames),
    ("MessagePack", "application/msgpack", lambda n: msgspec.msgpack.encode([0] * n)),
    (
        "MessagePack members",
        "application/msgpack",
        lambda n: msgspec.msgpack.encode({str(i): b"" for i in range(n // 2)}),
    ),
    ("XML", "application/xml", lambda n: b"<r>" + b"<a/>" * (n // 4) + b"</r>"),
    ("XML attributes", "application/xml", lambda n: b"<r>" + b"<a b='' c=''/>" * (n // 6) + b"</r>"),
    ("HTML paragraphs", "text/html", lambda n: b"<p>" * (n // 4)),
    ("HTML list", "text/html", lambda n: b"<li>" * (n // 4)),
    ("HTML breaks", "text/html", lambda n: b"<br>" * (n // 4)),
    ("HTML text", "text/html", lambda n: b"x<b>y</b> " * (n // 6)),
    ("text", "text/plain", lambda n: b"x\n" * n),
]


@pytest.mark.parametrize(("content_type", "write"), [body[1:] for body in BODIES], ids=[body[0] for body in BODIES])
def test_a_document_of_too_many_values_is_unreadable(content_type: str, write: Callable[[int], bytes]) -> None:
    """Whatever the format: half the values that are allowed are read, three times as many are not."""
    read(write(500), content_type, 1000)
    with pytest.raises(Unreadable, match="more than 1,000 values"):
        read(write(3000), content_type, 1000)


def calls(data: bytes, content_type: str) -> int:
    """Count what is called while a body is read, by Python and from it."""
    count = 0

    def profile(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        with suppress(Unreadable):
            read(data, content_type)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(("content_type", "write"), [body[1:] for body in BODIES], ids=[body[0] for body in BODIES])
def test_work_grows_with_the_length_of_a_body(content_type: str, write: Callable[[int], bytes]) -> None:
    """A body of twice the length takes at most twice as many steps."""
    once, twice = calls(write(3000), content_type), calls(write(6000), content_type)
    assert twice <= 2 * once + 100


@pytest.mark.parametrize("content_type", ["text/html", "application/xml"])
def test_an_element_of_too_many_attributes_is_unreadable(content_type: str) -> None:
    """What the library's work grows with the square of has a bound of its own."""

    def element(count: int) -> bytes:
        return b"<p " + b" ".join(b"a%d='1'" % n for n in range(count)) + b"></p>"

    read(element(MAX_ATTRIBUTES), content_type)
    with pytest.raises(Unreadable, match="an element with more than 1,000 attributes"):
        read(element(MAX_ATTRIBUTES + 1), content_type)


def test_a_page_past_a_bound_is_read_no_further() -> None:
    """The parser is stopped where the bound is, so a page of any length takes as much work."""
    assert calls(b"<p>" * 500_000, "text/html") <= calls(b"<p>" * 50_000, "text/html") + 100


def values(document: Any) -> int:
    """Count the values of a document."""
    if isinstance(document, dict | list):
        return 1 + sum(map(values, document.values() if isinstance(document, dict) else document))
    return 1


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('ab,[]{}:"\\', max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(',"[{', max_size=3), inner, max_size=4),
)


@given(documents, st.sampled_from([0, orjson.OPT_INDENT_2]), st.integers(1, 40))
def test_values_are_counted_exactly(document: JsonValue, style: int, most: int) -> None:
    """A JSON text is refused where its document has more values than the quota, whatever is in its strings."""
    try:
        Quota(most).take_json(orjson.dumps(document, option=style))
    except Unreadable:
        assert values(document) > most
    else:
        assert values(document) <= most


@given(st.binary(max_size=40) | st.text('[]{},:"\\0 ', max_size=40).map(str.encode))
def test_counting_bears_anything(text: bytes) -> None:
    """What is not JSON is counted, or is too much, and never an error."""
    try:
        Quota(3).take_json(text)
    except Unreadable as unreadable:
        assert unreadable.reason == "more than 3 values"


def test_strings_without_end_are_counted_once() -> None:
    """A text of quotes and backslashes ends the count; it is no value that is too many."""
    Quota(1000).take_json(b'"' + b'\\"' * 100_000)
    with pytest.raises(Unreadable, match="more than 1,000 values"):
        Quota(1000).take_json(b'""' * 100_000 + b"," * 1000)


def test_commas_of_a_long_text_are_no_values() -> None:
    """A document of one long string is read, whatever is in it."""
    assert read(orjson.dumps([",[{" * 100_000]), "application/json", 1000) == [",[{" * 100_000]
