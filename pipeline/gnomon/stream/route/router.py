"""The filter's partitions: opened and closed as the group assigns them, and opened anew after trouble.

Whatever goes wrong in a transaction has one remedy: the sender is thrown away, a new one is started (which takes back
what was not committed, and fences whoever else has the partition), the committed position is asked for only then, and
the partition is read again from there. So it does not matter what was known before, or who else believed to own it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from aiokafka.errors import KafkaError
from faust.types import TP

from gnomon.config import Route
from gnomon.errors import ConfigError, DependencyError, FencedError, GnomonError
from gnomon.operations import Readiness, RouteMetrics
from gnomon.stream.route.journal import Journal
from gnomon.stream.route.judging import RouteJudge
from gnomon.stream.route.lane import Lane, Told
from gnomon.stream.route.sender import Sends, TooLargeError
from gnomon.stream.route.tally import Tally
from gnomon.stream.transport import Slice

__all__ = ["ConsumerPort", "KafkaPort", "Router", "check_outputs"]

logger = logging.getLogger(__name__)

_DRAIN_SECONDS: Final = 10.0
_PAUSES: Final = (0.5, 1.0, 2.0, 5.0)
_STUCK_SECONDS: Final = 10.0
"""After how long without a commit a partition that has events is said to be held up."""
_CALM_SECONDS: Final = 60.0
"""After so long without trouble the pauses begin with the shortest again."""


class ConsumerPort(Protocol):
    """What the router asks of the consumer (`gnomon.stream.transport.Consumer`)."""

    def is_current(self, tp: TP, part: Slice) -> bool:
        """Whether a slice is from after the last seek."""

    def assignment(self) -> set[TP]:
        """Give the partitions that are this process's, as far as it knows."""

    async def seek(self, partition: TP, offset: int) -> None:
        """Read on from an offset."""

    def hold(self, tp: TP) -> None:
        """Bring nothing more of a partition."""

    def release(self, tp: TP) -> None:
        """Go on with a partition."""

    def highwater(self, tp: TP) -> int | None:
        """Give where a partition ended when it was last fetched from."""

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Ask the broker where partitions begin."""

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Ask the broker where partitions end."""


class KafkaPort(Protocol):
    """What else the router asks of Kafka; all of it raises DependencyError."""

    async def start_sender(self, tp: TP, /) -> Sends:
        """Take a partition over from whoever had it."""

    async def committed(self, tp: TP, /) -> int | None:
        """Ask for the committed position."""

    async def partitions(self) -> Mapping[str, int]:
        """Ask how many partitions each topic has."""


