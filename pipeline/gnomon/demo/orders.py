"""The shop's orders as a business topic, which the synthetic filter splits; and what that does to the revenue."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from gnomon.config import Kafka, Registry
from gnomon.config.routes import read_routes
from gnomon.core.routing import Routing
from gnomon.errors import DependencyError
from gnomon.kafka import client_options, kafka_errors
from gnomon.stream.route.app import check_transactions
from gnomon.stream.route.preview import preview_route
from gnomon.stream.route.reading import read_committed

__all__ = ["Counted", "Orders"]

PARTITIONS: Final = 2
OUTPUTS: Final = ("clean", "synthetic", "quarantine")
TAINT: Final = {"path": "/session", "for": "1h"}
UNREADABLE: Final = b'{"order": "o-0", "total": 12.'
"""What an exporter wrote that nobody looks after any more."""
_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.1


class Counted(msgspec.Struct, frozen=True):
    """A topic: its events, and what the orders among them come to."""

    topic: str
    events: int
    revenue: float


class Orders:
    """The topic that the shop's orders are on, and what it is split into; without transactions, what it would be.

    Args:
        bootstrap: The broker.
        topic: The topic's name; those of the outputs begin with it.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self.is_split = False
        """Whether the broker has transactions, which `gnomon route` needs; known once the topics are made."""
        self.outputs = [f"{topic}.{name}" for name in OUTPUTS]
        self._kafka = Kafka(bootstrap=bootstrap)

    @property
    def settings(self) -> str:
        """The route as it is written in `gnomon.toml`."""
        taint = ", ".join(f'{name} = "{value}"' for name, value in TAINT.items())
        return f'\n[[route]]\nfrom = "{self.topic}"\ntaint = {{ {taint} }}\n'

    def make(self) -> None:
        """Make the topics, with one event that cannot be read.

        Raises:
            DependencyError: It does not answer.
        """
        asyncio.run(self._make())

    def count(self) -> list[Counted]:
        """Count all that was ordered, then what is on each output, or would be.

        Raises:
            DependencyError: The broker does not answer.
        """
        return asyncio.run(self._count() if self.is_split else self._preview())

    async def _make(self) -> None:
        self.is_split = await self._has_transactions()
        with kafka_errors(self._kafka, f"making {self.topic}"):
            admin = AIOKafkaAdminClient(**client_options(self._kafka))
            await admin.start()
            try:
                names = {self.topic, *(self.outputs if self.is_split else ())}
                await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
                async with asyncio.timeout(_SECONDS):
                    while not names.issubset(await admin.list_topics()):  # noqa: ASYNC110 - a broker tells nobody
                        await asyncio.sleep(_PAUSE_SECONDS)
            finally:
                await admin.close()
            async with AIOKafkaProducer(**client_options(self._kafka)) as producer:
                await producer.send_and_wait(self.topic, UNREADABLE)

    async def _has_transactions(self) -> bool:
        """Whether a transaction can be begun: small brokers know none."""
        try:
            await check_transactions(self._kafka)
        except DependencyError:
            return False
        return True

    async def _count(self) -> list[Counted]:
        """Count what is on the topic now, and where that went; what came meanwhile is left out on all topics.

        The filter is behind by some moments, which are waited for.
        """
        everything = await self._values(self.topic)
        deadline = time.monotonic() + _SECONDS
        while True:
            split = [(topic, await self._values(topic) & everything) for topic in self.outputs]
            counted = [_counted(topic, values) for topic, values in [(self.topic, everything), *split]]
            if sum(one.events for one in counted[1:]) >= counted[0].events or time.monotonic() > deadline:
                return counted
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _preview(self) -> list[Counted]:
        [route] = read_routes(({"from": self.topic, "taint": TAINT},), None)
        revenue: dict[str, float] = defaultdict(float)

        def told(record: Any, routing: Routing) -> None:  # noqa: ANN401 - aiokafka has no types
            revenue[routing.to] += _total(record.value)

        found = await preview_route(self._kafka, Registry(), route, told)
        events = Counter({name: sum(p.events for p in found if p.destination == name) for name in revenue})
        outputs = [Counted(f"{self.topic}.{name}", events[name], revenue[name]) for name in OUTPUTS]
        return [Counted(self.topic, events.total(), sum(revenue.values())), *outputs]

    async def _values(self, topic: str) -> Counter[bytes]:
        """Give the events on a topic, which are sent on as they are and are not alike: each order has an id."""
        values: Counter[bytes] = Counter()
        async for _, records in read_committed(self._kafka, topic):
            values.update(record.value for record in records)
        return values


def _counted(topic: str, values: Counter[bytes]) -> Counted:
    return Counted(topic, values.total(), sum(_total(value) * times for value, times in values.items()))


def _total(value: bytes | None) -> float:
    try:
        return float(msgspec.json.decode(value or b"", type=_Order).total)
    except msgspec.DecodeError:
        return 0.0


class _Order(msgspec.Struct):
    total: float
