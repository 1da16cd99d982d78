"""Writing NDJSON captures."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

import msgspec
import zstandard

from gnomon.errors import UsageError
from gnomon.model import Exchange

__all__ = ["NdjsonWriter"]

FLUSH_BYTES: Final = 256 * 1024


class NdjsonWriter:
    """Writes one exchange record a line; a context manager.

    The same exchanges give the same bytes, compressed or not.

    Args:
        target: A file, compressed where its name ends in `.gz` or `.zst`, or an open binary stream, which is
            written plainly and stays open.

    Raises:
        UsageError: The file cannot be written.
    """

    def __init__(self, target: str | Path | BinaryIO) -> None:
        self._encoder = msgspec.json.Encoder()
        self._buffer = bytearray()
        self._closers: list[Callable[[], None]] = []
        self.written = 0
        if isinstance(target, str | Path):
            self._path = str(target)
            self._stream = self._open(Path(target))
        else:
            self._path = "the stream"
            self._stream = target

    def __enter__(self) -> Self:
        """Return the writer; its file is open since it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left and close the file."""
        self.close()

    def write(self, exchange: Exchange) -> None:
        """Append one exchange."""
        self._buffer += self._encoder.encode(exchange)
        self._buffer += b"\n"
        self.written += 1
        if len(self._buffer) >= FLUSH_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is left and close the file; closing again does nothing."""
        try:
            self._flush()
        finally:
            closers, self._closers = self._closers, []
            for close in closers:
                close()

    def _open(self, path: Path) -> BinaryIO:
        try:
            file = path.open("wb")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror or error}", "choose another place") from error
        if path.suffix == ".gz":
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6)
            self._closers = [packed.close, file.close]
            return cast("BinaryIO", packed)
        if path.suffix == ".zst":
            frames = zstandard.ZstdCompressor().stream_writer(file, closefd=False)
            self._closers = [frames.close, file.close]
            return cast("BinaryIO", frames)
        self._closers = [file.close]
        return file

    def _flush(self) -> None:
        if not self._buffer:
            return
        data = bytes(self._buffer)
        self._buffer.clear()
        try:
            self._stream.write(data)
        except OSError as error:
            raise UsageError(f"cannot write {self._path}: {error.strerror or error}", "make room for it") from error
