"""One partition from its records to the store, without Kafka and without files."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import msgspec
import pytest
from tests.unit.stream.conftest import Listener, ListKafka, MemoryLog

from gnomon.core.body import BodyOptions
from gnomon.core.join import Joined
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.engine import Engine, EngineOptions
from gnomon.evidence import EvidenceBudget
from gnomon.model import Place
from gnomon.operations import Readiness, WorkerMetrics
from gnomon.stream import partition as module
from gnomon.stream.intake import TOO_LATE, Intake, IntakeOptions
from gnomon.stream.partition import Partition, Shared
from gnomon.testing import STARTED_US, ManualClock, exchange, pair

PLACE = Place("gnomon.exchanges", partition=3)
DAY_US = 86_400_000_000
OPTIONS = IntakeOptions(
    window_us=30_000_000,
    lateness_us=600_000_000,
    skew_us=60_000_000,
    horizon_us=DAY_US,
    expect=("shadow",),
    memory=1 << 24,
)


class Bench:
    """A partition with doubles around it."""

    def __init__(self, log: MemoryLog, kafka: ListKafka, listener: Listener) -> None:
        self.log, self.kafka, self.listener = log, kafka, listener
        self.clock = ManualClock()
        self.lost: list[int] = []
        self.committed = 0
        self.options = OPTIONS
        self.readiness = Readiness([])
        redactor = Redactor(secrets.token_bytes(32))
        engine = Engine(parse_rules(""), EngineOptions(body=BodyOptions()), redactor)
        self.shared = Shared(
            engine=engine,
            evidence=EvidenceBudget(20),
            lookback=kafka,
            outlet=listener,
            clock_us=lambda: self.clock.us,
            lost=lambda _, number: self.lost.append(number),
            readiness=self.readiness,
            metrics=WorkerMetrics(self.readiness, list),
        )
        self.open()

    def open(self) -> None:
        """Be the partition's next owner."""
        writer = self.log.open(PLACE.source, PLACE.partition or 0)
        intake = Intake(PLACE, self.options, writer.state, writer.landed, self.shared.engine.populations())
        self.partition = Partition(PLACE, intake, writer, self.shared, self._landed)

    async def read(self) -> None:
        """Read from where the partition stands to the end, and land what is complete."""
        await self.partition.take(self.kafka.records[self.partition.intake.offsets.following :])
        await self.land()

    async def land(self) -> None:
        """Land what is complete."""
        await self.partition.drain()
        self.partition.stopping = False

    def _landed(self, offset: int) -> None:
        self.committed = offset


@pytest.fixture
def bench(log: MemoryLog, kafka_list: ListKafka, listener: Listener) -> Bench:
    """A partition with doubles around it."""
    return Bench(log, kafka_list, listener)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Try again at once what would be tried again after a while."""
    monkeypatch.setattr(module, "_PAUSES", (0.0,))
    return


def run(check: Callable[[], Awaitable[None]]) -> None:
    """Run a check."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await check()

    asyncio.run(bounded())


def test_a_pair_lands_with_its_provenance_and_only_then_is_committed(bench: Bench) -> None:
    """Topic, partition and both offsets are in the row; nothing is committed before it is there."""

    async def check() -> None:
        for one in pair("r-1", {"a": 1}, {"a": 2}):
            bench.kafka.send(one, STARTED_US)
        await bench.partition.take(bench.kafka.records)
        assert (bench.committed, bench.log.rows) == (0, {})
        await bench.land()
        ((row, differences),) = bench.log.rows["r-1"].values()
        assert (row.topic, row.partition, row.live_offset, row.shadow_offset) == ("gnomon.exchanges", 3, 0, 1)
        assert (row.outcome, [d.path for d in differences]) == ("diff", ["/body/a"])
        assert [e.role for e in bench.log.exchanges] == ["live", "shadow"]
        assert bench.committed == 2

    run(check)


def test_a_record_that_waits_holds_the_commit_back_until_its_window_closes(bench: Bench) -> None:
    """A successor reads it again, and only it; when nobody comes its counterpart is missing."""

    async def check() -> None:
        bench.kafka.send(exchange("alone"), STARTED_US)
        for one in pair("r-1"):
            bench.kafka.send(one, STARTED_US)
        await bench.read()
        assert bench.log.outcomes() == {("r-1", "shadow"): "match"}
        assert bench.committed == 0
        bench.open()
        assert bench.partition.intake.offsets.following == 0
        await bench.read()
        assert bench.partition.intake.counts.records == 1
        bench.clock.advance(timedelta(seconds=31))
        await bench.partition.tick(_yes)
        await bench.land()
        assert bench.log.outcomes() == {("r-1", "shadow"): "match", ("alone", "shadow"): "shadow_missing"}
        assert bench.committed == 3

    run(check)


