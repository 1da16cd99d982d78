"""What crashes, pauses and other owners may not do to a store: real processes, killed and stopped."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gnomon.store import open_store
from gnomon.store.log import Layout, Maintainer, Retention, prepare_store

ROWS = 6_000
KILLS = 20
PER_BATCH = 40
REWIND = 130
"""Rows below the landed position that a restarted writer lands again, as a worker whose offsets lag behind does."""

WRITER = """
import importlib.util, sys
from pathlib import Path

def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

rows = load("rows", sys.argv[1])
from gnomon.model import Place, Reject
from gnomon.store.log import Batch, LogWriter, Position

root, partition, total, per_batch, rewind = Path(sys.argv[2]), *map(int, sys.argv[3:7])
writer = LogWriter(root, "t", partition)
offset = max((writer.position.offset if writer.position else 0) - rewind, 0)
print("open", offset, flush=True)
while offset < total:
    end = min(offset + per_batch, total)
    compared, rejects = [], []
    for number in range(offset, end):
        differences = [rows.make_difference()] if number % 3 == 0 else []
        if number % 10 == 0:
            rejects.append(Reject(Place("t", partition=partition, offset=number), "broken"))
        compared.append((
            rows.make_comparison(
                f"{partition}-{number}", second=number / 100, outcome="diff" if differences else "match",
                differences=len(differences)),
            differences))
    writer.land(Batch(
        comparisons=compared, rejects=rejects, position=Position("t", partition, end), state={"end": end}))
    offset = end
    print("landed", end, flush=True)
"""


@contextmanager
def _writer(root: Path, partition: int = 0, total: int = ROWS, rewind: int = REWIND) -> Iterator[subprocess.Popen[str]]:
    """Run a writer until it ends or the block does."""
    rows = str(Path(__file__).parent.parent / "conftest.py")
    numbers = [str(number) for number in (partition, total, PER_BATCH, rewind)]
    command = [sys.executable, "-c", WRITER, rows, str(root), *numbers]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _await(process: subprocess.Popen[str], word: str) -> str:
    """Read what a writer says until a line starts with `word`."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line
    pytest.fail(f"the writer ended before it said {word!r}")


class Watch(threading.Thread):
    """Something that is done again and again beside the writers; what it raises fails the test."""

    def __init__(self, work: Any) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.stop = threading.Event()
        self.rounds = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Work until told to stop."""
        try:
            while not self.stop.is_set():
                self.work()
                self.rounds += 1
        except BaseException as error:  # noqa: BLE001 - it is raised where the thread is joined
            self.error = error


@contextmanager
def _beside(*works: Any) -> Iterator[list[Watch]]:
    watches = [Watch(work) for work in works]
    for watch in watches:
        watch.start()
    try:
        yield watches
    finally:
        for watch in watches:
            watch.stop.set()
            watch.join(60)
    for watch in watches:
        if watch.error is not None:
            raise watch.error
        assert watch.rounds


COUNTS = """
SELECT count(*), count(DISTINCT request_id), (SELECT count(*) FROM differences), (SELECT count(*) FROM rejects)
FROM comparisons
"""


def _retried(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    """Ask as an analyst does who asks again when a file went in between."""
    for _ in range(10):
        try:
            return connection.execute(sql).fetchall()
        except duckdb.IOException as error:
            assert "No such file" in str(error) or "No files found" in str(error)
    pytest.fail("a file was missing ten times in a row")


def test_killed_at_random_moments(root: Path) -> None:
    """kill -9 of two writers twenty times, under compaction and readers: rows = distinct = expected, and no count falls."""
    prepare_store(root)
    maintainer = Maintainer(Layout(root), Retention(timedelta(days=1)), grace=timedelta(seconds=5))
    catalog = duckdb.connect(str(root / "catalog.duckdb"), read_only=True)
    seen = [0, 0]

    def look(found: list[tuple[Any, ...]], reader: int) -> None:
        [(rows, distinct, *_)] = found
        assert rows == distinct
        assert rows >= seen[reader]
        seen[reader] = rows

    def own_reader() -> None:
        with open_store(root) as store:
            look(store.sql("SELECT count(*), count(DISTINCT request_id) FROM comparisons").fetchall(), 1)

    rng, moment = random.Random(7), threading.Event()
    with _beside(
        lambda: maintainer.run(everything=True),
        lambda: look(_retried(catalog, "SELECT count(*), count(DISTINCT request_id) FROM comparisons"), 0),
        own_reader,
    ):
        for kills in range(KILLS):
            with _writer(root, kills % 2) as process:
                _await(process, "open")
                for _ in range(rng.randint(0, 12)):
                    _await(process, "landed")
                moment.wait(rng.random() / 50)
                process.kill()
        for partition in (0, 1):
            with _writer(root, partition) as process:
                assert process.wait(120) == 0
    assert _retried(catalog, COUNTS) == [(2 * ROWS, 2 * ROWS, 2 * ROWS // 3, 2 * ROWS // 10)]
    maintainer.run(everything=True)
    assert _retried(catalog, COUNTS) == [(2 * ROWS, 2 * ROWS, 2 * ROWS // 3, 2 * ROWS // 10)]
    catalog.close()
