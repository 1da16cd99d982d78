"""Alerts on Kafka where no broker is; with one, see tests/kafka/test_alerts.py."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from gnomon.alert import SendFailedError, TopicSender, topic_hook
from gnomon.config import Kafka, KafkaSecurity
from gnomon.model import Alert


def attempt(kafka: Kafka, alert: Alert) -> None:
    """Make one attempt."""

    async def work() -> None:
        async with TopicSender(kafka) as sender:
            await sender.send(topic_hook(kafka.alerts), alert, "id")

    asyncio.run(work())


def test_without_a_broker_the_attempt_fails_with_a_sentence(alert: Callable[..., Alert]) -> None:
    """It names the topic and the broker, and leaves nothing behind."""
    with socket.socket() as bound:  # bound and not listening: whoever connects is refused
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(SendFailedError, match=f"sending to gnomon.alerts at {address} failed: "):
            attempt(Kafka(bootstrap=address), alert())


def test_settings_that_contradict_each_other_fail_the_attempt(alert: Callable[..., Alert]) -> None:
    """The evaluator goes on; what is wrong is said like any other failure."""
    with pytest.raises(SendFailedError, match="no mechanism is set"):
        attempt(Kafka(security=KafkaSecurity(protocol="sasl_ssl")), alert())


def test_no_hook_can_be_taken_for_the_topic() -> None:
    """Names of hooks have no colon."""
    assert topic_hook("gnomon.alerts").name == "kafka:gnomon.alerts"
