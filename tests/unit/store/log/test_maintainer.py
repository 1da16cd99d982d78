"""Compaction, leases, retention and what is learned."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gnomon.errors import FencedError, InputError
from gnomon.model import Place, Reject
from gnomon.store.log import Layout, LogWriter, Maintainer, Retention
from gnomon.store.log.layout import SENTINEL
from gnomon.store.log.lease import lease
from gnomon.store.log.maintainer import BATCHES
from gnomon.store.log.manifest import load_manifest, publish
from gnomon.testing import ManualClock

TOPIC = "gnomon.exchanges"
FOREVER = Retention(timedelta(days=10_000))
Make = Callable[..., Any]
Ask = Callable[[str], list[tuple[Any, ...]]]

EVERYTHING = """
SELECT
    (SELECT list(c ORDER BY c.request_id) FROM comparisons AS c),
    (SELECT list(d ORDER BY d.path) FROM differences AS d),
    (SELECT list(e ORDER BY e.record) FROM exchanges AS e), (SELECT list(r ORDER BY r.offset) FROM rejects AS r)
"""


def _fill(writer: LogWriter, batch: Make, comparison: Make, difference: Make, exchange: Make, count: int = 5) -> None:
    for number in range(count):
        row = (comparison(f"r-{number}", second=number, outcome="diff", differences=1), [difference(f"/{number}")])
        missing = (comparison(f"m-{number}", outcome="shadow_missing"), [])
        reject = Reject(Place(TOPIC, partition=0, offset=number), "broken")
        writer.land(batch([row, missing], offset=number, exchanges=[exchange(f"r-{number}")], rejects=[reject]))


def test_compaction_changes_no_row(
    writer: LogWriter,
    root: Path,
    batch: Make,
    comparison: Make,
    difference: Make,
    exchange: Make,
    compact: Make,
    ask: Ask,
) -> None:
    """All tables are the same before and after; batches become one file a table, and go after the grace period."""
    _fill(writer, batch, comparison, difference, exchange)
    before = ask(EVERYTHING)
    done = compact(grace=timedelta(hours=1))
    assert (done.batches, done.files_removed) == (6, 0)
    assert ask(EVERYTHING) == before
    hot = root / "hot" / "worker"
    assert len(list(hot.glob("gnomon*"))) == 6
    compact()
    assert not list(hot.glob("gnomon*"))
    assert [len(list((root / "sealed" / name).glob("*"))) for name in ("comparisons", "exchanges")] == [2, 2]
    assert ask(EVERYTHING) == before
    assert compact().batches == 0
    assert len(list((root / "manifests").iterdir())) <= 2


def test_groups_of_one_hour_become_one(
    root: Path, batch: Make, comparison: Make, difference: Make, exchange: Make, ask: Ask
) -> None:
    """When the hour in which they landed is over; the group knows when its rows landed."""
    clock = ManualClock(datetime(2027, 1, 15, 8, 10, tzinfo=UTC))
    writer = LogWriter(root, TOPIC, 0, clock=clock)
    maintainer = Maintainer(Layout(root), FOREVER, grace=timedelta(seconds=1), clock=clock)
    for number in range(3):
        writer.land(batch([(comparison(f"r-{number}"), [])], offset=number))
        clock.advance(timedelta(minutes=15))
        # Files have the machine's time: to this clock they are old.
        done = maintainer.run(everything=False)
        assert done is not None
        assert done.merged == 0
    before = ask(EVERYTHING)
    clock.advance(timedelta(minutes=30))
    done = maintainer.run()
    assert done is not None
    assert done.merged == 3
    groups = [group for group in load_manifest(Layout(root)).groups if "comparisons" in group.tables]
    assert [(group.first.minute, group.last.minute, group.rows) for group in groups] == [(10, 40, 3)]
    clock.advance(timedelta(minutes=1))
    maintainer.run()
    assert len(list((root / "sealed" / "comparisons").glob("*"))) == 2
    assert ask(EVERYTHING) == before


def test_few_and_young_batches_wait(writer: LogWriter, batch: Make, comparison: Make, compact: Make) -> None:
    """A pass is cheap where there is nothing worth it; many batches are compacted at once."""
    writer.land(batch([(comparison("r-0"), [])]))
    assert compact(everything=False).batches == 0
    for number in range(BATCHES):
        writer.land(batch([(comparison(f"r-{number}"), [])]))
    assert compact(everything=False).batches == BATCHES + 2


def test_one_maintainer_at_a_time(root: Path, writer: LogWriter, compact: Make) -> None:
    """While one holds the lease another does nothing, or waits; nobody holds it past its end."""
    del writer
    layout = Layout(root)
    with lease(layout) as held:
        assert held
        assert compact() is None
        waiting = threading.Thread(target=lambda: compact(wait=True), daemon=True)
        waiting.start()
        assert waiting.is_alive()
    waiting.join(30)
    assert not waiting.is_alive()
    assert compact() is not None


def test_a_manifest_is_published_once(root: Path, writer: LogWriter) -> None:
    """Without a lease, of two who follow the same manifest the second is refused."""
    del writer
    layout = Layout(root)
    following = load_manifest(layout)
    following = type(following)(version=following.version + 1)
    publish(layout, following)
    with pytest.raises(FencedError, match="another process has compacted"):
        publish(layout, following)


def test_retention_by_age_and_size(
    root: Path, batch: Make, comparison: Make, difference: Make, exchange: Make, ask: Ask
) -> None:
    """The oldest groups go; rule sets and the position stay."""
    clock = ManualClock(datetime(2027, 1, 15, 8, tzinfo=UTC))
    writer = LogWriter(root, TOPIC, 0, clock=clock)
    for number in range(4):
        writer.land(batch([(comparison(f"r-{number}", outcome="diff"), [difference()])], offset=number))
        Maintainer(Layout(root), FOREVER, clock=clock).run(everything=True)
        clock.advance(timedelta(days=1))
    aged = Maintainer(Layout(root), Retention(timedelta(days=3, hours=1)), grace=timedelta(0), clock=clock)
    done = aged.run()
    assert done is not None
    assert done.expired == 1
    assert ask("SELECT request_id FROM comparisons ORDER BY 1") == [("r-1",), ("r-2",), ("r-3",)]
    assert ask("SELECT count(*) FROM differences") == [(3,)]
    small = Maintainer(Layout(root), Retention(timedelta(days=99), size=1), grace=timedelta(0), clock=clock)
    done = small.run()
    assert done is not None
    assert done.expired == 2
    assert ask("SELECT request_id FROM comparisons") == [("r-3",)]
    assert LogWriter(root, TOPIC, 0).position == writer.position


def test_endpoint_names_are_learned(writer: LogWriter, batch: Make, comparison: Make, compact: Make, ask: Ask) -> None:
    """Templates that many names show are applied by the views to all history; the same again is nothing new."""
    names = [f"GET /people/{name}{more}" for name in ("alice", "bob", "carol", "dave", "eve") for more in "abcdefgh"]
    writer.land(batch([(comparison(f"r-{n}", endpoint=name), []) for n, name in enumerate(names)]))
    compact()
    [(template, pairs)] = ask("SELECT endpoint, pairs FROM endpoint_stats")
    assert template.startswith("GET /people/{")
    assert pairs == len(names)
    compact()
    assert ask("SELECT DISTINCT version FROM learned_endpoints") == [(1,)]


def test_leftovers_are_swept(
    root: Path, writer: LogWriter, batch: Make, comparison: Make, compact: Make, ask: Ask
) -> None:
    """What a killed process wrote and never named, or no manifest names, counts never and goes after an hour."""
    writer.land(batch([(comparison("r-1"), [])]))
    compact()
    [sealed] = [file for file in (root / "sealed" / "comparisons").glob("*") if file.name != SENTINEL]
    orphan = sealed.with_name("17.parquet")
    with duckdb.connect() as connection:
        source = str(sealed).replace("'", "''").replace("[", "[[]").replace("*", "[*]")
        made = str(root.parent / "orphan.parquet")
        connection.execute(f"COPY (SELECT * REPLACE (17 AS gid) FROM read_parquet('{source}')) TO '{made}'")
    Path(made).rename(orphan)
    leftover = root / "tmp" / "t-0.7.1-abc"
    leftover.write_bytes(b"half")
    assert ask("SELECT count(*) FROM comparisons") == [(1,)]
    assert compact().files_removed <= 1
    assert leftover.exists()
    assert orphan.exists()
    later = ManualClock(datetime.now(UTC) + timedelta(hours=2))
    Maintainer(Layout(root), FOREVER, clock=later).run()
    assert not leftover.exists()
    assert not orphan.exists()
    assert ask("SELECT count(*) FROM comparisons") == [(1,)]


def test_no_store_is_said(tmp_path: Path) -> None:
    """A directory that is none of ours is left alone."""
    with pytest.raises(InputError, match="is not a store of Gnomon's"):
        Maintainer(Layout(tmp_path), FOREVER).run()
    assert not list(tmp_path.iterdir())
