"""Reads a clean topic with the rules of today, and says what should not be there."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from gnomon.config import Kafka, Registry, Route, Settings
from gnomon.errors import ConfigError, DependencyError
from gnomon.kafka import kafka_errors
from gnomon.operations import AuditMetrics, OperationsServer, Readiness
from gnomon.store.log import StoreInfo, TableWriter
from gnomon.stream.route.judging import RouteJudge
from gnomon.stream.route.reading import POLL_MS, add_partitions, read_committed, reading
from gnomon.stream.route.registry import RegistryClient
from gnomon.stream.route.rules import make_judge, no_route, open_users
from gnomon.stream.route.tally import Tally
from gnomon.stream.route.users import USERS_SECONDS, Users

__all__ = ["Audit", "Finding", "Leak", "audit_topic", "follow_topic", "judges_of"]

logger = logging.getLogger(__name__)

LEAKS: Final = 20
"""Leaks of one rule that are told one by one."""
_LAND_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 1.0


class Leak(msgspec.Struct, frozen=True):
    """One event that should not be there: its place, and its key as text."""

    partition: int
    offset: int
    key: str | None

    @classmethod
    def of(cls, record: Any) -> Self:  # noqa: ANN401 - aiokafka has no types
        """Tell of a record."""
        key = None if record.key is None else record.key.decode("utf-8", "replace")[:200]
        return cls(record.partition, record.offset, key)


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
            finding.first.append(Leak.of(record))


class Judges:
    """What judges the events of a clean topic: all routes that send there, any of which may find a leak."""

    def __init__(
        self, judges: Sequence[RouteJudge], registry: RegistryClient | None = None, users: Sequence[Users] = ()
    ) -> None:
        self._judges = judges
        self._registry = registry
        self._users = users

    async def look_at_users(self) -> None:
        """Read files of users that have changed; to be called every second or so."""
        for users in self._users:
            await asyncio.to_thread(users.look)

    async def prepare(self, records: Sequence[Any]) -> None:
        """Get the schemas that records need, before `leak` is asked.

        Raises:
            DependencyError: A schema cannot be had.
        """
        for judge in self._judges:
            await judge.prepare(records)

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of connections."""
        if self._registry is not None:
            await self._registry.close()

    def leak(self, record: Any) -> str | None:  # noqa: ANN401 - aiokafka has no types
        """Give the rule by which an event should not be there, None where it may.

        What one route cannot read may be another's: it is a leak where none can.
        """
        routings = [judge.judge(record) for judge in self._judges]
        for routing in routings:
            if routing.to == "synthetic":
                return routing.rule
        if all(routing.to == "quarantine" for routing in routings):
            return f"unreadable {routings[0].rule}"
        return None


def judges_of(routes: Sequence[Route], topic: str, registry: Registry) -> Judges:
    """Give what judges a clean topic; `registry` says where schemas are.

    Raises:
        ConfigError: No route has it for its clean topic, or a file of users cannot be read.
    """
    sending = [route for route in routes if route.clean == topic]
    if not sending:
        if not routes:
            raise no_route()
        known = ", ".join(sorted({route.clean for route in routes}))
        raise ConfigError(f"no [[route]] has clean = {topic!r}", f"clean topics: {known}")
    client = RegistryClient(registry) if registry.url else None
    users = [open_users(route) for route in sending]
    judges = [make_judge(route, known, client) for route, known in zip(sending, users, strict=True)]
    return Judges(judges, client, [known for known in users if known is not None])


async def audit_topic(kafka: Kafka, topic: str, judges: Judges) -> Audit:
    """Read all that is committed on a clean topic now.

    Raises:
        DependencyError: No broker can be reached, or it stops answering.
        ConfigError: There is no such topic.
    """
    audit = Audit(topic)
    async with judges:
        async for _, records in read_committed(kafka, topic):
            await judges.prepare(records)
            audit.events += len(records)
            for record in records:
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
    follower = _Follower(topic, judges, told, metrics, readiness)
    follower.offsets.update(writer.state)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, follower.ended.set)
    async with OperationsServer(settings.operations, readiness, metrics):
        with kafka_errors(settings.kafka, f"reading {topic}"):
            async with judges, reading(settings.kafka, topic, follower.offsets) as consumer:
                while not follower.ended.is_set():
                    try:
                        await add_partitions(settings.kafka, consumer, topic)
                        readiness.ready("kafka")
                    except (DependencyError, KafkaError) as error:
                        readiness.not_ready("kafka", str(error))
                    tallies = await follower.read(consumer, loop.time() + _LAND_SECONDS)
                    await asyncio.to_thread(_land, writer, topic, tallies, follower.offsets)


class _Follower:
    """Reads on for a while, time and again; `offsets` has where it is, by partition as text."""

    def __init__(
        self,
        topic: str,
        judges: Judges,
        told: Callable[[str, Leak], None],
        metrics: AuditMetrics,
        readiness: Readiness,
    ) -> None:
        self.offsets: dict[str, Any] = {}
        self.ended = asyncio.Event()
        self._topic = topic
        self._judges = judges
        self._told = told
        self._metrics = metrics
        self._readiness = readiness
        self._looked = 0.0

    async def read(self, consumer: AIOKafkaConsumer, deadline: float) -> dict[int, Tally]:
        """Read until a deadline, in the loop's time, or until the end; give what leaks were found, by partition."""
        loop = asyncio.get_running_loop()
        tallies: dict[int, Tally] = {}
        while loop.time() < deadline and not self.ended.is_set():
            if loop.time() - self._looked > USERS_SECONDS:
                await self._judges.look_at_users()
                self._looked = loop.time()
            for tp, records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=10_000)).items():
                if not await self._is_prepared(records):
                    return tallies
                self._judge(records, tallies.setdefault(tp.partition, Tally(self._topic, tp.partition)))
                self.offsets[str(tp.partition)] = records[-1].offset + 1
        return tallies

    async def _is_prepared(self, records: Sequence[Any]) -> bool:
        """Get what records need to be judged; wait for it as long as it takes, or until the end."""
        readiness = self._readiness
        while not self.ended.is_set():
            try:
                await self._judges.prepare(records)
            except DependencyError as error:
                if readiness.reasons.get("registry") != str(error):
                    logger.warning("the audit waits: %s", error)
                readiness.not_ready("registry", str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_SECONDS):
                        await self.ended.wait()
            else:
                if "registry" in readiness.reasons:
                    logger.info("the audit goes on")
                    readiness.forget("registry")
                return True
        return False

    def _judge(self, records: Sequence[Any], tally: Tally) -> None:
        for record in records:
            rule = self._judges.leak(record)
            if rule is not None:
                tally.count(rule, "leak", record.offset)
                self._metrics.leaks.labels(self._topic, rule).inc()
                self._told(rule, Leak.of(record))


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