def test_live_answers_are_counted_once_whoever_reads_them(bench: Bench) -> None:
    """Also those that nobody else was sent; a successor that reads open windows again counts only what is new."""

    def counted() -> dict[str, int]:
        found: dict[str, int] = {}
        for batch in bench.log.batches:
            for row in batch.populations:
                if row.measure == "requests":
                    found[row.target] = found.get(row.target, 0) + row.responses
        return found

    async def check() -> None:
        bench.kafka.send(exchange("waits", target="shop@1"), STARTED_US)
        bench.kafka.send(exchange("alone", target="shop@2", expect=[]), STARTED_US)
        for one in pair("r-1", target="shop@1"):
            bench.kafka.send(one, STARTED_US)
        await bench.read()
        assert counted() == {"shop@1": 2, "shop@2": 1}
        bench.open()
        bench.kafka.send(exchange("more", target="shop@2", expect=[]), STARTED_US)
        await bench.read()
        assert counted() == {"shop@1": 2, "shop@2": 2}
        bench.clock.advance(timedelta(seconds=31))
        await bench.partition.tick(_yes)
        await bench.land()
        bench.open()
        await bench.read()
        assert counted() == {"shop@1": 2, "shop@2": 2}

    run(check)


def test_an_answer_that_cannot_be_counted_is_joined_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in counting is said, and costs nothing but the count."""

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gnomon.core.population.bucket_of", fails)

    async def check() -> None:
        for one in pair("r-1"):
            bench.kafka.send(one, STARTED_US)
        await bench.read()
        assert bench.log.outcomes() == {("r-1", "shadow"): "match"}
        assert "gnomon.exchanges[3]@0 is not counted" in caplog.text

    run(check)


def test_a_batch_that_did_not_land_is_counted_by_the_next_owner(bench: Bench) -> None:
    """Counts land with the position that they belong to, or not at all."""

    async def check() -> None:
        bench.kafka.send(exchange("alone", expect=[]), STARTED_US)
        await bench.partition.take(bench.kafka.records)
        bench.open()
        await bench.read()
        rows = [row for batch in bench.log.batches for row in batch.populations if row.measure == "requests"]
        assert [row.responses for row in rows] == [1]

    run(check)


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


def test_the_clock_closes_windows_only_where_the_partition_is_idle(bench: Bench) -> None:
    """With records left to read, or a broker that does not answer, time does not pass."""

    async def check() -> None:
        bench.kafka.send(exchange("alone"), STARTED_US)
        await bench.read()
        bench.clock.advance(timedelta(seconds=31))
        await bench.partition.tick(_no)
        assert len(bench.partition.intake.joiner) == 1
        await bench.partition.tick(_yes)
        assert len(bench.partition.intake.joiner) == 0

    run(check)


def test_windows_close_in_an_idle_partition_whatever_its_clocks_say(bench: Bench) -> None:
    """Records and Kafka timestamps a year ahead move no event time; a window's length without a record does."""

    async def check() -> None:
        ahead = STARTED_US + 365 * 86_400_000_000
        bench.kafka.send(exchange("ahead", started_us=ahead), ahead)
        await bench.read()
        bench.clock.advance(timedelta(seconds=29))
        await bench.partition.tick(_yes)
        assert len(bench.partition.intake.joiner) == 1
        bench.clock.advance(timedelta(seconds=1))
        await bench.partition.tick(_yes)
        await bench.land()
        assert bench.log.outcomes() == {("ahead", "shadow"): "shadow_missing"}

    run(check)


def test_a_late_counterpart_is_compared_with_what_is_read_back(bench: Bench) -> None:
    """Its comparison is late and takes the place of the missing one, also one for target ``""``."""

    async def check() -> None:
        live, shadow = pair("r-1", {"a": 1}, {"a": 2})
        bench.kafka.send(live, STARTED_US)
        await bench.read()
        bench.clock.advance(timedelta(seconds=31))
        await bench.partition.tick(_yes)
        await bench.land()
        assert bench.log.outcomes() == {("r-1", "shadow"): "shadow_missing"}
        bench.kafka.send(exchange("r-1", "shadow", {"a": 2}, target="cart@2"), STARTED_US)
        bench.partition.intake._recent.clear()
        await bench.read()
        ((row, _),) = bench.log.rows["r-1"].values()
        assert (row.outcome, row.target, row.late, row.live_offset, row.shadow_offset) == ("diff", "cart@2", True, 0, 1)
        assert bench.kafka.asked == [0]
        assert shadow.role == "shadow"

    run(check)


