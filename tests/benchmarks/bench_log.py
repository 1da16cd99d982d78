"""Landing in a store, opening it again and asking it, before and after compaction; prints ratios, fails on none.

`make bench` lands 300,000 pairs in batches of 2,500, half of them differing in two places. `LOG_PAIRS=1000000` lands as
many as a restart is measured with.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.model import Comparison, Difference, instant
from gnomon.store import run_query
from gnomon.store.batches import comparison_columns
from gnomon.store.log import Batch, Layout, LogWriter, Maintainer, Position, Retention

PAIRS = int(os.environ.get("LOG_PAIRS", "300000"))
PER_BATCH = 2_500
TOPIC = "gnomon.exchanges"
QUERIES = {
    "count": "SELECT count(*) FROM comparisons",
    "rate by minute": "SELECT endpoint, date_trunc('minute', started_at), avg((outcome = 'diff')::INT) FROM comparisons"
    " GROUP BY ALL",
    "top paths": "SELECT endpoint, pattern, count(*) FROM differences GROUP BY ALL ORDER BY 3 DESC LIMIT 20",
    "p50 and p99": "SELECT endpoint, quantile_cont(delta_ms, [0.5, 0.99]) FROM comparisons GROUP BY ALL",
    "one id": "SELECT * FROM comparisons WHERE request_id = '00000007-0000-4000-8000-000000000007'",
}
OPEN = """
import resource, sys, time
from pathlib import Path
from gnomon.store.log import LogWriter
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started, cpu = time.perf_counter(), time.process_time()
LogWriter(Path(sys.argv[1]), sys.argv[2], 0)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(time.perf_counter() - started, time.process_time() - cpu, before / 1024, after / 1024)
"""


def rows(first: int, count: int) -> list[tuple[Comparison, list[Difference]]]:
    """Make pairs of ten endpoints, a thousand a second, every other one differing."""
    made = []
    for number in range(first, first + count):
        found = [
            Difference(f"/body/items/{number % 8}/price", f"/body/items/{number % 8}/price", "/body/items/*/price",
                       "type_changed", "high", "17.25", '"17.25"'),
            Difference("/body/notes", None, "/body/notes", "removed", "high", '"amber birch"'),
        ] if number % 2 else []  # fmt: skip
        made.append(
            (
                Comparison(
                    request_id=f"{number:08x}-0000-4000-8000-{number:012x}",
                    target="cart@2.4.0-rc1", role="shadow", service="cart", endpoint=f"GET /carts/{{id}}/{number % 10}",
                    method="GET", path=f"/carts/{number}/items",
                    started_at=instant(1_790_000_000_000_000 + number * 1000),
                    live_status=200, shadow_status=200, live_ms=number % 97 / 7, shadow_ms=number % 89 / 7,
                    delta_ms=number % 89 / 7 - number % 97 / 7, outcome="diff" if found else "match",
                    differences=len(found), severity="high" if found else None, rules="bench", topic=TOPIC, partition=0,
                    live_offset=2 * number, shadow_offset=2 * number + 1,
                ),
                found,
            )
        )  # fmt: skip
    return made


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of wall and of CPU."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - cpu


def lines(directory: Path) -> Iterator[str]:
    """Run everything and give the report line by line."""
    root = directory / "store"
    writer = LogWriter(root, TOPIC, 0)
    wall = cpu = bare = 0.0
    size = 0
    for first in range(0, PAIRS, PER_BATCH):
        made = rows(first, PER_BATCH)
        batch = Batch(comparisons=made, position=Position(TOPIC, 0, 2 * first))

        def land(batch: Batch = batch) -> None:
            nonlocal size
            size += writer.land(batch).size

        def write(made: list[Any] = made) -> None:
            table = pa.table(comparison_columns([row for row, _ in made]))
            pq.write_table(table, directory / "bare.parquet", compression="zstd", compression_level=1)

        spent = timed(land)
        wall, cpu = wall + spent[0], cpu + spent[1]
        bare += timed(write)[1]
    thousands = PAIRS / 1000
    yield f"landing          {PAIRS:,} pairs, {PAIRS:,} differences, {size / PAIRS:.0f} bytes a pair"
    yield f"  1,000 pairs    {wall / thousands * 1000:.1f} ms wall, {cpu / thousands * 1000:.1f} ms CPU"
    yield f"  ratio          {cpu / bare:.2f} times the CPU of bare Parquet files of the comparisons alone"
    hot = {name: asked(root, sql) for name, sql in QUERIES.items()}
    yield f"opening          {opened(root)}, from {PAIRS // PER_BATCH} batches"
    maintainer = Maintainer(Layout(root), Retention(timedelta(days=9_999)), grace=timedelta(0))
    wall, cpu = timed(lambda: maintainer.run(everything=True))
    yield f"compaction       {wall:.1f} s wall, {cpu / thousands * 1000:.1f} ms CPU for 1,000 pairs"
    yield f"opening          {opened(root)}, compacted"
    for name, sql in QUERIES.items():
        after = asked(root, sql)
        ratio = hot[name] / after
        yield f"{name:16} {hot[name] * 1000:.0f} ms CPU hot, {after * 1000:.0f} compacted: {ratio:.1f} times"
    yield f"memory           {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at the peak"


def opened(root: Path) -> str:
    """Open the series in a process of its own, as a restart does."""
    done = subprocess.run([sys.executable, "-c", OPEN, str(root), TOPIC], capture_output=True, text=True, check=True)
    wall, cpu, before, after = map(float, done.stdout.split())
    return f"{wall:.1f} s wall, {cpu:.1f} s CPU, {after:.0f} MB of which {before:.0f} before"


def asked(root: Path, sql: str) -> float:
    """Seconds of CPU of the second of two runs."""
    list(run_query(root, sql).rows)
    return timed(lambda: list(run_query(root, sql).rows))[1]


if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as name:
        for line in lines(Path(name)):
            print(line, flush=True)
