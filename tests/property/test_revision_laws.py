"""What a store shows of a stream is what `gnomon compare` makes of the same records.

Whatever the order of arrival, however records are cut into batches, whatever is compacted in between, and however
often a worker is killed and its successor reads again: what had landed already is brought up to date.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.stream.conftest import Listener, ListKafka

from gnomon.capture import Source
from gnomon.compare import CompareRequest, build_engine, compare_captures
from gnomon.config import Redact, Settings
from gnomon.core.rules import parse_rules
from gnomon.evidence import EvidenceBudget
from gnomon.model import Exchange, Place, instant
from gnomon.operations import Readiness, WorkerMetrics
from gnomon.store import open_store
from gnomon.store.log import LogWriter, Maintainer, Retention, prepare_store, store_at
from gnomon.stream.intake import Intake, IntakeOptions
from gnomon.stream.partition import Partition, Shared
from gnomon.testing import STARTED_US, ManualClock, exchange

SETTINGS = Settings(redact=Redact(key="laws"))
PLACE = Place("laws", partition=0)
DAY_US = 86_400_000_000
OPTIONS = IntakeOptions(
    window_us=30_000_000,
    lateness_us=600_000_000,
    skew_us=60_000_000,
    horizon_us=DAY_US,
    expect=("shadow",),
    memory=1 << 20,
)
STEPS = st.sampled_from(["take", "take", "take", "land", "crash", "compact"])
COLUMNS = {
    "comparisons": "* EXCLUDE (run, topic, partition, live_offset, shadow_offset, landed_at{without})",
    "differences": "*",
    "exchanges": "*",
}

exchanges = st.builds(
    lambda request_id, role, target, started, value, expect: exchange(
        request_id,
        role,
        {"a": value, "b": value // 2},
        target=target if role == "shadow" else "",
        started_us=STARTED_US + started,
        expect=expect if role == "live" else None,
    ),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["live", "live", "shadow", "shadow", "control"]),
    st.sampled_from(["", "x"]),
    st.integers(0, 5),
    st.integers(0, 3),
    st.none() | st.lists(st.sampled_from(["shadow", "shadow:x", "control"]), max_size=3),
)
ORDERS = st.lists(exchanges, max_size=10).flatmap(lambda records: st.tuples(st.just(records), st.permutations(records)))


class World:
    """A partition, and a store that its records land in."""

    def __init__(self, root: Path, records: Sequence[Exchange], now: timedelta) -> None:
        self.root = root
        self.kafka = ListKafka()
        for record in records:
            self.kafka.send(record, record.started_us)
        self.clock = ManualClock()
        self.clock.advance(now)
        readiness = Readiness([])
        self.shared = Shared(
            engine=build_engine(parse_rules(""), SETTINGS),
            evidence=EvidenceBudget(20),
            lookback=self.kafka,
            outlet=Listener(),
            clock_us=lambda: self.clock.us,
            lost=lambda *_: None,
            readiness=readiness,
            metrics=WorkerMetrics(readiness, list),
        )
        self.start()

    def start(self) -> None:
        """Take the partition over from whoever had it."""
        writer = LogWriter(self.root, PLACE.source, 0, clock=lambda: instant(self.clock.us))
        intake = Intake(PLACE, OPTIONS, dict(writer.state), writer.landed, self.shared.engine.populations())
        self.partition = Partition(PLACE, intake, writer, self.shared, lambda _: None)
        self.at = intake.offsets.following

    async def take(self) -> bool:
        """Read one record; false at the end."""
        part = self.kafka.records[self.at : self.at + 1]
        await self.partition.take(part)
        self.at += len(part)
        return bool(part)

    async def land(self) -> None:
        """Land what is complete."""
        await self.partition.drain()
        self.partition.stopping = False

    async def crash(self) -> None:
        """Be killed, and followed by another."""
        await self.partition.close()
        self.start()

    def compact(self) -> None:
        """Compact all there is."""
        Maintainer(store_at(self.root), Retention(timedelta(days=10_000)), grace=timedelta(0)).run(everything=True)

    async def close_windows(self) -> None:
        """Let time pass until nobody is waited for."""
        self.clock.advance(timedelta(minutes=1))
        self.partition.intake.flow(self.clock.us)
        await self.land()

    async def run(self, steps: Sequence[str]) -> None:
        """Take the steps, and then what is left."""
        for step in steps:
            match step:
                case "take":
                    await self.take()
                case "land":
                    await self.land()
                case "crash":
                    await self.crash()
                case "compact":
                    self.compact()
                case "window":
                    await self.close_windows()
        while await self.take():
            pass
        for _ in range(3):
            await self.close_windows()
        await self.partition.close()


def shown(path: Path, *, without: str = "") -> dict[str, list[str]]:
    """Give all that is to be the same."""
    with open_store(path) as store:
        rows = {
            table: store.sql(f"SELECT {columns.format(without=without)} FROM {table}")
            for table, columns in COLUMNS.items()
        }
        return {table: sorted(map(repr, found.fetchall())) for table, found in rows.items()}


def compared(directory: Path, records: Sequence[Exchange]) -> Path:
    """Give the database that `gnomon compare` makes of records."""
    capture, db = directory / "records.ndjson", directory / "batch.duckdb"
    capture.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    compare_captures(CompareRequest(sources=[Source(str(capture))], db=db, rules=parse_rules(""), settings=SETTINGS))
    return db


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that nothing has landed in."""
    return prepare_store(tmp_path_factory.mktemp("laws") / "store").root


