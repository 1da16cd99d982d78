"""A store is read as a database is: the same tables, views and questions, by our reader and by any client."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import gnomon
from gnomon.errors import DependencyError, InputError, UsageError
from gnomon.model import instant
from gnomon.store import Selection, open_store, run_query
from gnomon.store.database import persistently
from gnomon.store.log import Layout, LogWriter, StoreInfo, adopt_settings, prepare_store, write_catalog
from gnomon.store.log.export import export_store

Make = Callable[..., Any]
Ask = Callable[[str], list[tuple[Any, ...]]]
TABLES = [
    "comparisons", "differences", "exchanges", "rejects", "runs", "rule_versions", "alerts", "routed",
    "learned_endpoints", "comparisons_real", "differences_real", "endpoint_stats", "field_stats", "latency_stats",
]  # fmt: skip


def test_an_empty_store_can_be_asked(root: Path, ask: Ask) -> None:
    """Every table and view binds before anything has landed."""
    prepare_store(root)
    for table in TABLES:
        assert ask(f"FROM {table}") == []
    assert list(run_query(root, "SELECT count(*) FROM comparisons").rows) == [(0,)]


def test_columns_are_those_of_a_database(root: Path, tmp_path: Path, comparison: Make, land: Make, ask: Ask) -> None:
    """Names, order and types of every table and view are the same in a store and in a portable file."""
    land(tmp_path / "one.duckdb", [(comparison(), [])])
    prepare_store(root)
    for table in TABLES:
        with duckdb.connect(str(tmp_path / "one.duckdb"), read_only=True) as connection:
            expected = [row[:2] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
        assert [row[:2] for row in ask(f"DESCRIBE {table}")] == expected


def _traffic(comparison: Make, difference: Make) -> list[Any]:
    rows: list[Any] = []
    for number in range(40):
        found = [difference("/price"), difference("/at", noise=number % 2 == 0)] if number % 4 == 0 else []
        outcome = "diff" if found else "match"
        rows.append((comparison(f"r-{number}", second=number, outcome=outcome, differences=len(found)), found))
        rows.append((comparison(f"r-{number}", second=number, role="control", target=""), []))
    return rows


def test_a_store_answers_as_a_database_does(
    writer: LogWriter,
    root: Path,
    tmp_path: Path,
    batch: Make,
    comparison: Make,
    difference: Make,
    exchange: Make,
    land: Make,
    compact: Make,
) -> None:
    """Statistics, reports and what is judged again are equal, hot, compacted and exported."""
    rows = _traffic(comparison, difference)
    land(tmp_path / "one.duckdb", rows, exchanges=[exchange("r-0"), exchange("r-4", second=4)])
    writer.land(batch(rows[:30], offset=1, exchanges=[exchange("r-0"), exchange("r-4", second=4)]))
    writer.land(batch(rows[30:], offset=2))

    def answers(path: Path) -> list[Any]:
        with open_store(path) as store:
            half = Selection(since=instant(1_800_000_010_000_000), target="cart@2")
            report = store.report(title="t", now=instant(0))
            judged = [(one.comparisons, one.exchanges) for requests in store.judged() for one in requests]
            return [
                gnomon.store.reader.msgspec.structs.replace(report, source="", samples=[]),
                [(one.comparison["request_id"], one.differences, one.live) for one in report.samples],
                store.endpoints(half), store.fields(half), store.latency(half), store.summary(half), judged,
            ]  # fmt: skip

    expected = answers(tmp_path / "one.duckdb")
    assert answers(root) == expected
    compact()
    assert answers(root) == expected
    assert answers(root / "catalog.duckdb") == expected
    exported = export_store(Layout(root), tmp_path / "two.duckdb", Selection(synthetic="include"))
    assert (exported["comparisons"], exported["differences"], exported["exchanges"]) == (80, 20, 2)
    assert answers(tmp_path / "two.duckdb") == expected


def test_synthetic_traffic_is_stored_and_counts_only_where_it_is_asked_for(
    writer: LogWriter, root: Path, tmp_path: Path, batch: Make, comparison: Make, difference: Make, land: Make
) -> None:
    """In rates, views, verdicts and reports, on a file and on a store; row by row there is a view of real traffic."""
    rows: list[Any] = []
    for number in range(10):
        found = [difference("/price")] if number < 4 else []
        told = {"second": number, "outcome": "diff" if found else "match", "differences": len(found)}
        rows.append((comparison(f"r-{number}", synthetic="load" if number < 3 else None, **told), found))
        rows.append((comparison(f"r-{number}", second=number, role="control", target="",
                                synthetic="load" if number < 3 else None), []))  # fmt: skip
    land(tmp_path / "one.duckdb", rows)
    writer.land(batch(rows, offset=1))
    for path in (tmp_path / "one.duckdb", root):
        with open_store(path) as store:
            for word, pairs, diverging in (("exclude", 7, 1), ("include", 10, 4), ("only", 3, 3)):
                selection = Selection(synthetic=word)  # type: ignore[arg-type]
                assert store.summary(selection).pairs == pairs
                assert [row.pairs for row in store.endpoints(selection)] == [pairs]
                assert [row.requests for row in store.fields(selection)] == [diverging]
                assert [row.pairs for row in store.latency(selection)] == [pairs]
                assert store.report(selection, title="t", now=instant(0)).pairs == pairs
                [judged] = store.evidence(selection).endpoints
                assert (judged.pairs, judged.divergence.plus, len(judged.timings)) == (pairs, diverging, pairs)
        for sql, count in (
            ("SELECT sum(pairs)::INTEGER FROM endpoint_stats", 7),
            ("SELECT sum(pairs)::INTEGER FROM endpoint_stats(synthetic := 'only')", 3),
            ("SELECT count(*)::INTEGER FROM comparisons", 20),
            ("SELECT count(*)::INTEGER FROM comparisons_real", 14),
            ("SELECT count(*)::INTEGER FROM differences", 4),
            ("SELECT count(*)::INTEGER FROM differences_real", 1),
        ):
            assert list(run_query(path, sql).rows) == [(count,)]


def test_a_part_is_exported(
    writer: LogWriter, root: Path, tmp_path: Path, batch: Make, comparison: Make, difference: Make, exchange: Make
) -> None:
    """Time, service and target choose; a control comes with its shadows, and what belongs to them with both."""
    rows = [*_traffic(comparison, difference), (comparison("other", service="pay", second=20), [difference()])]
    rows.append((comparison("three", target="cart@3", second=20), [difference()]))
    writer.land(batch(rows, exchanges=[exchange("r-0"), exchange("r-20", second=20)]))
    part = Selection(
        since=instant(1_800_000_010_000_000),
        until=instant(1_800_000_030_000_000),
        service="cart",
        target="cart@2",
        synthetic="include",
    )
    target = tmp_path / "part.duckdb"
    exported = export_store(Layout(root), target, part)
    assert (exported["comparisons"], exported["differences"], exported["exchanges"]) == (40, 10, 1)
    with pytest.raises(InputError, match="is there already"):
        export_store(Layout(root), target, part)
    assert [file.name for file in tmp_path.iterdir() if file != root] == ["part.duckdb"]


@pytest.mark.parametrize(
    "sql",
    [
        "COPY comparisons TO '{root}/x.csv'",
        "EXPLAIN ANALYZE COPY comparisons TO '{root}/x.csv'",
        "EXPLAIN /* a */ ANALYZE COPY comparisons TO '{root}/x.csv'",
        "EXPORT DATABASE '{root}/x.csv'",
        "FROM read_text('{root}/../secret')",
        "FROM '/etc/passwd'",
        "ATTACH '{root}/x.csv' AS x",
        "CREATE TABLE x AS FROM comparisons",
        "CREATE OR REPLACE MACRO store_root() AS '/etc'",
        "SET allowed_directories = ['/']",
        "SELECT 1; SELECT 2",
    ],
)
def test_sql_reads_the_store_and_nothing_else(root: Path, sql: str) -> None:
    """What would write, even within the store, or read elsewhere is refused, by `query` and by `Store.sql`."""
    prepare_store(root)
    (root.parent / "secret").write_text("secret")
    text = sql.format(root=str(root).replace("'", "''"))
    with pytest.raises(UsageError):
        list(run_query(root, text).rows)
    with open_store(root) as store, pytest.raises(UsageError):
        store.sql(text).fetchall()
    assert not (root / "x.csv").exists()
    assert list(run_query(root, "EXPLAIN SELECT 1").rows)


def test_a_query_that_lost_a_file_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compacted away under a query is no error while there are tries left; other errors are at once."""
    calls: list[int] = []

    def work() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise duckdb.IOException('IO Error: Cannot open file "x": No such file or directory')
        return "answer"

    assert persistently(work) == "answer"
    calls.extend([1] * 10)

    def broken() -> None:
        calls.clear()
        raise duckdb.IOException("IO Error: disk on fire")

    with pytest.raises(duckdb.IOException, match="on fire"):
        persistently(broken)


