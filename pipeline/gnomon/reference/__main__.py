"""Writes the published descriptions anew, or says which of them are stale: `python -m gnomon.reference [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from gnomon.reference import pages

__all__ = ["run"]


def run(arguments: Sequence[str], root: Path) -> int:
    """Write or check all files below `root`, the repository's; gives the exit code.

    With `--check` nothing is written, and the code is 1 when a file is missing or stale.
    """
    stale = []
    for name, text in pages().items():
        file = root / name
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            click.echo(f"{name} written")
    if "--check" in arguments and stale:
        click.echo(f"{', '.join(stale)}: not what the code says; run make docs", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], Path()))
