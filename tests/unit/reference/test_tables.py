"""The page of tables: all of it is explained, and its questions have right answers."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gnomon.cli.app import app
from gnomon.model import Comparison, Difference, instant
from gnomon.reference.commands import walk
from gnomon.reference.tables import examples, tables_page
from gnomon.store import Relation, RunRecord, StagedRun, Store, describe_tables, run_query, work_directory

ROOT = Path(__file__).parents[3]
STARTED = instant(1_800_000_000_000_000)
NOW = datetime(2027, 2, 1, 12, tzinfo=UTC)


def compared(request_id: str, role: str, outcome: str, synthetic: str | None = None) -> Comparison:
    """One comparison."""
    return Comparison(
        request_id=request_id,
        target="cart@2" if role == "shadow" else "",
        role=role,  # type: ignore[arg-type] - one of the two
        service="cart",
        endpoint="GET /carts/{id}",
        method="GET",
        path="/carts/7",
        started_at=STARTED,
        live_ms=10.0,
        shadow_ms=12.0,
        delta_ms=2.0,
        outcome=outcome,  # type: ignore[arg-type] - one of them
        synthetic=synthetic,
        rules="rules-1",
    )


def price(*, noise: bool = False, path: str = "/body/price") -> Difference:
    """A difference in the price, or elsewhere."""
    return Difference(path, path, path, "changed", "medium", "1", "2", noise)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real requests, of which one diverges; each has a control that differs, and a load test differs all over."""
    path = tmp_path_factory.mktemp("tables") / "gnomon.duckdb"
    at = "/body/at"
    rows = [
        (compared("r-1", "shadow", "diff"), [price(), price(noise=True, path=at)]),
        (compared("r-1", "control", "diff"), [price(path=at)]),
        (compared("r-2", "shadow", "noise"), [price(noise=True, path=at)]),
        (compared("r-2", "control", "diff"), [price(path=at)]),
        *((compared(f"s-{n}", "shadow", "diff", "load-test"), [price(path="/body/other")]) for n in range(5)),
    ]
    with work_directory(path) as work_dir, StagedRun(path, work_dir, run="run-1") as stage:
        for comparison, differences in rows:
            stage.add(comparison, differences)
        stage.add_rules("rules-1", "# none", NOW)
        stage.land(
            RunRecord(
                run="run-1",
                started_at=NOW,
                finished_at=NOW,
                command="compare",
                sources=["a.ndjson"],
                rules="rules-1",
                records=18,
            ),
            NOW,
        )
    return path


def answer(database: Path, about: str) -> list[tuple[object, ...]]:
    """What the example answers."""
    return list(run_query(database, examples()[about][1]).rows)


@pytest.mark.parametrize("about", examples())
def test_every_question_is_answered(database: Path, about: str) -> None:
    """The SQL of each works."""
    assert isinstance(answer(database, about), list)


def test_answers_are_of_the_shadow_and_of_real_traffic(database: Path) -> None:
    """Neither the control's rows, nor noise, nor a load test is counted."""
    assert sorted(answer(database, "table comparisons")) == [("diff", 1), ("noise", 1)]
    assert answer(database, "table differences") == [("cart@2", "/body/price", "changed", "1", "2")]
    assert answer(database, "view comparisons_real") == [(STARTED.replace(minute=0, second=0), 2)]
    assert answer(database, "view differences_real") == [("GET /carts/{id}", "/body/price", "changed", 1)]
    [(endpoint, pattern, kind, requests, _, ids)] = answer(database, "view field_stats")
    assert (endpoint, pattern, kind, requests, ids) == ("GET /carts/{id}", "/body/price", "changed", 1, ["r-1"])
    assert answer(database, "macro field_stats") == [("GET /carts/{id}", "/body/other", "changed", 5)]
    [(_, _, requests)] = answer(database, "table rule_versions")
    assert requests == 2


def test_all_is_explained() -> None:
    """Each table, view and column has a comment, every comment is of something, and each has a question."""
    relations = describe_tables()
    assert {f"{one.kind} {one.name}" for one in relations} == set(examples())
    for relation in relations:
        assert relation.comment.endswith("."), relation.name
        for column in relation.columns:
            assert relation.kind == "macro" or column.comment, (relation.name, column.name)


def macro(name: str) -> Relation:
    """The description of a macro."""
    return next(one for one in describe_tables() if (one.kind, one.name) == ("macro", name))


def test_macros_are_listed_with_what_they_take() -> None:
    """`SHOW TABLES` leaves them out, so the page has parameters and columns."""
    taken = ["since := NULL", "until := NULL", "synthetic := 'exclude'"]
    assert macro("endpoint_stats").parameters == taken
    assert macro("rate_stats").parameters == [*taken, "flag := NULL", "by_as_of := false", "every := NULL"]
    assert macro("learned_names").parameters == []
    assert "`rate_stats(...)`" in tables_page()


def test_methods_of_a_store_are_listed() -> None:
    """What is asked of `gnomon.open` is on the page, and has a docstring."""
    page = tables_page()
    for name in ("sql", "summary", "endpoints", "fields", "latency", "request", "report", "alerts", "close"):
        assert inspect.getdoc(getattr(Store, name))
        assert f"| `{name}(" in page


def shown_sql() -> Iterator[tuple[str, str]]:
    """Every statement over the two tables that have more rows than the shadow's, and where it is shown."""
    for command, context in walk(app, app.make_context("gnomon", [], resilient_parsing=True)):
        for line in (command.help or "").splitlines():
            if "gnomon query" in line:
                yield context.command_path, line
    for file in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = file.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:console|sql)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            for statement in re.split(r"^\$ |;\n", block.replace("\\\n", " "), flags=re.MULTILINE):
                yield file.name, statement
    for file in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            yield file.name, "".join(cell["source"])


def test_no_example_counts_the_control() -> None:
    """Whoever copies an example over `comparisons` or `differences` gets the shadow's rows, as is said of them."""
    found = [
        (where, sql)
        for where, sql in shown_sql()
        if re.search(r"\bFROM (comparisons|differences)(_real)?\b", sql, re.IGNORECASE)
    ]
    assert len(found) >= 8
    for where, sql in found:
        assert "role = 'shadow'" in sql, (where, sql)
        if "differences" in sql:
            assert "NOT noise" in sql, (where, sql)
        assert "_real" in sql or "synthetic IS NULL" in sql or "request_id = " in sql, (where, sql)


def test_nobody_is_sent_to_a_registry_for_gnomon() -> None:
    """It is installed from the clone: whoever registers the name elsewhere gets no users by these pages."""
    shipped = [path for path in (ROOT / "pipeline").rglob("*") if path.suffix in {".py", ".md", ".sql", ".html"}]
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb"), *shipped]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"install(?: -U| --upgrade)? [\"']?gnomon\b", text), path
