"""`gnomon demo`, all of it: real Envoy, a broker, the collector, a worker, the judge."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.test_readme import shows

pytestmark = [pytest.mark.integration, pytest.mark.demo]

README = Path(__file__).parents[2] / "README.md"
COMMAND = [sys.executable, "-m", "gnomon", "demo"]


def children(pid: int) -> set[int]:
    """Give the processes that a process has started."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return {int(line) for line in found.stdout.split()}


def test_what_was_planted_is_found_and_nothing_else(tmp_path: Path) -> None:
    """The table names each regression with the requests that show it; the last line counts them."""
    done = subprocess.run(
        [*COMMAND, "--seconds", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["planted 4, found 4, unexpected 0"], done.stdout + done.stderr
    assert done.returncode == 0
    shown = README.read_text(encoding="utf-8").partition("$ make demo SECONDS")[2]
    expected = shown.partition("```")[0].partition("\n")[2].rstrip()
    assert shows(expected, "(the parts start)\n" + done.stdout), f"README shows:\n{expected}\nprinted:\n{done.stdout}"
    assert done.stdout.count("demo-0") >= 4
    assert "Alert: critical, the candidate diverges (shop@2), by requests demo-0" in done.stdout
    counted = subprocess.run(
        [sys.executable, "-m", "gnomon", "query", "--csv", "SELECT count(*) FROM comparisons WHERE role = 'shadow'"],
        cwd=tmp_path / "gnomon-demo",
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(counted.stdout.split()[-1]) >= 300


def test_it_ends_with_all_its_parts_when_told_to(tmp_path: Path) -> None:
    """A signal in the middle of starting leaves no process behind."""
    with subprocess.Popen(
        [*COMMAND, "--directory", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "Envoy" in line:
                break
        started = children(demo.pid)
        assert len(started) >= 5
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
    alive = set()
    for pid in started:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        alive.add(pid)
    assert not alive


def test_a_part_that_cannot_start_is_named(tmp_path: Path) -> None:
    """A broker that is not there ends the demo with a sentence and the code of a dependency."""
    done = subprocess.run(
        [*COMMAND, "--kafka", "127.0.0.1:1", "--directory", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 4
    assert "127.0.0.1:1" in done.stderr
