"""A database or a store to read: summaries, reports, SQL, and what is needed to judge again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby, islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import duckdb
import msgspec

from gnomon.model import Alert, Comparison, Difference, Exchange, JsonValue
from gnomon.store.alerts import read_alerts
from gnomon.store.browsing import DifferenceChoice, TargetRate, read_differences, read_rates, read_request
from gnomon.store.database import persistently, translated
from gnomon.store.opening import connect, reading
from gnomon.store.statistics import Cohort, Selection, Statistics, Totals
from gnomon.summary import EndpointStat, FieldStat, LatencyStat, Report, Sample

if TYPE_CHECKING:
    from gnomon.core.alerting import Figures
    from gnomon.core.judge import Evidence, Populations

__all__ = ["JudgedRequest", "Store", "open_store"]

BATCH_REQUESTS = 500
FETCH_ROWS = 2_048


class JudgedRequest(msgspec.Struct, frozen=True):
    """What is stored about one request: every comparison with its differences, and the exchanges by role and target."""

    comparisons: list[tuple[Comparison, list[Difference]]]
    exchanges: list[Exchange]


class Store:
    """A read-only view of one database or store; close it, or use it as a context manager.

    All times are UTC. SQL on it can read this database and touch nothing else. Every method raises UsageError
    for SQL that does not work and InputError for a damaged file. Of a store that is written to every question sees
    the newest; what is compacted away under a question is asked again.
    """

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        self._connection = connection

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

    def sql(self, query: str, parameters: Mapping[str, object] | None = None) -> duckdb.DuckDBPyRelation:
        """Run one SELECT; the relation has `.df()`, `.arrow()`, `.fetchall()`, `.show()`.

        Wrong SQL raises UsageError; what fails while its rows are fetched is DuckDB's own error. So is a file of a
        store that was compacted away between the two: ask again.
        """
        with translated(self.path):
            statement = reading(self._connection, query)
            return persistently(lambda: self._connection.sql(statement, params=parameters))

    def summary(self, selection: Selection | None = None) -> Totals:
        """Outcomes, divergence rate and its interval over real traffic, or over what is selected."""
        return self._statistics.totals(selection or Selection())

    def endpoints(self, selection: Selection | None = None) -> list[EndpointStat]:
        """Endpoints by divergence rate, the worst first."""
        return self._statistics.endpoints(selection or Selection())

    def fields(self, selection: Selection | None = None) -> list[FieldStat]:
        """Field patterns, the most severe and most frequent first."""
        return self._statistics.fields(selection or Selection())

    def latency(self, selection: Selection | None = None) -> list[LatencyStat]:
        """Paired latencies by endpoint, the greatest shift first."""
        return self._statistics.latency(selection or Selection())

    def report(self, selection: Selection | None = None, *, title: str, now: datetime, max_samples: int = 20) -> Report:
        """All that the HTML report shows; `now` becomes its `created_at`."""
        return self._statistics.report(
            selection or Selection(), title=title, source=str(self.path), now=now, max_samples=max_samples
        )

    def evidence(
        self, selection: Selection | None = None, *, warmup: timedelta = timedelta(), cohort: Cohort | None = None
    ) -> Evidence:
        """What a verdict is about; latencies of the first `warmup` of each target are left out."""
        from gnomon.store.judging import read_evidence  # noqa: PLC0415 - numpy, which `gnomon compare` does without

        return read_evidence(self._connection, self.path, selection or Selection(), warmup, cohort)

    def populations(self, selection: Selection, canary: str, baseline: str) -> list[Populations]:
        """What a verdict on a canary without pairs is about: live answers of two targets."""
        from gnomon.store.populations import read_populations  # noqa: PLC0415 - as above

        return read_populations(self._connection, self.path, selection, canary, baseline)

    def figures(self, since: datetime, metrics: Collection[str]) -> Figures:
        """What alert rules with these metrics look at, from `since` on."""
        from gnomon.store.figures import read_figures  # noqa: PLC0415 - as above

        return read_figures(self._connection, self.path, since, metrics)

    def alerts(self, selection: Selection | None = None, *, state: str | None = None, limit: int = 100) -> list[Alert]:
        """The last state change of each alert, the newest first; `state` is `firing` or `resolved`."""
        return read_alerts(self._connection, self.path, selection or Selection(), state, limit)

    def differences(self, selection: Selection, choice: DifferenceChoice) -> list[dict[str, JsonValue]]:
        """Single differences of role shadow, the newest first; noise is left out."""
        return read_differences(self._connection, self.path, selection, choice)

    def request(self, request_id: str) -> list[Sample]:
        """All that is stored of one request: each comparison, the newest first, with its differences and exchanges."""
        return read_request(self._connection, self.path, request_id)

    def rates(self, selection: Selection) -> list[TargetRate]:
        """The divergence rate of each service and target, those with the most pairs first."""
        return read_rates(self._connection, self.path, selection)

    def interrupt(self) -> None:
        """End what another thread asks of this store; it raises UsageError there."""
        self._connection.interrupt()

    def rules(self, version: str) -> str | None:
        """The text of a rule set by its version; None when this database never saw it."""
        sql = "SELECT rules FROM rule_versions WHERE version = ?"
        with translated(self.path):
            rows = persistently(lambda: self._connection.execute(sql, [version]).fetchall())
        return str(rows[0][0]) if rows else None

    def judged(self, selection: Selection | None = None) -> Iterator[list[JudgedRequest]]:
        """Batches of what was judged, by request id and time; synthetic traffic is included unless told otherwise.

        A control's comparisons come with the shadows that they serve, whatever `target` says.
        """
        chosen = (selection or Selection(synthetic="include")).parameters()
        # The three are read side by side in one order, so that memory holds a batch and not a table.
        differences = _Following(self._ordered(_DIFFERENCES, {}))
        exchanges = _Following(self._ordered(_EXCHANGES, {}))
        requests = groupby(self._ordered(_COMPARISONS, chosen), key=_request)
        while batch := [
            _judged(rows, differences.of(key), exchanges.of(key)) for key, rows in islice(requests, BATCH_REQUESTS)
        ]:
            yield batch

    def _ordered(self, sql: str, parameters: Mapping[str, object]) -> Iterator[dict[str, Any]]:
        with translated(self.path), self._connection.cursor() as cursor:

            def begin() -> list[tuple[Any, ...]]:
                # All is read and put in order before there is a first row.
                return cursor.execute(sql, dict(parameters)).fetchmany(FETCH_ROWS)

            rows = persistently(begin)
            names = [column[0] for column in cursor.description or []]
            while rows:
                for row in rows:
                    yield dict(zip(names, row, strict=True))
                rows = cursor.fetchmany(FETCH_ROWS)

    @property
    def _statistics(self) -> Statistics:
        return Statistics(self._connection, self.path)


def open_store(path: str | Path) -> Store:
    """Open a database, or a store's directory, to read.

    Raises:
        DependencyError: Another process writes to the database, or the store cannot be read now.
        InputError: It is missing, not Gnomon's, or of a newer version.
    """
    return Store(Path(path), connect(Path(path)))


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
    return JudgedRequest(
        comparisons=[(Comparison(**row), by_comparison.get((row["role"], row["target"]), [])) for row in comparisons],
        exchanges=[msgspec.json.decode(row["record"], type=Exchange) for row in exchanges],
    )


_COMPARISONS = """
SELECT c.* EXCLUDE (run, landed_at) FROM comparisons AS c
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
