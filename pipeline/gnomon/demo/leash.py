"""Runs a command that ends when the process that started it does, however that ends; only Linux has a way to say so.

Run by its path, `python -I -S leash.py PARENT COMMAND...`, so that nothing else is imported: it asks for the signal and
becomes the command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["leashed"]

_SET_PARENT_DEATH_SIGNAL: Final = 1
"""`PR_SET_PDEATHSIG` (prctl(2)); it is kept when a process becomes another program."""
_NOT_RUN: Final = 127
"""As shells have it."""


def leashed(command: Sequence[str]) -> list[str]:
    """Give what to start in place of a command for it to end with this process, or rather with this thread.

    It gets SIGTERM then. Elsewhere than on Linux it is the command itself.
    """
    if not sys.platform.startswith("linux"):
        return list(command)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: Sequence[str]) -> int:
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it has ended already
        return _NOT_RUN
    try:
        os.execvp(command[0], list(command))  # noqa: S606 - no shell is wanted
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - the log of the part
        return _NOT_RUN


if __name__ == "__main__":
    raise SystemExit(_become(int(sys.argv[1]), sys.argv[2:]))
