"""What evaluating alert rules costs: many rules on the last minutes of a large database.

Prints CPU and wall seconds of one evaluation. Run it with a number of comparisons to change that.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from gnomon.config.alerts import METRICS
from gnomon.core.alerting import Criterion, measure
from gnomon.store import open_store
from gnomon.store.database import attach

COMPARISONS = 10_000_000
RULES = 50
DAY = timedelta(hours=24)

FILL = """
INSERT INTO bench.comparisons BY NAME
SELECT
    'r-' || i AS request_id, 'cart@2' AS target, 'shadow' AS role, 'cart' AS service,
    'GET /p' || (i % 50) || '/{id}' AS endpoint, 'GET' AS method, '/p' AS path,
    $begin + i * $step AS started_at, 200 AS live_status, 200 AS shadow_status,
    10 + (hash(i) % 1000) / 100 AS live_ms, 10 + (hash(i + 1) % 1000) / 100 AS shadow_ms, 0.0 AS delta_ms,
    CASE WHEN i % 100 = 0 THEN 'diff' ELSE 'match' END AS outcome, (i % 100 = 0)::BIGINT AS differences,
    0 AS noise_differences, false AS late, 0 AS duplicates, MAP {}::MAP(VARCHAR, VARCHAR) AS flags, 'r' AS rules,
    $begin + i * $step AS landed_at
FROM range($count) AS t(i);
"""
DIFFER = """
INSERT INTO bench.differences BY NAME
SELECT c.request_id, c.target, c.role, c.service, c.endpoint, c.started_at, '/body/price' AS path,
    '/body/price' AS shadow_path, '/body/f' || (hash(c.request_id) % 3) AS pattern, 'changed' AS kind,
    'medium' AS severity, '1' AS live_value, '2' AS shadow_value, false AS noise
FROM bench.comparisons AS c WHERE c.outcome = 'diff'
"""


def fill(path: Path, count: int, now: datetime) -> None:
    """Make a database of a day's traffic to 50 endpoints, one in a hundred of which diverges."""
    with duckdb.connect() as connection:
        attach(connection, path, "bench")
        connection.execute(FILL, {"begin": now - DAY, "step": DAY / count, "count": count})
        connection.execute(DIFFER)


def main() -> None:
    """Fill, evaluate three times, print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COMPARISONS
    now = datetime.now(UTC)
    rules = [
        Criterion(metric=METRICS[n % len(METRICS)], above=0.01 + n / 1000, endpoint="*" if n % 2 else f"GET /p{n}/*")
        for n in range(RULES)
    ]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "g.duckdb"
        fill(path, count, now)
        for _ in range(3):
            cpu, wall = time.process_time(), time.perf_counter()
            with open_store(path) as store:
                figures = store.figures(now - timedelta(minutes=10), set(METRICS))
            read = time.process_time() - cpu
            for rule in rules:
                measure(rule, figures)
            pairs = sum(endpoint.pairs for endpoint in figures.evidence.endpoints)
            print(
                f"{count:,} comparisons, {pairs:,} of them in the window, {RULES} rules: "
                f"{time.process_time() - cpu:.2f} s of CPU ({read:.2f} s of it reading), "
                f"{time.perf_counter() - wall:.2f} s"
            )


if __name__ == "__main__":
    main()
