"""The commands for stores: export, catalog, compact, and the readers on a store's directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gnomon.model import Comparison, Difference, instant
from gnomon.store.log import Batch, LogWriter, Position, land_rules, store_at

Run = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The default store of the test's directory: four pairs, two of which diverge."""
    path = tmp_path / "gnomon.store"
    started = instant(1_800_000_000_000_000)
    land_rules(path, "rules-1", "", started)
    writer = LogWriter(path, "t", 0)
    rows = []
    for number in range(4):
        found = [Difference("/body/a", "/body/a", "/body/a", "changed", "medium", "1", "2")] if number % 2 else []
        comparison = Comparison(
            request_id=f"r-{number}",
            target="cart@2",
            role="shadow",
            service="cart",
            endpoint="GET /a",
            method="GET",
            path="/a",
            started_at=started,
            live_ms=1.0,
            shadow_ms=2.0,
            delta_ms=1.0,
            outcome="diff" if found else "match",
            differences=len(found),
            rules="rules-1",
        )
        rows.append((comparison, found))
    writer.land(Batch(comparisons=rows, position=Position("t", 0, 4)))
    return path


@pytest.mark.usefixtures("store")
def test_readers_take_the_store_by_default(run: Run) -> None:
    """Without --db and GNOMON_DB, what is read is the store if it exists."""
    assert run("query", "SELECT count(*) AS n FROM comparisons") == (0, "n\n4\n", "")
    assert "cart" in run("report").out
    assert "nothing to suggest" in run("rules", "suggest").err


def test_judging_a_store_again(run: Run, store: Path) -> None:
    """`rules test` says what would change and `rejudge` changes it."""
    rules = store.parent / "new.toml"
    rules.write_text('[[rule]]\npath = "/body/a"\nignore = true\n')
    assert json.loads(run("rules", "test", "--rules", rules, "--json").out)["changed"] == 2
    assert json.loads(run("rejudge", "--rules", rules, "--db", store, "--json").out)["changed"] == 2
    assert run("query", "SELECT DISTINCT outcome FROM comparisons").out == "outcome\nmatch\n"


def test_export_writes_one_file(run: Run, store: Path) -> None:
    """The whole store or a part, to a file that is not there yet; the file is read like any other."""
    ended = run("export", "--db", "all.duckdb")
    assert ended == (0, "4 comparisons with 2 differences written to all.duckdb\n", "")
    assert run("query", "--db", "all.duckdb", "SELECT count(*) AS n FROM comparisons").out == "n\n4\n"
    assert "0 comparisons" in run("export", "--store", store, "--db", "b.duckdb", "--service", "pay").out
    ended = run("export", "--db", "all.duckdb")
    assert ended.code == 2
    assert "all.duckdb is there already; name a new file" in ended.err


def test_compact_and_catalog(run: Run, store: Path) -> None:
    """Compaction now, and a catalog for readers that mount the store elsewhere."""
    assert run("compact").out.startswith("4 batches compacted")
    assert run("query", "SELECT count(*) AS n FROM comparisons").out == "n\n4\n"
    moved = store.with_name("moved")
    assert "for readers that find the store at" in run("catalog", "--at", moved).out
    store.rename(moved)
    import duckdb

    with duckdb.connect(str(moved / "catalog.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM comparisons").fetchall() == [(4,)]


def test_compact_names_what_is_damaged_and_forgets_what_is_gone(run: Run, store: Path) -> None:
    """All else is compacted first; the exit code says that something is left to do."""
    [*_, newest] = sorted((store / "hot" / "worker").glob("*.0*"))
    whole = newest.read_bytes()
    newest.write_bytes(whole[:500])
    asked = run("query", "SELECT count(*) AS n FROM comparisons")
    assert asked.code == 2
    assert f"{newest} is damaged" in asked.err
    ended = run("compact")
    assert ended.code == 2
    assert "compacted" in ended.out
    assert f"left as they are, because they are damaged or missing: {newest}; bring them back" in ended.err
    newest.write_bytes(whole)
    assert run("compact").code == 0
    assert run("query", "SELECT count(*) AS n FROM comparisons").out == "n\n4\n"
    [*_, sealed] = sorted((store / "sealed" / "comparisons").glob("1*"))
    for file in (store / "sealed" / "comparisons").glob("1*"):
        file.unlink()
    assert "compact --forget-missing" in run("query", "FROM comparisons").err
    assert run("compact").code == 2
    ended = run("compact", "--forget-missing")
    assert ended.code == 0
    assert f"{sealed} is forgotten\n" in ended.out
    assert run("query", "SELECT count(*) AS n FROM comparisons").out == "n\n0\n"


def test_a_store_goes_by_other_settings_when_it_is_told_to(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by those of whoever writes its catalog."""
    monkeypatch.setenv("GNOMON_LIMITS_PATTERNS", "7")
    run("catalog")
    before = store_at(store).info()
    assert before.patterns == 1_000
    run("catalog", "--adopt-settings")
    assert store_at(store).info() == msgspec.structs.replace(before, patterns=7)


def test_a_database_of_an_older_program_is_brought_up_to_date(run: Run, store: Path) -> None:
    """The verdict refuses it with the command that helps, and that command is for one file or for a store."""
    run("export", "--db", "old.duckdb")
    import duckdb

    with duckdb.connect("old.duckdb") as connection:
        connection.execute("DROP MACRO views_digest")
    ended = run("verdict", "--db", "old.duckdb")
    assert ended.code == 2
    assert (
        "old.duckdb has the views of another version of gnomon; bring it up to date with `gnomon catalog" in ended.err
    )
    assert run("catalog", "--db", "old.duckdb") == (0, "old.duckdb has the views of this version\n", "")
    assert run("verdict", "--db", "old.duckdb").code == 3
    assert run("catalog", "--db", "old.duckdb", "--store", store).code == 2


def test_without_a_store_they_say_so(run: Run) -> None:
    """Each command names what is missing, and makes nothing."""
    for command in (["compact"], ["catalog"], ["export", "--db", "x.duckdb"]):
        ended = run(*command)
        assert ended.code == 2
        assert "there is no store at gnomon.store; name the directory" in ended.err
    assert not list(Path().iterdir())


def test_a_database_file_is_no_store(run: Run) -> None:
    """It is named as it was given, not the directory that it stands in."""
    Path("gnomon.duckdb").touch()
    ended = run("compact", "--store", "gnomon.duckdb")
    assert ended.code == 2
    assert ended.err.startswith("gnomon: there is no store at gnomon.duckdb; name the directory")
