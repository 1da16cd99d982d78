"""What the tests of the store share: factories of rows, and runs landed in a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pytest

from gnomon.model import Comparison, Difference, Exchange, Reject, Request, Response, instant
from gnomon.store import Landed, RunRecord, StagedRun, work_directory

START_US = 1_800_000_000_000_000
NOW = datetime(2027, 2, 1, 12, tzinfo=UTC)
Row = tuple[Comparison, Sequence[Difference]]


def make_comparison(request_id: str = "r-1", **changes: Any) -> Comparison:
    """A matching comparison of role shadow; `second` moves its start."""
    started_at = instant(START_US + int(changes.pop("second", 0) * 1_000_000))
    fields: dict[str, Any] = {
        "request_id": request_id,
        "target": "cart@2",
        "role": "shadow",
        "service": "cart",
        "endpoint": "GET /users/{id}",
        "method": "GET",
        "path": "/users/7",
        "started_at": started_at,
        "live_status": 200,
        "shadow_status": 200,
        "live_ms": 10.0,
        "shadow_ms": 12.0,
        "delta_ms": 2.0,
        "outcome": "match",
        "rules": "rules-1",
    }
    return Comparison(**{**fields, **changes})


def make_difference(path: str = "/body/price", **changes: Any) -> Difference:
    """A changed price."""
    fields: dict[str, Any] = {
        "path": path,
        "shadow_path": path,
        "pattern": path,
        "kind": "changed",
        "severity": "medium",
        "live_value": "1",
        "shadow_value": "2",
    }
    return Difference(**{**fields, **changes})


def make_exchange(request_id: str = "r-1", role: Any = "live", target: str = "", second: int = 0) -> Exchange:
    """A 200 to `GET /users/7`."""
    return Exchange(
        request_id=request_id,
        role=role,
        target=target,
        service="cart",
        started_us=START_US + second * 1_000_000,
        request=Request(method="GET", path="/users/7"),
        response=Response(status=200),
    )


class Land(Protocol):
    """Lands one run."""

    def __call__(
        self,
        target: Path,
        rows: Iterable[Row],
        *,
        exchanges: Iterable[Exchange] = (),
        rejects: Iterable[Reject] = (),
        run: str | None = "run-1",
        now: datetime = NOW,
    ) -> Landed:
        """Stage and land rows."""
        ...


def land_run(
    target: Path,
    rows: Iterable[Row],
    *,
    exchanges: Iterable[Exchange] = (),
    rejects: Iterable[Reject] = (),
    run: str | None = "run-1",
    now: datetime = NOW,
) -> Landed:
    """Stage and land rows as one run."""
    with work_directory(target) as work_dir, StagedRun(target, work_dir, run=run) as stage:
        for comparison, differences in rows:
            stage.add(comparison, differences)
        for exchange in exchanges:
            stage.add_exchange(exchange, "GET /users/{id}", instant(exchange.started_us))
        for reject in rejects:
            stage.add_reject(reject)
        stage.add_rules("rules-1", "# none", now)
        record = RunRecord(
            run=run or "again",
            started_at=now,
            finished_at=now,
            command="compare",
            sources=["a.ndjson"],
            rules="rules-1",
            records=2,
        )
        return stage.land(record, now)


TABLES = {
    "comparisons": "EXCLUDE (run, landed_at)",
    "differences": "",
    "exchanges": "",
    "rejects": "EXCLUDE (landed_at)",
    "rule_versions": "",
}


def table_contents(path: Path) -> dict[str, list[str]]:
    """All rows as sorted text, but for what says which run wrote them and when."""
    with closing(duckdb.connect(str(path), read_only=True)) as connection:
        return {
            table: sorted(repr(row) for row in connection.execute(f"SELECT * {but} FROM {table}").fetchall())
            for table, but in TABLES.items()
        }


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where a database could be."""
    return tmp_path / "gnomon.duckdb"


@pytest.fixture(scope="session")
def comparison() -> Callable[..., Comparison]:
    """Factory of comparisons."""
    return make_comparison


@pytest.fixture(scope="session")
def difference() -> Callable[..., Difference]:
    """Factory of differences."""
    return make_difference


@pytest.fixture(scope="session")
def exchange() -> Callable[..., Exchange]:
    """Factory of exchanges."""
    return make_exchange


@pytest.fixture(scope="session")
def land() -> Land:
    """Lands rows as one run."""
    return land_run


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, list[str]]]:
    """What a database holds, comparable between databases."""
    return table_contents


@pytest.fixture(scope="session")
def now() -> datetime:
    """When runs land."""
    return NOW
