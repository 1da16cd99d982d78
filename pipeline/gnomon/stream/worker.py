"""The worker: opens and closes partitions as the group assigns them, and hands each its records."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final, Protocol

from faust.types import TP

from gnomon.config import Settings
from gnomon.engine import Engine
from gnomon.errors import DependencyError
from gnomon.evidence import EvidenceBudget
from gnomon.model import JsonValue, Place
from gnomon.stream.intake import Intake, IntakeOptions
from gnomon.stream.landing import Log, LogWriter
from gnomon.stream.partition import LooksBack, Partition, Shared, Tells, Timing
from gnomon.stream.transport import Slice

__all__ = ["ConsumerPort", "Worker"]

logger = logging.getLogger(__name__)

_MICROSECOND: Final = timedelta(microseconds=1)
_DRAIN_SECONDS: Final = 20.0
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)


class ConsumerPort(Protocol):
    """What the worker asks of the consumer (`gnomon.stream.transport.Consumer`)."""

    def is_current(self, tp: TP, part: Slice) -> bool:
        """Whether a slice is from after the last seek."""

    def landed(self, tp: TP, offset: int) -> None:
        """Allow that everything below an offset is committed."""

    async def seek(self, partition: TP, offset: int) -> None:
        """Read on from an offset."""

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Ask the broker where partitions begin."""

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Ask the broker where partitions end."""


class Worker:
    """All partitions of one process.

    Args:
        settings: How records are joined, and bounds.
        engine: Compares.
        log: Where results land.
        lookback: Reads records again.
        outlet: Tells others.
    """

    def __init__(self, settings: Settings, engine: Engine, log: Log, lookback: LooksBack, outlet: Tells) -> None:
        self._settings = settings
        self._log = log
        self.partitions: dict[TP, Partition] = {}
        self.timing = Timing()
        self.trouble: dict[tuple[str, int], str] = {}
        self.lost: dict[TP, float] = {}
        self.stopping = False
        self._shared = Shared(
            engine=engine,
            evidence=EvidenceBudget(settings.limits.evidence),
            lookback=lookback,
            outlet=outlet,
            clock_us=_clock_us,
            lost=self._lose,
            trouble=self.trouble,
            timing=self.timing,
        )

    async def start_offsets(self, consumer: ConsumerPort, committed: Mapping[TP, int | None]) -> dict[TP, int]:
        """Open what is newly assigned and say where each partition is read from.

        A partition whose series cannot be opened yet is left out: it is opened when its first records come.
        """
        starts: dict[TP, int] = {}
        for tp in sorted(committed):
            partition = self.partitions.get(tp)
            if partition is not None and not partition.closed:
                starts[tp] = partition.intake.offsets.following
                continue
            await self.revoke([tp])
            try:
                start = await self._open(consumer, tp, committed[tp])
            except DependencyError as error:
                self._note(tp, error)
                continue
            if start is not None:
                starts[tp] = start
        return starts

    async def take(self, consumer: ConsumerPort, tp: TP, part: Slice) -> None:
        """Take what one poll brought of one partition."""
        tried = 0
        while not self.stopping and consumer.is_current(tp, part):
            partition = self.partitions.get(tp)
            if partition is not None:
                await partition.take(part.records)
                return
            try:
                start = await self._open(consumer, tp, None)
            except DependencyError as error:
                self._note(tp, error)
                await asyncio.sleep(_PAUSES[min(tried, len(_PAUSES) - 1)])
                tried += 1
                continue
            self.trouble.pop((tp.topic, tp.partition), None)
            if start is not None and start != part.records[0].offset:
                await consumer.seek(tp, start)

    async def tick(self, consumer: ConsumerPort) -> None:
        """Land what is due and let time pass in idle partitions; to be called several times a second."""
        for tp, partition in list(self.partitions.items()):

            async def is_idle(tp: TP = tp, partition: Partition = partition) -> bool:
                ends = await consumer.highwaters(tp)
                return ends.get(tp, -1) <= partition.intake.offsets.following

            await partition.tick(is_idle)

    async def revoke(self, tps: Iterable[TP]) -> None:
        """Drop the state of partitions; their next owner reads it again."""
        partitions = [self.partitions.pop(tp) for tp in tps if tp in self.partitions]
        for tp in tps:
            self.lost.pop(tp, None)
        if partitions:
            await asyncio.gather(*(partition.close() for partition in partitions))

    async def stop(self) -> None:
        """Land what is complete, within some seconds."""
        self.stopping = True
        partitions = list(self.partitions.values())
        if partitions:
            drains = [asyncio.create_task(partition.drain()) for partition in partitions]
            _, late = await asyncio.wait(drains, timeout=_DRAIN_SECONDS)
            if late:
                logger.warning("%d partitions could not land all that was complete; it is read again", len(late))
            for drain in late:
                drain.cancel()

    async def close(self) -> None:
        """Let go of everything."""
        await self.revoke(list(self.partitions))

    def _lose(self, topic: str, number: int) -> None:
        self.lost.setdefault(TP(topic, number), time.monotonic())

    async def _open(self, consumer: ConsumerPort, tp: TP, committed: int | None) -> int | None:
        """Take a partition over; give where to read from, None for wherever the consumer stands.

        The log's word counts: a batch and its position land together. What is committed on Kafka is behind it, and
        counts where the log knows nothing. Positions past the end are those of a topic that is gone.
        """
        writer = await asyncio.to_thread(self._log.open, tp.topic, tp.partition)
        state: dict[str, JsonValue] = dict(writer.state)
        if not state and committed is not None:
            state = {"following": committed}
        if state:
            state = await self._within_topic(consumer, tp, state)
        place = Place(tp.topic, partition=tp.partition)
        intake = Intake(place, self._options(), state, writer.landed)
        self.partitions[tp] = self._partition(consumer, tp, place, intake, writer)
        self.lost.pop(tp, None)
        logger.info("%s[%d] is read from %d", tp.topic, tp.partition, intake.offsets.following)
        return intake.offsets.following if state else None

    async def _within_topic(self, consumer: ConsumerPort, tp: TP, state: dict[str, JsonValue]) -> dict[str, JsonValue]:
        end = (await consumer.highwaters(tp)).get(tp)
        following = state.get("following")
        if end is None or not isinstance(following, int) or following <= end:
            return state
        beginning = (await consumer.earliest_offsets(tp)).get(tp, 0)
        logger.warning(
            "%s[%d] ends at %d, before %d where it was read to: it was made anew, and is read from its beginning",
            tp.topic,
            tp.partition,
            end,
            following,
        )
        return {"following": beginning}

    def _partition(self, consumer: ConsumerPort, tp: TP, place: Place, intake: Intake, writer: LogWriter) -> Partition:
        return Partition(place, intake, writer, self._shared, lambda offset: consumer.landed(tp, offset))

    def _options(self) -> IntakeOptions:
        join = self._settings.join
        return IntakeOptions(
            window_us=join.window // _MICROSECOND,
            lateness_us=join.lateness // _MICROSECOND,
            skew_us=join.skew // _MICROSECOND,
            expect=join.expect,
            memory=self._settings.limits.pending_bytes // (len(self.partitions) + 1),
        )

    def _note(self, tp: TP, error: DependencyError) -> None:
        if self.trouble.get((tp.topic, tp.partition)) != str(error):
            logger.warning("%s[%d] is held up: %s", tp.topic, tp.partition, error)
        self.trouble[tp.topic, tp.partition] = str(error)


def _clock_us() -> int:
    return time.time_ns() // 1000
