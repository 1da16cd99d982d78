"""The demo's processes: started, waited for, and all of them stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from gnomon.demo.leash import leashed
from gnomon.demo.parts import Part, Parts, free_ports, listens
from gnomon.errors import DependencyError


def python(code: str) -> list[str]:
    """Give the command that runs a piece of Python."""
    return [sys.executable, "-c", code]


def is_alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def part(directory: Path, code: str) -> Part:
    """Make a part that is ready once it has written its process id."""
    written = directory / "part.pid"
    start = f"import os, pathlib; pathlib.Path({str(written)!r}).write_text(str(os.getpid())); "
    return Part("part", python(start + code), lambda: written.exists() and written.read_text() != "")


def test_parts_run_until_the_end_of_the_block(tmp_path: Path) -> None:
    """Whatever ends the block, no process is left behind."""
    with suppress(ZeroDivisionError), Parts(tmp_path, {}) as parts:
        parts.start(part(tmp_path, "import threading; threading.Event().wait()"))
        parts.wait(30)
        pid = int((tmp_path / "part.pid").read_text())
        assert is_alive(pid)
        raise ZeroDivisionError
    assert not is_alive(pid)


def test_a_part_that_ends_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    """What went wrong is read on the terminal, not searched for."""
    with Parts(tmp_path, {}) as parts:
        parts.start(Part("shop", python("print('no database'); raise SystemExit(3)"), lambda: False))
        with pytest.raises(
            DependencyError, match=r"the shop ended with exit code 3; its log ends: no database; look into"
        ):
            parts.wait(30)


def test_a_part_that_is_not_ready_in_time_is_named(tmp_path: Path) -> None:
    """Waiting has an end."""
    with Parts(tmp_path, {}) as parts:
        parts.start(Part("shop", python("import threading; threading.Event().wait()"), lambda: False))
        with pytest.raises(DependencyError, match=r"the shop is not ready after 0 s; its log is empty"):
            parts.wait(0.2)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A path that is wrong is said so."""
    with Parts(tmp_path, {}) as parts, pytest.raises(DependencyError, match="envoy cannot be started: /no/envoy: No "):
        parts.start(Part("envoy", ["/no/envoy"], lambda: True))


def test_a_program_that_may_not_be_run_is_named(tmp_path: Path) -> None:
    """So is a file that is no program."""
    (tmp_path / "envoy").write_text("")
    with Parts(tmp_path, {}) as parts, pytest.raises(DependencyError, match="envoy: Permission denied"):
        parts.start(Part("envoy", [str(tmp_path / "envoy")], lambda: True))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process that its parent has ended")
def test_parts_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    """A signal that nobody can catch leaves nothing behind either."""
    written = tmp_path / "part.pid"
    waiting = "import threading; threading.Event().wait()"
    code = f"import os, pathlib; pathlib.Path({str(written)!r}).write_text(str(os.getpid())); {waiting}"
    owner = f"""
import pathlib, sys
from gnomon.demo.parts import Part, Parts
with Parts(pathlib.Path({str(tmp_path)!r}), {{}}) as parts:
    parts.start(Part("part", [sys.executable, "-c", {code!r}], lambda: True))
    {waiting}
"""
    with subprocess.Popen(python(owner)) as process:
        wait_until(lambda: written.exists() and written.read_text() != "")
        pid = int(written.read_text())
        assert is_alive(pid)
        process.kill()
    wait_until(lambda: not _is_running(pid))


def _is_running(pid: int) -> bool:
    """Whether a process is there and has not ended; whoever inherits it may be slow to take note of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, 30 seconds at most."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_leash_without_an_owner_runs_nothing(tmp_path: Path) -> None:
    """Whoever ended before the program began is not outlived."""
    command = leashed(["touch", str(tmp_path / "ran")])
    if command[0] == sys.executable:
        command[4] = "1" if os.getppid() != 1 else "2"
        assert subprocess.run(command, check=False).returncode == 127
        assert not (tmp_path / "ran").exists()


def test_free_ports_are_all_different() -> None:
    """Nobody listens on them yet."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not any(listens(f"127.0.0.1:{port}") for port in ports)
