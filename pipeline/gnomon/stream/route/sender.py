"""Sends the events of one input partition on, in Kafka transactions that hold the position they were read to.

There is one transactional id per input partition: whoever starts a producer with it fences all earlier ones, so of two
processes that both take a partition for theirs, one commits. (aiokafka sends offsets with the group's name alone, so
the group's generation fences nobody.)

Records go by aiokafka's batch API: a `send` per record costs a future and several awaits each.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import cramjam
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerFenced, UnknownProducerId
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import TopicPartition

from gnomon.errors import DependencyError, FencedError

__all__ = ["Headers", "KafkaSender", "Sends", "TooLargeError"]

logger = logging.getLogger(__name__)

BATCH_BYTES: Final = 256 * 1024
"""Bytes of one batch before compression; an event that is larger is a batch of its own."""
_START_SECONDS: Final = 45.0
_ANSWER_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 2.0

Headers = Sequence[tuple[str, bytes | None]]


class TooLargeError(DependencyError):
    """An event is larger than what a topic takes."""


class Sends(Protocol):
    """What a lane asks of the sender of its partition; all of it raises DependencyError or FencedError."""

    async def begin(self) -> None:
        """Begin a transaction."""

    def add(self, topic: str, record: Any, headers: Headers, /) -> None:  # noqa: ANN401 - aiokafka has no types
        """Put a record into a topic, with headers in place of its own."""

    async def flush(self) -> None:
        """Hand over the batches that are full."""

    async def commit(self, offset: int, /) -> None:
        """End the transaction, with the offset to read next."""

    async def close(self) -> None:
        """Let go; a transaction that is open is taken back."""


class KafkaSender:
    """The sender of one input partition.

    Args:
        make: Makes a producer of a transactional id.
        source: The input partition.
        group: The consumer group whose position is committed.
    """

    def __init__(self, make: Callable[[str], AIOKafkaProducer], source: TopicPartition, group: str) -> None:
        self._source = source
        self._group = group
        self._producer = make(f"{group}-{source.topic}-{source.partition}")
        self._open: dict[str, Any] = {}
        self._full: list[tuple[str, Any]] = []
        self._sent: list[Future[Any]] = []

    async def start(self) -> None:
        """Take the partition over: what an earlier owner has not committed by now is taken back.

        Raises:
            DependencyError: The broker does not answer, or does not let us.
        """
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise _lost(error, self._source) from error
        except asyncio.CancelledError:  # the group is on the move
            await self.close()
            raise

    async def begin(self) -> None:
        """Begin a transaction (see `Sends`)."""
        self._open, self._full, self._sent = {}, [], []
        await self._asked(self._producer.begin_transaction())

    def add(self, topic: str, record: Any, headers: Headers, /) -> None:  # noqa: ANN401 - aiokafka has no types
        """Put a record into a topic (see `Sends`)."""
        batch = self._open.get(topic)
        copied = list(headers)
        if batch is not None:
            if batch.append(timestamp=record.timestamp, key=record.key, value=record.value, headers=copied) is not None:
                return
            self._full.append((topic, batch))
        batch = self._open[topic] = self._new_batch(record.value)
        batch.append(timestamp=record.timestamp, key=record.key, value=record.value, headers=copied)

    def _new_batch(self, value: bytes | None) -> Any:  # noqa: ANN401 - aiokafka has no types
        """Make a batch; that of a large value which does not compress is plain, or it might grow past what fits."""
        if value is None or len(value) <= BATCH_BYTES or len(cramjam.lz4.compress(value)) < len(value):
            return self._producer.create_batch()
        return BatchBuilder(BATCH_BYTES, 0, is_transactional=1)

    async def flush(self) -> None:
        """Hand over the batches that are full (see `Sends`)."""
        full, self._full = self._full, []
        for topic, batch in full:
            sending = self._producer.send_batch(batch, topic, partition=self._source.partition)
            self._sent.append(await self._asked(sending))

    async def commit(self, offset: int, /) -> None:
        """End the transaction (see `Sends`)."""
        self._full += self._open.items()
        self._open = {}
        await self.flush()
        await self._asked(asyncio.gather(*self._sent))
        await self._asked(self._producer.send_offsets_to_transaction({self._source: offset}, self._group))
        await self._asked(self._producer.commit_transaction())

    async def close(self) -> None:
        """Let go (see `Sends`): the transaction of a producer that is gone is taken back by whoever starts the next."""
        with suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._producer.stop()
        sender = self._producer._sender  # noqa: SLF001 - `stop` waits for batches that may never be answered
        if sender.sender_task is not None and not sender.sender_task.done():
            with suppress(KafkaError, OSError):
                await self._producer.client.close()
            sender.sender_task.cancel()
        accumulator = self._producer._message_accumulator  # noqa: SLF001 - nobody else looks at what it waits for
        waiters = [batch._drain_waiter for batches in accumulator._batches.values() for batch in batches]  # noqa: SLF001
        for future in [*self._sent, *waiters]:
            if future.done() and not future.cancelled():
                future.exception()  # it has been looked at
            else:
                future.cancel()

    async def _asked(self, answer: Any) -> Any:  # noqa: ANN401 - whatever the producer answers
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except (KafkaError, OSError, TimeoutError) as error:
            raise _lost(error, self._source) from error


def _lost(error: Exception, source: TopicPartition) -> DependencyError | FencedError:
    place = f"{source.topic}[{source.partition}]"
    if isinstance(error, ProducerFenced | UnknownProducerId):
        return FencedError(f"another process has taken over {place}", "that one goes on")
    if isinstance(error, MessageSizeTooLargeError):
        return TooLargeError(
            f"an event of {place} is too large for an output", "raise max.message.bytes of the outputs"
        )
    why = f"{type(error).__name__}: {error}".rstrip(": ")
    return DependencyError(f"events of {place} could not be sent on: {why}", "look into the broker's log")
