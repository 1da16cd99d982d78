"""JSON files that are too large to hold: their documents, or the entries of a HAR, one at a time.

Nothing is parsed here. Brackets are counted and strings skipped, so that a file which is cut off, or has one
broken entry in a million, still gives all the others.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Final, Literal

import msgspec

from gnomon.capture.raw import EXCERPT_BYTES
from gnomon.capture.source import BrokenStreamError, ByteStream
from gnomon.capture.split import Damaged, read_lines, too_long

__all__ = ["JsonScanner", "documents"]

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT: Final = rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+"
_TOKEN: Final = re.compile(_STRING + rb'|[{}\[\]]|"', re.DOTALL)
_LEAF: Final = rb"\{" + _FLAT + rb"\}|\[" + _FLAT + rb"\]"
# To the next bracket that matters: strings, scalars and whole innermost objects and arrays are run over.
_TO_BRACKET: Final = re.compile(
    rb'(?:[^"{}\[\]]++|' + _STRING + rb"|" + _LEAF + rb")*+[{}\[\]]",
    re.DOTALL,
)
_QUOTE: Final = ord('"')
_OPENING: Final = frozenset(b"{[")
_BETWEEN: Final = b" \t\r\n,[]\xef\xbb\xbf"
_ENTRIES_DEPTH: Final = 2


class JsonScanner:
    """Yields the raw bytes of each top-level document, or of each element of `log.entries`.

    Documents may follow each other with or without white space or commas, or be elements of one array.
    A document above `limit` bytes becomes `Damaged` without being held; so do stretches between documents that are
    no objects, and one that the file ends in. `found` says whether the place looked for was there at all.
    """

    def __init__(self, chunks: Iterator[bytes], what: Literal["documents", "entries"], limit: int) -> None:
        self._chunks = chunks
        self._limit = limit
        self._entries = what == "entries"
        self._base: int | None = None if self._entries else 0
        self._depth = 0
        self._keys = [b"", b"", b""]
        self._buffer = b""
        self._start = -1
        self._scanned = 0
        self._gap = bytearray()
        self._gap_from = 0
        self._skipped = 0
        self._excerpt = b""
        self.found = not self._entries

    def __iter__(self) -> Iterator[bytes | Damaged]:
        """Yield documents in order; passes on what the chunks raise."""
        wanted = 0
        for chunk in self._chunks:
            self._buffer = self._buffer + chunk if self._buffer else chunk
            if len(self._buffer) < wanted:
                continue
            yield from self._scan()
            self._forget()
            # An unfinished string is looked at again only when twice as much is there: linear, not quadratic.
            wanted = 2 * (len(self._buffer) - self._scanned)
            wanted = wanted + self._scanned if wanted else 0
        yield from self._scan()
        yield from self._finish()

    def unfinished(self) -> bytes:
        """Return the first bytes of the document being read; empty between documents."""
        if self._skipped:
            return self._excerpt
        return self._buffer[self._start :][:EXCERPT_BYTES] if self._start >= 0 else b""

    def _scan(self) -> Iterator[bytes | Damaged]:
        reading = True
        while reading:
            if self._start >= 0 or self._skipped:
                end = self._inside()
                if end:
                    yield from self._close(end)
                    continue
            reading = yield from self._tokens()

    def _inside(self) -> int:
        """Count brackets to the end of the document; return where it ends, 0 if that is not in the buffer yet."""
        buffer, at, depth = self._buffer, self._scanned, self._depth
        last = (self._base or 0) + 1
        while found := _TO_BRACKET.match(buffer, at):
            at = found.end()
            if buffer[at - 1] in _OPENING:
                depth += 1
            elif depth > last:
                depth -= 1
            else:
                break
        self._scanned, self._depth = at, depth
        return at if found else 0

    def _tokens(self) -> Generator[bytes | Damaged, None, bool]:
        """Go on token by token, to the beginning of a document (True) or as far as the buffer goes (False)."""
        buffer = self._buffer
        for token in _TOKEN.finditer(buffer, self._scanned):
            at, end = token.span()
            byte = buffer[at]
            if byte == _QUOTE:
                if end - at == 1:
                    self._scanned = at
                    return False
                if self._base is None and 0 < self._depth <= _ENTRIES_DEPTH:
                    self._keys[self._depth] = buffer[at:end]
            elif byte in _OPENING:
                yield from self._open(at, byte)
                if self._start >= 0:
                    self._scanned = end
                    return True
            else:
                yield from self._close(end)
        self._scanned = len(buffer)
        return False

    def _open(self, at: int, byte: int) -> Iterator[Damaged]:
        if self._depth == self._base and self._start < 0 and not self._skipped:
            if self._entries or self._depth > 0 or byte == ord("{"):
                yield from self._end_gap(at)
                self._start = at
            else:
                self._base = 1
        elif self._entries and self._is_entries(byte):
            self._base = _ENTRIES_DEPTH + 1
            self._gap_from = at
            self.found = True
        self._depth += 1

    def _is_entries(self, byte: int) -> bool:
        return (
            self._base is None
            and byte == ord("[")
            and self._depth == _ENTRIES_DEPTH
            and self._keys[1:] == [b'"log"', b'"entries"']
        )

    def _close(self, end: int) -> Iterator[bytes | Damaged]:
        self._depth = max(0, self._depth - 1)
        if self._base is None:
            return
        if self._depth == self._base and (self._start >= 0 or self._skipped):
            size = self._skipped + end - max(self._start, 0)
            if size > self._limit:
                yield too_long(size, self._limit, self._excerpt or self._buffer[self._start : end])
            else:
                yield self._buffer[self._start : end]
            self._start = -1
            self._skipped = 0
            self._excerpt = b""
            self._gap_from = end
        elif self._depth < self._base:
            yield from self._end_gap(end - 1)
            self._base = None if self._entries else 0
            self._gap_from = end

    def _end_gap(self, at: int) -> Iterator[Damaged]:
        gap = bytes(self._gap) + self._buffer[self._gap_from : at]
        self._gap.clear()
        if gap.strip(_BETWEEN):
            yield Damaged("not a JSON object", gap.strip(_BETWEEN)[:EXCERPT_BYTES])

    def _forget(self) -> None:
        """Drop what was scanned and belongs to no document; of a document over the limit, drop all of it."""
        if self._start >= 0 and len(self._buffer) - self._start <= self._limit:
            self._cut(self._start)
            return
        if self._start >= 0:
            self._excerpt = self._buffer[self._start : self._start + EXCERPT_BYTES]
            self._skipped = self._scanned - self._start
            self._start = -1
            self._cut(self._scanned)
        elif self._skipped:
            self._skipped += self._scanned
            self._cut(self._scanned)
        else:
            if self._base is not None:
                gap = self._buffer[self._gap_from : self._scanned].strip(_BETWEEN)
                self._gap += gap[: EXCERPT_BYTES - len(self._gap)]
            self._cut(self._scanned)
        if len(self._buffer) > self._limit:
            self._shorten_string()

    def _cut(self, at: int) -> None:
        self._buffer = self._buffer[at:]
        self._scanned -= at
        self._gap_from = max(0, self._gap_from - at)
        if self._start >= 0:
            self._start -= at

    def _shorten_string(self) -> None:
        """Replace an unfinished string that nobody needs by a short one that goes on the same way."""
        slashes = len(self._buffer) - len(self._buffer.rstrip(b"\\"))
        short = b'"' + b"\\" * (slashes % 2)
        if self._skipped:
            self._skipped += len(self._buffer) - len(short)
        self._buffer = short

    def _finish(self) -> Iterator[Damaged]:
        if self._start < 0 and not self._skipped and self._base is not None:
            yield from self._end_gap(len(self._buffer))
        if self._base is not None and self._depth > 0:
            yield Damaged("the file is cut off here: brackets stay open", self.unfinished())


class Piece(msgspec.Struct, frozen=True, gc=False):
    """One JSON document, or what was found in its place; `line` starts at 1, see `RawRecord`."""

    line: int
    data: bytes | Damaged


def documents(stream: ByteStream, limit: int) -> Iterator[Piece]:
    """Yield the JSON documents of a file that has one a line, or several over many lines, or one array of them.

    One a line is read by lines, so that a broken line costs only itself. Where compressed data breaks off the last
    piece is `Damaged` and says so.
    """
    if _by_lines(stream.head):
        yield from _lines(stream, limit)
        return
    scanner = JsonScanner(iter(stream), "documents", limit)
    number = 0
    try:
        for document in scanner:
            number += 1
            yield Piece(number, document)
    except BrokenStreamError as broken:
        yield Piece(number + 1, Damaged(broken.reason, scanner.unfinished()))


def _lines(stream: ByteStream, limit: int) -> Iterator[Piece]:
    number = 0
    try:
        for line in read_lines(iter(stream), limit):
            number += 1
            if isinstance(line, Damaged) or (line and not line.isspace()):
                yield Piece(number, line)
    except BrokenStreamError as broken:
        yield Piece(number + 1, Damaged(broken.reason, broken.tail))


def _by_lines(head: bytes) -> bool:
    """Say whether one of the first lines is a whole JSON object."""
    for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 3)[:3]:
        if line.strip().startswith(b"{"):
            try:
                msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            except (msgspec.DecodeError, ValueError, RecursionError):
                continue
            return True
    return False