def test_a_file_that_is_missing_for_good_is_said(writer: LogWriter, root: Path, batch: Make, comparison: Make) -> None:
    """A store that somebody deleted from is no wrong answer but an error that names it."""
    writer.land(batch([(comparison(), [])]))
    for manifest in (root / "manifests").iterdir():
        manifest.unlink()
    with pytest.raises(DependencyError, match="there is no manifest"):
        list(run_query(root, "FROM comparisons").rows)


def test_what_is_no_store_is_said(tmp_path: Path) -> None:
    """A directory without store.json, or one of another format, is refused with a sentence."""
    with pytest.raises(InputError, match="is not a store of Gnomon's: it has no store.json"):
        open_store(tmp_path)
    (tmp_path / "store.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="has format 99 of the store and this program knows format [0-9]+; upgrade"):
        open_store(tmp_path)
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        open_store(tmp_path)


def test_the_catalog_is_read_only_and_replaced_as_a_whole(root: Path) -> None:
    """Mode 0444; who has the old one open goes on, and nothing else is left in the store."""
    layout = prepare_store(root)
    assert layout.catalog.stat().st_mode & 0o777 == 0o444
    with duckdb.connect(str(layout.catalog), read_only=True) as connection:
        write_catalog(layout, layout.info())
        assert connection.execute("SELECT count(*) FROM comparisons").fetchall() == [(0,)]
    assert not list(layout.tmp.iterdir())


def test_settings_reach_the_views(root: Path, batch: Make, comparison: Make, difference: Make, ask: Ask) -> None:
    """`limits.patterns` bounds the patterns that views tell apart; the store has that of who made it until told."""
    writer = LogWriter(root, "t", 0, info=StoreInfo(patterns=2))
    rows = [(comparison(f"r-{n}-{m}", outcome="diff"), [difference(f"/{n}")]) for n in range(4) for m in range(4 - n)]
    writer.land(batch(rows))
    assert ask("SELECT pattern FROM field_stats ORDER BY 1") == [("(other)",), ("/0",), ("/1",)]
    with open_store(root) as store:
        assert len(store.fields()) == 3
    layout = prepare_store(root, StoreInfo(patterns=10))
    assert len(ask("FROM field_stats")) == 3
    write_catalog(layout, adopt_settings(layout, StoreInfo(patterns=10)))
    assert len(ask("FROM field_stats")) == 4
    assert layout.info().id


def test_the_settings_are_read() -> None:
    """What a store remembers of the settings, and what a maintainer does."""
    from gnomon.config import Settings
    from gnomon.store.log import Retention

    settings = Settings()
    assert StoreInfo.of(settings) == StoreInfo()
    assert Retention.of(settings) == Retention(timedelta(days=30), None)
