"""An analyst's older DuckDB client reads a store and an exported file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from gnomon.model import Comparison, Difference, instant
from gnomon.store import Selection
from gnomon.store.log import Batch, Layout, LogWriter, Maintainer, Position, Retention
from gnomon.store.log.export import export_store

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
OLD = "1.5.1"

PROGRAM = """
import json, sys
import duckdb

answers = [duckdb.__version__]
for path in sys.argv[1:]:
    with duckdb.connect(path, read_only=True) as connection:
        for sql in (
            "SELECT count(*), count(DISTINCT request_id) FROM comparisons",
            "SELECT pairs, diff, shadow_missing FROM endpoint_stats",
            "SELECT pattern, requests FROM field_stats",
            "SELECT pairs FROM latency_stats(since := '2020-01-01')",
        ):
            answers.append(connection.execute(sql).fetchall())
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS elsewhere (READ_ONLY)")
        answers.append(connection.execute("SELECT pairs FROM elsewhere.endpoint_stats").fetchall())
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def old_python() -> Path:
    """The interpreter of an environment with an older DuckDB, made once and kept."""
    cache = Path(os.environ.get("GNOMON_TEST_CACHE") or REPOSITORY / ".cache")
    directory = cache / f"duckdb-{OLD}-py{sys.version_info.major}.{sys.version_info.minor}"
    python, complete = directory / "bin" / "python", directory / "complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", f"duckdb=={OLD}", "pytz"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"duckdb {OLD} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
        complete.touch()
    return python


def _row(number: int, outcome: str, target: str = "cart@2") -> tuple[Comparison, list[Difference]]:
    found = [Difference("/body/a", "/body/a", "/body/a", "changed", "medium")] if outcome == "diff" else []
    comparison = Comparison(
        request_id=f"r-{number}",
        target=target,
        role="shadow",
        service="cart",
        endpoint="GET /a",
        method="GET",
        path="/a",
        started_at=instant(1_800_000_000_000_000),
        live_ms=1.0,
        shadow_ms=2.0,
        delta_ms=1.0,
        outcome=outcome,  # type: ignore[arg-type]
        rules="rules-1",
    )
    return comparison, found


def test_an_older_client_reads_what_lands(old_python: Path, tmp_path: Path) -> None:
    """The catalog and an exported file open in DuckDB 1.5 and answer as they do in the version that wrote them."""
    root, exported = tmp_path / "store", tmp_path / "one.duckdb"
    writer = LogWriter(root, "t", 0)
    writer.land(Batch(comparisons=[_row(1, "diff"), _row(2, "shadow_missing", "")], position=Position("t", 0, 2)))
    Maintainer(Layout(root), Retention(timedelta(days=9_999))).run(everything=True)
    (late, found), third = _row(2, "match"), _row(3, "match")
    revision = Batch(
        comparisons=[(late, found), third], position=Position("t", 0, 4), replaced=[("r-2", late.started_at)]
    )
    writer.land(revision)
    export_store(Layout(root), exported, Selection(synthetic="include"))
    command = [str(old_python), "-c", PROGRAM, str(root / "catalog.duckdb"), str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    version, *answers = json.loads(done.stdout.splitlines()[-1])  # on a slow machine DuckDB shows its progress first
    assert version == OLD
    assert answers == 2 * [[[3, 3]], [[3, 1, 0]], [["/body/a", 1]], [[3]], [[3]]]
