"""Reads records whose headers have names that are not UTF-8, at which aiokafka would stop for good.

Kafka takes any bytes for a name. aiokafka (0.14) raises at such a record, fetches it again, and never comes past it.
Here a batch that aiokafka refuses is read once more, and what of a name is not UTF-8 becomes lone surrogates
(`surrogateescape`), which no other name has. Batches that it takes cost nothing but a list.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

__all__ = ["read_any_names"]

_LENGTH: Final = struct.Struct(">i")
_HEAD: Final = 12
"""Bytes of a batch before its length counts: its offset and the length."""


def read_any_names() -> None:
    """Let all consumers of aiokafka in this process read such records; may be called any number of times."""
    fetcher.MemoryRecords = AnyRecords


class AnyRecords:
    """The batches of one fetch (stands in for `aiokafka.record.memory_records.MemoryRecords`).

    Args:
        data: As it came.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._records = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        """Give the length of the data."""
        return len(self._data)

    def has_next(self) -> bool:
        """Whether there is another whole batch."""
        return bool(self._records.has_next())

    def next_batch(self) -> Any:  # noqa: ANN401 - aiokafka's batches have no common type
        """Give the next batch; None after the last."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        begin = self._at
        self._at += _HEAD + _LENGTH.unpack_from(self._data, begin + 8)[0]
        if batch.is_control_batch:
            return batch  # Kafka's own: the end of a transaction, of which aiokafka takes the first record
        return _AnyBatch(batch, memoryview(self._data)[begin : self._at])


class _AnyBatch:
    """A batch whose records are read by aiokafka if it takes them, else here."""

    def __init__(self, batch: Any, data: memoryview) -> None:  # noqa: ANN401 - see AnyRecords
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a batch has
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except (CorruptRecordException, UnicodeDecodeError):
            return iter(_Batch(self._data))


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # it is `final` there
    """A batch of format 2 that is read with names of any bytes."""

    _pos: int

    def _read_msg(self) -> Any:  # noqa: ANN401 - overrides what aiokafka has
        buffer = self._buffer
        length, at = decode_varint(buffer, self._pos)
        end = at + length
        timestamp_delta, at = decode_varint(buffer, at + 1)
        offset_delta, at = decode_varint(buffer, at)
        key, at = _bytes(buffer, at, end)
        value, at = _bytes(buffer, at, end)
        count, at = decode_varint(buffer, at)
        headers = []
        for _ in range(count):
            name, at = _bytes(buffer, at, end)
            data, at = _bytes(buffer, at, end)
            headers.append(((name or b"").decode("utf-8", "surrogateescape"), data))
        if at != end:
            raise CorruptRecordException(f"a record of {length} bytes ends after {at - end + length}")
        self._pos = end
        is_logged = self.timestamp_type == self.LOG_APPEND_TIME
        timestamp = self.max_timestamp if is_logged else self.first_timestamp + timestamp_delta
        return _DefaultRecordPy(self.base_offset + offset_delta, timestamp, self.timestamp_type, key, value, headers)


def _bytes(buffer: bytearray, at: int, end: int) -> tuple[bytes | None, int]:
    """Read what has its length before it; minus one stands for null."""
    length, at = decode_varint(buffer, at)
    if length < 0:
        return None, at
    if at + length > end:
        raise CorruptRecordException("a part of a record is longer than the record")
    return bytes(buffer[at : at + length]), at + length
