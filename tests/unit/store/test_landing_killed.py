"""kill -9 in the middle of a landing, with real processes."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gnomon.model import Comparison, Difference
from gnomon.store import Landed

CHILD = '''
import importlib.util, json, os, signal, sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("rows", sys.argv[1])
rows = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rows)
from gnomon.store import stage as module

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Killer:
    """Stands for the connection and dies before the statement that starts with `at`."""

    def __init__(self, connection, at):
        self.connection, self.at = connection, at

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, query, *more):
        if getattr(query, "query", query).strip().startswith(self.at):
            die()
        return self.connection.execute(query, *more)

target, at, count = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
real = module.StagedRun.land

def land(self, *arguments):
    self._flush()
    print("landing", flush=True)
    if at == "link":
        os.link = lambda *_: die()
    elif at == "unlink":
        Path.unlink = lambda *_, **__: die()
    elif at != "never":
        self._connection = Killer(self._connection, at)
    result = real(self, *arguments)
    print("landed", flush=True)
    return result

module.StagedRun.land = land
found = {"outcome": "diff", "differences": 1}
new = [(rows.make_comparison(f"r-{i}", **found), [rows.make_difference("/new")]) for i in range(count)]
rows.land_run(target, new, run="new")
'''


def _child(target: Path, at: str, count: int = 20) -> subprocess.Popen[bytes]:
    rows = str(Path(__file__).parent / "conftest.py")
    return subprocess.Popen([sys.executable, "-c", CHILD, rows, str(target), at, str(count)], stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("at", "landed"),
    [
        ("BEGIN", False),
        ("DELETE FROM target.differences", False),
        ("INSERT INTO target.comparisons", False),
        ("COMMIT;", False),
        ("CHECKPOINT target", True),
        ("DETACH target", True),
    ],
)
def test_killed_while_merging(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
    at: str,
    landed: bool,
) -> None:
    """kill -9 at any statement of a landing leaves the database as it was or with all of it, and the next run lands."""
    old = [(comparison(f"r-{i}"), []) for i in range(5)]
    land(target, old)
    before = contents(target)
    with _child(target, at) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    after = contents(target)
    if landed:
        assert len(after["comparisons"]) == len(after["differences"]) == 20
    else:
        assert after == before
    assert land(target, old) == (Landed(0, 0, 5) if landed else Landed(0, 5, 0))
    assert not list(target.parent.glob(".*work*"))


@pytest.mark.parametrize(
    ("at", "landed"), [("ALTER", False), ("CHECKPOINT stage", False), ("link", False), ("unlink", True)]
)
def test_killed_while_making_the_database(
    target: Path,
    comparison: Callable[..., Comparison],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
    at: str,
    landed: bool,
) -> None:
    """kill -9 before the name is given leaves no database, after it a whole one."""
    with _child(target, at) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert target.exists() == landed
    if landed:
        assert len(contents(target)["differences"]) == 20
    land(target, [(comparison("other"), [])])
    assert len(contents(target)["comparisons"]) == (21 if landed else 1)
    assert not list(target.parent.glob(".*work*"))


def test_killed_from_outside_at_any_time(
    target: Path,
    comparison: Callable[..., Comparison],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
) -> None:
    """kill -9 from outside, ever later into a landing: as before or all of it, never some of it."""
    old = [(comparison(f"r-{i}"), []) for i in range(5)]
    seen = set()
    for milliseconds in (0, 20, 60, 120, 250):
        target.unlink(missing_ok=True)
        target.with_name(f"{target.name}.wal").unlink(missing_ok=True)
        land(target, old)
        with _child(target, "never", 3_000) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"landing\n"
            select.select([process.stdout], [], [], milliseconds / 1000)
            process.kill()
        counts = {table: len(found) for table, found in contents(target).items()}
        seen.add(json.dumps([counts["comparisons"], counts["differences"]]))
    assert seen <= {"[5, 0]", "[3000, 3000]"}
