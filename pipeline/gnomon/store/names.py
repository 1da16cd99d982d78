"""Which services and targets there are, and what was meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import duckdb

from gnomon.errors import UsageError
from gnomon.store.database import translated, with_more_memory
from gnomon.store.statistics import Selection

__all__ = ["MOST_NAMES", "SHOWN", "closest_of", "find_unknown_name", "shown"]

MOST_NAMES: Final = 1_000
SHOWN: Final = 5
MOST_CHARACTERS: Final = 80


def find_unknown_name(
    connection: duckdb.DuckDBPyConnection, path: Path, selection: Selection, live: Sequence[str]
) -> UsageError | None:
    """Say what is wrong with a service or a target that nothing that landed has; None without one, or without rows.

    Args:
        connection: Where the tables can be named without a catalog.
        path: What the sentence and errors name.
        selection: Its service and target are looked for, at any time.
        live: Targets of role live that are looked for.

    Raises:
        InputError: The database is damaged.
        DependencyError: There is not enough memory or disk.
    """
    wanted = [("service", selection.service), ("target", selection.target), *(("live_target", name) for name in live)]
    asked = [(kind, name) for kind, name in wanted if name is not None]
    if not asked:
        return None
    parameters = {"service": selection.service, "target": selection.target, "live": list(live), "limit": MOST_NAMES}
    with translated(path):
        rows = with_more_memory(connection, lambda: connection.execute(_NAMES, parameters).fetchall())
    for kind, name in asked:
        names = [row[1] for row in rows if row[0] == kind]
        # Without any row there is nothing to have mistyped: traffic is yet to come.
        if rows and name not in names:
            return _unknown(path, kind, name, names)
    return None


def _unknown(path: Path, kind: str, name: str, names: Sequence[str]) -> UsageError:
    what = {"service": "service", "target": "target", "live_target": "target of live traffic"}[kind]
    remedy = closest_of(name, names) or f"none of what landed has a {what}"
    return UsageError(f"nothing in {path} is of the {what} {shown(name)}", remedy)


def closest_of(name: str, names: Sequence[str]) -> str:
    """Say which name was meant, else which there are; nothing where there are none.

    Args:
        name: What was asked for.
        names: What there is, the most frequent first.
    """
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {shown(near[0])}?"
    if not any(names):
        return ""
    more = ", ..." if len(names) > SHOWN else ""
    return f"there {'is' if len(names) == 1 else 'are'} {', '.join(map(shown, names[:SHOWN]))}{more}"


def shown(name: str) -> str:
    """Quote a name from traffic or from a user; a long one is cut."""
    return repr(name if len(name) <= MOST_CHARACTERS else name[:MOST_CHARACTERS] + "...")


_NAMES: Final = """
WITH named AS (
    SELECT 'service' AS kind, c.service AS name FROM comparisons AS c
    UNION ALL SELECT 'target', c.target FROM comparisons AS c WHERE c.role = 'shadow'
    UNION ALL SELECT 'live_target', c.live_target FROM comparisons AS c
    UNION ALL SELECT 'service', p.service FROM populations AS p
    UNION ALL SELECT 'live_target', p.target FROM populations AS p
)
SELECT n.kind, n.name FROM named AS n WHERE n.name IS NOT NULL
GROUP BY n.kind, n.name
QUALIFY n.name = $service OR n.name = $target OR list_contains($live, n.name)
    OR row_number() OVER (PARTITION BY n.kind ORDER BY count(*) DESC, n.name) <= $limit
ORDER BY n.kind, count(*) DESC, n.name
"""
