"""A run on its way to the database: rows collect in a file of their own and land all at once or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import msgspec

from gnomon.model import Comparison, Difference, Exchange, PopulationCount, Reject
from gnomon.store.batches import comparison_table, difference_table, exchange_table, population_table, reject_table
from gnomon.store.database import Bounds, attach, bound_names, translated
from gnomon.store.landing import Landed, MergeOptions, RunRecord, check_target, is_fresh, merge, publish
from gnomon.store.learning import learn_endpoints
from gnomon.store.statistics import Selection, Statistics

__all__ = ["StagedRun"]

BATCH_ROWS = 4_096
BATCH_CHARACTERS = 8 << 20
BATCHES_PER_COMMIT = 8
"""Every commit writes to the log, but what is not committed keeps the Arrow memory that it came from."""

CHECKPOINT = "32MB"
HORIZON = timedelta(hours=24)
EVERYTHING = Selection(synthetic="include")


class StagedRun:
    """The rows of one run: a context manager; what has not landed when it ends is dropped.

    Args:
        target: The database to land in; it need not be there yet.
        work_dir: A directory on the same file system (see `work_directory`).
        run: What the column `run` says; None to land comparisons that were judged again: each keeps the run
            it had, and the exchanges stored for it stay, but for those that are staged too.
        memory_limit: What DuckDB may hold in memory, as `128MB`; beyond it spills to `work_dir`, and what cannot
            spill (tens of millions of rows in one question) takes more rather than fail.
        horizon: Rows of one request, target and role closer than this in time are one row.
        marks_differ: Whether other runs mark the same secrets otherwise, for want of a key that stays.

    Raises:
        DependencyError: Another process has the target open.
        InputError: The target cannot be one of Gnomon's databases of this version.
    """

    def __init__(
        self,
        target: Path,
        work_dir: Path,
        *,
        run: str | None,
        memory_limit: str = "128MB",
        horizon: timedelta = HORIZON,
        marks_differ: bool = True,
    ) -> None:
        check_target(target)
        self._target = target
        self._file = work_dir / "stage.duckdb"
        self._run = run
        self._merging = MergeOptions(horizon=horizon, keep_evidence=run is None, marks_differ=marks_differ)
        self._comparisons: list[Comparison] = []
        self._owners: list[Comparison] = []
        self._differences: list[Difference] = []
        self._exchanges: list[tuple[str, str, str, str, str, datetime, str]] = []
        self._rejects: list[Reject] = []
        self._populations: list[PopulationCount] = []
        self._characters = 0
        self._uncommitted = 0
        # DuckDB works without Python's lock: rows are written while the next ones are made
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._written: Future[None] | None = None
        with translated(self._file):
            self._connection = duckdb.connect(
                config={
                    "memory_limit": memory_limit,
                    "temp_directory": str(work_dir / "spill"),
                    "preserve_insertion_order": False,
                }
            )
            self._connection.execute("SET TimeZone = 'UTC'")
            attach(self._connection, self._file, "stage")
            self._connection.execute("USE stage")
            self._connection.execute(f"SET wal_autocheckpoint = '{CHECKPOINT}'")

    def __enter__(self) -> Self:
        """The stage itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what has not landed."""
        self._writer.shutdown()
        self._connection.close()
        self._file.unlink(missing_ok=True)

    def add(self, comparison: Comparison, differences: Sequence[Difference]) -> None:
        """Stage a comparison with its differences."""
        self._comparisons.append(comparison)
        if differences:
            self._differences.extend(differences)
            self._owners.extend([comparison] * len(differences))
            for difference in differences:
                self._characters += len(difference.live_value or "") + len(difference.shadow_value or "")
        fullest = max(len(self._comparisons), len(self._differences))
        if fullest >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self._flush()

    def add_exchange(self, exchange: Exchange, endpoint: str, started_at: datetime) -> None:
        """Stage a redacted exchange as evidence; `started_at` is that of the comparison it belongs to."""
        record = msgspec.json.encode(exchange).decode()
        self._exchanges.append(
            (exchange.request_id, exchange.role, exchange.target, exchange.service, endpoint, started_at, record)
        )
        self._characters += len(record)
        if self._characters >= BATCH_CHARACTERS or len(self._exchanges) >= BATCH_ROWS:
            self._flush()

    def add_reject(self, reject: Reject) -> None:
        """Stage a record that was refused; its excerpt is redacted already."""
        self._rejects.append(reject)
        self._characters += len(reject.excerpt) + len(reject.reason)
        if self._characters >= BATCH_CHARACTERS or len(self._rejects) >= BATCH_ROWS:
            self._flush()

    def add_populations(self, counts: Sequence[PopulationCount]) -> None:
        """Stage counts of live answers."""
        self._populations.extend(counts)
        if len(self._populations) >= BATCH_ROWS:
            self._flush()

    def add_rules(self, version: str, text: str, first_used: datetime) -> None:
        """Stage the text of a rule set; a version that the target knows keeps its `first_used`."""
        self._wait()
        with translated(self._file):
            self._connection.execute("INSERT INTO rule_versions VALUES (?, ?, ?)", [version, text, first_used])

    def bound_names(self, bounds: Bounds) -> None:
        """Set how many names statistics tell apart, here and in the target."""
        self._wait()
        with translated(self._file):
            bound_names(self._connection, "stage", bounds)

    def statistics(self) -> Statistics:
        """Questions about what this run has staged so far, under names learned from it. Ask before landing."""
        self._complete()
        with translated(self._file):
            learn_endpoints(self._connection, "stage")
        return Statistics(self._connection, self._target)

    def land(self, record: RunRecord, now: datetime) -> Landed:
        """Land everything in the target at once; `now` becomes `landed_at`. Nothing can be staged afterwards.

        The target is as it was before, or has it all, even when the process is killed in between. A target
        that is not there yet becomes the stage itself, without a second write.

        Raises:
            DependencyError: Another process opened the target in the meantime, or there is no disk left.
            InputError: The target cannot be written.
        """
        self._complete()
        with translated(self._file):
            staged = self._record(record)
        if is_fresh(self._target):
            self._seal(now)
            if publish(self._file, self._target):
                return Landed(new=staged, unchanged=0, replaced=0)
            attach(self._connection, self._file, "stage")
        return merge(self._connection, self._target, now, self._merging)

    def _record(self, record: RunRecord) -> int:
        """Stage the row of `runs`, as if all were new; the number of staged comparisons."""
        totals = Statistics(self._connection, self._target).totals(EVERYTHING)
        staged = totals.comparisons + totals.control_comparisons
        [(rejects,)] = self._connection.execute("SELECT count(*) FROM rejects").fetchall()
        values = {
            **msgspec.structs.asdict(record),
            "rejects": rejects,
            "comparisons": totals.comparisons,
            "pairs": totals.pairs,
            "divergences": totals.divergences,
            "new": staged,
            "unchanged": 0,
            "replaced": 0,
        }
        self._connection.execute(_RUN, values)
        return staged

    def _seal(self, now: datetime) -> None:
        """Say when it landed, write everything to the one file, and let go of it."""
        moment = now.isoformat()
        with translated(self._file):
            # A column that is the same everywhere costs nothing to add, where an update would rewrite it.
            for table in ("comparisons", "rejects"):
                self._connection.execute(f"ALTER TABLE {table} DROP COLUMN landed_at")
                column = f"landed_at TIMESTAMPTZ DEFAULT TIMESTAMPTZ '{moment}'"
                self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
                self._connection.execute(f"ALTER TABLE {table} ALTER COLUMN landed_at DROP DEFAULT")
            self._connection.execute("CHECKPOINT stage")
            self._connection.execute("USE memory")
            self._connection.execute("DETACH stage")

    def _insert(self, batches: Sequence[tuple[str, Any]]) -> None:
        """Insert Arrow tables into the stage's tables of these names."""
        with translated(self._file):
            for table, rows in batches:
                if not self._uncommitted:
                    self._connection.execute("BEGIN")
                self._uncommitted += 1
                self._connection.register("batch", rows)
                self._connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM batch")  # noqa: S608 - our own name
                self._connection.unregister("batch")
            if self._uncommitted >= BATCHES_PER_COMMIT:
                self._commit()

    def _flush(self) -> None:
        """Hand what is buffered to the writer, once it has written what it was handed before."""
        batches = []
        if self._comparisons:
            batches.append(("comparisons", comparison_table(self._comparisons, self._run)))
            self._comparisons.clear()
        if self._differences:
            batches.append(("differences", difference_table(self._owners, self._differences)))
            self._owners.clear()
            self._differences.clear()
        if self._exchanges:
            batches.append(("exchanges", exchange_table(self._exchanges)))
            self._exchanges.clear()
        if self._rejects:
            batches.append(("rejects", reject_table(self._rejects)))
            self._rejects.clear()
        if self._populations:
            batches.append(("populations", population_table(self._populations, self._run)))
            self._populations.clear()
        self._characters = 0
        self._wait()
        if batches:
            self._written = self._writer.submit(self._insert, batches)

    def _wait(self) -> None:
        """Wait for the writer; raises what it met."""
        if self._written is not None:
            written, self._written = self._written, None
            written.result()

    def _commit(self) -> None:
        """Commit what was inserted, if anything was."""
        with translated(self._file):
            if self._uncommitted:
                self._connection.execute("COMMIT")
            self._uncommitted = 0

    def _complete(self) -> None:
        """Write and commit all that was staged."""
        self._flush()
        self._wait()
        self._commit()


_RUN = """
INSERT INTO runs BY NAME
SELECT
    $run AS run, $started_at AS started_at, $finished_at AS finished_at, $command AS command, $sources AS sources,
    $rules AS rules, $records AS records, $rejects AS rejects, $comparisons AS comparisons, $pairs AS pairs,
    $divergences AS divergences, $new AS "new", $unchanged AS unchanged, $replaced AS replaced
"""
