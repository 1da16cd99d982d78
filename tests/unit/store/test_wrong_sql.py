"""What is said of SQL that does not work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gnomon.errors import UsageError
from gnomon.model import Comparison
from gnomon.store import Landed, run_query
from gnomon.store.wrong_sql import wrong_sql

TABLES = "`SHOW TABLES` lists tables and views, docs/tables.md the macros too"
COLUMNS = "`DESCRIBE` and the table's name show its columns"
TIMES = "a time is written '2027-07-12T08:00:00Z', or as now() - INTERVAL 1 HOUR"


@pytest.fixture(scope="module")
def database(
    tmp_path_factory: pytest.TempPathFactory, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> Path:
    """A database with one comparison."""
    target = tmp_path_factory.mktemp("database") / "gnomon.duckdb"
    land(target, [(comparison(), [])])
    return target


@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        ("SELECT endpoint FROM endpoint_stat", ["endpoint_stat does not exist; did", 'mean "endpoint_stats"?', TABLES]),
        ("FROM rate_stat(flag := 'x')", ["rate_stat does not exist; did", 'mean "rate_stats"?', TABLES]),
        ("SELECT outcom FROM comparisons", ['"outcom" not found', 'candidates are "outcome"', COLUMNS]),
        ("SELECT c.outcom FROM comparisons AS c", ['a column named "outcom"', '"outcome"', COLUMNS]),
        ("SELECT x.outcome FROM comparisons AS c", ['"x" not found', 'candidates are "c"', TABLES]),
        ("SELECT lenght('a')", ['did you mean "length"?']),
        ("FROM endpoint_stats(sinc := '1h')", ["endpoint_stats takes since := NULL, until := NULL, synthetic", TIMES]),
        ("FROM endpoint_stats(since := '1h')", ['"1h"', TIMES]),
        ("SELECT outcome, count(*) FROM comparisons", ["must appear in the GROUP BY", "; add it to the GROUP BY list"]),
        ("SELEC 1", ['syntax error at or near "SELEC"; `gnomon query --help` has examples']),
    ],
)
def test_what_duckdb_suggests_is_kept(database: Path, sql: str, parts: list[str]) -> None:
    """The sentence has what is wrong, what may have been meant, and where to look for names of that kind."""
    with pytest.raises(UsageError) as refusal:
        list(run_query(database, sql).rows)
    said = str(refusal.value)
    assert said.startswith("the SQL does not work: ")
    assert [part for part in parts if part not in said] == [], said
    assert "!" not in said
    assert "\n" not in said


def test_a_time_relative_to_now_is_taken(database: Path) -> None:
    """What the sentence about times says works."""
    assert list(run_query(database, "FROM endpoint_stats(until := now() - INTERVAL 1 HOUR)").columns)
    assert list(run_query(database, "FROM endpoint_stats(since := '2027-07-12T08:00:00Z')").columns)


def test_an_older_client_puts_a_line_between() -> None:
    """What comes after an empty line, as DuckDB 1.5 has it before the place in the SQL, is found as well."""
    text = (
        'Binder Error: Table "c" does not have a column named "outcom"\n\nCandidate bindings: : "outcome"\n\n'
        "LINE 1: SELECT c.outcom\n               ^"
    )
    assert 'candidates are "outcome"; ' in str(wrong_sql(text))
