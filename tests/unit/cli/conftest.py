"""What tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gnomon.capture import NdjsonWriter
from gnomon.cli import main
from gnomon.testing import exchange, pair


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `gnomon` with arguments, in a directory of the test's own and without settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GNOMON_REDACT_KEY", "a key for tests")

    def run(*arguments: str | Path) -> Ran:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture of 20 requests with both sides and a control; every tenth shadow has its price as text."""
    file = tmp_path / "capture.ndjson"
    with NdjsonWriter(file) as writer:
        for number in range(20):
            answer = {"id": number, "price": 1.5}
            changed = {**answer, "price": "1.5"} if number % 10 == 0 else answer
            for side in (
                *pair(f"r-{number}", answer, changed, path=f"/items/{number}"),
                exchange(f"r-{number}", "control", answer, path=f"/items/{number}"),
            ):
                writer.write(side)
    return file
