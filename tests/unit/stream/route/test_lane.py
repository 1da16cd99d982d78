"""A partition under way, and what the router makes of trouble: with a sender that is a list."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faust.types import TP

from gnomon.config import Route, RouteTag
from gnomon.core.routing import EventRouter
from gnomon.errors import ConfigError, DependencyError, FencedError
from gnomon.store import run_query
from gnomon.store.log import StoreInfo
from gnomon.stream.route import lane as lanes
from gnomon.stream.route.journal import Journal
from gnomon.stream.route.judging import PartitionJudge, RouteJudge
from gnomon.stream.route.lane import Lane, Told
from gnomon.stream.route.router import Router, check_outputs
from gnomon.stream.route.rules import make_judge
from gnomon.stream.route.tally import NOT_COUNTED
from gnomon.stream.transport import Slice

ROUTE = Route(
    source="orders",
    clean="clean",
    synthetic="synthetic",
    quarantine="refused",
    tags=(RouteTag(path="/t", equals=1), RouteTag(path="/t", among=("x", 2)), RouteTag(path="/t", regex="^l")),
)
ORDERS = TP("orders", 0)


class Record(NamedTuple):
    """What lanes read of aiokafka's records."""

    offset: int
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    key: bytes | None = b"k"
    timestamp: int = 5
    topic: str = "orders"
    partition: int = 0


class Topics:
    """What is committed, and by whom: the broker of these tests. The newest sender fences all others."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.headers: dict[int, Any] = {}
        self.offset: int | None = None
        self.owner: Sender | None = None
        self.down = False
        self.transactions = 0
        self.counts: dict[str, int] = dict.fromkeys(("orders", *ROUTE.outputs), 1)

    async def start_sender(self, _: TP, /) -> Sender:
        """Take over."""
        if self.down:
            raise DependencyError("nobody answers")
        self.owner = Sender(self)
        return self.owner

    async def committed(self, _: TP, /) -> int | None:
        """Give the position."""
        return self.offset

    async def partitions(self) -> Mapping[str, int]:
        """Give the counts."""
        return self.counts


class Sender:
    """One owner's transactions."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.open: list[tuple[str, int]] = []
        self.closed = False

    async def begin(self) -> None:
        """Begin."""
        self.open = []

    def add(self, topic: str, record: Any, headers: Any, /) -> None:
        """Take a record."""
        self.open.append((topic, record.offset))
        self.topics.headers[record.offset] = list(headers)

    async def flush(self) -> None:
        """Let others run."""
        await asyncio.sleep(0)

    async def commit(self, offset: int, /) -> None:
        """End it, if nobody else has the partition."""
        await asyncio.sleep(0)
        if self.topics.owner is not self:
            raise FencedError("another process has taken over")
        if self.topics.down:
            raise DependencyError("nobody answers")
        self.topics.sent += self.open
        self.topics.offset = offset
        self.topics.transactions += 1

    async def close(self) -> None:
        """Let go."""
        self.closed = True


class Consumer:
    """A partition that is read by polls of some records."""

    def __init__(self, records: list[Record], tp: TP = ORDERS) -> None:
        self.records = records
        self.tp = tp
        self.position = 0
        self.epoch = 0
        self.mine = {tp}
        self.held: set[TP] = set()

    def is_current(self, tp: TP, part: Slice) -> bool:
        """Whether it is from after the last seek."""
        assert tp == self.tp
        return part.epoch == self.epoch

    def assignment(self) -> set[TP]:
        """Give what is assigned."""
        return set(self.mine)

    async def seek(self, partition: TP, offset: int) -> None:
        """Go on from an offset."""
        assert partition == self.tp
        self.epoch += 1
        self.position = sum(record.offset < offset for record in self.records)

    def hold(self, tp: TP) -> None:
        """Bring no more."""
        self.held.add(tp)

    def release(self, tp: TP) -> None:
        """Go on."""
        self.held.discard(tp)

    def highwater(self, tp: TP) -> int | None:
        """Give the end."""
        assert tp == self.tp
        return len(self.records)

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Give the beginning."""
        return dict.fromkeys(partitions, 0)

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Give the end."""
        return dict.fromkeys(partitions, len(self.records))

    def poll(self, count: int, *, even_if_held: bool = False) -> Slice | None:
        """Fetch."""
        if self.held and not even_if_held:
            return None
        found = self.records[self.position : self.position + count]
        self.position += len(found)
        return Slice(list(found), self.epoch) if found else None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions and pauses of these tests are short."""
    monkeypatch.setattr(lanes, "TRANSACTION_SECONDS", 0.005)
    monkeypatch.setattr("gnomon.stream.route.router._PAUSES", (0.0,))


UNTOLD = Told(lambda *_: None, lambda _: None, lambda: None)


def judge() -> PartitionJudge:
    """Give what judges the partition's events."""
    return make_judge(ROUTE, None).of_partition(0)


