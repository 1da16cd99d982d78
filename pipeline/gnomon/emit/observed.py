"""What a middleware has seen of one exchange, as it was handed over by the server: nothing is decoded or copied yet.

Bodies are kept up to a bound. Of a larger one the beginning is kept, the size counted and the hash made while it
passes, so that two of them can still be told equal.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec

from gnomon.core.redact import BodyHasher
from gnomon.core.tags import MAX_ID, Tags, read_tags
from gnomon.model import Role

__all__ = ["TAG_HEADERS", "BodyCapture", "Identity", "Observed", "RawHeaders", "RawText", "identify", "text"]

RawText: TypeAlias = "bytes | str"
"""As ASGI has it, bytes; or as WSGI has it, a character for each byte (PEP 3333)."""

RawHeaders: TypeAlias = "list[tuple[RawText, RawText]]"

TAG_HEADERS: Final = frozenset(
    {b"x-request-id", b"traceparent", b"x-synthetic", b"x-feature-flags", b"x-as-of", b"x-gnomon-role", b"baggage"}
)
"""The headers that are read while the request waits; all others are read by the thread that writes records."""

_RECORD: Final = 2048
"""Bytes that the objects of an exchange take, beside what they hold."""
_HEADER: Final = 120
"""Bytes that the objects of a header take, beside its text."""


class Identity(msgspec.Struct, frozen=True):
    """Who answers: the service ("" for the host that is asked), its build, and its role where no header says one."""

    service: str
    target: str
    role: Role


def text(raw: RawText) -> str:
    """Decode a header, a path or the like: UTF-8, or where it is none a character for each byte."""
    if isinstance(raw, str):
        if raw.isascii():
            return raw
        raw = raw.encode("latin-1", "replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def identify(headers: Iterable[tuple[RawText, RawText]]) -> tuple[Tags, bool]:
    """Read the tags among headers whose names are in `TAG_HEADERS`, and make an id where they have none.

    Returns:
        Tags whose `request_id` is the join key, and whether it was made here.
    """
    tags = read_tags([(text(name), text(value)) for name, value in headers])
    known = next((found for found in (tags.request_id, tags.trace) if found and len(found) <= MAX_ID), None)
    if known is not None and known == tags.request_id:
        return tags, False
    return msgspec.structs.replace(tags, request_id=known or os.urandom(16).hex()), known is None


class BodyCapture:
    """A body on its way past.

    Args:
        limit: How many bytes to keep.
        hasher: Makes the hash of a body that turns out to be larger.
    """

    __slots__ = ("_hash", "_hasher", "_limit", "data", "size", "whole")

    def __init__(self, limit: int, hasher: Callable[[], BodyHasher]) -> None:
        self._limit = limit
        self._hasher = hasher
        self._hash: BodyHasher | None = None
        self.data: bytes | bytearray = b""
        self.size = 0
        self.whole = False
        """Whether the last byte has been seen."""

    def add(self, chunk: bytes) -> None:
        """Take the next bytes; the first ones are kept as the object that they are, later ones are copied once."""
        self.size += len(chunk)
        if self._hash is not None:
            self._hash.update(chunk)
            return
        if self.size > self._limit:
            self._hash = self._hasher()
            self._hash.update(bytes(self.data))
            self._hash.update(chunk)
            chunk = bytes(memoryview(chunk)[: self._limit - len(self.data)])
        if not self.data:
            self.data = chunk
        elif chunk:
            if not isinstance(self.data, bytearray):
                self.data = bytearray(self.data)
            self.data += chunk

    def clear(self) -> None:
        """Forget what was seen: it never reached the wire."""
        self.data, self.size, self._hash = b"", 0, None

    @property
    def hash(self) -> str | None:
        """The hash of a whole body that is larger than what was kept of it; None for any other."""
        return str(self._hash) if self.whole and self._hash is not None else None


class Observed:
    """One exchange, filled by a middleware while it happens."""

    __slots__ = (
        "began_ns",
        "duration_us",
        "error",
        "host",
        "http_version",
        "identity",
        "method",
        "path",
        "query",
        "quoted",
        "request_body",
        "request_headers",
        "response_body",
        "response_headers",
        "started_us",
        "status",
        "tags",
        "trailers",
    )

    def __init__(self, identity: Identity, tags: Tags, request_body: BodyCapture, response_body: BodyCapture) -> None:
        self.began_ns = time.perf_counter_ns()
        self.started_us = time.time_ns() // 1000
        self.duration_us: int | None = None
        self.identity = identity
        self.tags = tags
        self.method = ""
        self.path: RawText = b""
        self.query: RawText = b""
        self.quoted = True
        """Whether the path is as it was on the wire, percent-encoded."""
        self.host: RawText = b""
        self.http_version = "1.1"
        self.request_headers: RawHeaders = []
        self.request_body = request_body
        self.status: int | None = None
        self.response_headers: RawHeaders = []
        self.response_body: BodyCapture | None = response_body
        """None where the body is not known: the server made it, or sent a file by itself."""
        self.trailers: RawHeaders = []
        self.error = ""
        """Why the client did not get a whole response; "" where it did."""

    def stop(self) -> None:
        """Take the time: the last byte has been handed over."""
        if self.duration_us is None:
            self.duration_us = (time.perf_counter_ns() - self.began_ns) // 1000

    @property
    def role(self) -> Role:
        """Whose answer it is."""
        return self.tags.role or self.identity.role

    @property
    def seconds_since(self) -> float:
        """How long ago the last byte was handed over, in seconds."""
        return (time.perf_counter_ns() - self.began_ns) / 1e9 - (self.duration_us or 0) / 1e6

    @property
    def bodyless(self) -> bool:
        """Whether no body follows, whatever the application makes (RFC 9110, sections 6.4.1 and 9.3.2)."""
        return self.method == "HEAD" or self.status in {204, 304}

    @property
    def held_bytes(self) -> int:
        """About how much memory this takes while it waits."""
        held = _RECORD + len(self.request_body.data) + len(self.path) + len(self.query)
        if self.response_body is not None:
            held += len(self.response_body.data)
        for headers in (self.request_headers, self.response_headers, self.trailers):
            for name, value in headers:
                held += _HEADER + len(name) + len(value)
        return held
