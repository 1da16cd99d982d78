"""Reads a clean topic with the rules of today, and says what should not be there."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from gnomon.config import Kafka, Registry, Route, Settings
from gnomon.errors import ConfigError
from gnomon.kafka import kafka_errors
from gnomon.operations import AuditMetrics, OperationsServer, Readiness
from gnomon.store.log import StoreInfo, TableWriter
from gnomon.stream.route.judging import RouteJudge
from gnomon.stream.route.reading import POLL_MS, read_committed, reading
from gnomon.stream.route.registry import RegistryClient
from gnomon.stream.route.rules import make_judge, open_users
from gnomon.stream.route.tally import Tally

__all__ = ["Audit", "Finding", "Leak", "audit_topic", "follow_topic", "judges_of"]

LEAKS: Final = 20
"""Leaks of one rule that are told one by one."""
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

    def __init__(self, judges: Sequence[RouteJudge], registry: RegistryClient | None = None) -> None:
        self._judges = judges
        self._registry = registry

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
        """Give the rule by which an event should not be there, None where it may."""
        for judge in self._judges:
            routing = judge.judge(record)
            if routing.to in {"synthetic", "quarantine"}:
                return routing.rule if routing.to == "synthetic" else f"unreadable {routing.rule}"
        return None


def judges_of(routes: Sequence[Route], topic: str, registry: Registry) -> Judges:
    """Give what judges a clean topic; `registry` says where schemas are.

    Raises:
        ConfigError: No route has it for its clean topic, or a file of users cannot be read.
    """
    sending = [route for route in routes if route.clean == topic]
    if not sending:
        known = ", ".join(sorted({route.clean for route in routes})) or "there is no [[route]]"
        raise ConfigError(f"no [[route]] has clean = {topic!r}", f"clean topics: {known}")
    client = RegistryClient(registry) if registry.url else None
    return Judges([make_judge(route, open_users(route), client) for route in sending], client)


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
    offsets: dict[str, Any] = dict(writer.state)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with OperationsServer(settings.operations, readiness, metrics):
        with kafka_errors(settings.kafka, f"reading {topic}"):
            async with judges, reading(settings.kafka, topic, offsets) as consumer:
                readiness.ready("kafka")
                while not ended.is_set():
                    tallies: dict[int, Tally] = {}
                    deadline = loop.time() + _LAND_SECONDS
                    while loop.time() < deadline and not ended.is_set():
                        for tp, records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=10_000)).items():
                            tally = tallies.setdefault(tp.partition, Tally(topic, tp.partition))
                            await judges.prepare(records)
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
