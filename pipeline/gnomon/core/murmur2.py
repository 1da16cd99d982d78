"""The hash by which Kafka's own clients choose a record's partition.

MurmurHash2 (Austin Appleby, 2008), 32 bits, with Kafka's seed, as `org.apache.kafka.common.utils.Utils.murmur2` has it.
"""

from __future__ import annotations

from functools import lru_cache
from struct import unpack
from typing import Final

__all__ = ["choose_partition", "murmur2"]

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Hash bytes to 0 to 2^32 - 1."""
    length = len(data)
    whole = length & ~3
    digest = _SEED ^ length
    for word in unpack(f"<{length >> 2}I", data[:whole]):
        mixed = word * _M & _MASK
        digest = (digest * _M & _MASK) ^ ((mixed ^ mixed >> 24) * _M & _MASK)
    if whole < length:
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    digest = (digest ^ digest >> 13) * _M & _MASK
    return digest ^ digest >> 15


@lru_cache(maxsize=16_384)
def choose_partition(key: bytes, partitions: int) -> int:
    """Choose the partition of a key among so many; remembered, for the sides of a request come close together."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
