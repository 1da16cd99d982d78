"""Records grouped by request id when there may be more of them than memory holds.

A grace hash join (Kitsuregawa, Tanaka & Moto-oka, 1983): up to a bound records wait in memory; past it they go to
partition files by a hash of their id, and the partitions are grouped one at a time. A partition that is itself too
large is partitioned again by other bits of the hash. What comes out does not depend on whether anything was spilled,
but for the order of the groups.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self
from zlib import crc32

from gnomon.capture.raw import RawRecord
from gnomon.errors import DependencyError
from gnomon.model import Role

__all__ = ["Spill"]

PARTITIONS: Final = 128
MAX_LEVELS: Final = 4
"""How often a partition is partitioned again; 128**4 parts are enough for anything but one id used over and over."""

_BUFFER: Final = 128 * 1024
_BLOCK: Final = 1024 * 1024
_FRAME: Final = struct.Struct("<IQBHI")
"""Source number, line, role code, length of the id, length of the record."""

_ROLES: Final[tuple[Role | None, ...]] = (None, "live", "shadow", "control")
_OVERHEAD: Final = 200
"""Bytes that a record in memory costs beside its own."""


class Spill:
    """Collects records, then gives them out grouped by request id.

    A context manager: its files are gone when it ends.

    Args:
        directory: Where partition files are made; it must exist.
        memory_bytes: What may wait in memory before anything goes to disk.
        level: How many times these records were partitioned before.
    """

    def __init__(self, directory: Path, memory_bytes: int, level: int = 0) -> None:
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._level = level
        self._held: dict[str, list[RawRecord]] = {}
        self._held_bytes = 0
        self._partitions: list[_Partition] = []
        self._sources: list[str] = []
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was written."""
        for partition in self._partitions:
            partition.remove()

    @property
    def spilled(self) -> bool:
        """Whether anything went to disk."""
        return bool(self._partitions)

    def add(self, request_id: str, record: RawRecord) -> None:
        """Take one record.

        Raises:
            DependencyError: The disk is full or cannot be written.
        """
        if self._partitions:
            self._write(request_id, record)
            return
        self._held.setdefault(request_id, []).append(record)
        self._held_bytes += len(record.data) + _OVERHEAD
        if self._held_bytes > self._memory_bytes and self._level < MAX_LEVELS and len(self._held) > 1:
            self._start_spilling()

    def groups(self) -> Iterator[tuple[str, list[RawRecord]]]:
        """Give all records, those of one request id together and in the order they came; once."""
        if not self._partitions:
            while self._held:  # given out and let go of, so that memory does not hold both records and results
                request_id = next(iter(self._held))
                yield request_id, self._held.pop(request_id)
            return
        for partition in self._partitions:
            with Spill(self._directory, self._memory_bytes, self._level + 1) as part:
                for request_id, record in partition.records(self._sources):
                    part.add(request_id, record)
                partition.remove()
                yield from part.groups()

    def _start_spilling(self) -> None:
        # names are unique among the levels that are open at once
        self._partitions = [
            _Partition(self._directory / f"spill-{self._level}-{number}.part") for number in range(PARTITIONS)
        ]
        for request_id, records in self._held.items():
            for record in records:
                self._write(request_id, record)
        self._held.clear()

    def _write(self, request_id: str, record: RawRecord) -> None:
        number = self._numbers.get(record.source)
        if number is None:
            number = self._numbers[record.source] = len(self._sources)
            self._sources.append(record.source)
        key = request_id.encode("utf-8", "surrogatepass")
        # levels use different bits: crc32 of the id led by the level
        chosen = crc32(key, self._level) % PARTITIONS
        self._partitions[chosen].write(
            _FRAME.pack(number, record.line, _ROLES.index(record.role), len(key), len(record.data)), key, record.data
        )


class _Partition:
    """One file of framed records."""

    __slots__ = ("_file", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def write(self, *parts: bytes) -> None:
        try:
            if self._file is None:
                self._file = self._path.open("wb", buffering=_BUFFER)
            self._file.writelines(parts)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def records(self, sources: list[str]) -> Iterator[tuple[str, RawRecord]]:
        if self._file is None:
            return
        try:
            self._file.close()
        except OSError as error:
            raise _unwritable(self._path, error) from error
        with self._path.open("rb", buffering=0) as file:
            rest, wanted = b"", _BLOCK
            while read := file.read(wanted):
                block, at, wanted = rest + read, 0, _BLOCK
                while len(block) - at >= _FRAME.size:
                    number, line, role, key_length, length = _FRAME.unpack_from(block, at)
                    data = at + _FRAME.size + key_length
                    if len(block) < data + length:
                        wanted = max(_BLOCK, data + length - len(block))
                        break
                    request_id = block[data - key_length : data].decode("utf-8", "surrogatepass")
                    at = data + length
                    yield request_id, RawRecord(sources[number], line, block[data:at], _ROLES[role])
                rest = block[at:]

    def remove(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # the disk was full: what could not be written is not wanted any more
                self._file.close()
            self._path.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> DependencyError:
    return DependencyError(
        f"records that wait for their counterpart cannot be written to {path.parent}: {error.strerror or error}",
        _LIMITS.get(error.errno or 0, "free disk space there, or put the database on a larger disk"),
    )


_LIMITS: Final = {
    errno.EMFILE: "raise the limit on open files (`ulimit -n`)",
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f`), or use another file system",
}