def make(topics: Topics, store: Path) -> Router:
    """Make a process's router."""
    return Router(
        {"orders": (ROUTE, make_judge(ROUTE, None))}, topics, lambda topic, n: Journal(store, StoreInfo(), topic, n)
    )


def records(count: int) -> list[Record]:
    """Make records; every third is synthetic."""
    return [Record(n, b'{"t":1}' if n % 3 == 0 else b"{}") for n in range(count)]


def expected(count: int) -> list[tuple[str, int]]:
    """Give where they belong."""
    return [("synthetic" if n % 3 == 0 else "clean", n) for n in range(count)]


async def until(holds: Any) -> None:
    """Let others run until something holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - many things are waited for, and none of them tells
            await asyncio.sleep(0.001)


def test_records_go_to_their_topics_in_transactions() -> None:
    """Tombstones to both, what cannot be judged to quarantine with the reason beside its headers."""

    async def run() -> None:
        topics = Topics()
        counted: list[Any] = []
        sender = await topics.start_sender(ORDERS)
        told = UNTOLD._replace(committed=lambda tally, following, _: counted.append((tally, following)))
        lane = Lane(ROUTE, judge(), sender, 0, told)
        task = asyncio.create_task(lane.run())
        values = [b"{}", b'{"t":1}', None, b"{", b'{"t":"x"}', b'{"t":"load"}', b'{"t":2}']
        lane.put([Record(n, value, (("a", b"b"),)) for n, value in enumerate(values)])
        lane.end()
        await task
        assert topics.sent == [
            ("clean", 0), ("synthetic", 1), ("clean", 2), ("synthetic", 2), ("refused", 3), ("synthetic", 4),
            ("synthetic", 5), ("synthetic", 6),
        ]  # fmt: skip
        assert topics.offset == 7
        assert topics.headers[2] == [("a", b"b")]
        said = dict(topics.headers[3])
        assert said.pop("reason").startswith(b"not JSON")
        assert said == {"a": b"b", "topic": b"orders", "partition": b"0", "offset": b"3"}
        ((tally, following),) = counted
        assert following == 7
        assert min(tally.totals()) == ("", "clean", 1)

    asyncio.run(run())


def test_a_bug_of_ours_quarantines_an_event_and_stops_nothing() -> None:
    """Fail closed: what could not be judged is not clean."""

    class Broken(EventRouter):
        def judge(self, event: Any) -> Any:
            if event.value == b"2":
                raise ZeroDivisionError
            return super().judge(event)

    async def run() -> None:
        topics = Topics()
        lane = Lane(ROUTE, RouteJudge(Broken([], None)).of_partition(0), await topics.start_sender(ORDERS), 0, UNTOLD)
        lane.put([Record(n, str(n).encode()) for n in range(4)])
        lane.end()
        await lane.run()
        assert topics.sent == [("clean", 0), ("clean", 1), ("refused", 2), ("clean", 3)]

    asyncio.run(run())


def test_many_records_take_several_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever brings more waits while too many wait."""
    monkeypatch.setattr(lanes, "TRANSACTION_EVENTS", 20)
    monkeypatch.setattr(lanes, "WAITING_EVENTS", 30)

    async def run() -> None:
        topics = Topics()
        lane = Lane(ROUTE, judge(), await topics.start_sender(ORDERS), 0, UNTOLD)
        task = asyncio.create_task(lane.run())
        for start in range(0, 300, 10):
            await until(lambda: lane.has_room)
            lane.put(records(300)[start : start + 10])
        lane.put(records(300)[:50])  # those were there before
        lane.end()
        await task
        assert topics.sent == expected(300)
        assert topics.transactions >= 15

    asyncio.run(run())


