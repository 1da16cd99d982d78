"""Alerts on Kafka: one message for each change of state, at least once, in the order of each alert."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import msgspec
from aiokafka import AIOKafkaProducer

from gnomon.alert.send import SendFailedError
from gnomon.config import Hook, Kafka
from gnomon.errors import GnomonError
from gnomon.kafka import client_options, kafka_errors
from gnomon.model import Alert

__all__ = ["TopicSender", "topic_hook"]

PATIENCE: Final = 10.0
"""Seconds that an attempt may take, connecting included."""


def topic_hook(topic: str) -> Hook:
    """The topic as a place that alerts go to; no `[[hook]]` can have such a name."""
    return Hook(name=f"kafka:{topic}")


class TopicSender:
    """Puts alerts on a topic; an async context manager.

    The key is the alert's, so that its changes of state stay in order; the value is what a webhook is sent, and the
    header `idempotency-key` is the same for every attempt. Connects when there is something to send.

    Args:
        kafka: The brokers, and the topic in `alerts`.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        """The sender itself; nothing is connected yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the connection."""
        await self._close()

    async def send(self, _: Hook, alert: Alert, identity: str) -> None:
        """Make one attempt; the broker has the message when this returns.

        Raises:
            SendFailedError: It did not work; says why.
        """
        try:
            with kafka_errors(self._kafka, f"sending to {self._kafka.alerts}"):
                async with asyncio.timeout(PATIENCE):
                    producer = await self._connected()
                    await producer.send_and_wait(
                        self._kafka.alerts,
                        msgspec.json.encode(alert),
                        key=alert.key.encode(),
                        headers=[("idempotency-key", identity.encode())],
                    )
        except GnomonError as error:
            # What is buffered goes with the client: a message is tried again by the outbox, not behind its back
            await self._close()
            raise SendFailedError(str(error)) from error

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            options = client_options(self._kafka)
            self._producer = AIOKafkaProducer(**options, acks="all", request_timeout_ms=int(PATIENCE * 1000))
            await self._producer.start()
        return self._producer

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await producer.stop()
