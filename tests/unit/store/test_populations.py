"""Counts of live answers: landed once, summed by compaction, read for a verdict, of a database and of a store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from gnomon.model import PopulationCount, instant
from gnomon.store import Bounds, RunRecord, Selection, StagedRun, open_store, refresh_views, work_directory
from gnomon.store.log import Batch, Layout, LogWriter, Maintainer, Position, Retention
from gnomon.store.log.export import export_store

MINUTE = instant(1_800_000_000_000_000)
Ask = Callable[[str], list[tuple[object, ...]]]


def counts(target: str, requests: int, failed: int = 0, minutes: int = 0) -> list[PopulationCount]:
    """A minute of one target."""
    shared = {"service": "cart", "endpoint": "GET /a", "target": target, "minute": MINUTE + timedelta(minutes=minutes)}
    rows = [
        ("requests", "", "", requests),
        ("failed", "", "", failed),
        ("latency", "", "12", requests),
        ("shaped", "", "", requests),
        ("type", "/body/a", "number", requests),
        ("value", "/body/s", "open", requests),
    ]
    return [
        PopulationCount(**shared, measure=measure, field=field, value=value, responses=responses)  # type: ignore[arg-type]
        for measure, field, value, responses in rows
        if responses
    ]


def land(target: Path, rows: list[PopulationCount], run: str) -> None:
    """Land counts as one run."""
    with work_directory(target) as work_dir, StagedRun(target, work_dir, run=run) as stage:
        stage.add_populations(rows)
        record = RunRecord(
            run=run, started_at=MINUTE, finished_at=MINUTE, command="compare", sources=[], rules="r", records=1
        )
        stage.land(record, MINUTE)


def requests(path: Path) -> dict[str, int]:
    """Requests by target."""
    with open_store(path) as store:
        sql = "SELECT target, sum(responses) FROM populations WHERE measure = 'requests' GROUP BY target"
        return {target: int(total) for target, total in store.sql(sql).fetchall()}


def test_the_same_capture_again_changes_nothing_and_another_adds(target: Path) -> None:
    """Counts of a run that are those of a run that has landed are left out, whatever the runs are called."""
    land(target, counts("cart@1", 5), "one")
    land(target, counts("cart@1", 5), "two")
    assert requests(target) == {"cart@1": 5}
    land(target, counts("cart@1", 5, failed=1), "three")
    land(target, [], "four")
    assert requests(target) == {"cart@1": 10}


def test_batches_are_summed_when_they_are_compacted(tmp_path: Path) -> None:
    """The sums are the same before and after, also when groups are merged, and in a portable file."""
    root = tmp_path / "store"
    writer = LogWriter(root, "t", 0)
    maintainer = Maintainer(Layout(root), Retention(timedelta(days=10_000)), grace=timedelta(0))
    for at in range(4):
        for _ in range(2):
            writer.land(Batch(populations=counts("cart@1", 5), position=Position("t", 0, at)))
        writer.land(Batch(populations=counts("cart@2", 1, minutes=at), position=Position("t", 0, at)))
        assert requests(root) == {"cart@1": 10 * (at + 1), "cart@2": at + 1}
        maintainer.run(everything=True)
        assert requests(root) == {"cart@1": 10 * (at + 1), "cart@2": at + 1}
    writer.close()
    with open_store(root) as store:
        sql = "SELECT count(*) FROM populations WHERE target = 'cart@1' AND measure = 'requests'"
        assert store.sql(sql).fetchall() == [(1,)]
    selection = Selection(synthetic="include", until=MINUTE + timedelta(minutes=2))
    assert export_store(Layout(root), tmp_path / "x.duckdb", selection)["populations"] == 15
    assert requests(tmp_path / "x.duckdb") == {"cart@1": 40, "cart@2": 2}


def test_two_targets_are_read_side_by_side(target: Path) -> None:
    """By endpoint, of a time and a service; what only one build answers is there too."""
    land(target, [*counts("cart@1", 5, failed=2), *counts("cart@2", 3), *counts("cart@3", 9)], "one")
    with open_store(target) as store:
        [found] = store.populations(Selection(), "cart@2", "cart@1")
        assert store.populations(Selection(service="pay"), "cart@2", "cart@1") == []
        assert store.populations(Selection(since=MINUTE + timedelta(minutes=1)), "cart@2", "cart@1") == []
        assert store.populations(Selection(since=MINUTE + timedelta(seconds=30)), "cart@2", "cart@1") != []
        [lonely] = store.populations(Selection(), "cart@9", "cart@1")
    assert (found.service, found.endpoint, found.target) == ("cart", "GET /a", "cart@2")
    assert (found.baseline.requests, found.baseline.failed, found.canary.requests, found.canary.failed) == (5, 2, 3, 0)
    assert (found.canary.latencies, found.canary.shaped) == ({12: 3}, 3)
    assert found.canary.units == {("type", "/body/a", "number"): 3, ("value", "/body/s", "open"): 3}
    assert (lonely.canary.requests, lonely.baseline.requests) == (0, 5)


def test_a_database_without_the_table_gets_it(target: Path) -> None:
    """One of schema version 1 is refused by readers and migrated by writers; its rows stay."""
    land(target, counts("cart@1", 5), "one")
    with duckdb.connect(str(target)) as connection:
        connection.execute("DROP TABLE populations")
        connection.execute("DROP MACRO views_digest")
        connection.execute("UPDATE store_version SET version = 1")
    with pytest.raises(Exception, match="has version 1 .* knows version 2; bring it up to date with `gnomon catalog"):
        open_store(target)
    refresh_views(target)
    assert requests(target) == {}
    with open_store(target) as store:
        assert store.sql("SELECT count(*) FROM runs").fetchall() == [(1,)]


def test_endpoints_are_bounded_for_each_service(target: Path) -> None:
    """The most asked for keep their name; the others are one endpoint, with all that was counted of them."""
    rows = [
        PopulationCount(
            service=service,
            endpoint=endpoint,
            target="cart@1",
            minute=MINUTE,
            measure=measure,  # type: ignore[arg-type]
            field="",
            value="",
            responses=requests,
        )
        for service, endpoint, requests in [
            ("cart", "GET /a", 9),
            ("cart", "GET /b", 8),
            ("cart", "GET /c", 1),
            ("cart", "GET /d", 1),
            ("cart", "(other)", 20),
            ("pay", "GET /c", 1),
        ]
        for measure in ("requests", "failed")
    ]
    with work_directory(target) as work_dir, StagedRun(target, work_dir, run="r") as stage:
        stage.add_populations(rows)
        stage.bound_names(Bounds(endpoints=2))
        record = RunRecord(
            run="r", started_at=MINUTE, finished_at=MINUTE, command="compare", sources=[], rules="r", records=1
        )
        stage.land(record, MINUTE)
    with open_store(target) as store:
        found = store.populations(Selection(), "cart@2", "cart@1")
    assert {(one.service, one.endpoint, one.baseline.requests, one.baseline.failed) for one in found} == {
        ("cart", "GET /a", 9, 9),
        ("cart", "GET /b", 8, 8),
        ("cart", "(other)", 22, 22),
        ("pay", "GET /c", 1, 1),
    }