def test_partitions_are_read_again_from_where_they_were_committed(tmp_path: Path) -> None:
    """The broker goes and comes, another process takes over and is gone: each event is there once, in order."""

    async def run() -> None:
        topics = Topics()
        consumer = Consumer(records(2_000))
        router = make(topics, tmp_path / "store")
        assert await router.start_offsets(consumer, {ORDERS: None}) == {ORDERS: 0}
        polls = 0
        while topics.offset != 2_000:
            polls += 1
            part = consumer.poll(25)
            if part is not None:
                await router.take(consumer, ORDERS, part)
            topics.down = 20 <= polls < 30
            if polls in {40, 60}:
                topics.owner = Sender(topics)
            await asyncio.sleep(0.001)
            await router.tick(consumer)
        assert topics.sent == expected(2_000)
        assert router.lags() == {("orders", "0"): 0}
        await router.land()
        await router.revoke([ORDERS])
        exposition = router.metrics.exposition().decode()
        assert 'gnomon_routed_events_total{destination="clean",topic="orders"} 1333.0' in exposition
        rows = run_query(tmp_path / "store", "SELECT destination, sum(events)::BIGINT FROM routed GROUP BY 1").rows
        assert dict(rows) == {"clean": 1333, "synthetic": 667}

    asyncio.run(run())


def test_what_was_lost_on_the_way_is_read_again_and_what_is_not_there_is_passed_over(tmp_path: Path) -> None:
    """A poll that was dropped between fetch and router, and offsets that compaction has left out."""

    async def run() -> None:
        topics = Topics()
        consumer = Consumer([record for record in records(100) if not 40 <= record.offset < 50])
        router = make(topics, tmp_path / "store")
        await router.start_offsets(consumer, {ORDERS: None})
        consumer.poll(20)  # nobody gets these
        turns = 0
        while topics.offset != 100:
            turns += 1
            part = consumer.poll(10)
            if part is not None:
                await router.take(consumer, ORDERS, part)
            await asyncio.sleep(0.001)
        assert topics.sent == [place for place in expected(100) if not 40 <= place[1] < 50]
        await router.stop()

    asyncio.run(run())


def test_two_processes_that_both_believe_to_have_a_partition_send_each_event_once(tmp_path: Path) -> None:
    """They take it from each other, and only the one that has it commits."""

    async def run() -> None:
        topics = Topics()
        sides = [(Consumer(records(600)), make(topics, tmp_path / "store")) for _ in range(2)]
        for consumer, router in sides:
            await router.start_offsets(consumer, {ORDERS: None})
        turns = 0
        while topics.offset != 600:
            turns += 1
            # One of them learns at last that it has nothing
            if turns == 300:
                sides[0][0].mine.clear()
                await sides[0][1].revoke([ORDERS])
            for consumer, router in sides:
                part = consumer.poll(10) if consumer.mine else None
                if part is not None:
                    await router.take(consumer, ORDERS, part)
                await asyncio.sleep(0.001)
                await router.tick(consumer)
        assert topics.sent == expected(600)
        for _, router in sides:
            await router.stop()

    asyncio.run(run())


def test_a_stop_commits_what_was_taken(tmp_path: Path) -> None:
    """And takes no more."""

    async def run() -> None:
        topics = Topics()
        consumer = Consumer(records(50))
        router = make(topics, tmp_path / "store")
        await router.start_offsets(consumer, {ORDERS: None})
        part = consumer.poll(40)
        assert part is not None
        await router.take(consumer, ORDERS, part)
        await router.stop()
        assert topics.sent == expected(40)
        assert topics.owner is not None
        assert topics.owner.closed
        last = consumer.poll(10)
        assert last is not None
        await router.take(consumer, ORDERS, last)
        await router.tick(consumer)
        assert topics.offset == 40

    asyncio.run(run())


