"""Confluent's wire format: what producers that use a Schema Registry write before each value.

A zero byte, the schema's id as four bytes, big-endian; for Protocol Buffers then the place of the message type in its
file, as zigzag varints: how many steps, and each step, with a single zero for the first message (Confluent's
documentation, "Wire format").
"""

from __future__ import annotations

from typing import Final

from gnomon.core.json import Unreadable

__all__ = ["split_frame", "split_indexes"]

HEAD: Final = 5
MAX_STEPS: Final = 100
"""Steps to a message type; protoc nests fewer."""


def split_frame(data: bytes) -> tuple[int, bytes] | None:
    """Give the schema's id and what follows; None where a value is not framed."""
    if len(data) < HEAD or data[0]:
        return None
    return int.from_bytes(data[1:HEAD], "big"), data[HEAD:]


def split_indexes(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Give the place of the message type in its file, and the message.

    Raises:
        Unreadable: There is no such place at the beginning.
    """
    steps, at = _zigzag(data, 0)
    if steps == 0:
        return (0,), data[at:]
    if not 0 < steps <= MAX_STEPS:
        raise Unreadable(f"a message type cannot be {steps} steps deep")
    found = []
    for _ in range(steps):
        index, at = _zigzag(data, at)
        found.append(index)
    return tuple(found), data[at:]


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(at, min(at + 5, len(data))):
        value |= (data[position] & 0x7F) << shift
        if data[position] < 0x80:
            return (value >> 1) ^ -(value & 1), position + 1
        shift += 7
    raise Unreadable(f"no message index at byte {HEAD + at}")