@pytest.fixture(scope="module")
def directories(empty: Path) -> Iterator[Path]:
    """Where examples have their directories."""
    with tempfile.TemporaryDirectory(dir=empty.parent) as made:
        yield Path(made)


def check(
    empty: Path,
    directories: Path,
    orders: tuple[list[Exchange], list[Exchange]],
    steps: list[str],
    *,
    without: str = "",
    now: timedelta = timedelta(0),
) -> None:
    """See that both ways come to the same."""
    records, arrived = orders
    directory = Path(tempfile.mkdtemp(dir=directories))
    root = directory / "store"
    shutil.copytree(empty, root)
    asyncio.run(World(root, arrived, now).run(steps))
    prepare_store(root)
    assert shown(root, without=without) == shown(compared(directory, records), without=without)
    shutil.rmtree(directory)


def at_day(day: int, record: Exchange) -> Exchange:
    """Let a record be of another day; a live one at least is there, for others to go to."""
    return msgspec.structs.replace(record, started_us=record.started_us + day * DAY_US)


def a_day(day: int) -> st.SearchStrategy[list[Exchange]]:
    """Records of one day, in any order."""
    live = [at_day(day, exchange(request_id, "live", {"a": 0, "b": 0})) for request_id in ("a", "b")]
    return st.lists(exchanges, max_size=5).flatmap(
        lambda records: st.permutations([*live, *(at_day(day, record) for record in records)])
    )


FEW = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@FEW
@given(ORDERS, st.lists(STEPS, max_size=20))
def test_within_the_window_a_store_shows_what_a_batch_shows(
    empty: Path, directories: Path, orders: tuple[list[Exchange], list[Exchange]], steps: list[str]
) -> None:
    """Every column of comparisons, differences and exchanges, duplicates too; nothing is late."""
    check(empty, directories, orders, steps)


@FEW
@given(ORDERS, st.lists(STEPS | st.just("window"), max_size=20))
def test_late_records_come_to_what_a_batch_shows(
    empty: Path, directories: Path, orders: tuple[list[Exchange], list[Exchange]], steps: list[str]
) -> None:
    """But for what says that they were late, and for duplicates, which count within the window only."""
    if "crash" in steps:  # a successor does not know of requests that were sent to nobody else
        records, arrived = ([msgspec.structs.replace(r, expect=r.expect or None) for r in some] for some in orders)
        orders = records, arrived
    check(empty, directories, orders, steps, without=", late, duplicates")


@FEW
@given(a_day(0), a_day(2), st.lists(STEPS, max_size=25))
def test_an_id_that_is_used_again_after_the_horizon_is_another_request(
    empty: Path, directories: Path, one_day: list[Exchange], another: list[Exchange], steps: list[str]
) -> None:
    """Also where both are on their way at once, as in a backlog."""
    records = [*one_day, *another]
    check(empty, directories, (records, records), steps, now=timedelta(days=3))