def test_what_a_killed_process_did_not_count_is_said(tmp_path: Path) -> None:
    """The position is Kafka's, the counts are the store's; the gap between them has a row."""

    async def run() -> None:
        topics, store = Topics(), tmp_path / "store"
        consumer = Consumer(records(90))
        first = make(topics, store)
        await first.start_offsets(consumer, {ORDERS: None})
        part = consumer.poll(30)
        assert part is not None
        await first.take(consumer, ORDERS, part)
        await until(lambda: topics.offset == 30)
        await first.land()
        part = consumer.poll(30)
        assert part is not None
        await first.take(consumer, ORDERS, part)
        await until(lambda: topics.offset == 60)  # and now it is killed
        second = make(topics, store)
        await second.start_offsets(consumer, {ORDERS: 60})
        part = consumer.poll(30)
        assert part is not None
        await second.take(consumer, ORDERS, part)
        await second.stop()
        sql = "SELECT rule, destination, events, first_offset, last_offset FROM routed WHERE destination = 'unknown'"
        assert list(run_query(store, sql).rows) == [(NOT_COUNTED, "unknown", 30, 30, 59)]
        total = "SELECT sum(events)::BIGINT FROM routed"
        assert list(run_query(store, total).rows) == [(90,)]
        await first.stop()

    asyncio.run(run())


def test_a_store_that_cannot_be_written_does_not_hold_events_up(tmp_path: Path) -> None:
    """The counts wait, and readiness tells."""

    async def run() -> None:
        topics, store = Topics(), tmp_path / "store"
        store.write_text("a file in its place")
        consumer = Consumer(records(30))
        router = make(topics, store)
        await router.start_offsets(consumer, {ORDERS: None})
        part = consumer.poll(30)
        assert part is not None
        await router.take(consumer, ORDERS, part)
        await until(lambda: topics.offset == 30)
        await router.land()
        assert "store" in router.readiness.reasons
        store.unlink()
        await router.land()
        assert router.readiness.is_ready
        await router.stop()
        assert list(run_query(store, "SELECT sum(events)::BIGINT FROM routed").rows) == [(30,)]

    asyncio.run(run())


def test_a_topic_that_was_made_anew_is_held_until_an_operator_acts(tmp_path: Path) -> None:
    """Read from its beginning, events might be sent twice; it does not go on by itself when it has grown either."""

    async def run() -> None:
        topics = Topics()
        topics.offset = 50
        router = make(topics, tmp_path / "store")
        consumer = Consumer(records(10))
        assert await router.start_offsets(consumer, {ORDERS: 50}) == {}
        assert "it ends at 10, and was read to 50" in router.readiness.reasons["orders[0]"]
        assert "--reset-offsets" in router.readiness.reasons["orders[0]"]
        consumer.records = records(100)
        for _ in range(3):
            await router.tick(consumer)
        assert not router.readiness.is_ready
        assert (topics.sent, topics.offset) == ([], 50)
        again = make(topics, tmp_path / "store")
        topics.offset = 0  # the operator's word
        assert await again.start_offsets(consumer, {ORDERS: 0}) == {ORDERS: 0}
        assert again.readiness.is_ready
        await again.stop()

    asyncio.run(run())


def test_offsets_that_begin_anew_while_it_runs_hold_the_partition(tmp_path: Path) -> None:
    """What was taken is committed; nothing of the new topic is dropped as if it had been there before."""

    async def run() -> None:
        topics = Topics()
        router = make(topics, tmp_path / "store")
        consumer = Consumer(records(40))
        await router.start_offsets(consumer, {ORDERS: None})
        part = consumer.poll(40)
        assert part is not None
        await router.take(consumer, ORDERS, part)
        consumer.records, consumer.position = records(10), 0
        part = consumer.poll(10)
        assert part is not None
        await router.take(consumer, ORDERS, part)
        assert consumer.held == {ORDERS}
        for _ in range(3):
            await router.tick(consumer)
        assert topics.sent == expected(40)
        assert topics.offset == 40
        assert "it ends at 10, and was read to 40" in router.readiness.reasons["orders[0]"]
        await router.stop()

    asyncio.run(run())


