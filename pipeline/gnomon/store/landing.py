"""How a finished stage becomes the database, or part of one: as before or fully landed, whatever happens between."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import msgspec

from gnomon.errors import InputError
from gnomon.model import EPOCH
from gnomon.store.database import attach, bound_names, bounds_of, script, translated, with_more_memory
from gnomon.store.learning import learn_endpoints

__all__ = ["Landed", "MergeOptions", "RunRecord", "check_target", "merge", "publish"]


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the table `runs` keeps of a run beside what the store counts itself.

    `command` is what was run (`compare`, `rejudge`), `sources` what it read, `records` how many it read,
    `rules` the version of the rules.
    """

    run: str
    started_at: datetime
    finished_at: datetime
    command: str
    sources: list[str]
    rules: str
    records: int


class Landed(msgspec.Struct, frozen=True):
    """What landing did with the comparisons (of both roles) of a run."""

    new: int
    unchanged: int
    replaced: int


def is_fresh(target: Path) -> bool:
    """Whether there is nothing at `target`; an empty file (of `mktemp`) is nothing."""
    try:
        return target.stat().st_size == 0
    except FileNotFoundError:
        return True


def check_target(target: Path) -> None:
    """Find out before a long run whether its database could be written.

    Raises:
        DependencyError: Another process has it open.
        InputError: It is not a database, not Gnomon's, of a newer version, or a log of a lost one is in its place.
    """
    if target.is_dir():
        raise InputError(f"{target} is a directory", "give a file with --db")
    if is_fresh(target):
        log = target.with_name(f"{target.name}.wal")
        if log.exists():
            raise InputError(f"{log} is left over from a database that is gone", "move it away, or bring {target} back")
        return
    with duckdb.connect() as connection:
        attach(connection, target, "target")


def publish(stage: Path, target: Path) -> bool:
    """Give the closed and checkpointed `stage` the name `target`; false when another process was first.

    Raises:
        InputError: The file system refuses.
    """
    try:
        if target.exists() and is_fresh(target):
            stage.replace(target)
        else:
            _link(stage, target)
        _sync_directory(target.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}", "give another file with --db") from error
    return True


def _link(stage: Path, target: Path) -> None:
    """Rename without overwriting. Raises FileExistsError when `target` is there."""
    try:
        os.link(stage, target)
    except FileExistsError:
        raise
    except OSError:
        # This file system has no hard links: a plain rename, which another process could race.
        stage.rename(target)
    else:
        stage.unlink()


def _sync_directory(directory: Path) -> None:
    """Make a rename in `directory` survive a power cut, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class MergeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a stage is merged.

    Rows of one request, target and role closer in time than `horizon` are one row. `keep_evidence` leaves stored
    exchanges of replaced comparisons alone, but for those that are staged: the answers are the same, only judged again
    and redacted by other rules. `marks_differ`: equal secrets
    have unequal marks in other runs, so that marks tell nothing.
    """

    horizon: timedelta
    keep_evidence: bool = False
    marks_differ: bool = True


def merge(connection: duckdb.DuckDBPyConnection, target: Path, now: datetime, options: MergeOptions) -> Landed:
    """Land the database attached as `stage` in `target`, in one transaction.

    Args:
        connection: Holds the stage, with nothing uncommitted.
        target: The database; it is made where it is not there.
        now: What `landed_at` says.
        options: How.

    Raises:
        DependencyError: Another process has the target open.
        InputError: The target is not a database of this version of Gnomon.
    """
    attach(connection, target, "target")
    with translated(target):
        [(earliest, latest)] = connection.execute(_RANGE, [EPOCH, EPOCH]).fetchall()
        variables = {
            "horizon_us": options.horizon // timedelta(microseconds=1),
            "landed_at": now,
            "keep_evidence": options.keep_evidence,
            "marks_differ": options.marks_differ,
        }
        for name, value in variables.items():
            connection.execute(f"SET VARIABLE {name} = ?", [value])
        for name, bound in (("earliest", earliest - options.horizon), ("latest", latest + options.horizon)):
            connection.execute(f"SET VARIABLE {name} = ?", [bound])
        with_more_memory(connection, lambda: _run_script(connection))
        [counts] = connection.execute(_COUNTS).fetchall()
        learn_endpoints(connection, "target")
        bound_names(connection, "target", bounds_of(connection, "stage"))
        connection.execute("CHECKPOINT target")
        connection.execute("DETACH target")
    return Landed(*counts)


def _run_script(connection: duckdb.DuckDBPyConnection) -> None:
    """Run the merge from BEGIN to COMMIT, or not at all."""
    statements = connection.extract_statements(script("merge.sql"))
    try:
        for statement in statements:
            connection.execute(statement)
    except duckdb.Error:
        connection.execute("ROLLBACK")
        raise


_RANGE = "SELECT coalesce(min(started_at), ?), coalesce(max(started_at), ?) FROM stage.comparisons"

_COUNTS = """
SELECT
    count(*) FILTER (NOT w.replaces), (SELECT count(*) FROM stage.comparisons) - count(*),
    count(*) FILTER (w.replaces)
FROM written AS w
"""
