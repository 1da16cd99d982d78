"""What the tests of the log share: batches, and questions to a store's catalog as an analyst asks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gnomon.model import Comparison, Difference, Exchange, Reject, instant
from gnomon.store.log import Batch, Layout, LogWriter, Maintainer, Position, Retention

TOPIC = "gnomon.exchanges"
FOREVER = Retention(timedelta(days=10_000))


def make_batch(
    rows: Iterable[tuple[Comparison, Sequence[Difference]]] = (),
    *,
    offset: int = 0,
    exchanges: Iterable[Exchange] = (),
    rejects: Sequence[Reject] = (),
    replaced: Sequence[tuple[str, datetime]] = (),
    live_duplicates: Mapping[str, int] | None = None,
    **state: Any,
) -> Batch:
    """A batch of partition 0 whose next offset to read is `offset`."""
    return Batch(
        comparisons=list(rows),
        replaced=replaced,
        live_duplicates=live_duplicates or {},
        exchanges=[(one, "GET /users/{id}", instant(one.started_us)) for one in exchanges],
        rejects=rejects,
        position=Position(TOPIC, 0, offset),
        state=state,
    )


def later() -> datetime:
    """A clock that shows a time after all that the rows of tests say."""
    return datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def batch() -> Callable[..., Batch]:
    """Factory of batches."""
    return make_batch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a store could be; the name has what SQL and globs take for something else."""
    return tmp_path / "it's [a] *store=1"


@pytest.fixture
def writer(root: Path) -> Iterator[LogWriter]:
    """The writer of partition 0 of a new store."""
    opened = LogWriter(root, TOPIC, 0, clock=later)
    yield opened
    opened.close()


@pytest.fixture
def compact(root: Path) -> Callable[..., Any]:
    """Compacts all there is, and removes what is spent at once."""

    def run(retention: Retention = FOREVER, grace: timedelta = timedelta(0), **how: Any) -> Any:
        return Maintainer(Layout(root), retention, grace=grace).run(**{"everything": True, **how})

    return run


@pytest.fixture
def ask(root: Path) -> Callable[[str], list[tuple[Any, ...]]]:
    """Asks the catalog, read-only, as any client would."""

    def query(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    return query
