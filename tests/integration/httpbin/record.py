"""Records both releases of httpbin answering every case: `python -m tests.integration.httpbin.record DIRECTORY`.

Writes live.ndjson (0.7.0), shadow.ndjson (0.10.4), control.ndjson (0.7.0 again) and capture.ndjson (live and
shadow, as one emitter would have written them), one record a line in the order of the cases.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from tests.integration.httpbin.cases import CASES
from tests.integration.httpbin.environments import NEW, OLD, Release, cache_directory, python_of
from tests.integration.httpbin.recorder import Side, record
from tests.integration.httpbin.servers import dead_port, serving

__all__ = ["Recording", "record_all"]

SIDES = (("live", OLD), ("shadow", NEW), ("control", OLD))


@dataclass(frozen=True)
class Recording:
    """The files of one recording."""

    live: Path
    shadow: Path
    control: Path
    capture: Path


def record_all(directory: Path, cache: Path | None = None) -> Recording:
    """Serve both releases, send every case to each side, and write the captures into `directory`.

    Raises:
        RuntimeError: An environment could not be made, or a server did not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pythons = _pythons(cache or cache_directory())
    files = Recording(*(directory / f"{name}.ndjson" for name in ("live", "shadow", "control", "capture")))
    with ExitStack() as stack:
        dead = stack.enter_context(dead_port())
        sides = [
            Side(role, release.target, stack.enter_context(serving(pythons[release], directory / f"{role}.log")))
            for role, release in SIDES
        ]
        capture = stack.enter_context(files.capture.open("w", encoding="utf-8"))
        outputs = {
            side.role: stack.enter_context(getattr(files, side.role).open("w", encoding="utf-8")) for side in sides
        }
        for exchange in _exchanges(sides, dead):
            _write(outputs[exchange["role"]], exchange)
            if exchange["role"] != "control":
                _write(capture, exchange)
    return files


def _exchanges(sides: list[Side], dead: int) -> Iterator[dict[str, Any]]:
    """Every case in order; the sides are asked at the same time, as a mirror would."""
    with ThreadPoolExecutor(len(sides)) as pool:
        for case in CASES:
            asked = [replace(side, port=dead) if side.role in case.dead else side for side in sides]
            yield from pool.map(partial(record, case), asked)


def _pythons(cache: Path) -> dict[Release, Path]:
    with ThreadPoolExecutor() as pool:
        return dict(zip((OLD, NEW), pool.map(lambda release: python_of(release, cache), (OLD, NEW)), strict=True))


def _write(output: TextIO, exchange: dict[str, Any]) -> None:
    output.write(json.dumps(exchange, ensure_ascii=False, separators=(",", ":")) + "\n")


def main() -> None:
    """The command line: one argument, the directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    record_all(parser.parse_args().directory)


if __name__ == "__main__":
    main()
