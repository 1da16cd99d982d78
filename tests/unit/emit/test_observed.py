from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.redact import Redactor
from gnomon.emit.observed import BodyCapture, identify, text

PLAIN = Redactor(b"k", enabled=False)


def capture(*chunks: bytes, limit: int = 10) -> BodyCapture:
    """A body of these chunks, seen to its end."""
    body = BodyCapture(limit, PLAIN.body_hasher)
    for chunk in chunks:
        body.add(chunk)
    body.whole = True
    return body


@given(st.lists(st.binary(max_size=9), max_size=8), st.integers(1, 20))
def test_a_body_is_kept_up_to_its_bound(chunks: list[bytes], limit: int) -> None:
    """The beginning, the size and, past the bound, the hash of all of it; however it was cut into chunks."""
    body = capture(*chunks, limit=limit)
    whole = b"".join(chunks)
    assert bytes(body.data) == whole[:limit]
    assert body.size == len(whole)
    assert body.hash == (f"sha256:{hashlib.sha256(whole).hexdigest()}" if len(whole) > limit else None)


def test_a_body_of_one_chunk_is_not_copied() -> None:
    """What the application made is what waits to be written."""
    chunk = b"0123456789"
    assert capture(chunk).data is chunk


def test_of_a_large_chunk_only_the_beginning_is_held() -> None:
    """The rest can be freed when the response is sent."""
    assert len(capture(b"x" * 10**6).data) == 10


def test_a_body_whose_end_was_not_seen_has_no_hash() -> None:
    """A hash speaks of the whole."""
    body = BodyCapture(1, PLAIN.body_hasher)
    body.add(b"abc")
    assert body.hash is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(b"a", "a"), ("a", "a"), ("é".encode(), "é"), ("Ã©", "é"), (b"\xe9", "é"), ("é", "é"), ("☃", "?")],
)
def test_text_is_utf8_or_a_character_for_each_byte(raw: bytes | str, expected: str) -> None:
    """As ASGI hands it over, in bytes, or WSGI, in characters that stand for bytes."""
    assert text(raw) == expected


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01".encode()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"x-request-id", b"r-1"), (b"traceparent", PARENT)], "r-1"),
        ([(b"traceparent", PARENT)], TRACE),
        ([(b"x-request-id", b"r" * 257), (b"traceparent", PARENT)], TRACE),
        ([("x-request-id", "r" * 256)], "r" * 256),
    ],
)
def test_the_id_is_that_of_the_header_else_of_the_trace(headers: list[tuple[bytes, bytes]], expected: str) -> None:
    """An id that no record could have is none."""
    tags, made = identify(headers)
    assert (tags.request_id, made) == (expected, False)


def test_an_id_is_made_where_there_is_none() -> None:
    """Each request has its own."""
    (one, made), (two, _) = identify([]), identify([(b"x-request-id", b" ")])
    assert made
    assert one.request_id
    assert one.request_id != two.request_id
