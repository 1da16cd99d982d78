"""Where records go: an NDJSON file or stream here; Kafka by the transport that middleware uses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

from gnomon.errors import DependencyError, UsageError

__all__ = ["NdjsonSink", "Sink"]

FLUSH_BYTES: Final = 256 * 1024


class Sink(Protocol):
    """Takes encoded records."""

    def put(self, key: bytes, value: bytes) -> bool:
        """Take a record, False where there is no room now."""

    def idle(self) -> None:
        """Hear that no record is at hand: what is held back may go on its way."""

    def close(self, timeout: float) -> int:
        """Write what is left, in `timeout` seconds at most; the number of records that could not be."""


class NdjsonSink:
    """Appends records to a file, a line each, or to an open descriptor.

    Args:
        target: The file, or the number of a descriptor.

    Raises:
        UsageError: The file cannot be written.
    """

    def __init__(self, target: Path | int) -> None:
        self._name = "standard output" if isinstance(target, int) else str(target)
        self._buffer = bytearray()
        if isinstance(target, int):
            self._file = target
            return
        if target.suffix in {".gz", ".zst"}:
            raise UsageError(
                f"{target} would hold plain lines under the name of a compressed file",
                "name it .ndjson; compress it when the collector has stopped",
            )
        try:
            self._file = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise UsageError(f"cannot write {target}: {error.strerror}", "choose another place") from error

    def put(self, key: bytes, value: bytes) -> bool:  # noqa: ARG002 - a line says its id itself
        """Take a record.

        Raises:
            DependencyError: The file takes no more: the disk is full, or whoever read the stream has gone.
        """
        self._buffer += value
        self._buffer += b"\n"
        if len(self._buffer) >= FLUSH_BYTES:
            self.idle()
        return True

    def idle(self) -> None:
        """Write what has come together."""
        try:
            while self._buffer:
                del self._buffer[: os.write(self._file, self._buffer)]
        except OSError as error:
            raise DependencyError(f"cannot write {self._name}: {error.strerror}", "make room, or choose another place") from error

    def close(self, timeout: float) -> int:  # noqa: ARG002 - a disk does not take long
        """Write what is left and close the file."""
        self.idle()
        if self._file > 2:
            os.close(self._file)
        return 0