class Router:
    """All partitions of one process.

    Args:
        routes: The routes by the topic that they read, each with what judges its events.
        kafka: Transactions and positions.
        journal: Makes the audit of a partition.
    """

    def __init__(
        self,
        routes: Mapping[str, tuple[Route, RouteJudge]],
        kafka: KafkaPort,
        journal: Callable[[str, int], Journal],
    ) -> None:
        self._routes = routes
        self._kafka = kafka
        self._make_journal = journal
        self.readiness = Readiness(["kafka"])
        self.metrics = RouteMetrics(self.readiness, self.lags)
        self._lanes: dict[TP, Lane] = {}
        self._journals: dict[TP, Journal] = {}
        self._tasks: dict[TP, asyncio.Task[None]] = {}
        self._troubles: dict[TP, tuple[int, float]] = {}
        self._ends: dict[TP, int] = {}
        self._gaps: dict[TP, int] = {}
        self._bare: set[TP] = set()
        self._dropped: dict[TP, int] = {}
        self._begun_anew: set[TP] = set()
        self._stuck: set[TP] = set()
        self._opening = asyncio.Lock()
        self._stopping = False

    def lags(self) -> dict[tuple[str, ...], float]:
        """Give how many records of each partition are still to be read."""
        return {
            (tp.topic, str(tp.partition)): max(self._ends.get(tp, 0) - lane.following, 0)
            for tp, lane in self._lanes.items()
        }

    async def start_offsets(self, consumer: ConsumerPort, committed: Mapping[TP, int | None]) -> dict[TP, int]:
        """Open what is newly assigned and say where each partition is read from; what cannot be opened comes later."""

        async def start_of(tp: TP) -> int | None:
            with suppress(GnomonError):
                return await self._open(consumer, tp)
            return None

        async with self._opening:
            starts = await asyncio.gather(*(start_of(tp) for tp in committed))
        return {tp: start for tp, start in zip(committed, starts, strict=True) if start is not None}

    async def take(self, consumer: ConsumerPort, tp: TP, part: Slice) -> None:
        """Take what one poll brought of one partition; what comes for none that is open is read again later.

        It never waits for a partition: whoever calls it brings all others too. One without room is held.
        """
        if self._stopping or not consumer.is_current(tp, part):
            return
        lane, first = self._lanes.get(tp), part.records[0].offset
        if lane is None or tp in self._dropped:
            consumer.hold(tp)  # `tick` reads it again
        elif first < lane.following or lane.is_overfull:
            self._dropped[tp] = first
            consumer.hold(tp)
        elif first > lane.following and self._gaps.get(tp) != lane.following:
            # Compacted away, or the end of a transaction; or lost on the way here: it has to be missing twice
            self._gaps[tp] = lane.following
            await consumer.seek(tp, lane.following)
        else:
            lane.put(part.records)
            if not lane.has_room:
                consumer.hold(tp)

    async def tick(self, consumer: ConsumerPort) -> None:
        """Open what could not be opened before, read again what was dropped; to be called several times a second."""
        closed = []
        for tp in consumer.assignment():
            with suppress(AssertionError):  # it is no longer ours
                self._ends[tp] = consumer.highwater(tp) or 0
            if tp.topic not in self._routes or tp in self._lanes or self._stopping:
                continue
            if time.monotonic() >= self._troubles.get(tp, (0, 0.0))[1]:
                closed.append(tp)
        for tp, lane in list(self._lanes.items()):
            if lane.seconds_stuck > _STUCK_SECONDS and _name(tp) not in self.readiness.reasons:
                self._stuck.add(tp)
                what = f"nothing could be sent on for {_STUCK_SECONDS:.0f} s: its outputs, or what judges it, are slow"
                self._say(tp, DependencyError(what))
            if tp in self._dropped and lane.has_room:
                await self._read_again(consumer, tp, lane)
        if closed:
            async with self._opening:
                mine = consumer.assignment()
                still = [tp for tp in closed if tp not in self._lanes and tp in mine]
                await asyncio.gather(*(self._open_again(consumer, tp) for tp in still))

    async def land(self) -> None:
        """Land the audit; what fails is tried again the next time."""
        for journal in list(self._journals.values()):
            problem = await journal.land()
            if problem and self.readiness.reasons.get("store") != problem:
                logger.warning("what was routed is not in the store yet, routing goes on: %s", problem)
            if problem:
                self.readiness.not_ready("store", problem)
                return
        self.readiness.ready("store")

    async def revoke(self, tps: Iterable[TP]) -> None:
        """Commit what is under way, within some seconds, and let go of partitions."""
        await asyncio.gather(*(self._close(tp) for tp in list(tps)))

    async def stop(self) -> None:
        """Commit what is under way, within some seconds, and let go of everything."""
        self._stopping = True
        await self.revoke(list(self._lanes))

    async def _read_again(self, consumer: ConsumerPort, tp: TP, lane: Lane) -> None:
        """Go back to what was dropped; where offsets have begun anew, open the partition anew."""
        try:
            if self._dropped[tp] < lane.following:
                end = (await consumer.highwaters(tp)).get(tp)
                if end is not None and end < lane.following:
                    self._begun_anew.add(tp)
                    await self._close(tp)
                    return
            if self._lanes.get(tp) is lane:
                await consumer.seek(tp, lane.following)
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            logger.warning("%s cannot be read on yet: %s", _name(tp), error)
            return
        if self._lanes.get(tp) is lane and self._dropped.pop(tp, None) is not None:
            consumer.release(tp)

    async def _open_again(self, consumer: ConsumerPort, tp: TP) -> None:
        with suppress(GnomonError):
            start = await self._open(consumer, tp)
            try:
                await consumer.seek(tp, start)
            except (KafkaError, AssertionError) as error:
                # It would read on from elsewhere
                await self._close(tp)
                self._note(tp, DependencyError(f"it could not be read from {start}: {error}"))

    async def _open(self, consumer: ConsumerPort, tp: TP) -> int:
        """Take a partition over; give where it is to be read from.

        Raises:
            GnomonError: That did not work; it was noted.
        """
        lane = self._lanes.get(tp)
        if lane is not None:
            return lane.following
        route, judge = self._routes[tp.topic]
        try:
            check_outputs(route, await self._kafka.partitions(), tp.partition)
            sender = await self._kafka.start_sender(tp)
            try:
                # Only now: whoever had it before cannot commit any more
                committed = await self._kafka.committed(tp)
                start = await self._start_of(consumer, tp, committed)
            except BaseException:
                await sender.close()
                raise
        except GnomonError as error:
            self._note(tp, error)
            raise
        if tp in self._journals:
            await self._journals[tp].land()
        journal = self._journals[tp] = self._make_journal(tp.topic, tp.partition)
        journal.start(committed)
        lane = self._lanes[tp] = Lane(
            route,
            judge.of_partition(tp.partition),
            sender,
            start,
            Told(partial(self._count, tp, journal), partial(self._hold, tp), partial(self._go_on, consumer, tp)),
            bare=tp in self._bare,
        )
        self._dropped.pop(tp, None)
        consumer.release(tp)
        self._tasks[tp] = asyncio.create_task(self._run(tp, lane), name=f"route {_name(tp)}")
        self.readiness.forget(_name(tp))
        self.readiness.ready("kafka")
        logger.info("%s is read from %d", _name(tp), start)
        return start

    async def _start_of(self, consumer: ConsumerPort, tp: TP, committed: int | None) -> int:
        try:
            if committed is None:  # as it is when a broker has deleted a topic, and what groups have committed of it
                self._begun_anew.discard(tp)
                return (await consumer.earliest_offsets(tp)).get(tp, 0)
            end = (await consumer.highwaters(tp)).get(tp)
        except (KafkaError, OSError, TimeoutError) as error:
            raise DependencyError(f"the broker does not tell where {_name(tp)} begins: {error}") from error
        if end is not None and (end < committed or tp in self._begun_anew):
            # It may grow past the position again. The broker may still be about to drop that, as it does with a topic
            self._begun_anew.add(tp)
            raise _was_set_back(end, committed)
        return committed

    async def _run(self, tp: TP, lane: Lane) -> None:
        try:
            await lane.run()
        except GnomonError as error:
            self.metrics.retries.labels(tp.topic).inc()
            if isinstance(error, TooLargeError):
                self._bare.add(tp)
            self._note(tp, error)
        except Exception:
            logger.exception("a bug of ours: %s is read again from where it was committed", _name(tp))
            self._note(tp, DependencyError("it could not be routed", "look into this process's log"))
        else:
            return
        if self._lanes.get(tp) is lane:
            del self._lanes[tp]  # `tick` opens it again
            self._stuck.discard(tp)
        await lane.close()

    async def _close(self, tp: TP) -> None:
        lane, task = self._lanes.get(tp), self._tasks.pop(tp, None)
        journal = self._journals.pop(tp, None)
        if lane is not None and task is not None:
            lane.end()
            _, late = await asyncio.wait([task], timeout=_DRAIN_SECONDS)
            if late:
                logger.warning("%s could not be committed in time; it is read again", _name(tp))
                task.cancel()
            await lane.close()
        if self._lanes.get(tp) is lane:
            self._lanes.pop(tp, None)
        if journal is not None:
            await journal.land()
        self._troubles.pop(tp, None)
        self._dropped.pop(tp, None)
        self._stuck.discard(tp)
        self.readiness.forget(_name(tp))

    def _count(self, tp: TP, journal: Journal, tally: Tally, following: int, seconds: float) -> None:
        for _, destination, events in tally.totals():
            self.metrics.routed.labels(tp.topic, destination).inc(events)
        self.metrics.transaction_seconds.observe(seconds)
        journal.add(tally, following)
        if tp in self._stuck:
            self._stuck.discard(tp)
            self._hold(tp, None)

    def _go_on(self, consumer: ConsumerPort, tp: TP) -> None:
        """Have more brought, now that there is room; where something was dropped, `tick` goes back first."""
        if tp not in self._dropped:
            consumer.release(tp)

    def _hold(self, tp: TP, error: DependencyError | None) -> None:
        """Say why a partition waits, or that it no longer does."""
        if error is None:
            self.readiness.forget(_name(tp))
            logger.info("%s goes on", _name(tp))
        else:
            self._say(tp, error)

    def _note(self, tp: TP, error: GnomonError) -> None:
        now = time.monotonic()
        tried, until = self._troubles.get(tp, (0, now))
        tried = 0 if now > until + _CALM_SECONDS else tried
        self._troubles[tp] = (tried + 1, now + _PAUSES[min(tried, len(_PAUSES) - 1)])
        self._say(tp, error)

    def _say(self, tp: TP, error: GnomonError) -> None:
        if self.readiness.reasons.get(_name(tp)) != str(error):
            level = logging.INFO if isinstance(error, FencedError) else logging.WARNING
            logger.log(level, "%s is held up: %s", _name(tp), error)
        self.readiness.not_ready(_name(tp), str(error))


