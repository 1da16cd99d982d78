"""Templates learned from what has landed: names for views, never baked into rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import duckdb
import pyarrow as pa

from gnomon.core.learned import learn_templates
from gnomon.store.batches import Table

__all__ = ["learn_endpoints", "learned_names", "learned_table"]

MAX_ENDPOINTS = 100_000
"""How many endpoint names, the most frequent first, are learned from."""


def learn_endpoints(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Learn from all comparisons of the attached database `name`; what differs from what is in force is a new version.

    What was learned before stays in force while nothing can be learned.
    """
    version, learned = learned_names(connection, f"{name}.")
    if not learned:
        return
    connection.register("learned", learned_table(version, learned))
    connection.execute(f"INSERT INTO {name}.learned_endpoints BY NAME FROM learned")
    connection.unregister("learned")


def learned_names(connection: duckdb.DuckDBPyConnection, place: str = "") -> tuple[int, list[tuple[str, str, str]]]:
    """What is to come into force, as service, endpoint and template, and its version; nothing when all stays as it is.

    `place` stands before the names of tables: empty, or the name of an attached database with a dot.
    """
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for service, endpoint, count in connection.execute(_NAMES.format(place=place), [MAX_ENDPOINTS]).fetchall():
        counts[service][endpoint] = count
    learned = [
        (service, endpoint, template.template)
        for service, seen in sorted(counts.items())
        for template in learn_templates(seen)
        for endpoint in template.endpoints
    ]
    known = connection.execute(_IN_FORCE.format(place=place)).fetchall()
    version = max((row[0] for row in known), default=0)
    same = sorted(learned) == [row[1:] for row in known]
    return version + 1, [] if same else learned


def learned_table(version: int, learned: Sequence[tuple[str, str, str]]) -> Table:
    """Learned names, one at least, with the columns of `learned_endpoints`."""
    columns = dict(zip(("service", "endpoint", "template"), map(list, zip(*learned, strict=True)), strict=True))
    return pa.table({"version": pa.array([version] * len(learned), pa.int64()), **columns})


_NAMES = """
SELECT service, endpoint, count(*) FROM {place}comparisons GROUP BY ALL ORDER BY 3 DESC, 1, 2 LIMIT ?
"""

_IN_FORCE = """
SELECT version, service, endpoint, template FROM {place}learned_endpoints
WHERE version = (SELECT max(version) FROM {place}learned_endpoints)
ORDER BY service, endpoint, template
"""
