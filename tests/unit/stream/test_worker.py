"""A worker: where its partitions are read from, and what becomes of them when they come and go."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP
from tests.unit.stream.conftest import Listener, ListKafka, MemoryLog

from gnomon.config import Settings
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.engine import Engine, EngineOptions
from gnomon.stream import worker as module
from gnomon.stream.transport import Slice
from gnomon.stream.worker import Worker
from gnomon.testing import STARTED_US, exchange, pair

TP0 = TP("gnomon.exchanges", 0)


class Position:
    """A consumer of one partition, as far as a worker needs one; `gone` offsets are never given out."""

    def __init__(self, kafka: ListKafka) -> None:
        self.kafka = kafka
        self.epoch = 0
        self.at = 0
        self.beginning = 0
        self.committed = 0
        self.sought: list[int] = []
        self.silent = False

    def is_current(self, _: TP, part: Slice) -> bool:
        """Whether there was no seek since."""
        return part.epoch == self.epoch

    def landed(self, _: TP, offset: int) -> None:
        """Take note."""
        self.committed = offset

    async def seek(self, _: TP, offset: int) -> None:
        """Go there."""
        self.sought.append(offset)
        self.at = offset
        self.epoch += 1

    def highwater(self, _: TP) -> int:
        """Give the end."""
        return len(self.kafka.records)

    async def earliest_offsets(self, *tps: TP) -> Mapping[TP, int]:
        """Give the beginning."""
        return dict.fromkeys(tps, self.beginning)

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        """Give the end, or nothing."""
        if self.silent:
            raise KafkaConnectionError
        return dict.fromkeys(tps, len(self.kafka.records))

    async def is_past(self, _: TP, end: int, following: int) -> bool:
        """Whether all that is left was deleted."""
        return all(one.offset in self.kafka.gone for one in self.kafka.records[following:end])

    def poll(self, count: int = 1000) -> Slice:
        """Fetch."""
        records = [one for one in self.kafka.records[self.at :] if one.offset not in self.kafka.gone][:count]
        self.at = records[-1].offset + 1
        return Slice(list(records), self.epoch)


class Bench:
    """A worker with doubles around it."""

    def __init__(self, log: MemoryLog, kafka: ListKafka, listener: Listener) -> None:
        self.log, self.kafka = log, kafka
        self.engine = Engine(parse_rules(""), EngineOptions(), Redactor(secrets.token_bytes(32)))
        self.listener = listener
        self.consumer = Position(kafka)
        self.worker = self.another()

    def another(self) -> Worker:
        """Make a worker."""
        return Worker(Settings(), self.engine, self.log, self.kafka, self.listener)

    def send(self, *numbers: int) -> None:
        """Put pairs on Kafka."""
        for number in numbers:
            for one in pair(f"r-{number}", {"n": number}, {"n": number}):
                self.kafka.send(one, STARTED_US)

    async def assign(self, committed: int | None = None) -> int | None:
        """Assign the partition, and seek to where the worker says."""
        starts = await self.worker.start_offsets(self.consumer, {TP0: committed})
        if TP0 in starts:
            await self.consumer.seek(TP0, starts[TP0])
        return starts.get(TP0)

    async def read(self, count: int = 1000) -> None:
        """Give the worker what comes next."""
        await self.worker.take(self.consumer, TP0, self.consumer.poll(count))


@pytest.fixture
def bench(log: MemoryLog, kafka_list: ListKafka, listener: Listener) -> Bench:
    """A worker with doubles around it."""
    return Bench(log, kafka_list, listener)


def run(check: Callable[[], Awaitable[None]]) -> None:
    """Run a check."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await check()

    asyncio.run(bounded())


def test_a_new_partition_is_read_from_wherever_the_consumer_stands(bench: Bench) -> None:
    """Which is the earliest record for a group that is new."""

    async def check() -> None:
        bench.send(1)
        assert await bench.assign() is None
        await bench.read()
        await bench.worker.stop()
        assert list(bench.log.rows) == ["r-1"]
        assert bench.consumer.committed == 2

    run(check)


