"""What judges a partition: what it waits for, and what it knows again after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from gnomon.config import Route, Taint
from gnomon.core.routing import EventRouter
from gnomon.errors import DependencyError
from gnomon.stream.route import lane as lanes
from gnomon.stream.route.judging import PartitionJudge, RouteJudge
from gnomon.stream.route.lane import Lane, Told
from gnomon.stream.route.rules import make_judge

ROUTE = Route(
    source="orders",
    clean="clean",
    synthetic="synthetic",
    quarantine="refused",
    taint=Taint(path="/session", span=timedelta(hours=1)),
)
HOUR_MS = 3_600_000
TAG = (("x-synthetic", b"load"),)


class Record(NamedTuple):
    """What is read of aiokafka's records."""

    offset: int
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    key: bytes | None = b"s"
    timestamp: int = 10 * HOUR_MS
    topic: str = "orders"
    partition: int = 3


def session(offset: int, name: str, *headers: Any, **fields: Any) -> Record:
    """Make an event of a session."""
    return Record(offset, f'{{"session": "{name}"}}'.encode(), headers, **fields)


class Synthetic:
    """The synthetic topic: asked for from when, and what is on it."""

    def __init__(self, *records: Record) -> None:
        self.records = records
        self.asked: list[tuple[str, int, int]] = []
        self.problem = ""

    async def __call__(self, topic: str, partition: int, since: int) -> AsyncIterator[Sequence[Record]]:
        """Read it."""
        self.asked.append((topic, partition, since))
        if self.problem:
            raise DependencyError(self.problem)
        yield self.records


def test_what_was_tagged_before_is_known_again() -> None:
    """By the events on the synthetic topic that have a tag of their own, from as long ago as a tag holds."""
    topic = Synthetic(
        session(0, "s", *TAG, timestamp=10 * HOUR_MS - 1),
        session(1, "t"),  # was tainted itself
        Record(2, None),
        Record(3, b"{", TAG),
        session(4, "old", *TAG, timestamp=9 * HOUR_MS - 1),
    )
    judge = make_judge(ROUTE, None, None, topic).of_partition(3)
    records = [session(7, "s"), session(8, "t"), session(9, "old")]
    assert not judge.is_prepared(records)
    for _ in range(2):
        asyncio.run(judge.prepare(records))
    assert judge.is_prepared(records)
    assert topic.asked == [("synthetic", 3, 9 * HOUR_MS - 60_000)]
    assert [judge.judge(record).to for record in records] == ["synthetic", "clean", "clean"]


def test_memory_reaches_as_far_back_as_timestamps_do() -> None:
    """An event that is older than those before it finds the tags of its time again, without a look for each of them."""
    tagged = [session(number, f"s{number}", *TAG, timestamp=(10 - number) * HOUR_MS) for number in range(10)]

    class Log(Synthetic):
        async def __call__(self, topic: str, partition: int, since: int) -> AsyncIterator[Sequence[Record]]:
            async for records in super().__call__(topic, partition, since):
                yield [record for record in records if record.timestamp >= since]

    topic = Log(*reversed(tagged))
    judge = make_judge(ROUTE, None, None, topic).of_partition(3)
    asyncio.run(judge.prepare([session(20, "a")]))
    late = [session(21, "s0"), session(22, "s3", timestamp=7 * HOUR_MS + 1)]
    assert judge.is_prepared(late[:1])
    assert not judge.is_prepared(late)
    asyncio.run(judge.prepare(late))
    assert [judge.judge(record).to for record in late] == ["synthetic", "synthetic"]
    for minute in range(2 * 60):
        older = [session(23 + minute, f"s{5 + minute // 60}", timestamp=5 * HOUR_MS - minute * 60_000 + 1)]
        asyncio.run(judge.prepare(older))
        assert judge.is_prepared(older)
        assert judge.judge(older[0]).to == "synthetic"
    asyncio.run(judge.prepare([session(200, "x", timestamp=-1)]))
    assert judge.is_prepared([session(201, "x", timestamp=0)])
    assert len(topic.asked) < 12


def test_no_timestamp_counts_for_more_than_the_clock() -> None:
    """An event from the future neither taints for longer nor escapes, and memory is not read from there."""
    topic = Synthetic()
    judge = make_judge(ROUTE, None, None, topic).of_partition(0)
    future = session(0, "s", *TAG, timestamp=2**60)
    asyncio.run(judge.prepare([future]))
    ((_, _, since),) = topic.asked
    assert since < time.time() * 1000
    assert judge.judge(future).to == "synthetic"
    assert judge.judge(session(1, "s", timestamp=2**61)).to == "synthetic"
    assert judge.judge(session(2, "s", timestamp=int(time.time() * 1000) + 2 * HOUR_MS)).to == "synthetic"


