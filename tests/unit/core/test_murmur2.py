from __future__ import annotations

from aiokafka.partitioner import murmur2 as oracle
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.murmur2 import choose_partition, murmur2


@given(st.binary(max_size=100))
def test_it_is_kafka_s_hash(data: bytes) -> None:
    """The same number that aiokafka's slower implementation gives."""
    assert murmur2(data) == oracle(data) & 0xFFFFFFFF


def test_known_values() -> None:
    """Those of the tests of Kafka's Java client, without their sign."""
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert {data: murmur2(data) for data in known} == {data: value & 0xFFFFFFFF for data, value in known.items()}


@given(st.binary(max_size=40), st.integers(1, 100))
def test_a_partition_is_one_that_there_is(key: bytes, partitions: int) -> None:
    """From 0 on, and the same each time."""
    assert 0 <= choose_partition(key, partitions) < partitions
    assert choose_partition(key, partitions) == (oracle(key) & 0x7FFFFFFF) % partitions
