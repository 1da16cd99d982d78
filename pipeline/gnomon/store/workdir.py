"""A work directory beside the database: what a run spills and stages, gone when the run is."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gnomon.errors import InputError

__all__ = ["work_directory"]


@contextmanager
def work_directory(target: Path) -> Iterator[Path]:
    """Make `.NAME.work-XXXX` beside `target`, on its file system, and remove it at the end.

    Those that a killed process left behind are removed first. A directory is in use while a process holds
    its lock: the kernel releases it however the process ends, so a reused process id does not deceive.

    Raises:
        InputError: The directory of `target` is missing or cannot be written to.
    """
    parent = target.resolve().parent
    prefix = f".{target.name}.work-"
    try:
        # Sweeping and making are one step under the parent's lock, so that nobody sweeps what is not locked yet.
        with _locked(parent, wait=True):
            for stale in parent.glob(f"{_escaped(prefix)}*"):
                _sweep(stale)
            path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            holder = os.open(path, os.O_RDONLY)
            fcntl.flock(holder, fcntl.LOCK_EX)
    except OSError as error:
        raise InputError(
            f"cannot work in {parent}: {error.strerror}", "give a --db in a directory that can be written to"
        ) from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(holder)


def _sweep(path: Path) -> None:
    """Remove a work directory unless a living process holds it."""
    with suppress(OSError), _locked(path, wait=False):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(directory: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of a directory. Raises OSError when it is held and `wait` is false."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _escaped(name: str) -> str:
    """A file name as a glob that matches just it."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
