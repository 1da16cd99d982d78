"""Templates learned from what has landed: names for views, never baked into rows."""

from __future__ import annotations

from collections import defaultdict

import duckdb
import pyarrow as pa

from gnomon.core.learned import learn_templates

__all__ = ["learn_endpoints"]

MAX_ENDPOINTS = 100_000
"""How many endpoint names, the most frequent first, are learned from."""


def learn_endpoints(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Learn from all comparisons of the attached database `name`; what differs from what is in force is a new version.

    What was learned before stays in force while nothing can be learned.
    """
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for service, endpoint, count in connection.execute(_NAMES.format(name=name), [MAX_ENDPOINTS]).fetchall():
        counts[service][endpoint] = count
    learned = [
        (service, endpoint, template.template)
        for service, seen in sorted(counts.items())
        for template in learn_templates(seen)
        for endpoint in template.endpoints
    ]
    known = connection.execute(_IN_FORCE.format(name=name)).fetchall()
    if not learned or sorted(learned) == known:
        return
    columns = ("service", "endpoint", "template")
    connection.register("learned", pa.table(dict(zip(columns, map(list, zip(*learned, strict=True)), strict=True))))
    connection.execute(_NEXT.format(name=name))
    connection.unregister("learned")


_NAMES = """
SELECT service, endpoint, count(*) FROM {name}.comparisons GROUP BY ALL ORDER BY 3 DESC, 1, 2 LIMIT ?
"""

_IN_FORCE = """
SELECT service, endpoint, template FROM {name}.learned_endpoints
WHERE version = (SELECT max(version) FROM {name}.learned_endpoints)
ORDER BY service, endpoint, template
"""

_NEXT = """
INSERT INTO {name}.learned_endpoints BY NAME
SELECT (SELECT coalesce(max(version), 0) + 1 FROM {name}.learned_endpoints) AS version, learned.* FROM learned
"""
