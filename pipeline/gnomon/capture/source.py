"""Opening captures: files and standard input, decompressed by what their first bytes say, in chunks."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

import zstandard

from gnomon.errors import InputError

__all__ = ["BrokenStreamError", "ByteStream"]

CHUNK: Final = 256 * 1024
HEAD: Final = 64 * 1024
PROGRESS_STEP: Final = 4 * 1024 * 1024

GZIP_MAGIC: Final = b"\x1f\x8b"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class BrokenStreamError(Exception):
    """Compressed bytes end, or stop making sense, before the file does; all before that point were delivered.

    `tail` is the beginning of the record that broke off.
    """

    def __init__(self, reason: str, tail: bytes = b"") -> None:
        self.reason = reason
        self.tail = tail
        super().__init__(reason)


class ByteStream:
    """The decompressed bytes of one file; a context manager, and iterable once, in chunks.

    gzip (several members too) and zstd (several frames, skippable ones too) are told by their magic bytes, never by
    the name. `head` is the beginning, up to 64 KiB, and is delivered again by iterating.

    Args:
        path: A file, or `-` for standard input.
        advance: Called with the bytes read from disk since its last call, every few MiB and at the end.

    Raises:
        InputError: The file cannot be opened or read.
    """

    def __init__(self, path: str, advance: Callable[[int], None] | None = None) -> None:
        self.path = path
        self._advance = advance
        self._unreported = 0
        self._raw = _open(path)
        self._broken: BrokenStreamError | None = None
        try:
            first = self._read()
            self._chunks = self._decompress(first)
            self._held = self._peek()
        except BaseException:
            self._close()
            raise

    @property
    def head(self) -> bytes:
        """The first bytes, up to 64 KiB, decompressed."""
        return b"".join(self._held)[:HEAD]

    def __enter__(self) -> Self:
        """Return the stream; it is open since it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file and report the rest of the progress."""
        self._close()
        self._report()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks.

        Raises:
            BrokenStreamError: The compressed data is cut off or damaged.
            InputError: The file cannot be read any further.
        """
        held, self._held = self._held, []
        yield from held
        if self._broken is not None:
            raise self._broken
        yield from self._chunks

    def _peek(self) -> list[bytes]:
        held: list[bytes] = []
        size = 0
        try:
            for chunk in self._chunks:
                held.append(chunk)
                size += len(chunk)
                if size >= HEAD:
                    break
        except BrokenStreamError as broken:
            self._broken = broken
        return held

    def _read(self) -> bytes:
        try:
            data = self._raw.read(CHUNK)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {self.path}: {_why(error)}", "check the file and its permissions") from error
        self._unreported += len(data)
        if self._unreported >= PROGRESS_STEP:
            self._report()
        return data

    def _report(self) -> None:
        if self._advance is not None and self._unreported:
            self._advance(self._unreported)
        self._unreported = 0

    def _close(self) -> None:
        if self.path != "-":
            self._raw.close()

    def _blocks(self, first: bytes) -> Iterator[bytes]:
        block = first
        while block:
            yield block
            block = self._read()

    def _decompress(self, first: bytes) -> Iterator[bytes]:
        if first.startswith(GZIP_MAGIC):
            return _expand(self._blocks(first), _Gzip)
        if _is_zstd(first):
            return _expand(self._blocks(first), _Zstd)
        return self._blocks(first)


def _open(path: str) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    try:
        return Path(path).open("rb", buffering=0)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot open {path}: {_why(error)}", "check the path and its permissions") from error


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _is_zstd(first: bytes) -> bool:
    skippable = first[1:4] == b"\x2a\x4d\x18" and first[:1] and first[0] & 0xF0 == 0x50
    return first.startswith(ZSTD_MAGIC) or bool(skippable)


class _Decoder(Protocol):
    """One gzip member or one zstd frame; `rest` is what was fed behind its end."""

    name: str
    feed_bytes: int

    def feed(self, data: bytes) -> Iterator[bytes]: ...
    @property
    def ended(self) -> bool: ...
    @property
    def rest(self) -> bytes: ...


class _Gzip:
    name = "gzip"
    feed_bytes = 16 * 1024

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            out = self._inner.decompress(data, CHUNK)
            while out:
                yield out
                out = b"" if self._inner.eof else self._inner.decompress(self._inner.unconsumed_tail, CHUNK)
        except zlib.error as error:
            raise BrokenStreamError(f"the gzip data is damaged ({error})") from error

    @property
    def ended(self) -> bool:
        return self._inner.eof

    @property
    def rest(self) -> bytes:
        return self._inner.unused_data


class _Zstd:
    name = "zstd"
    feed_bytes = 2048  # a block of 4 bytes can become 128 KiB: this bounds one expansion to 64 MiB

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor().decompressobj()

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            yield self._inner.decompress(data)
        except zstandard.ZstdError as error:
            raise BrokenStreamError(f"the zstd data is damaged ({error})") from error

    @property
    def ended(self) -> bool:
        return self._inner.eof

    @property
    def rest(self) -> bytes:
        return self._inner.unused_data


def _expand(blocks: Iterator[bytes], codec: type[_Gzip | _Zstd]) -> Iterator[bytes]:
    """Expand members or frames one after the other; zeros between and after them are padding."""
    decoder: _Decoder | None = None
    step = codec.feed_bytes
    for block in blocks:
        for at in range(0, len(block), step):
            rest = block[at : at + step]
            while rest:
                if decoder is None:
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    decoder = codec()
                for out in decoder.feed(rest):
                    if out:
                        yield out
                rest = decoder.rest if decoder.ended else b""
                if decoder.ended:
                    decoder = None
    if decoder is not None:
        raise BrokenStreamError(f"the {decoder.name} data ends in the middle: the file is cut off")