class Sender:
    """A list in place of Kafka."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.said: list[str] = []
        self.on_begin: Any = lambda: None

    async def begin(self) -> None:
        """Begin."""
        self.said.append("begin")
        await asyncio.sleep(0)
        self.on_begin()

    def add(self, topic: str, record: Any, _headers: Any, /) -> None:
        """Take a record."""
        self.sent.append((topic, record.offset))

    async def flush(self) -> None:
        """Do nothing."""

    async def commit(self, offset: int, /) -> None:
        """Note the position."""
        self.said.append(f"commit {offset}")

    async def close(self) -> None:
        """Do nothing."""


class Waiting(PartitionJudge):
    """Cannot judge the offsets of a set until they are taken out of it."""

    def __init__(self, lacking: set[int]) -> None:
        super().__init__(RouteJudge(EventRouter([], None)), 0)
        self.lacking = lacking

    def is_prepared(self, records: Any) -> bool:
        """Whether nothing is lacking."""
        return self.lacking.isdisjoint(record.offset for record in records)

    async def prepare(self, records: Any) -> None:
        """Raise where something is lacking."""
        if not self.is_prepared(records):
            raise DependencyError("the registry does not answer")


def run_lane(lacking: set[int], end: Any) -> tuple[Sender, list[str]]:
    """Route two slices; `end` is called with the lane when it is held, and gives what is lacking from then on."""
    sender, held = Sender(), []
    judge = Waiting(lacking)

    def hold(error: DependencyError | None) -> None:
        held.append(str(error) if error else "goes on")
        if error:
            judge.lacking = end(lane)

    lane = Lane(ROUTE, judge, sender, 0, Told(lambda *_: None, hold, lambda: None))

    async def run() -> None:
        lane.put([Record(0, b"a"), Record(1, b"b")])
        lane.put([Record(2, b"c")])
        task = asyncio.create_task(lane.run())
        async with asyncio.timeout(20):
            while lane.following == 3 and len(sender.said) < 4 and not task.done():  # noqa: ASYNC110 - see test_lane
                await asyncio.sleep(0.001)
            lane.end()
            await task

    asyncio.run(run())
    return sender, held


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses and transactions of these tests are short."""
    monkeypatch.setattr(lanes, "_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(lanes, "TRANSACTION_SECONDS", 0.05)


def test_what_cannot_be_judged_yet_is_waited_for_outside_of_transactions() -> None:
    """What came before it is committed; it is said what is waited for, and that it goes on."""
    sender, held = run_lane({2}, lambda _: set())
    assert sender.said == ["begin", "commit 2", "begin", "commit 3"]
    assert sender.sent == [("clean", 0), ("clean", 1), ("clean", 2)]
    assert held == ["the registry does not answer", "goes on"]


def test_a_partition_that_waits_can_be_given_up() -> None:
    """The next owner waits on; nothing was begun."""

    def end(lane: Lane) -> set[int]:
        lane.end()
        return {0}

    sender, held = run_lane({0}, end)
    assert (sender.said, sender.sent) == ([], [])
    assert held == ["the registry does not answer"]


def test_what_is_forgotten_while_a_transaction_begins_is_asked_for_again() -> None:
    """A transaction without events is none: nothing is committed, least of all that all is to be read from 0."""
    sender, judge = Sender(), Waiting(set())
    asked: list[str] = []

    def forget() -> None:
        judge.lacking = {100}

    def hold(error: DependencyError | None) -> None:
        asked.append(str(error))
        judge.lacking = set()

    async def run() -> None:
        lane = Lane(ROUTE, judge, sender, 100, Told(lambda *_: None, hold, lambda: None))
        lane.put([Record(100, b"a"), Record(101, b"b")])
        sender.on_begin = forget
        task = asyncio.create_task(lane.run())
        async with asyncio.timeout(20):
            while len(sender.said) < 2 and not task.done():  # noqa: ASYNC110 - see test_lane
                await asyncio.sleep(0.001)
            lane.end()
            await task

    asyncio.run(run())
    assert sender.said == ["begin", "commit 102"]
    assert sender.sent == [("clean", 100), ("clean", 101)]
    assert asked == ["the registry does not answer", "None"]


def test_no_commit_goes_back() -> None:
    """Whatever a bug of ours may make of offsets."""
    sender = Sender()
    lane = Lane(ROUTE, Waiting(set()), sender, 100, Told(lambda *_: None, lambda _: None, lambda: None))
    lane.following = 0
    lane.put([Record(0, b"a")])
    with pytest.raises(RuntimeError, match="go back to 1"):
        asyncio.run(lane.run())
    assert sender.said == ["begin"]


def test_what_a_transaction_tagged_is_known_once_it_is_committed() -> None:
    """One that is taken back is judged again as it was: what came before the tag is clean, and a correction."""

    class Failing(Sender):
        async def commit(self, offset: int, /) -> None:
            raise DependencyError(f"nobody answers to {offset}")

    route = make_judge(ROUTE, None)
    records = [session(0, "s"), session(1, "s", *TAG), session(2, "s")]
    tallies: list[list[tuple[str, str, int]]] = []
    told = Told(lambda tally, *_: tallies.append(sorted(tally.totals())), lambda _: None, lambda: None)

    async def run(sender: Sender) -> None:
        lane = Lane(ROUTE, route.of_partition(3), sender, 0, told)
        lane.put(records)
        lane.end()
        await lane.run()

    with pytest.raises(DependencyError):
        asyncio.run(run(Failing()))
    asyncio.run(run(Sender()))
    tag = "header x-synthetic"
    assert tallies == [
        [("", "clean", 1), (tag, "correction", 1), (tag, "synthetic", 1), ("taint /session", "synthetic", 1)]
    ]
    assert route.of_partition(4).judge(session(9, "s")).to == "synthetic"
