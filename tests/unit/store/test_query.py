"""SQL from a user reads one database and can touch nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from gnomon.errors import InputError, UsageError
from gnomon.model import Comparison, Difference
from gnomon.store import Landed, open_store, run_query

HOSTILE = [
    "COPY comparisons TO '{out}'",
    "COPY (SELECT 1) TO '{out}' (FORMAT parquet)",
    "EXPORT DATABASE '{out}'",
    "IMPORT DATABASE '{out}'",
    "ATTACH '{secret}' AS other",
    "ATTACH '{out}' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{secret}'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM read_json('{secret}')",
    "SELECT * FROM read_parquet('{secret}')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM 'https://example.com/data.parquet'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "RESET lock_configuration",
    "SET profiling_output = '{out}'",
    "PRAGMA enable_profiling",
    "PRAGMA memory_limit = '100GB'",
    "CALL enable_logging(storage = 'file', storage_path = '{out}')",
    "CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')",
    "CREATE TABLE mine (id INTEGER)",
    "CREATE MACRO mine() AS 1",
    "INSERT INTO comparisons SELECT * FROM comparisons",
    "UPDATE comparisons SET target = 'x'",
    "DELETE FROM comparisons",
    "WITH gone AS (DELETE FROM comparisons RETURNING *) SELECT * FROM gone",
    "DROP TABLE comparisons",
    "ALTER TABLE comparisons DROP COLUMN path",
    "TRUNCATE comparisons",
    "VACUUM",
    "CHECKPOINT",
    "SELECT 1; DROP TABLE comparisons",
    "SELECT * FROM variable_of_the_caller",
    "",
    "-- nothing",
    "SELEC 1",
    "SELECT nothing FROM comparisons",
    "SELECT 'x'::INTEGER",
    "SELECT $1",
]


@pytest.fixture(scope="module")
def database(
    tmp_path_factory: pytest.TempPathFactory,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> Path:
    """A database with one diverging comparison, which nothing here can change."""
    target = tmp_path_factory.mktemp("database") / "gnomon.duckdb"
    land(target, [(comparison(outcome="diff", differences=1, flags={"arm": "b"}), [difference()])])
    return target


@pytest.mark.parametrize("sql", HOSTILE)
def test_hostile_or_wrong_sql_is_refused(
    database: Path, contents: Callable[[Path], dict[str, list[str]]], tmp_path: Path, sql: str
) -> None:
    """What would write, configure or read elsewhere is refused with a sentence, and nothing has changed."""
    secret, out = tmp_path / "secret.csv", tmp_path / "out"
    secret.write_text("secret,data\n1,2\n")
    variable_of_the_caller = [1]
    before = contents(database)
    with pytest.raises(UsageError) as refusal:
        list(run_query(database, sql.format(secret=secret, out=out)).rows)
    assert variable_of_the_caller == [1]
    assert "\n" not in str(refusal.value)
    assert not out.exists()
    assert contents(database) == before
    assert {path.name for path in database.parent.iterdir()} == {database.name}
    assert {path.name for path in tmp_path.iterdir()} == {secret.name}


def test_a_hostile_database_cannot_reach_out(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed], tmp_path: Path
) -> None:
    """A view in a database from a stranger reads no file either."""
    import duckdb

    land(target, [(comparison(), [])])
    secret = tmp_path / "secret.csv"
    secret.write_text("secret,data\n1,2\n")
    with duckdb.connect(str(target)) as connection:
        connection.execute(f"CREATE VIEW trap AS SELECT * FROM read_csv('{secret}')")
    with pytest.raises(UsageError, match="may only read the database"):
        list(run_query(target, "FROM trap").rows)


def test_columns_types_and_values(database: Path, now: datetime) -> None:
    """The result says names and types; numbers are numbers, times are aware and in UTC."""
    result = run_query(
        database,
        "SELECT request_id, differences, delta_ms, landed_at, flags, 1.50::DECIMAL(5, 2) AS d, NULL AS n "
        "FROM comparisons",
    )
    assert result.columns == ["request_id", "differences", "delta_ms", "landed_at", "flags", "d", "n"]
    assert result.types[:5] == ["VARCHAR", "BIGINT", "DOUBLE", "TIMESTAMP WITH TIME ZONE", "MAP(VARCHAR, VARCHAR)"]
    [row] = result.rows
    assert row == ("r-1", 1, 2.0, now, {"arm": "b"}, Decimal("1.50"), None)


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES",
        "DESCRIBE comparisons",
        "SUMMARIZE comparisons",
        "FROM comparisons",
        "EXPLAIN SELECT 1",
        "PIVOT comparisons ON role USING count(*)",
        "WITH one AS (SELECT 1) SELECT * FROM one;",
        "SELECT * FROM endpoint_stats(since := '2027-01-01', synthetic := 'include')",
    ],
)
def test_what_reads_is_allowed(database: Path, sql: str) -> None:
    """Every way to ask is open."""
    assert list(run_query(database, sql).rows)


def test_rows_stream(database: Path) -> None:
    """The first rows of a long answer come without the rest, and the file is free once they are dropped."""
    rows = run_query(database, "SELECT i FROM range(100000000000) AS t(i)").rows
    assert next(rows) == (0,)
    rows.close()


def test_an_error_on_the_way_is_a_sentence(database: Path) -> None:
    """A query that fails after its first rows fails with the same kind of error."""
    sql = "SELECT 'x' || i, CASE WHEN i < 3000000 THEN 1 ELSE error('late') END FROM range(4000000) t(i)"
    rows = run_query(database, sql)
    with pytest.raises(UsageError, match="late"):
        list(rows.rows)


def test_several_readers_at_once(database: Path) -> None:
    """A store that is open does not bar queries, in the same process."""
    with open_store(database) as store:
        assert list(run_query(database, "SELECT count(*) FROM comparisons").rows) == [(1,)]
        assert store.summary().comparisons == 1


def test_times_are_utc_wherever_the_machine_is(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL reads and prints times in UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    [(text, hour, moment)] = run_query(
        database, "SELECT started_at::VARCHAR, hour(started_at), started_at FROM comparisons"
    ).rows
    assert (text, hour) == ("2027-01-15 08:00:00+00", 8)
    assert moment == datetime(2027, 1, 15, 8, tzinfo=UTC)


def test_a_missing_database_is_said(tmp_path: Path) -> None:
    """Where there is no file the sentence says how to make one, and none is made."""
    with pytest.raises(InputError, match="there is no database at .*; make one with `gnomon compare"):
        run_query(tmp_path / "none.duckdb", "SELECT 1")
    assert not list(tmp_path.iterdir())