def check_outputs(route: Route, partitions: Mapping[str, int], least: int | None = None) -> None:
    """See that a route's events can keep their partition number.

    Args:
        route: The route.
        partitions: How many partitions each topic has.
        least: A partition that the outputs must have; all of the input's by default.

    Raises:
        ConfigError: A topic is missing, or an output has fewer partitions than the input.
    """
    number = partitions.get(route.source)
    if number is None:
        raise ConfigError(f"[[route]] from {route.source!r}: there is no such topic", "make it, or correct from")
    for topic in route.outputs:
        there = partitions.get(topic)
        if there is None:
            what = f"[[route]] from {route.source!r}: there is no topic {topic!r}"
            raise ConfigError(what, f"make it with {number} partitions")
        if there < (number if least is None else least + 1):
            what = f"[[route]] from {route.source!r}: {topic!r} has {there} partitions, {route.source!r} has {number}"
            raise ConfigError(what, f"give it {number} partitions: every event keeps its partition number")


def _was_set_back(end: int, following: int) -> DependencyError:
    """Say what is left to an operator: whoever read on would send events twice, or leave some out."""
    return DependencyError(
        f"it was made anew or cut off: it ends at {end}, and was read to {following} before that",
        "stop every gnomon route, set the group's position of it (kafka-consumer-groups.sh --reset-offsets; "
        "--to-earliest where all that is there is new), and start them again",
    )


def _name(tp: TP) -> str:
    return f"{tp.topic}[{tp.partition}]"