@pytest.mark.parametrize("at_hand", [True, False])
@pytest.mark.parametrize(("seconds", "becomes"), [(20, "match"), (35, "late"), (640, "reject")])
def test_a_clock_that_runs_ahead_keeps_no_window_open(
    bench: Bench, seconds: int, becomes: str, *, at_hand: bool
) -> None:
    """Who is late, and who too late, is told by when Kafka got the first record, also where it is read again."""

    async def check() -> None:
        year_us = 365 * DAY_US
        live, shadow = pair("r-1")
        live = msgspec.structs.replace(live, started_us=live.started_us + year_us)
        bench.kafka.send(live, STARTED_US)
        bench.kafka.send(exchange("r-1", "control", started_us=STARTED_US + year_us), STARTED_US)
        await bench.read()
        later = STARTED_US + seconds * 1_000_000
        bench.clock.advance(timedelta(seconds=seconds))
        for one in pair("r-2"):
            bench.kafka.send(msgspec.structs.replace(one, started_us=later), later)
        await bench.read()
        if not at_hand:
            bench.partition.intake._recent.clear()
        bench.kafka.send(msgspec.structs.replace(shadow, started_us=later), later)
        await bench.read()
        rows = {role: row for (role, _), (row, _) in bench.log.rows["r-1"].items()}
        assert [reject.reason for reject in bench.log.rejects] == ([TOO_LATE] if becomes == "reject" else [])
        assert rows["control"].outcome == "match"
        if becomes != "reject":
            assert (rows["shadow"].outcome, rows["shadow"].late) == ("match", becomes == "late")

    run(check)


def test_a_counterpart_of_who_was_sent_to_nobody_is_compared_however_late(bench: Bench) -> None:
    """Nothing of the request has landed then, and where its record is must be remembered all the same."""

    async def check() -> None:
        live, shadow = pair("r-1", {"a": 1}, {"a": 2})
        bench.kafka.send(msgspec.structs.replace(live, expect=[]), STARTED_US)
        await bench.read()
        bench.clock.advance(timedelta(seconds=31))
        await bench.partition.tick(_yes)
        await bench.land()
        assert (bench.log.rows, bench.committed) == ({}, 1)
        bench.kafka.send(shadow, STARTED_US)
        await bench.read()
        ((row, _),) = bench.log.rows["r-1"].values()
        assert (row.outcome, row.late, row.live_offset, row.shadow_offset) == ("diff", True, 0, 1)
        bench.kafka.send(exchange("r-1", "control", {"a": 3}), STARTED_US)
        await bench.read()
        assert bench.log.outcomes() == {("r-1", "shadow"): "noise", ("r-1", "control"): "diff"}
        assert bench.committed == 3

    run(check)


def test_a_record_whose_clock_runs_ahead_is_looked_for_where_its_request_landed(bench: Bench) -> None:
    """Its own time is a year from there, and beyond the horizon."""
    asked: list[int] = []

    def landed(_: str, started_us: int) -> bool:
        asked.append(started_us)
        return False

    intake = Intake(PLACE, OPTIONS, {}, landed, bench.shared.engine.populations())
    ahead = exchange("r-1", started_us=STARTED_US + 365 * DAY_US, duration_us=5)
    intake.take(bench.kafka.send(ahead, STARTED_US), STARTED_US)
    intake.take(bench.kafka.send(exchange("r-2", started_us=STARTED_US + 7), STARTED_US), STARTED_US)
    assert asked == [STARTED_US - 5, STARTED_US + 7]


def test_a_control_that_comes_a_moment_after_the_pair_makes_noise_of_it_all_the_same(bench: Bench) -> None:
    """What is complete lands the second time it could, so that nobody has to announce a control."""

    async def check() -> None:
        for one in pair("r-1", {"at": 1}, {"at": 2}):
            bench.kafka.send(one, STARTED_US)
        await bench.partition.take(bench.kafka.records)
        async with bench.partition._lock:
            await bench.partition._flush()
        assert bench.log.rows == {}
        bench.kafka.send(exchange("r-1", "control", {"at": 3}), STARTED_US)
        await bench.read()
        assert bench.log.outcomes() == {("r-1", "shadow"): "noise", ("r-1", "control"): "diff"}
        assert not any(row.late for row, _ in bench.log.rows["r-1"].values())
        assert bench.committed == 3

    run(check)


