"""What crashes, pauses and other owners may not do to a store: real processes, killed and stopped."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gnomon.errors import DependencyError, FencedError
from gnomon.model import Place, Reject
from gnomon.store import run_query
from gnomon.store.log import Batch, Layout, LogWriter, Maintainer, Position, Retention, compaction, prepare_store

ROWS = 3_000
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
            while not self.stop.wait(0.1):  # so that those it is beside come to something
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
    """kill -9, twenty times, under compaction and readers: rows = distinct = expected, and no count ever falls."""
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
        look(list(run_query(root, "SELECT count(*), count(DISTINCT request_id) FROM comparisons").rows), 1)

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


def test_a_paused_owner_cannot_land_after_compaction(root: Path, tmp_path: Path, ask: Callable[[str], Any]) -> None:
    """SIGSTOP, another owner, compaction that frees the stopped one's next name, SIGCONT: nothing of it is seen."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    program = PAUSED.replace("GATE", repr(str(gate)))
    rows = str(Path(__file__).parent.parent / "conftest.py")
    command = [sys.executable, "-c", program, rows, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as zombie:
        try:
            _await(zombie, "about to link")
            zombie.send_signal(signal.SIGSTOP)
            taken = LogWriter(root, "t", 0)
            assert taken.position is not None
            assert taken.position.offset == 1
            for offset in range(2, 5):
                taken.land(Batch(position=Position("t", 0, offset)))
            Maintainer(Layout(root), Retention(timedelta(days=1)), grace=timedelta(0)).run(everything=True)
            assert not list((root / "hot" / "worker").glob("t-0.*"))
            zombie.send_signal(signal.SIGCONT)
            gate.write_text("go")
            assert _await(zombie, "ended") == "ended FencedError\n"
        finally:
            zombie.kill()
    assert ask("SELECT request_id FROM comparisons") == [("first",)]
    Maintainer(Layout(root), Retention(timedelta(days=1)), grace=timedelta(0)).run(everything=True)
    assert ask("SELECT request_id FROM comparisons") == [("first",)]
    assert LogWriter(root, "t", 0).position == Position("t", 0, 4)


PAUSED = """
import importlib.util, os, sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("rows", sys.argv[1])
rows = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rows)
from gnomon.store.log import Batch, LogWriter, Position

writer = LogWriter(Path(sys.argv[2]), "t", 0)
writer.land(Batch(comparisons=[(rows.make_comparison("first"), [])], position=Position("t", 0, 1)))
link = os.link

def late(source, target):
    print("about to link", flush=True)
    open(GATE).read()
    link(source, target)

os.link = late
try:
    writer.land(Batch(comparisons=[(rows.make_comparison("zombie"), [])], position=Position("t", 0, 2)))
    print("ended landed", flush=True)
except Exception as error:
    print("ended", type(error).__name__, flush=True)
"""


def test_two_owners_at_once(root: Path) -> None:
    """Of two processes that write one series, the one that came last goes on, the other is told to stop."""
    with _writer(root) as first, _writer(root) as second:
        ended = sorted([first.wait(120), second.wait(120)])
    assert ended == [0, 1]
    assert _count(root) == (ROWS, ROWS)


KILLED = """
import os, sys
from datetime import timedelta
from pathlib import Path
import gnomon.store.log.maintainer as maintainer
from gnomon.store.log import Layout, Maintainer, Retention

maintainer.publish = lambda *_: os.kill(os.getpid(), 9)
Maintainer(Layout(Path(sys.argv[1])), Retention(timedelta(days=10_000))).run(everything=True)
"""


def test_groups_of_a_killed_compaction_are_never_taken_for_those_of_the_next(
    root: Path, batch: Callable[..., Batch], comparison: Callable[..., Any], ask: Callable[[str], Any]
) -> None:
    """The clock is set back, a compaction is killed before it publishes, and the next one still loses no row."""
    writer = LogWriter(root, "t", 0)

    def land(first: int, end: int) -> None:
        for number in range(first, end):
            writer.land(batch([(comparison(f"r-{number}", second=number), [])], offset=number + 1))

    land(0, 5)
    ahead = Maintainer(
        Layout(root), Retention(timedelta(days=10_000)), clock=lambda: datetime.now(UTC) + timedelta(hours=1)
    )
    ahead.run(everything=True)
    land(5, 10)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    land(10, 30)
    Maintainer(Layout(root), Retention(timedelta(days=10_000))).run(everything=True)
    assert ask("SELECT count(*), count(DISTINCT request_id) FROM comparisons") == [(30, 30)]


def test_a_name_that_is_taken_ends_a_compaction(
    root: Path,
    batch: Callable[..., Batch],
    comparison: Callable[..., Any],
    ask: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where another process makes a group's file first, nothing is published over it, and the next pass goes on."""
    LogWriter(root, "t", 0).land(batch([(comparison("r-1"), [])], offset=1))
    maintainer = Maintainer(Layout(root), Retention(timedelta(days=10_000)))
    with monkeypatch.context() as patch:
        patch.setattr("gnomon.store.log.compaction.link_new", lambda *_: False)
        with pytest.raises(FencedError, match="another process compacts"):
            maintainer.run(everything=True)
    assert ask("SELECT count(*) FROM comparisons") == [(1,)]
    assert maintainer.run(everything=True) is not None
    assert ask("SELECT count(*) FROM comparisons") == [(1,)]


@contextmanager
def _mounted(place: Path, kind: str, options: str) -> Iterator[Callable[[str], None]]:
    """A small file system of its own; the tests that need it are skipped where none can be mounted."""
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root and mount(8)")
    made = subprocess.run([mount, "-t", kind, "-o", options, "gnomon-test", str(place)], check=False)
    if made.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")

    def remount(how: str) -> None:
        subprocess.run([mount, "-o", f"remount,{how}", str(place)], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _count(root: Path) -> tuple[Any, ...]:
    [row] = run_query(root, "SELECT count(*), count(DISTINCT request_id) FROM comparisons").rows
    return row


def test_a_full_disk_loses_nothing(tmp_path: Path, batch: Callable[..., Batch], comparison: Callable[..., Any]) -> None:
    """Landing says that it cannot, leaves nothing torn, and works again when there is space."""
    disk = tmp_path / "disk"
    with _mounted(disk, "tmpfs", "size=3m"):
        root = disk / "store"
        writer = LogWriter(root, "t", 0)
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(3 << 20))
        big = batch([(comparison(os.urandom(60).hex()), []) for _ in range(3_000)])
        for _ in range(2):
            with pytest.raises(DependencyError, match="No space left on device"):
                writer.land(big)
        assert not list((root / "tmp").iterdir())
        assert _count(root) == (0, 0)
        ballast.unlink()
        assert writer.land(big).comparisons == 3_000
        assert writer.land(big).replays == 3_000
        assert _count(root) == (3_000, 3_000)


def test_a_compaction_that_finds_no_space_makes_some(
    tmp_path: Path, batch: Callable[..., Batch], comparison: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves none of its files behind, and what is too old and left over goes all the same."""
    root = tmp_path / "store"
    writer = LogWriter(root, "t", 0)
    writer.land(batch([(comparison("old"), [])], offset=1))
    Maintainer(Layout(root), Retention(timedelta(days=1))).run(everything=True)
    writer.land(batch([(comparison("new", outcome="diff"), [])], offset=2, rejects=[Reject(Place("t"), "bad")]))
    leftover = root / "tmp" / "left"
    leftover.write_bytes(b"x")
    os.utime(leftover, (0, 0))
    link, made = compaction.link_new, []

    def full(temporary: Path, target: Path) -> bool:
        if made:
            raise OSError(28, "No space left on device")
        made.append(target)
        return link(temporary, target)

    monkeypatch.setattr(compaction, "link_new", full)
    with pytest.raises(DependencyError, match="No space left"):
        Maintainer(Layout(root), Retention(timedelta(0)), grace=timedelta(0)).run(everything=True)
    [first] = made
    assert not first.exists()
    assert not leftover.exists()
    assert _count(root) == (1, 1)
    monkeypatch.undo()
    Maintainer(Layout(root), Retention(timedelta(days=1))).run(everything=True)
    assert _count(root) == (1, 1)


def test_a_read_only_store_loses_nothing(
    tmp_path: Path, batch: Callable[..., Batch], comparison: Callable[..., Any]
) -> None:
    """Neither a writer nor a maintainer gets further than to say so; readers read on; it works again by itself."""
    disk = tmp_path / "disk"
    with _mounted(disk, "tmpfs", "size=8m") as remount:
        root = disk / "store"
        writer = LogWriter(root, "t", 0)
        writer.land(batch([(comparison("r-1"), [])], offset=1))
        remount("ro")
        with pytest.raises(DependencyError, match="Read-only file system"):
            writer.land(batch([(comparison("r-2"), [])], offset=2))
        with pytest.raises(DependencyError, match="Read-only file system"):
            LogWriter(root, "t", 0)
        with pytest.raises(DependencyError, match="Read-only file system"):
            Maintainer(Layout(root), Retention(timedelta(days=1))).run(everything=True)
        assert _count(root) == (1, 1)
        remount("rw")
        assert writer.land(batch([(comparison("r-2"), [])], offset=2)).comparisons == 1
        assert _count(root) == (2, 2)


def test_a_store_that_is_gone_for_a_while(
    root: Path, batch: Callable[..., Batch], comparison: Callable[..., Any]
) -> None:
    """Nothing is made anew in its place, nor in the place of another; when it is back, landing goes on."""
    writer = LogWriter(root, "t", 0)
    row = batch([(comparison("r-1"), [])], offset=1)
    away = root.with_name("away")
    root.rename(away)
    for _ in range(2):
        with pytest.raises(DependencyError):
            writer.land(row)
    assert not root.exists()
    prepare_store(root)
    with pytest.raises(DependencyError, match="another store is at"):
        writer.land(row)
    shutil.rmtree(root)
    away.rename(root)
    assert writer.land(row).comparisons == 1
    assert _count(root) == (1, 1)


def test_what_is_linked_but_not_durable_is_no_loss(
    root: Path, batch: Callable[..., Batch], comparison: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When only the directory's durability is in doubt, trying again lands nothing twice and makes it durable."""
    writer = LogWriter(root, "t", 0)
    row = batch([(comparison("r-1"), [])], offset=1, rejects=[Reject(Place("t", partition=0, offset=9), "bad")])
    with monkeypatch.context() as patch:
        patch.setattr("gnomon.store.log.series.sync_directory", _fails)
        with pytest.raises(DependencyError, match="Input/output error"):
            writer.land(row)
        with pytest.raises(DependencyError, match="Input/output error"):
            writer.land(row)
    assert writer.land(row).replays == 1
    assert _count(root) == (1, 1)
    assert list(run_query(root, "SELECT count(*) FROM rejects").rows) == [(1,)]


def _fails(_: Path) -> None:
    raise OSError(5, "Input/output error")
