"""`gnomon compare` beside DeepDiff alone, in one run; prints ratios and fails on none.

`make bench` measures 60,000 pairs of 2 KB records, every other pair differing, then halves and quarters of them.
`PAIRS=1250000 GROWTH=0 make bench` measures a capture of 5 GB.
"""

from __future__ import annotations

import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from deepdiff import DeepDiff
from traffic import body, differing, every_other, pairs

PAIRS = int(os.environ.get("PAIRS", "60000"))
GROWTH = os.environ.get("GROWTH", "1") != "0"
SAMPLE = 400


class Cost(NamedTuple):
    """What one whole process took: seconds, seconds of CPU, MB at the peak."""

    wall: float
    cpu: float
    rss: float


def write(path: Path, count: int, differs: Callable[[int], bool] = every_other) -> int:
    """Write a capture in which `differs` says which shadows differ; give its size in bytes."""
    with path.open("wb") as file:
        for live, shadow in pairs(count, differs=differs):
            file.write(live + b"\n" + shadow + b"\n")
    return path.stat().st_size


def gnomon(capture: Path, directory: Path) -> Cost:
    """Run `gnomon compare` as a user would, into a new database."""
    db = directory / "bench.duckdb"
    db.unlink(missing_ok=True)
    command = [sys.executable, "-m", "gnomon", "compare", str(capture), "--db", str(db), "--json"]
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(directory)}
    environment = {**os.environ, **compiled, "GNOMON_REDACT_KEY": "bench"}
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        message = f"{command} ended with {process.returncode}"
        raise SystemExit(message)
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def deepdiff_seconds() -> float:
    """Seconds of CPU that DeepDiff takes for one pair of the same bodies, parsed before; half of them differing."""
    rng = random.Random(1)
    documents = [body(rng, number) for number in range(SAMPLE)]
    sides = [(one, differing(one) if n % 2 else dict(one)) for n, one in enumerate(documents)]
    started = time.process_time()
    for live, shadow in sides:
        DeepDiff(live, shadow)
    return (time.process_time() - started) / SAMPLE


def lines(directory: Path) -> Iterator[str]:
    """Run everything and give the report line by line."""
    capture = directory / "capture.ndjson"
    write(capture, 1)
    gnomon(capture, directory)  # compiles what is imported, as an installation does
    size = write(capture, PAIRS)
    before = deepdiff_seconds()
    cost = gnomon(capture, directory)
    deepdiff = (before + deepdiff_seconds()) / 2
    per_pair = cost.wall / PAIRS
    yield f"gnomon compare  {PAIRS:,} pairs, {size / 1e9:.2f} GB, half differing"
    yield f"  whole process {cost.wall:.1f} s wall, {cost.cpu:.1f} s CPU, {cost.rss:.0f} MB at the peak"
    yield f"  a pair        {per_pair * 1e6:.0f} us, {1 / per_pair:,.0f} pairs/s"
    yield f"  of CPU        {cost.cpu / PAIRS * 1e6:.0f} us a pair, start and landing included"
    yield f"DeepDiff alone  {deepdiff * 1e6:,.0f} us of CPU for a pair of the same bodies, parsed before"
    yield f"ratio           {deepdiff / (cost.cpu / PAIRS):.1f} times DeepDiff alone, by CPU"
    if not GROWTH:
        return
    for share in (2, 4):
        count = PAIRS // share
        write(capture, count)
        smaller = gnomon(capture, directory)
        part = smaller.wall / cost.wall * share
        yield f"growth          {count:,} pairs take {smaller.wall:.1f} s, {part:.2f} of their share"
    write(capture, PAIRS // 2, lambda _: False)
    same = gnomon(capture, directory)
    write(capture, PAIRS // 2, lambda _: True)
    changed = gnomon(capture, directory)
    yield f"identical bytes {same.wall:.1f} s against {changed.wall:.1f} s where all differ, {PAIRS // 2:,} pairs each"


if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as name:
        for line in lines(Path(name)):
            print(line, flush=True)
