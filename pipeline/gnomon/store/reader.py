"""A database or a store to read: summaries, reports, SQL, and what is needed to judge again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby, islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import duckdb
import msgspec

from gnomon.errors import DependencyError, UsageError
from gnomon.model import Alert, Comparison, Difference, Exchange, JsonValue
from gnomon.store.absence import Absence, find_absence
from gnomon.store.alerts import read_alerts
from gnomon.store.browsing import DifferenceChoice, TargetRate, read_differences, read_rates, read_request
from gnomon.store.database import TRIES, is_gone, persistently, translated
from gnomon.store.log.layout import is_store, store_at
from gnomon.store.log.reading import connect_log_for_users
from gnomon.store.log.snapshot import RENEW, Snapshot, Snapshots
from gnomon.store.log.views import root_is
from gnomon.store.names import find_unknown_name
from gnomon.store.opening import connect, reading
from gnomon.store.statistics import Cohort, Selection, Statistics, Totals
from gnomon.summary import EndpointStat, FieldStat, LatencyStat, Report, Sample

if TYPE_CHECKING:
    from gnomon.core.alerting import Figures
    from gnomon.core.judge import Evidence, Populations

__all__ = ["JudgedRequest", "Opener", "Store", "open_store"]

T = TypeVar("T")

BATCH_REQUESTS = 500
FETCH_ROWS = 2_048


class JudgedRequest(msgspec.Struct, frozen=True):
    """What is stored about one request: every comparison with its differences, and the exchanges by role and target.

    `landed_at` says of each comparison when it landed.
    """

    comparisons: list[tuple[Comparison, list[Difference]]]
    exchanges: list[Exchange]
    landed_at: list[datetime]


class Store:
    """A read-only view of one database or store; close it, or use it as a context manager.

    All times are UTC. SQL on it can read this database and touch nothing else. Every method raises UsageError
    for SQL that does not work and InputError for a damaged file. Of a store that is written to, the questions of one
    moment are answered alike: what they see is renewed when it is 30 s old (`snapshots` may say otherwise).

    Args:
        path: What errors name.
        connection: On which tables can be named.
        snapshots: Of the store that it is; None for a database.
    """

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection, snapshots: Snapshots | None = None) -> None:
        self.path = path
        self._connection = connection
        self._snapshots = snapshots
        self._snapshot: Snapshot | None = None

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the file, so that others can write to it."""
        self._connection.close()
        if self._snapshots is not None and self._snapshot is not None:
            self._snapshots.release(self._snapshot)
        self._snapshots = self._snapshot = None

    def sql(self, query: str, parameters: Mapping[str, object] | None = None) -> duckdb.DuckDBPyRelation:
        """Run one SELECT; the relation has `.df()`, `.arrow()`, `.fetchall()`, `.show()`.

        Wrong SQL raises UsageError; what fails while its rows are fetched is DuckDB's own error. So is a file of a
        store that was compacted away between the two: ask again.
        """

        def work(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
            with translated(self.path):
                statement = reading(connection, query)
                return persistently(lambda: connection.sql(statement, params=parameters))

        return self._ask(work)

    def summary(self, selection: Selection | None = None) -> Totals:
        """Outcomes, divergence rate and its interval over real traffic, or over what is selected."""
        chosen = selection or Selection()
        return self._ask(lambda connection: Statistics(connection, self.path).totals(chosen))

    def endpoints(self, selection: Selection | None = None) -> list[EndpointStat]:
        """Endpoints by divergence rate, the worst first."""
        chosen = selection or Selection()
        return self._ask(lambda connection: Statistics(connection, self.path).endpoints(chosen))

    def fields(self, selection: Selection | None = None) -> list[FieldStat]:
        """Field patterns, the most severe and most frequent first."""
        chosen = selection or Selection()
        return self._ask(lambda connection: Statistics(connection, self.path).fields(chosen))

    def latency(self, selection: Selection | None = None) -> list[LatencyStat]:
        """Paired latencies by endpoint, the greatest shift first."""
        chosen = selection or Selection()
        return self._ask(lambda connection: Statistics(connection, self.path).latency(chosen))

    def report(self, selection: Selection | None = None, *, title: str, now: datetime, max_samples: int = 20) -> Report:
        """All that the HTML report shows; `now` becomes its `created_at`."""
        chosen, source = selection or Selection(), str(self.path)
        return self._ask(
            lambda connection: Statistics(connection, self.path).report(
                chosen, title=title, source=source, now=now, max_samples=max_samples
            )
        )

    def evidence(
        self, selection: Selection | None = None, *, warmup: timedelta = timedelta(), cohort: Cohort | None = None
    ) -> Evidence:
        """What a verdict is about; latencies of the first `warmup` of each target are left out."""
        chosen = selection or Selection()
        return self._ask(
            lambda connection: Statistics(connection, self.path).evidence(chosen, warmup=warmup, cohort=cohort)
        )

    def populations(self, selection: Selection, canary: str, baseline: str) -> list[Populations]:
        """What a verdict on a canary without pairs is about: live answers of two targets."""
        from gnomon.store.populations import read_populations  # noqa: PLC0415 - numpy, which most questions do without

        return self._ask(lambda connection: read_populations(connection, self.path, selection, canary, baseline))

    def figures(self, since: datetime, metrics: Collection[str]) -> Figures:
        """What alert rules with these metrics look at, from `since` on."""
        from gnomon.store.figures import read_figures  # noqa: PLC0415 - as above

        return self._ask(lambda connection: read_figures(connection, self.path, since, metrics))

    def alerts(self, selection: Selection | None = None, *, state: str | None = None, limit: int = 100) -> list[Alert]:
        """The last state change of each alert, the newest first; `state` is `firing` or `resolved`."""
        chosen = selection or Selection()
        return self._ask(lambda connection: read_alerts(connection, self.path, chosen, state, limit))

    def differences(self, selection: Selection, choice: DifferenceChoice) -> list[dict[str, JsonValue]]:
        """Single differences of role shadow, the newest first; noise is left out."""
        return self._ask(lambda connection: read_differences(connection, self.path, selection, choice))

    def request(self, request_id: str) -> list[Sample]:
        """All that is stored of one request: each comparison, the newest first, with its differences and exchanges."""
        return self._ask(lambda connection: read_request(connection, self.path, request_id))

    def rates(self, selection: Selection) -> list[TargetRate]:
        """The divergence rate of each service and target, those with the most pairs first."""
        return self._ask(lambda connection: read_rates(connection, self.path, selection))

    def unknown_name(self, selection: Selection, live: Sequence[str] = ()) -> UsageError | None:
        """Say which service or target of `selection`, or target of live traffic, nothing that landed has, if one."""
        return self._ask(lambda connection: find_unknown_name(connection, self.path, selection, live))

    def absence(self, selection: Selection, cohort: Cohort, live: Sequence[str] = ()) -> Absence | None:
        """Say why there is no pair of what was asked for, or no live answer of both targets of `live`."""
        return self._ask(lambda connection: find_absence(connection, self.path, selection, cohort, live))

    def interrupt(self) -> None:
        """End what another thread asks of this store; it raises UsageError there."""
        self._connection.interrupt()

    def rules(self, version: str) -> str | None:
        """The text of a rule set by its version; None when this database never saw it."""
        sql = "SELECT rules FROM rule_versions WHERE version = ?"

        def work(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
            with translated(self.path):
                return persistently(lambda: connection.execute(sql, [version]).fetchall())

        rows = self._ask(work)
        return str(rows[0][0]) if rows else None

    def judged(self, selection: Selection | None = None) -> Iterator[list[JudgedRequest]]:
        """Batches of what was judged, by request id and time; synthetic traffic is included unless told otherwise.

        A control's comparisons come with the shadows that they serve, whatever `target` says.
        """
        chosen = (selection or Selection(synthetic="include")).parameters()

        def begin(connection: duckdb.DuckDBPyConnection) -> list[Iterator[dict[str, Any]]]:
            questions: tuple[tuple[str, dict[str, object]], ...] = (
                (_COMPARISONS, chosen),
                (_DIFFERENCES, {}),
                (_EXCHANGES, {}),
            )
            return [self._ordered(connection, sql, parameters) for sql, parameters in questions]

        # The three are read side by side in one order, so that memory holds a batch and not a table.
        comparisons, *others = self._ask(begin)
        differences, exchanges = map(_Following, others)
        requests = groupby(comparisons, key=_request)
        while batch := [
            _judged(rows, differences.of(key), exchanges.of(key)) for key, rows in islice(requests, BATCH_REQUESTS)
        ]:
            yield batch

    def _ordered(
        self, connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object]
    ) -> Iterator[dict[str, Any]]:
        """Ask, and give the rows as they are wanted. All is read and put in order before there is a first row."""
        cursor = connection.cursor()
        with translated(self.path):
            first = persistently(lambda: cursor.execute(sql, dict(parameters)).fetchmany(FETCH_ROWS))
        return self._following(cursor, first)

    def _following(self, cursor: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
        with translated(self.path), cursor:
            names = [column[0] for column in cursor.description or []]
            while rows:
                for row in rows:
                    yield dict(zip(names, row, strict=True))
                rows = cursor.fetchmany(FETCH_ROWS)

    def _ask(self, question: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Ask what sees one moment; anew when the store was compacted so far that some of that moment is gone."""
        if self._snapshots is None:
            return question(self._connection)
        held = self._seen(self._snapshots.take() if self._snapshot is None else self._snapshots.current(self._snapshot))
        for _ in range(TRIES):
            try:
                found = question(self._connection)
            except DependencyError as error:
                if not isinstance(error.__cause__, Exception) or not is_gone(error.__cause__):
                    raise
            else:
                if held.intact():
                    return found
            held = self._seen(self._snapshots.take(instead_of=held))
        raise DependencyError(f"{self.path} was compacted while it was read", "try again")

    def _seen(self, snapshot: Snapshot) -> Snapshot:
        """Let views read a snapshot."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            with translated(self.path), self._connection.cursor() as cursor:
                root_is(cursor, snapshot.root)
        return snapshot


def open_store(path: str | Path, snapshots: Snapshots | None = None, *, still: bool = False) -> Store:
    """Open a database, or a store's directory, to read.

    Args:
        path: Where it is.
        snapshots: Of the store, to be shared, or to be kept for another time than 30 s.
        still: Let all questions see one moment, however long they take.

    Raises:
        DependencyError: Another process writes to the database, or the store cannot be read now.
        InputError: It is missing, not Gnomon's, or of a newer version.
    """
    path = Path(path)
    if not is_store(path):
        return Store(path, connect(path))
    layout = store_at(path)
    shared = snapshots or Snapshots(layout, None if still else RENEW)
    return Store(path, connect_log_for_users(layout, [shared.place]), shared)


class Opener:
    """Opens stores for a process that asks for long: its readers share what they see. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshots: Snapshots | None = None

    def open(self, path: Path) -> Store:
        """Open a database or a store, as `open_store`."""
        if not is_store(path):
            return open_store(path)
        layout = store_at(path)
        with self._lock:
            if self._snapshots is None or self._snapshots.root != layout.root:
                self._snapshots = Snapshots(layout)
            shared = self._snapshots
        return open_store(path, shared)


def _request(row: Mapping[str, Any]) -> tuple[str, datetime]:
    return row["request_id"], row["started_at"]


class _Following:
    """Rows in the order of their requests, handed out as those are asked for in the same order."""

    def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
        self._groups = groupby(rows, key=_request)
        self._ahead: tuple[tuple[str, datetime], list[dict[str, Any]]] | None = None

    def of(self, key: tuple[str, datetime]) -> list[dict[str, Any]]:
        """The rows of one request."""
        while self._ahead is None or self._ahead[0] < key:
            following = next(self._groups, None)
            if following is None:
                return []
            self._ahead = (following[0], list(following[1]))
        return self._ahead[1] if self._ahead[0] == key else []


def _judged(
    comparisons: Iterable[dict[str, Any]], differences: Iterable[dict[str, Any]], exchanges: Iterable[dict[str, Any]]
) -> JudgedRequest:
    """Put the rows of one request together."""
    by_comparison: dict[tuple[str, str], list[Difference]] = {}
    for row in differences:
        found = by_comparison.setdefault((row["role"], row["target"]), [])
        found.append(Difference(**{name: row[name] for name in Difference.__struct_fields__}))
    rows = list(comparisons)
    landed_at = [row.pop("landed_at") for row in rows]
    return JudgedRequest(
        comparisons=[(Comparison(**row), by_comparison.get((row["role"], row["target"]), [])) for row in rows],
        exchanges=[msgspec.json.decode(row["record"], type=Exchange) for row in exchanges],
        landed_at=landed_at,
    )


_COMPARISONS = """
SELECT c.* EXCLUDE (run) FROM comparisons AS c
WHERE ($since IS NULL OR c.started_at >= $since) AND ($until IS NULL OR c.started_at < $until)
    AND ($service IS NULL OR c.service = $service)
    AND ($target IS NULL OR c.target = $target OR c.role = 'control')
    AND CASE $synthetic WHEN 'include' THEN true WHEN 'only' THEN c.synthetic IS NOT NULL
        ELSE c.synthetic IS NULL END
ORDER BY c.request_id, c.started_at, c.role DESC, c.target
"""

_DIFFERENCES = "SELECT d.* FROM differences AS d ORDER BY d.request_id, d.started_at, d.path"

_EXCHANGES = """
SELECT e.request_id, e.started_at, e.record FROM exchanges AS e
ORDER BY e.request_id, e.started_at, e.role, e.target
"""