def test_a_topic_whose_position_went_with_it_is_read_from_its_beginning(tmp_path: Path) -> None:
    """Brokers drop what groups have committed of a topic that is deleted: then nothing can be there twice."""

    async def run() -> None:
        topics = Topics()
        router = make(topics, tmp_path / "store")
        consumer = Consumer(records(40))
        await router.start_offsets(consumer, {ORDERS: None})
        part = consumer.poll(40)
        assert part is not None
        await router.take(consumer, ORDERS, part)
        await until(lambda: topics.offset == 40)
        topics.offset = None
        consumer.records, consumer.position = records(10), 0
        while topics.offset != 10:
            part = consumer.poll(10)
            if part is not None:
                await router.take(consumer, ORDERS, part)
            await router.tick(consumer)
            await asyncio.sleep(0.001)
        assert topics.sent == [*expected(40), *expected(10)]
        assert router.readiness.is_ready
        await router.stop()

    asyncio.run(run())


def test_records_that_were_there_before_are_read_over(tmp_path: Path) -> None:
    """Where the topic has not begun anew, a fetch from too far back is only that."""

    async def run() -> None:
        topics = Topics()
        router = make(topics, tmp_path / "store")
        consumer = Consumer(records(60))
        await router.start_offsets(consumer, {ORDERS: None})
        for position in (0, 20, 10):
            consumer.position = position
            part = consumer.poll(20)
            assert part is not None
            await router.take(consumer, ORDERS, part)
        while topics.offset != 60:
            await router.tick(consumer)
            part = consumer.poll(20)
            if part is not None:
                await router.take(consumer, ORDERS, part)
            await asyncio.sleep(0.001)
        assert topics.sent == expected(60)
        assert router.readiness.is_ready
        await router.stop()

    asyncio.run(run())


def test_what_waits_and_what_is_under_way_is_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty thousand events of a megabyte would be twenty gigabytes."""
    monkeypatch.setattr(lanes, "TRANSACTION_BYTES", 5_000)
    monkeypatch.setattr(lanes, "WAITING_BYTES", 6_000)
    large = [Record(n, b'{"a": "' + b"x" * 990 + b'"}', (("h", b"y" * 400),)) for n in range(12)]

    async def run() -> None:
        topics = Topics()
        offsets: list[int] = []
        told = UNTOLD._replace(committed=lambda _, following, __: offsets.append(following))
        lane = Lane(ROUTE, judge(), await topics.start_sender(ORDERS), 0, told)
        lane.put(large[:4])
        assert lane.has_room
        lane.put(large[4:])
        assert not lane.has_room
        assert lane.is_overfull
        lane.end()
        await lane.run()
        assert offsets == [3, 4, 7, 10, 12]
        assert lane.has_room

    asyncio.run(run())


class Several:
    """Partitions of one consumer."""

    def __init__(self, parts: Mapping[TP, Consumer]) -> None:
        self.parts = parts

    def __getattr__(self, name: str) -> Any:
        """Give what asks the partition's own."""

        def ask(tp: TP, *rest: Any) -> Any:
            return getattr(self.parts[tp], name)(tp, *rest)

        return ask

    def assignment(self) -> set[TP]:
        """Give all."""
        return set(self.parts)


