"""Where records go: what the writing thread asks of a transport, and the NDJSON file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from gnomon.emit.record import Record

__all__ = ["FileTransport", "Sent", "Transport"]


class Sent(msgspec.Struct, frozen=True):
    """What became of some records: how many are written, which to try again, and which are too large to be taken.

    `problem` is a sentence where something was not written.
    """

    written: int
    again: Sequence[Record] = ()
    too_large: Sequence[Record] = ()
    problem: str = ""


class Transport(Protocol):
    """Writes records. Only the writing thread calls it, but for `forget`."""

    def send(self, records: Sequence[Record], timeout: float) -> Sent:
        """Write records, in `timeout` seconds; what cannot be is in the answer, not an exception."""

    def close(self, timeout: float) -> None:
        """Let go of what is open."""

    def forget(self) -> None:
        """Drop what is open without touching it: it belongs to the process that this one was forked from."""


class FileTransport:
    """Appends records to an NDJSON file, a line each; several processes may append to one file.

    Args:
        path: The file; made when the first record is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._torn = False

    def send(self, records: Sequence[Record], timeout: float) -> Sent:  # noqa: ARG002 - a disk does not take long
        """Append records in one write; after a full disk the torn line is ended and the rest written again."""
        data = b"\n" * self._torn + b"".join([record.value + b"\n" for record in records])
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            written = os.write(self._file, data)
        except OSError as error:
            return Sent(0, again=records, problem=f"cannot write {self._path}: {error.strerror or error}")
        if written == len(data):
            self._torn = False
            return Sent(len(records))
        whole = 0
        left = written - self._torn
        while left > len(records[whole].value):
            left -= len(records[whole].value) + 1
            whole += 1
        self._torn = left > 0 or written == 0
        return Sent(whole, again=records[whole:], problem=f"cannot write all to {self._path}: no room")

    def close(self, timeout: float) -> None:  # noqa: ARG002 - closing a file does not take long
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def forget(self) -> None:
        """Keep the file: a descriptor opened for appending may be shared."""
