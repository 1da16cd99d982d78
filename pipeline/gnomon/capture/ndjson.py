"""NDJSON: one exchange record a line, passed on undecoded."""

from __future__ import annotations

from collections.abc import Iterator

from gnomon.capture.build import BOM, Reading
from gnomon.capture.raw import RawRecord
from gnomon.capture.source import BrokenStreamError, ByteStream, Damaged, Splitter
from gnomon.model import Reject

__all__ = ["read_ndjson"]


def read_ndjson(stream: ByteStream, reading: Reading) -> Iterator[RawRecord | Reject]:
    """Yield the lines that are not blank; one that is too long is a `Reject`.

    Where compressed data breaks off, the lines before that point are delivered and one `Reject` says where it is.
    """
    splitter = Splitter(iter(stream), b"\n", reading.limits.record)
    name, role = reading.name, reading.role
    number = 0
    try:
        for batch in splitter:
            if isinstance(batch, Damaged):
                number += 1
                yield reading.damaged(number, batch)
                continue
            if number == 0 and batch:
                batch[0] = batch[0].removeprefix(BOM)
            for line in batch:
                number += 1
                if line and not line.isspace():
                    yield RawRecord(name, number, line, role)
    except BrokenStreamError as broken:
        reason = f"{broken.reason}; {number:,} lines before this one were read"
        yield reading.reject(number + 1, reason, splitter.tail)
