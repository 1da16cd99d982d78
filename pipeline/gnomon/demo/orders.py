"""The shop's orders as a business topic, which the synthetic filter splits; and what that does to the revenue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from gnomon.config import Kafka
from gnomon.kafka import client_options, kafka_errors

__all__ = ["Counted", "Orders"]

PARTITIONS: Final = 2
UNREADABLE: Final = b'{"order": "o-0", "total": 12.'
"""What an exporter wrote that nobody looks after any more."""
_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.1
_POLL_MS: Final = 1_000


class Counted(msgspec.Struct, frozen=True):
    """A topic: its events, and what the orders among them come to."""

    topic: str
    events: int
    revenue: float


class Orders:
    """The topic that the shop's orders are on, and what it is split into.

    Args:
        bootstrap: The broker.
        topic: The topic's name; those of the outputs begin with it.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self.outputs = [f"{topic}.{name}" for name in ("clean", "synthetic", "quarantine")]
        self._kafka = Kafka(bootstrap=bootstrap)

    @property
    def settings(self) -> str:
        """The route as it is written in `gnomon.toml`."""
        return f'\n[[route]]\nfrom = "{self.topic}"\ntaint = {{ path = "/session", for = "1h" }}\n'

    def make(self) -> bool:
        """Make the topics, with one event that cannot be read; tells whether the broker has transactions.

        Raises:
            DependencyError: It does not answer.
        """
        return asyncio.run(self._make())

    def count(self) -> list[Counted]:
        """Count all that was ordered, then what is on each output.

        Raises:
            DependencyError: The broker does not answer.
        """
        return asyncio.run(self._count())

    async def _make(self) -> bool:
        if not await self._has_transactions():
            return False
        with kafka_errors(self._kafka, f"making {self.topic}"):
            admin = AIOKafkaAdminClient(**client_options(self._kafka))
            await admin.start()
            try:
                names = {self.topic, *self.outputs}
                await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
                async with asyncio.timeout(_SECONDS):
                    while not names.issubset(await admin.list_topics()):  # noqa: ASYNC110 - a broker tells nobody
                        await asyncio.sleep(_PAUSE_SECONDS)
            finally:
                await admin.close()
            async with AIOKafkaProducer(**client_options(self._kafka)) as producer:
                await producer.send_and_wait(self.topic, UNREADABLE)
        return True

    async def _has_transactions(self) -> bool:
        """Whether a transaction can be begun: small brokers know none."""
        producer = AIOKafkaProducer(**client_options(self._kafka), transactional_id=f"{self.topic}.demo")
        try:
            async with asyncio.timeout(_SECONDS):
                await producer.start()
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await producer.stop()
        return True

    async def _count(self) -> list[Counted]:
        with kafka_errors(self._kafka, f"reading {self.topic}"):
            return [await self._count_topic(topic) for topic in (self.topic, *self.outputs)]

    async def _count_topic(self, topic: str) -> Counted:
        events, revenue = 0, 0.0
        async with _reading(self._kafka, topic) as consumer, asyncio.timeout(_SECONDS):
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for tp, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                    told = [_total(record.value) for record in records if record.offset < ends[tp]]
                    events += len(told)
                    revenue += sum(told)
        return Counted(topic, events, revenue)


@asynccontextmanager
async def _reading(kafka: Kafka, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    options: dict[str, Any] = {"enable_auto_commit": False, "isolation_level": "read_committed"}
    consumer = AIOKafkaConsumer(**client_options(kafka), **options)
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        yield consumer
    finally:
        await consumer.stop()


def _total(value: bytes | None) -> float:
    try:
        return float(msgspec.json.decode(value or b"", type=_Order).total)
    except msgspec.DecodeError:
        return 0.0


class _Order(msgspec.Struct):
    total: float
