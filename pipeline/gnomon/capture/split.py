"""Cutting a stream of chunks into records, holding at most one of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from gnomon.capture.raw import EXCERPT_BYTES
from gnomon.capture.source import BrokenStreamError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Damaged", "Splitter", "read_lines", "too_long"]

BUFFER: Final = 256 * 1024


class Damaged(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a capture that is no record: why, and its first bytes."""

    reason: str
    excerpt: bytes


def read_lines(chunks: Iterator[bytes], limit: int) -> Iterator[bytes | Damaged]:
    """Yield lines without their line feed; one above `limit` bytes is `Damaged`, and is skipped without being held.

    Raises:
        BrokenStreamError: The chunks raised it; its `tail` is the line that broke off.
    """
    raw = _ChunkReader(chunks)
    with io.BufferedReader(raw, BUFFER) as buffered:
        readline = buffered.readline
        while line := readline(limit + 1):
            if line.endswith(b"\n"):
                yield line[:-1]
            elif len(line) > limit:
                size = len(line)
                while (more := readline(BUFFER)) and not more.endswith(b"\n"):
                    size += len(more)
                yield too_long(size + len(more.rstrip(b"\n")), limit, line)
            elif raw.broken is None:
                yield line
            else:
                raw.broken.tail = line[:EXCERPT_BYTES]
    if raw.broken is not None:
        raise raw.broken


class _ChunkReader(io.RawIOBase):
    """Chunks as a file; where they break there is the end of the file, and `broken` says why."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")
        self.broken: BrokenStreamError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._left:
            try:
                self._left = memoryview(next(self._chunks))
            except StopIteration:
                return 0
            except BrokenStreamError as broken:
                self.broken = broken
                return 0
        room = memoryview(buffer)
        size = min(len(room), len(self._left))
        room[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


class Splitter:
    """Cuts chunks into records at a separator, in batches: one list per chunk, or one `Damaged` instead.

    A record above `limit` bytes becomes `Damaged` and is skipped without being held; what follows the last
    separator is a record if it is not empty. Lines are faster with `read_lines`.
    """

    def __init__(self, chunks: Iterator[bytes], separator: bytes, limit: int) -> None:
        self._chunks = chunks
        self._separator = separator
        self._limit = limit
        self._pending = bytearray()
        self._excerpt = b""
        self._dropping = False
        self._dropped = 0

    def __iter__(self) -> Iterator[list[bytes] | Damaged]:
        """Yield batches.

        Raises:
            BrokenStreamError: The chunks raised it; its `tail` is the record that broke off.
        """
        try:
            yield from self._split()
        except BrokenStreamError as broken:
            broken.tail = self._excerpt or bytes(self._pending[:EXCERPT_BYTES])
            raise

    def _split(self) -> Iterator[list[bytes] | Damaged]:
        separator = self._separator
        for chunk in self._chunks:
            searched = max(0, len(self._pending) - len(separator) + 1)
            self._pending += chunk
            if self._pending.find(separator, searched) < 0:
                self._bound()
                continue
            parts = bytes(self._pending).split(separator)
            longest = len(self._pending)
            self._pending = bytearray(parts.pop())
            if self._dropping:
                yield self._damaged(parts.pop(0))
            if longest <= self._limit:
                yield parts
            else:
                yield from self._each(parts)
            self._bound()
        if self._dropping:
            yield self._damaged(bytes(self._pending))
        elif self._pending:
            yield from self._each([bytes(self._pending)])
        self._pending = bytearray()

    def _bound(self) -> None:
        """Drop what is held of a record that is over the limit, but for a separator that may have begun."""
        begun = len(self._separator) - 1
        if len(self._pending) <= self._limit + begun:
            return
        if not self._dropping:
            self._dropping = True
            self._excerpt = bytes(self._pending[:EXCERPT_BYTES])
        drop = len(self._pending) - begun
        self._dropped += drop
        del self._pending[:drop]

    def _damaged(self, rest: bytes) -> Damaged:
        damaged = too_long(self._dropped + len(rest), self._limit, self._excerpt)
        self._dropping = False
        self._dropped = 0
        self._excerpt = b""
        return damaged

    def _each(self, parts: list[bytes]) -> Iterator[list[bytes] | Damaged]:
        for part in parts:
            yield [part] if len(part) <= self._limit else too_long(len(part), self._limit, part)


def too_long(size: int, limit: int, excerpt: bytes) -> Damaged:
    """Return what a record of `size` bytes becomes when `limit` bytes are allowed."""
    return Damaged(f"a record of {size:,} bytes; at most {limit:,} are read", excerpt[:EXCERPT_BYTES])
