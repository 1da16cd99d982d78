"""Opening files, and what DuckDB's errors mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from gnomon.errors import DependencyError, GnomonError, InputError, UsageError
from gnomon.model import Comparison
from gnomon.store import Landed, open_store
from gnomon.store.database import connect_read_only, script, translated, with_more_memory
from gnomon.store.landing import check_target

ERRORS = sorted(
    (kind for kind in vars(duckdb).values() if isinstance(kind, type) and issubclass(kind, duckdb.Error)),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", [duckdb.IOException, duckdb.TransactionException, duckdb.FatalException])
def test_a_full_disk_is_nobodys_sql(tmp_path: Path, kind: type[duckdb.Error]) -> None:
    """Whatever DuckDB was doing when it noticed."""
    said = 'TransactionContext Error: Failed to commit: Could not write file "x.wal": No space left on device'
    full = pytest.raises(DependencyError, match="the disk is full: .*No space left on device; free space there")
    with full, translated(tmp_path / "x.duckdb"):
        raise kind(said)


@pytest.mark.parametrize(
    ("said", "remedy"), [("File too large", "size of files"), ("Too many open files", "limit on open files")]
)
def test_limits_of_the_process_are_nobodys_sql(tmp_path: Path, said: str, remedy: str) -> None:
    """What to raise is said, and no space is asked for."""
    refused = pytest.raises(DependencyError, match=f"cannot be written: .*{said}; raise the limit on .*{remedy[-5:]}")
    with refused, translated(tmp_path / "x.duckdb"):
        raise duckdb.TransactionException(f'TransactionContext Error: Could not write file "x.wal": {said}')


@pytest.mark.parametrize("kind", ERRORS)
def test_every_duckdb_error_is_translated(tmp_path: Path, kind: type[duckdb.Error]) -> None:
    """No exception of DuckDB's leaves the package, and each becomes one line."""
    with pytest.raises(GnomonError) as caught, translated(tmp_path / "x.duckdb"):
        raise kind("Some Error: it broke\n\nLINE 1: ...")
    assert "it broke" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (duckdb.IOException('IO Error: Could not set lock on file "x": held in python (PID 7)'), DependencyError),
        (duckdb.ConnectionException("Connection Error: ... with a different configuration than"), DependencyError),
        (duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block"), DependencyError),
        (duckdb.IOException("IO Error: exists, but it is not a valid DuckDB database file!"), InputError),
        (duckdb.SerializationException("Serialization Error: version number 99 but"), InputError),
        (duckdb.IOException("IO Error: Could not read from file: Input/output error"), InputError),
        (duckdb.PermissionException("Permission Error: Cannot access file"), UsageError),
        (duckdb.BinderException('Binder Error: Referenced column "x" not found'), UsageError),
    ],
)
def test_errors_keep_their_kind(tmp_path: Path, error: duckdb.Error, expected: type[GnomonError]) -> None:
    """Who has to act decides the kind: another process, the file, or the SQL."""
    with pytest.raises(expected), translated(tmp_path / "x.duckdb"):
        raise error


