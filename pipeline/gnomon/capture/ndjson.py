"""NDJSON: one exchange record a line, passed on undecoded."""

from __future__ import annotations

from collections.abc import Iterator

from gnomon.capture.build import BOM, Reading
from gnomon.capture.raw import RawRecord
from gnomon.capture.source import BrokenStreamError, ByteStream
from gnomon.capture.split import Damaged, read_lines
from gnomon.model import Reject

__all__ = ["read_ndjson"]


def read_ndjson(stream: ByteStream, reading: Reading) -> Iterator[RawRecord | Reject]:
    """Yield the lines that are not blank; one that is too long is a `Reject`.

    Where compressed data breaks off, the lines before that point are delivered and one `Reject` says where it is.
    """
    name, role = reading.name, reading.role
    number = 0
    try:
        for line in read_lines(iter(stream), reading.limits.record):
            number += 1
            if isinstance(line, Damaged):
                yield reading.damaged(number, line)
            elif line and not line.isspace():
                yield RawRecord(name, number, line.removeprefix(BOM) if number == 1 else line, role)
    except BrokenStreamError as broken:
        reason = f"{broken.reason}; {number:,} lines before this one were read"
        yield reading.reject(number + 1, reason, broken.tail)
