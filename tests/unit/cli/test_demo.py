"""`gnomon demo` as far as it goes without its parts."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from click.testing import CliRunner

from gnomon.cli.app import app
from gnomon.demo.system import MARK
from gnomon.errors import UsageError


def ask(directory: Path) -> BaseException | None:
    """What ends a demo in a directory before it begins."""
    return CliRunner().invoke(app, ["demo", "--directory", str(directory)]).exception


def test_two_demos_do_not_run_in_one_directory(tmp_path: Path) -> None:
    """The second leaves the first one's alone and says so."""
    (tmp_path / "gnomon.toml").write_text(MARK)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        refused = ask(tmp_path)
    finally:
        os.close(descriptor)
    assert isinstance(refused, UsageError)
    assert str(refused).startswith(f"another demo runs in {tmp_path}")
    assert (tmp_path / "gnomon.toml").exists()


def test_what_is_no_demo_s_is_left_alone(tmp_path: Path) -> None:
    """A directory with something else in it is not replaced."""
    (tmp_path / "gnomon.toml").write_text("[kafka]")
    refused = ask(tmp_path)
    assert isinstance(refused, UsageError)
    assert "is no earlier demo's" in str(refused)
    assert (tmp_path / "gnomon.toml").exists()