def test_a_second_shadow_after_the_pair_has_landed_is_compared_with_what_is_at_hand(bench: Bench) -> None:
    """It has a row of its own; within the window nothing is late."""

    async def check() -> None:
        for one in pair("r-1", {"a": 1}, {"a": 1}):
            bench.kafka.send(one, STARTED_US)
        await bench.read()
        bench.kafka.send(exchange("r-1", "shadow", {"a": 2}, target="b"), STARTED_US)
        await bench.read()
        rows = {target: row for (_, target), (row, _) in bench.log.rows["r-1"].items()}
        assert {target: row.outcome for target, row in rows.items()} == {"": "match", "b": "diff"}
        assert not rows["b"].late
        assert bench.kafka.asked == []

    run(check)


def test_what_cannot_be_read_is_a_reject_in_the_store_and_on_kafka(bench: Bench) -> None:
    """Each says where it is from; a record without a value is one too."""

    async def check() -> None:
        bench.kafka.send(b"{", STARTED_US)
        bench.kafka.send(None, STARTED_US)
        for one in pair("r-1"):
            bench.kafka.send(one, STARTED_US)
        await bench.read()
        assert [str(reject.place) for reject in bench.log.rejects] == [f"gnomon.exchanges[3]@{n}" for n in (0, 1)]
        assert bench.listener.rejects == bench.log.rejects
        assert "r-1" in bench.log.rows
        assert bench.committed == 4

    run(check)


def test_a_record_from_before_the_lateness_is_rejected_as_too_late(bench: Bench) -> None:
    """What nobody can join any more is kept as a reject."""

    async def check() -> None:
        bench.kafka.send(exchange("now"), STARTED_US)
        bench.kafka.send(exchange("then", started_us=STARTED_US - 640_000_000), STARTED_US)
        await bench.read()
        assert [(reject.reason, reject.place.offset) for reject in bench.log.rejects] == [(TOO_LATE, 1)]
        assert b'"then"' in bench.log.rejects[0].excerpt

    run(check)


def test_a_counterpart_that_kafka_has_deleted_makes_the_late_record_too_late(bench: Bench) -> None:
    """It cannot be compared; what was said stays."""

    async def check() -> None:
        live, shadow = pair("r-1")
        bench.kafka.send(live, STARTED_US)
        await bench.read()
        bench.clock.advance(timedelta(seconds=31))
        await bench.partition.tick(_yes)
        await bench.land()
        bench.kafka.gone.add(0)
        bench.kafka.send(shadow, STARTED_US)
        bench.partition.intake._recent.clear()
        await bench.read()
        assert [reject.reason for reject in bench.log.rejects] == [TOO_LATE]
        assert bench.log.outcomes() == {("r-1", "shadow"): "shadow_missing"}

    run(check)


def test_a_store_that_fails_holds_the_partition_up_and_says_why_until_it_works(bench: Bench) -> None:
    """Nothing is lost, nothing is committed, and nobody has to start anything again."""

    async def check() -> None:
        for one in pair("r-1"):
            bench.kafka.send(one, STARTED_US)
        bench.log.failing = "no space left on device"
        await bench.partition.take(bench.kafka.records)
        draining = asyncio.create_task(bench.partition.drain())
        while bench.readiness.is_ready:  # noqa: ASYNC110 - others fill it
            await asyncio.sleep(0)
        assert bench.readiness.reasons == {"gnomon.exchanges[3]": "no space left on device"}
        assert (bench.committed, bench.log.rows) == (0, {})
        bench.log.failing = ""
        await draining
        assert bench.readiness.is_ready
        assert (bench.committed, len(bench.log.rows)) == (2, 1)

    run(check)


def test_a_landing_that_fails_oddly_ends_the_partition_before_anything_is_committed(bench: Bench) -> None:
    """What nobody foresaw is no reason to go on: a batch would be missing, and count as landed."""

    async def check() -> None:
        writer = bench.log.open(PLACE.source, PLACE.partition or 0)

        def land(_: object) -> None:
            raise ValueError("a capacity that was exceeded")

        writer.land = land  # type: ignore[method-assign]
        intake = Intake(PLACE, bench.options, writer.state, writer.landed, bench.shared.engine.populations())
        bench.partition = Partition(PLACE, intake, writer, bench.shared, bench._landed)
        for one in pair("r-1"):
            bench.kafka.send(one, STARTED_US)
        await bench.partition.take(bench.kafka.records)
        with pytest.raises(ValueError, match="capacity"):
            await bench.partition.drain()
        for one in pair("r-2"):
            bench.kafka.send(one, STARTED_US)
        await bench.partition.take(bench.kafka.records[2:])
        assert (bench.partition.closed, bench.committed, bench.log.rows) == (True, 0, {})

    run(check)