def test_where_the_log_knows_nothing_the_committed_offset_counts(bench: Bench) -> None:
    """A new store does not begin with what its group has read before."""

    async def check() -> None:
        bench.send(1, 2)
        assert await bench.assign(committed=2) == 2
        await bench.read()
        await bench.worker.stop()
        assert list(bench.log.rows) == ["r-2"]

    run(check)


@pytest.mark.parametrize("committed", [None, 0, 4])
def test_where_the_log_knows_something_it_counts(bench: Bench, committed: int | None) -> None:
    """What is committed on Kafka may be behind it, or set by somebody; nothing is lost and nothing lands twice."""

    async def check() -> None:
        bench.send(1)
        await bench.assign()
        await bench.read()
        await bench.worker.stop()
        bench.send(2, 3)
        bench.worker = bench.another()
        assert await bench.assign(committed) == 2
        await bench.read()
        await bench.worker.stop()
        assert sorted(bench.log.rows) == ["r-1", "r-2", "r-3"]

    run(check)


@pytest.mark.parametrize(
    ("numbers", "is_running"),
    [((7,), False), ((4, 5, 6, 7), False), ((4, 5, 6, 7), True)],
    ids=["shorter", "longer", "longer, while the worker runs"],
)
def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    bench: Bench, numbers: tuple[int, ...], *, is_running: bool
) -> None:
    """A position past the end is another topic's, and so is one behind another record than was read there."""

    async def check() -> None:
        bench.send(1, 2, 3)
        await bench.assign()
        await bench.read()
        bench.kafka.records.clear()
        for number in numbers:
            for one in pair(f"r-{number}", {"n": number}, {"n": number}):
                bench.kafka.send(one, STARTED_US + 1_000_000)
        if not is_running:
            await bench.worker.stop()
            bench.worker = bench.another()
        assert await bench.assign(committed=6) == 0
        await bench.read()
        await bench.worker.stop()
        assert {f"r-{number}" for number in numbers} <= set(bench.log.rows)

    run(check)


