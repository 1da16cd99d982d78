"""Reads topics of the filter: what is committed, from a place on, until the end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from gnomon.config import Kafka
from gnomon.errors import ConfigError, DependencyError
from gnomon.kafka import check_connection, client_options, kafka_errors
from gnomon.stream.names import read_any_names
from gnomon.stream.topics import count_partitions

__all__ = ["POLL_MS", "add_partitions", "read_back", "read_committed", "reading"]

POLL_MS: Final = 500
_MOST_RECORDS: Final = 5_000
_STILL_SECONDS: Final = 60.0
"""After how long without anything new a read that has not come to its end is given up."""


@asynccontextmanager
async def reading(
    kafka: Kafka, topic: str, offsets: Mapping[str, int], partitions: Collection[int] | None = None
) -> AsyncIterator[AIOKafkaConsumer]:
    """Read what is committed on a topic, from the beginning or from where offsets say.

    Args:
        kafka: Where the brokers are.
        topic: The topic.
        offsets: By partition, as text.
        partitions: Those that are read; all by default.

    Raises:
        ConfigError: There is no such topic.
        DependencyError: No broker can be reached.
    """
    await check_connection(kafka)
    count = (await count_partitions(kafka)).get(topic)
    if count is None:
        raise ConfigError(f"there is no topic {topic!r}", "correct its name, or make it")
    read_any_names()
    consumer = AIOKafkaConsumer(
        **client_options(kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    try:
        await consumer.start()
        parts = [TopicPartition(topic, number) for number in partitions or range(count)]
        consumer.assign(parts)
        beginnings = await consumer.beginning_offsets(parts)
        for tp in parts:
            consumer.seek(tp, offsets.get(str(tp.partition), beginnings[tp]))
        yield consumer
    finally:
        await consumer.stop()


async def add_partitions(kafka: Kafka, consumer: AIOKafkaConsumer, topic: str) -> None:
    """Read partitions too that a topic has got since, from their beginning; others go on from where they are.

    Raises:
        DependencyError, KafkaError: A broker does not answer; nothing is changed.
    """
    count = (await count_partitions(kafka)).get(topic, 0)
    known = consumer.assignment()
    if count <= len(known):
        return
    positions = {tp: await consumer.position(tp) for tp in known}
    new = [tp for number in range(count) if (tp := TopicPartition(topic, number)) not in known]
    positions.update(await consumer.beginning_offsets(new))
    consumer.assign([*known, *new])
    for tp, offset in positions.items():
        consumer.seek(tp, offset)


async def _to_the_end(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> AsyncIterator[tuple[TopicPartition, list[Any]]]:
    """Give what is assigned in order, up to the ends, or up to where a transaction is still open."""
    moved = time.monotonic()
    while not await _is_read(consumer, ends):
        found = await consumer.getmany(timeout_ms=POLL_MS, max_records=_MOST_RECORDS)
        for tp, records in found.items():
            yield tp, records
        if found:
            moved = time.monotonic()
        elif time.monotonic() - moved > _STILL_SECONDS:
            names = ", ".join(sorted({tp.topic for tp in ends}))
            raise DependencyError(f"nothing more came of {names} in {_STILL_SECONDS:.0f} s", "try again")


async def _is_read(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    for tp, end in ends.items():
        stable = consumer.last_stable_offset(tp)
        if await consumer.position(tp) < min(end, end if stable is None or stable < 0 else stable):
            return False
    return True


async def read_committed(kafka: Kafka, topic: str) -> AsyncIterator[tuple[int, list[Any]]]:
    """Read all that is committed on a topic now: partitions with some of their records, in order.

    Args:
        kafka: Where the brokers are.
        topic: The topic.

    Raises:
        ConfigError: There is no such topic.
        DependencyError: No broker can be reached, or it stops answering.
    """
    with kafka_errors(kafka, f"reading {topic}"):
        async with reading(kafka, topic, {}) as consumer:
            ends = await consumer.end_offsets(list(consumer.assignment()))
            async for tp, records in _to_the_end(consumer, ends):
                yield tp.partition, [record for record in records if record.offset < ends[tp]]


async def read_back(kafka: Kafka, topic: str, partition: int, since: int) -> AsyncIterator[list[Any]]:
    """Read what is committed of one partition now, from the first record of a time on.

    Args:
        kafka: Where the brokers are.
        topic: The topic.
        partition: Its partition.
        since: The time, in epoch milliseconds.

    Raises:
        DependencyError: A broker does not answer, or the topic is gone.
    """
    tp = TopicPartition(topic, partition)
    try:
        with kafka_errors(kafka, f"reading {topic}"):
            async with reading(kafka, topic, {}, [partition]) as consumer:
                ends = await consumer.end_offsets([tp])
                first = (await consumer.offsets_for_times({tp: since})).get(tp)
                if first is None:
                    return
                consumer.seek(tp, first.offset)
                async for _, records in _to_the_end(consumer, ends):
                    yield records
    except ConfigError as error:
        raise DependencyError(str(error)) from error
