"""Records whose headers have names that are not UTF-8."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kafka.oddities import OddName

from gnomon.stream.names import AnyRecords

Records = list[tuple[Any, ...]]


def batch(records: list[tuple[bytes | None, bytes | None, list[Any]]], codec: int = 0) -> bytes:
    """Write a batch as a producer does that is not careful."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 1 << 20)
    for offset, (key, value, headers) in enumerate(records):
        builder.append(offset, 1_000 + offset, key, value, headers)
    return bytes(builder.build())


def read(records: Any) -> Records:
    """Read all batches as a consumer does."""
    found = []
    while records.has_next():
        part = records.next_batch()
        assert part.validate_crc()
        assert (part.producer_id, part.is_control_batch, part.base_offset) == (-1, False, 0)
        found += [(one.offset, one.timestamp, one.key, one.value, one.headers) for one in part]
    assert records.next_batch() is None
    return found


@pytest.mark.parametrize("codec", [0, 1, 3])
def test_names_of_any_bytes_are_read_and_spoil_nothing_else(codec: int) -> None:
    """aiokafka by itself never comes past such a record."""
    good = (b"k", b"v", [("a", b"1"), ("é", None)])
    odd = (None, None, [(OddName(b"\xff\xfename"), b"1"), ("b", b"2")])
    data = batch([good, odd, good], codec) + batch([good])
    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords(data))
    assert read(AnyRecords(data)) == [
        (0, 1_000, *good),
        (1, 1_001, None, None, [("\udcff\udcfename", b"1"), ("b", b"2")]),
        (2, 1_002, *good),
        (0, 1_000, *good),
    ]


HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.none() | st.binary(), st.none() | st.binary(max_size=300), HEADERS), min_size=1))
def test_what_is_read_here_is_what_aiokafka_reads(records: list[Any]) -> None:
    """Wherever it can; a batch with an odd name behind the others has the same records before it."""
    records = [(key, value, [(name, data) for name, data in headers]) for key, value, headers in records]
    assert read(AnyRecords(batch(records))) == read(MemoryRecords(batch(records)))
    odd = [*records, (None, b"", [(OddName(b"\xff"), None)])]
    assert read(AnyRecords(batch(odd)))[:-1] == read(MemoryRecords(batch(records)))


def test_a_record_that_is_broken_stays_an_error() -> None:
    """Only names are forgiven."""
    data = bytearray(batch([(b"k", b"v" * 20, [(OddName(b"\xff"), b"1")])]))
    data[61] += 2
    records = AnyRecords(bytes(data))
    with pytest.raises((CorruptRecordException, IndexError)):
        list(records.next_batch())


def test_the_end_of_a_transaction_is_read_as_aiokafka_does() -> None:
    """It takes the first record of such a batch by `next`."""
    data = bytearray(batch([(b"\x00\x00\x00\x00", b"\x00\x00", [])]))
    data[22] |= _DefaultRecordBatchBuilderPy.CONTROL_MASK
    control = AnyRecords(bytes(data)).next_batch()
    assert control.is_control_batch
    assert next(control).key == b"\x00\x00\x00\x00"