def test_a_partition_that_waits_does_not_stop_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held at the consumer, named, and goes on without loss or doubles when what it waits for is there."""
    monkeypatch.setattr(lanes, "WAITING_EVENTS", 30)
    monkeypatch.setattr(lanes, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("gnomon.stream.route.router._STUCK_SECONDS", 0.0)
    carts = TP("carts", 0)
    down = True

    class Waiting(RouteJudge):
        async def prepare(self, records: Any) -> None:
            if down and records[0].topic == "carts":
                raise DependencyError("the registry does not answer")

    class Apart(Topics):
        async def start_sender(self, tp: TP, /) -> Sender:
            return await (others if tp == carts else super()).start_sender(tp)

    async def run() -> None:
        nonlocal down
        topics = Apart()
        topics.counts["carts"] = 1
        route = make_judge(ROUTE, None)
        routes = dict.fromkeys(("orders", "carts"), (ROUTE, Waiting(route.router)))
        router = Router(routes, topics, lambda topic, n: Journal(tmp_path / "store", StoreInfo(), topic, n))
        held = Consumer([record._replace(topic="carts") for record in records(400)], carts)
        consumer = Several({ORDERS: Consumer(records(400)), carts: held})
        await router.start_offsets(consumer, {ORDERS: None, carts: None})

        async def bring() -> None:
            for tp, part in consumer.parts.items():
                polled = part.poll(20, even_if_held=True)  # some are always on their way already
                if polled is not None:
                    async with asyncio.timeout(5):
                        await router.take(consumer, tp, polled)
            await asyncio.sleep(0.001)
            await router.tick(consumer)

        while topics.offset != 400:
            await bring()
        assert topics.sent == expected(400)
        assert others.offset is None
        assert held.held == {carts}
        assert router.readiness.reasons["carts[0]"] == "the registry does not answer"
        down = False
        while others.offset != 400:
            await bring()
        assert others.sent == expected(400)
        assert router.readiness.is_ready
        await router.stop()

    others = Topics()
    asyncio.run(run())


def test_a_partition_whose_outputs_do_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the client gives up, and until it goes on."""
    monkeypatch.setattr("gnomon.stream.route.router._STUCK_SECONDS", 0.0)
    answers = asyncio.Event()

    class Slow(Sender):
        async def commit(self, offset: int, /) -> None:
            await answers.wait()
            await super().commit(offset)

    class Brokers(Topics):
        async def start_sender(self, _: TP, /) -> Sender:
            self.owner = Slow(self)
            return self.owner

    async def run() -> None:
        topics = Brokers()
        router = make(topics, tmp_path / "store")
        consumer = Consumer(records(10))
        await router.start_offsets(consumer, {ORDERS: None})
        part = consumer.poll(10)
        assert part is not None
        await router.take(consumer, ORDERS, part)
        await asyncio.sleep(0)
        await router.tick(consumer)
        assert "nothing could be sent on" in router.readiness.reasons["orders[0]"]
        answers.set()
        await until(lambda: topics.offset == 10)
        await until(lambda: router.readiness.is_ready)
        await router.stop()

    asyncio.run(run())


def test_a_partition_whose_outputs_lack_it_is_held(tmp_path: Path) -> None:
    """Until they have it."""

    async def run() -> None:
        topics = Topics()
        topics.counts["clean"] = 0
        router = make(topics, tmp_path / "store")
        consumer = Consumer(records(10))
        assert await router.start_offsets(consumer, {ORDERS: None}) == {}
        part = consumer.poll(10)
        assert part is not None
        await router.take(consumer, ORDERS, part)
        assert "'clean' has 0 partitions" in router.readiness.reasons["orders[0]"]
        topics.counts["clean"] = 1
        await router.tick(consumer)
        part = consumer.poll(10)
        assert part is not None
        await router.take(consumer, ORDERS, part)
        await router.stop()
        assert topics.sent == expected(10)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, "there is no such topic"),
        ({"orders": 4, "clean": 4, "synthetic": 4}, "there is no topic 'refused'; make it with 4 partitions"),
        ({"orders": 4, "clean": 3, "synthetic": 4, "refused": 4}, "'clean' has 3 partitions, 'orders' has 4"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(counts: dict[str, int], said: str) -> None:
    """Every event keeps its partition number."""
    with pytest.raises(ConfigError) as error:
        check_outputs(ROUTE, counts)
    assert said in str(error.value)
    check_outputs(ROUTE, {"orders": 4, "clean": 4, "synthetic": 5, "refused": 9})