def test_a_partition_whose_store_is_away_is_opened_when_its_records_come(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the worker says why it is not ready; then it reads from where the log says."""
    monkeypatch.setattr(module, "_PAUSES", (0.0,))

    async def check() -> None:
        bench.send(1)
        await bench.assign()
        await bench.read()
        await bench.worker.stop()
        bench.send(2)
        bench.worker = bench.another()
        bench.log.failing = "the disk is gone"
        assert await bench.assign() is None
        assert bench.worker.readiness.reasons == {"gnomon.exchanges[0]": "the disk is gone"}
        bench.consumer.at = 0
        taking = asyncio.create_task(bench.read())
        await asyncio.sleep(0)
        bench.log.failing = ""
        await taking
        assert bench.worker.readiness.is_ready
        assert bench.consumer.sought[-1] == 2
        await bench.read()
        await bench.worker.stop()
        assert sorted(bench.log.rows) == ["r-1", "r-2"]

    run(check)


def test_records_that_are_left_out_are_looked_for_once_more(bench: Bench) -> None:
    """A fetch that raced with something is repeated; where Kafka really has no record, it is read on."""

    async def check() -> None:
        bench.send(1, 2, 3)
        await bench.assign()
        await bench.read(2)
        bench.consumer.at = 4
        await bench.read()
        assert bench.consumer.sought == [2]
        bench.kafka.gone |= {2, 3}
        await bench.read()
        await bench.worker.stop()
        assert sorted(bench.log.rows) == ["r-1", "r-3"]

    run(check)


def test_what_was_fetched_before_a_seek_is_dropped(bench: Bench) -> None:
    """It comes again."""

    async def check() -> None:
        bench.send(1)
        await bench.assign()
        stale = bench.consumer.poll()
        await bench.consumer.seek(TP0, 0)
        await bench.worker.take(bench.consumer, TP0, stale)
        await bench.worker.stop()
        assert bench.log.rows == {}

    run(check)


def test_a_broker_that_does_not_say_where_partitions_end_does_not_stop_an_assignment(bench: Bench) -> None:
    """Positions are believed then."""

    async def check() -> None:
        bench.send(1)
        bench.consumer.silent = True
        assert await bench.assign(committed=0) == 0
        assert TP0 in bench.worker.partitions

    run(check)


def test_revoked_partitions_are_dropped_and_read_again_by_their_next_owner(bench: Bench) -> None:
    """What waited in memory is on Kafka."""

    async def check() -> None:
        live, shadow = pair("r-1")
        bench.kafka.send(live, STARTED_US)
        await bench.assign()
        await bench.read()
        assert len(bench.worker.partitions[TP0].intake.joiner) == 1
        await bench.worker.revoke([TP0])
        assert bench.worker.partitions == {}
        bench.kafka.send(shadow, STARTED_US)
        bench.consumer.at = 0
        await bench.assign()
        await bench.read()
        await bench.worker.stop()
        assert bench.log.outcomes() == {("r-1", "shadow"): "match"}

    run(check)


def test_a_partition_that_another_group_writes_is_told_from_one_that_moved(bench: Bench) -> None:
    """As long as it is assigned it is usurped; once it is opened again, or revoked, it is not."""

    async def check() -> None:
        bench.send(1)
        await bench.assign()
        await bench.read()
        bench.log.open("exchanges", 0)
        await bench.worker.partitions[TP0].drain()
        assert bench.worker.usurped(-1) == TP0
        assert bench.worker.usurped(60) is None
        await bench.assign()
        assert bench.worker.usurped(-1) is None
        bench.log.open("exchanges", 0)
        await bench.worker.partitions[TP0].take(bench.kafka.records)
        await bench.worker.partitions[TP0].drain()
        await bench.worker.revoke([TP0])
        assert bench.worker.usurped(-1) is None

    run(check)


def test_a_partition_that_was_lost_and_is_ours_all_the_same_is_taken_back(bench: Bench) -> None:
    """Another was still opening it when the group gave it to us; nobody has to start anything again."""

    async def check() -> None:
        bench.send(0, 1)
        await bench.assign(committed=2)
        await bench.read()
        bench.log.open("exchanges", 0)
        await bench.worker.partitions[TP0].drain()
        assert (bench.worker.partitions[TP0].closed, bench.log.rows) == (True, {})
        await bench.worker.take_back(bench.consumer, 60)
        assert bench.worker.partitions[TP0].closed
        await bench.worker.take_back(bench.consumer, 0)
        await bench.read()
        await bench.worker.partitions[TP0].drain()
        assert list(bench.log.rows) == ["r-1"]
        bench.log.open("exchanges", 0)
        bench.send(2)
        bench.worker.partitions[TP0].stopping = False
        await bench.read()
        await bench.worker.partitions[TP0].drain()
        assert bench.worker.usurped(-1) == TP0

    run(check)


def test_it_says_where_each_partition_stands(bench: Bench) -> None:
    """Lag, event time and what waits, for an operator."""

    async def check() -> None:
        at = STARTED_US - 2 * 365 * 86_400_000_000  # the past, whenever this runs
        bench.kafka.send(exchange("alone", started_us=at), at)
        await bench.assign()
        await bench.read()
        await bench.worker.tick(bench.consumer)
        ((state),) = bench.worker.states()
        assert (state.topic, state.partition, state.lag_records, state.pending_requests) == (*TP0, 0, 1)
        assert state.pending_bytes > 0
        assert state.watermark_age_seconds is not None

    run(check)


def test_what_is_no_record_at_the_end_of_a_partition_is_no_lag(bench: Bench) -> None:
    """The mark of a transaction is never read."""

    async def check() -> None:
        at = STARTED_US - 2 * 365 * 86_400_000_000
        bench.kafka.send(exchange("alone", started_us=at), at)
        bench.kafka.gone.add(bench.kafka.send(None, at).offset)
        await bench.assign()
        await bench.read()
        await bench.worker.tick(bench.consumer)
        assert [state.lag_records for state in bench.worker.states()] == [0]

    run(check)
