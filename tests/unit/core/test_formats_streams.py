"""NDJSON, JSON text sequences and event streams."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.formats.streams import read_event_stream, read_json_lines, read_json_sequence
from gnomon.core.json import Unreadable
from gnomon.core.quota import MAX_VALUES, Quota
from gnomon.model import JsonValue


def test_ndjson_is_an_array_of_documents() -> None:
    """One a line; blank lines, carriage returns and a byte order mark are no documents."""
    assert read_json_lines(b'\xef\xbb\xbf{"a":1}\r\n\n[2]\n"three"', 200, Quota(MAX_VALUES)) == [{"a": 1}, [2], "three"]
    assert read_json_lines(b"\n", 200, Quota(MAX_VALUES)) == []


def test_a_broken_line_is_named() -> None:
    """The reason has the line's number and what is wrong in it."""
    with pytest.raises(Unreadable, match=r"line 3: not JSON: .* at byte 1"):
        read_json_lines(b"{}\n\n{x}\n", 200, Quota(MAX_VALUES))


def test_a_json_sequence_is_an_array_of_documents() -> None:
    """A record separator starts each (RFC 7464)."""
    assert read_json_sequence(b'\x1e{"a":\n1}\n\x1e[2]\n', 200, Quota(MAX_VALUES)) == [{"a": 1}, [2]]
    with pytest.raises(Unreadable, match="document 2"):
        read_json_sequence(b"\x1e1\n\x1e{\n", 200, Quota(MAX_VALUES))


def event(data: JsonValue | Decimal, name: str = "message", ident: str | None = None) -> object:
    """Make the document of an event."""
    return {"event": name, "id": ident, "data": data}


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b'data: {"a":1}\n\n', [event({"a": 1})]),
        (b"data: [DONE]\n\n", [event("[DONE]")]),
        (b"event: add\nid: 7\ndata: x\n\n", [event("x", "add", "7")]),
        (b"data: one\ndata: two\n\n", [event("one\ntwo")]),
        (b'data: {"a":\ndata: 1}\n\n', [event({"a": 1})]),
        (b"data:x\n\ndata:  y\n\n", [event("x"), event(" y")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [event("a"), event("b"), event("c")]),
        (b": comment\n\nretry: 10\n\ndata: x\n\n", [event("x")]),
        (b"data: cut off", [event("cut off")]),
        (b"event: ping\n\n", [event("", "ping")]),
        (b"data\n\n", [event("")]),
        (b"\xef\xbb\xbfdata: x\n\n", [event("x")]),
        (b"data: 1e400\n\n", [event(Decimal("1e400"))]),
        (b"", []),
    ],
)
def test_an_event_stream_is_an_array_of_events(stream: bytes, expected: list[object]) -> None:
    """`{event, id, data}`, data parsed where it is JSON."""
    assert read_event_stream(stream, 200, Quota(MAX_VALUES)) == expected


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))))
def test_every_data_line_arrives(lines: list[str]) -> None:
    """Whatever is in the data, nothing of it is lost."""
    stream = "".join(f"data: x{line}\n\n" for line in lines)
    assert read_event_stream(stream.encode(), 200, Quota(MAX_VALUES)) == [event(f"x{line}") for line in lines]
