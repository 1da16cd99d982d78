"""Reads a clean topic with the rules of today, and says what should not be there."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from gnomon.config import Kafka, Route, Settings
from gnomon.core.routing import Event, EventRouter, Routing
from gnomon.errors import ConfigError, DependencyError
from gnomon.kafka import check_connection, client_options, kafka_errors
from gnomon.operations import AuditMetrics, OperationsServer, Readiness
from gnomon.store.log import StoreInfo, TableWriter
from gnomon.stream.route.rules import make_router, open_users
from gnomon.stream.route.tally import Tally
from gnomon.stream.topics import count_partitions

__all__ = ["Audit", "Finding", "Leak", "audit_topic", "follow_topic", "judges_of"]

LEAKS: Final = 20
"""Leaks of one rule that are told one by one."""
_POLL_MS: Final = 500
_STILL_SECONDS: Final = 60.0
_LAND_SECONDS: Final = 10.0


class Leak(msgspec.Struct, frozen=True):
    """One event that should not be there: its place, and its key as text."""

    partition: int
    offset: int
    key: str | None


class Finding(msgspec.Struct):
    """What one rule finds: how many events, and the first of them."""

    rule: str
    leaks: int = 0
    first: list[Leak] = []


class Audit(msgspec.Struct):
    """What was read of a topic, and what should not be there, by rule."""

    topic: str
    events: int = 0
    findings: dict[str, Finding] = {}

    @property
    def leaks(self) -> int:
        """How many events should not be there."""
        return sum(finding.leaks for finding in self.findings.values())

    def add(self, record: Any, rule: str) -> None:  # noqa: ANN401 - aiokafka has no types
        """Count a leak."""
        finding = self.findings.setdefault(rule, Finding(rule))
        finding.leaks += 1
        if len(finding.first) < LEAKS:
            key = None if record.key is None else record.key.decode("utf-8", "replace")[:200]
            finding.first.append(Leak(record.partition, record.offset, key))


class Judges:
    """What judges the events of a clean topic: all routes that send there, any of which may find a leak."""

    def __init__(self, routers: Sequence[EventRouter]) -> None:
        self._routers = routers

    def leak(self, record: Any) -> str | None:  # noqa: ANN401 - aiokafka has no types
        """Give the rule by which an event should not be there, None where it may."""
        event = Event(record.value, record.headers)
        for router in self._routers:
            routing: Routing = router.judge(event)
            if routing.to in {"synthetic", "quarantine"}:
                return routing.rule if routing.to == "synthetic" else f"unreadable {routing.rule}"
        return None


def judges_of(routes: Sequence[Route], topic: str) -> Judges:
    """Give what judges a clean topic.

    Raises:
        ConfigError: No route has it for its clean topic, or a file of users cannot be read.
    """
    sending = [route for route in routes if route.clean == topic]
    if not sending:
        known = ", ".join(sorted({route.clean for route in routes})) or "there is no [[route]]"
        raise ConfigError(f"no [[route]] has clean = {topic!r}", f"clean topics: {known}")
    return Judges([make_router(route, open_users(route)) for route in sending])


async def audit_topic(kafka: Kafka, topic: str, judges: Judges) -> Audit:
    """Read all that is committed on a clean topic now.

    Raises:
        DependencyError: No broker can be reached, or it stops answering.
        ConfigError: There is no such topic.
    """
    audit = Audit(topic)
    with kafka_errors(kafka, f"reading {topic}"):
        async with _reading(kafka, topic, {}) as consumer:
            ends = await consumer.end_offsets(list(consumer.assignment()))
            moved = time.monotonic()
            while not await _is_read(consumer, ends):
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=10_000)
                moved = time.monotonic() if found else moved
                if time.monotonic() - moved > _STILL_SECONDS:
                    raise DependencyError(f"nothing more came of {topic} in {_STILL_SECONDS:.0f} s", "try again")
                for tp, records in found.items():
                    for record in records:
                        if record.offset >= ends[tp]:
                            break
                        audit.events += 1
                        rule = judges.leak(record)
                        if rule is not None:
                            audit.add(record, rule)
    return audit


async def follow_topic(settings: Settings, topic: str, judges: Judges, told: Callable[[str, Leak], None]) -> None:
    """Read a clean topic on and on until a signal ends it; leaks are counted as metrics and land in `routed`.

    It begins where an earlier run has landed, else at the beginning.

    Args:
        settings: Where Kafka and the store are.
        topic: The clean topic.
        judges: What finds leaks.
        told: Called with each leak and its rule.

    Raises:
        DependencyError: The broker or the store cannot be reached.
        FencedError: Another process follows this topic.
    """
    readiness = Readiness(["kafka"])
    metrics = AuditMetrics(readiness)
    writer = await asyncio.to_thread(_writer, settings.store.path, StoreInfo.of(settings), topic)
    offsets: dict[str, Any] = dict(writer.state)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with OperationsServer(settings.operations, readiness, metrics):
        with kafka_errors(settings.kafka, f"reading {topic}"):
            async with _reading(settings.kafka, topic, offsets) as consumer:
                readiness.ready("kafka")
                while not ended.is_set():
                    tallies: dict[int, Tally] = {}
                    deadline = loop.time() + _LAND_SECONDS
                    while loop.time() < deadline and not ended.is_set():
                        for tp, records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=10_000)).items():
                            tally = tallies.setdefault(tp.partition, Tally(topic, tp.partition))
                            for record in records:
                                rule = judges.leak(record)
                                if rule is not None:
                                    tally.count(rule, "leak", record.offset)
                                    metrics.leaks.labels(topic, rule).inc()
                                    told(rule, Leak(record.partition, record.offset, None))
                            offsets[str(tp.partition)] = records[-1].offset + 1
                    await asyncio.to_thread(_land, writer, topic, tallies, offsets)


def _writer(path: Path, info: StoreInfo, topic: str) -> TableWriter:
    return TableWriter(path, "routed", f"audit-{topic}", info=info)


def _land(writer: TableWriter, topic: str, tallies: dict[int, Tally], offsets: dict[str, Any]) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    rows = []
    for partition, tally in tallies.items():
        dated = Tally(topic, partition)
        dated.merge(tally, minute)
        rows += dated.rows()
    if rows or offsets != writer.state:
        writer.land(rows, state=dict(offsets))


@asynccontextmanager
async def _reading(kafka: Kafka, topic: str, offsets: dict[str, Any]) -> AsyncIterator[AIOKafkaConsumer]:
    """Read all partitions of a topic, what is committed, from the beginning or from where offsets say."""
    await check_connection(kafka)
    count = (await count_partitions(kafka)).get(topic)
    if count is None:
        raise ConfigError(f"there is no topic {topic!r}", "correct --clean, or clean of its [[route]]")
    consumer = AIOKafkaConsumer(
        **client_options(kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    try:
        await consumer.start()
        parts = [TopicPartition(topic, number) for number in range(count)]
        consumer.assign(parts)
        beginnings = await consumer.beginning_offsets(parts)
        for tp in parts:
            consumer.seek(tp, offsets.get(str(tp.partition), beginnings[tp]))
        yield consumer
    finally:
        await consumer.stop()


async def _is_read(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    """Whether all was read: up to the end, or up to where a transaction is still open."""
    for tp, end in ends.items():
        stable = consumer.last_stable_offset(tp)
        if await consumer.position(tp) < min(end, end if stable is None or stable < 0 else stable):
            return False
    return True