def test_a_request_that_trips_a_bug_of_ours_becomes_rejects_and_holds_up_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be read, and fail, again and again."""
    compare = bench.shared.engine.compare

    def buggy(joined: Joined) -> object:
        if joined.request_id == "r-1":
            raise ZeroDivisionError
        return compare(joined)

    monkeypatch.setattr(bench.shared.engine, "compare", buggy)

    async def check() -> None:
        for request_id in ("r-1", "r-2"):
            for one in pair(request_id):
                bench.kafka.send(one, STARTED_US)
        await bench.read()
        assert (set(bench.log.rows), bench.committed) == ({"r-2"}, 4)
        said = "it cannot be compared, which is a bug of Gnomon's: ZeroDivisionError"
        assert [(r.place.offset, r.reason) for r in bench.log.rejects] == [(0, said), (1, said)]

    run(check)


def test_an_owner_that_was_replaced_lands_nothing_and_says_so(bench: Bench) -> None:
    """The one who took over goes on; this one drops what it has."""

    async def check() -> None:
        for one in pair("r-1"):
            bench.kafka.send(one, STARTED_US)
        zombie = bench.partition
        await zombie.take(bench.kafka.records)
        bench.open()
        await zombie.drain()
        assert (zombie.closed, bench.lost, bench.committed, bench.log.rows) == (True, [3], 0, {})
        await bench.read()
        assert len(bench.log.rows) == 1

    run(check)


def test_closing_drops_what_has_not_landed(bench: Bench) -> None:
    """The next owner reads it again."""

    async def check() -> None:
        for one in pair("r-1"):
            bench.kafka.send(one, STARTED_US)
        closed = bench.partition
        await closed.take(bench.kafka.records)
        await closed.close()
        await closed.take(bench.kafka.records)
        assert bench.log.rows == {}
        bench.open()
        await bench.read()
        assert len(bench.log.rows) == 1

    run(check)


def test_memory_is_bounded_and_what_was_put_out_still_lands_right(bench: Bench) -> None:
    """Records past the bound are read again when their counterparts come or their windows close."""

    async def check() -> None:
        bench.options = msgspec.structs.replace(OPTIONS, memory=20_000)
        bench.open()
        pairs = [pair(f"r-{n}", {"n": n}, {"n": n}) for n in range(50)]
        for live, _ in pairs:
            bench.kafka.send(live, STARTED_US)
        await bench.read()
        assert bench.partition.intake.counts.evicted > 0
        assert bench.partition.intake.joiner.size <= 20_000
        for _, shadow in pairs[:49]:
            bench.kafka.send(shadow, STARTED_US)
        await bench.read()
        bench.clock.advance(timedelta(seconds=31))
        await bench.partition.tick(_yes)
        await bench.land()
        outcomes = list(bench.log.outcomes().values())
        assert (outcomes.count("match"), outcomes.count("shadow_missing")) == (49, 1)
        assert bench.committed == 99

    run(check)


def test_a_kafka_header_says_that_a_request_is_synthetic(bench: Bench) -> None:
    """Its name is case-insensitive; what the record itself says comes first."""

    async def check() -> None:
        for one in pair("r-1"):
            bench.kafka.send(one, STARTED_US, headers=[("X-Synthetic", b"probe")])
        for one in pair("r-2", synthetic="load test"):
            bench.kafka.send(one, STARTED_US, headers=[("x-synthetic", b"probe")])
        for one in pair("r-3"):  # a header without a value, or without a reason, is no tag
            bench.kafka.send(one, STARTED_US, headers=[("x-synthetic", None), ("X-Synthetic", b" \t")])
        await bench.read()
        said = {i: row.synthetic for i, rows in bench.log.rows.items() for row, _ in rows.values()}
        assert said == {"r-1": "probe", "r-2": "load test", "r-3": None}

    run(check)


def test_several_shadows_and_the_control_are_compared_at_once(bench: Bench) -> None:
    """One row for each of them, as soon as all that live expects are there."""

    async def check() -> None:
        sides = ["shadow:a", "shadow:b", "control"]
        bench.kafka.send(exchange("r-1", answer={"a": 1}, expect=sides), STARTED_US)
        for target in ("a", "b"):
            bench.kafka.send(exchange("r-1", "shadow", {"a": 1}, target=target), STARTED_US)
        await bench.read()
        assert bench.log.rows == {}
        bench.kafka.send(exchange("r-1", "control", {"a": 1}), STARTED_US)
        await bench.read()
        assert sorted(bench.log.rows["r-1"]) == [("control", ""), ("shadow", "a"), ("shadow", "b")]

    run(check)