def test_a_broken_database_is_an_input_error(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """A file cut in half is refused with a sentence."""
    land(target, [(comparison(f"{n:064}", path=f"/{n:0200}"), []) for n in range(5_000)])
    whole = target.read_bytes()
    target.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(InputError, match="cannot be read"), open_store(target) as store:
        store.summary()


@pytest.mark.parametrize(("name", "text"), [("c.ndjson", '{"a": 1}\n'), ("c.json", "[1]"), ("c.csv", "a,b\n1,2\n")])
def test_a_data_file_is_no_database(tmp_path: Path, name: str, text: str) -> None:
    """A capture given for a database is refused and stays as it is, whatever DuckDB can read by itself."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="is not a DuckDB database"):
        open_store(path)
    with pytest.raises(InputError, match="is not a DuckDB database"):
        check_target(path)
    assert path.read_text(encoding="utf-8") == text


def test_the_scripts_are_there() -> None:
    """The schema comes with the package."""
    assert "CREATE TABLE comparisons" in script("schema.sql")
    assert "CREATE OR REPLACE VIEW field_stats" in script("views.sql")


COLUMNS = {
    "comparisons": """
        request_id target role service endpoint method path started_at live_target live_status shadow_status
        live_error shadow_error live_ms shadow_ms delta_ms outcome differences noise_differences severity late
        duplicates synthetic flags as_of rules run topic partition live_offset shadow_offset landed_at
    """,
    "differences": """
        request_id target role service endpoint started_at path shadow_path pattern kind severity live_value
        shadow_value noise reason
    """,
    "exchanges": """
        request_id role target service endpoint started_at record
    """,
    "rejects": """
        source line partition offset reason excerpt landed_at
    """,
    "endpoint_stats": """
        service endpoint target pairs match noise diff live_error shadow_error shadow_missing live_missing
        incomparable divergence_rate rate_lo rate_hi first_seen last_seen
    """,
    "field_stats": """
        service endpoint target pattern kind severity pairs requests noise_requests rate rate_lo rate_hi
        control_pairs control_requests control_rate first_seen last_seen request_ids live_value shadow_value
    """,
    "latency_stats": """
        service endpoint target pairs live_p50 live_p90 live_p99 shadow_p50 shadow_p90 shadow_p99 delta_p50
        delta_p90 delta_p99
    """,
    "alerts": """
        name key state severity service endpoint target metric value threshold interval_lo interval_hi since at
        summary patterns request_ids link
    """,
    "rule_versions": """
        version rules first_used
    """,
    "runs": """
        run started_at finished_at command sources rules records rejects comparisons pairs divergences new unchanged
        replaced
    """,
    "routed": """
        minute topic partition rule destination events first_offset last_offset samples
    """,
    "learned_endpoints": """
        version service endpoint template
    """,
}


@pytest.mark.parametrize("table", COLUMNS)
def test_columns_are_as_published(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed], table: str
) -> None:
    """Names and order of columns are public: changing one is a migration. A fresh file and a merged one agree."""
    for _ in range(2):
        land(target, [(comparison(), [])])
        with connect_read_only(target) as connection:
            described = connection.execute(f"DESCRIBE {table}").fetchall()
        assert [row[0] for row in described] == COLUMNS[table].split()


def test_column_types(target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]) -> None:
    """Types that clients rely on."""
    land(target, [(comparison(), [])])
    with connect_read_only(target) as connection:
        types = {row[0]: row[1] for row in connection.execute("DESCRIBE comparisons").fetchall()}
    assert types["started_at"] == types["landed_at"] == "TIMESTAMP WITH TIME ZONE"
    assert types["flags"] == "MAP(VARCHAR, VARCHAR)"
    assert (types["live_ms"], types["partition"], types["live_offset"], types["as_of"], types["late"]) == (
        "DOUBLE", "INTEGER", "BIGINT", "VARCHAR", "BOOLEAN",
    )  # fmt: skip


def test_what_cannot_spill_takes_more_memory() -> None:
    """A question too large for the bound is asked again beyond it, so that a long run is not lost at its end."""
    with duckdb.connect(config={"memory_limit": "16MB"}) as connection:
        quantile = "SELECT quantile_cont(i, [0.5]) FROM range(3000000) AS t(i)"
        with pytest.raises(duckdb.OutOfMemoryException):
            connection.execute(quantile).fetchall()
        found = with_more_memory(connection, lambda: connection.execute(quantile).fetchall())
    assert found == [([1_499_999.5],)]


def test_readers_keep_to_their_memory() -> None:
    """Where settings are locked, as for a user's SQL, the bound holds."""
    with duckdb.connect() as connection:
        connection.execute("SET lock_configuration = true")
        with pytest.raises(duckdb.OutOfMemoryException, match="1 KiB"):
            with_more_memory(connection, _needs_too_much)


def _needs_too_much() -> None:
    raise duckdb.OutOfMemoryException("Out of Memory Error: 1 KiB")
