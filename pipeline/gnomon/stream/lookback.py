"""Reads single records back from Kafka by their offsets: the counterparts of late ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from gnomon.errors import DependencyError

__all__ = ["Lookback"]

_NEAR: Final = 2000
"""Offsets no further apart than this are read in passing, not sought."""
_PATIENCE: Final = 20.0


class Lookback:
    """A consumer without a group; it is started when it is first needed.

    Args:
        make: Makes the consumer, which must not commit and must not reset offsets.
    """

    def __init__(self, make: Callable[[], AIOKafkaConsumer]) -> None:
        self._make = make
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def read(self, topic: str, partition: int, offsets: Iterable[int]) -> dict[int, Any]:
        """Give the records at these offsets; those that Kafka has deleted are missing.

        Raises:
            DependencyError: The broker does not answer.
        """
        wanted = sorted(set(offsets))
        if not wanted:
            return {}
        async with self._lock:
            try:
                if self._consumer is None:
                    self._consumer = self._make()
                    await self._consumer.start()
                return await self._collect(TopicPartition(topic, partition), wanted)
            except (KafkaError, TimeoutError) as error:
                await self._drop()
                what = f"{topic}[{partition}] could not be read back from Kafka: {error or 'no answer'}"
                raise DependencyError(what, "it is tried again") from error

    async def close(self) -> None:
        """Let go of the connection."""
        async with self._lock:
            await self._drop()

    async def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _collect(self, tp: TopicPartition, wanted: list[int]) -> dict[int, Any]:
        consumer = self._consumer
        if consumer is None:
            return {}
        consumer.assign([tp])
        consumer.seek(tp, wanted[0])  # at once: without a position it would ask for one, and there is none
        beginnings = await consumer.beginning_offsets([tp])
        left = [offset for offset in reversed(wanted) if offset >= beginnings[tp]]
        found: dict[int, Any] = {}
        position = -1
        while left:
            if position < 0 or not 0 <= left[-1] - position <= _NEAR:
                position = left[-1]
                consumer.seek(tp, position)
            try:
                records = await asyncio.wait_for(consumer.getmany(tp, timeout_ms=1000, max_records=1000), _PATIENCE)
            except OffsetOutOfRangeError:  # deleted since
                left.pop()
                position = -1
                continue
            if not records.get(tp):
                raise TimeoutError
            for record in records[tp]:
                while left and left[-1] < record.offset:
                    left.pop()
                if left and left[-1] == record.offset:
                    found[left.pop()] = record
                position = record.offset + 1
        return found
