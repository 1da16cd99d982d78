"""Records read again by their offsets."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError

from gnomon.errors import DependencyError
from gnomon.stream.lookback import Lookback


class Record(NamedTuple):
    """A record as aiokafka gives it."""

    offset: int


class Consumer:
    """A partition of offsets 100 to 9,999, of which a few are missing."""

    def __init__(self) -> None:
        self.at = -1
        self.sought: list[int] = []
        self.missing = {205}
        self.expired: set[int] = set()
        self.fails = self.stopped = False

    async def start(self) -> None:
        """Start."""

    async def stop(self) -> None:
        """Stop."""
        self.stopped = True

    def assign(self, _: list[Any]) -> None:
        """Take the partition."""

    def seek(self, _: Any, offset: int) -> None:
        """Go there."""
        self.at = offset
        self.sought.append(offset)

    async def beginning_offsets(self, tps: list[Any]) -> dict[Any, int]:
        """Say where it begins."""
        return dict.fromkeys(tps, 100)

    async def getmany(self, tp: Any, **_: Any) -> dict[Any, list[Record]]:
        """Fetch."""
        if self.fails:
            raise KafkaConnectionError
        if self.at in self.expired:
            raise OffsetOutOfRangeError({})
        records = [Record(n) for n in range(self.at, min(self.at + 50, 10_000)) if n not in self.missing]
        self.at += 50
        return {tp: records}


def read(consumer: Consumer, *offsets: int) -> list[int]:
    """Read offsets again; give those that were found."""

    async def run() -> list[int]:
        lookback = Lookback(lambda: consumer)
        try:
            return sorted(await lookback.read("t", 0, offsets))
        finally:
            await lookback.close()

    return asyncio.run(run())


def test_near_offsets_are_read_in_passing_and_far_ones_sought() -> None:
    """One fetch serves many; what Kafka has deleted, or never had, is left out."""
    consumer = Consumer()
    assert read(consumer, 210, 200, 205, 9000, 9001, 7) == [200, 210, 9000, 9001]
    assert consumer.sought == [7, 200, 9000]
    assert consumer.stopped


def test_what_is_deleted_meanwhile_is_left_out() -> None:
    """Retention does not wait."""
    consumer = Consumer()
    consumer.expired.add(200)
    assert read(consumer, 200, 3000) == [3000]


def test_nothing_asked_is_nothing_read() -> None:
    """Nobody connects."""
    consumer = Consumer()
    assert read(consumer) == []
    assert not consumer.stopped


def test_a_broker_that_does_not_answer_is_a_dependency_that_is_away() -> None:
    """With a sentence that says of which partition; the connection is made anew the next time."""
    consumer = Consumer()
    consumer.fails = True
    with pytest.raises(DependencyError, match=r"t\[0\] could not be read back from Kafka"):
        read(consumer, 200)
    assert consumer.stopped
