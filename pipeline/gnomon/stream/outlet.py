"""What a worker says on Kafka: refused records, and comparisons where somebody wants them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from gnomon.model import Comparison, Reject

__all__ = ["Outlet"]

logger = logging.getLogger(__name__)

_PATIENCE: Final = 10.0
_REST: Final = 30.0


class Outlet:
    """Sends what has been found, before it lands: a crash in between sends it twice, never not at all.

    The store has all of it, so a topic that takes nothing does not hold the worker up for longer than a few seconds;
    then it is left alone for half a minute, and what was not sent is counted.

    Args:
        make: Makes the producer.
        rejects: The topic for rejects; empty for none.
        comparisons: The topic for comparisons; empty for none.
    """

    def __init__(self, make: Callable[[], AIOKafkaProducer], rejects: str, comparisons: str) -> None:
        self._make = make
        self._rejects = rejects
        self._comparisons = comparisons
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._resting_until = 0.0
        self.unsent = 0

    async def send(self, rejects: Sequence[Reject], comparisons: Sequence[Comparison]) -> None:
        """Send, and wait until the broker has it."""
        messages = [
            *([(self._rejects, None, r.excerpt, _headers(r)) for r in rejects] if self._rejects else []),
            *(
                [(self._comparisons, c.request_id.encode(), msgspec.json.encode(c), []) for c in comparisons]
                if self._comparisons
                else []
            ),
        ]
        if not messages:
            return
        now = asyncio.get_running_loop().time()
        if now < self._resting_until:
            self.unsent += len(messages)
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                producer = await self._started()
                sent = [
                    await producer.send(topic, value, key=key, headers=headers)
                    for topic, key, value, headers in messages
                ]
                await asyncio.gather(*sent)
        except (KafkaError, TimeoutError) as error:
            self.unsent += len(messages)
            self._resting_until = now + _PATIENCE + _REST
            logger.warning("%d messages were not sent to %s: %s", len(messages), messages[0][0], error or "no answer")

    async def close(self) -> None:
        """Let go of the connection."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = self._make()
                await producer.start()
                self._producer = producer
            return self._producer


def _headers(reject: Reject) -> list[tuple[str, bytes]]:
    place = reject.place
    return [
        ("reason", reject.reason.encode("utf-8", "replace")),
        ("topic", place.source.encode()),
        ("partition", str(place.partition).encode()),
        ("offset", str(place.offset).encode()),
    ]
