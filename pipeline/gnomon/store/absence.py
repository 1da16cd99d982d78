"""Why nothing is selected: a flag that no request carries, a time without traffic, live answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

from gnomon.store.database import translated, with_more_memory
from gnomon.store.names import MOST_NAMES, SHOWN, closest_of, find_unknown_name, shown
from gnomon.store.statistics import Cohort, Selection
from gnomon.store.values import rfc3339

__all__ = ["Absence", "find_absence"]


class Absence(msgspec.Struct, frozen=True):
    """Why there is no pair in a sentence, and whether that is a name which nothing that landed has: a typo."""

    message: str
    is_unknown: bool = False


def find_absence(
    connection: duckdb.DuckDBPyConnection, path: Path, selection: Selection, cohort: Cohort, live: Sequence[str] = ()
) -> Absence | None:
    """Say why nothing that landed is selected, as far as it can be told; None where it cannot.

    Args:
        connection: Where the tables can be named without a catalog.
        path: What errors name.
        selection: What was asked for.
        cohort: Whose requests were.
        live: A canary and its baseline, where live answers were asked for and not pairs.

    Raises:
        InputError: The database is damaged.
        DependencyError: There is not enough memory or disk.
    """

    def ask(sql: str, **more: object) -> list[tuple[Any, ...]]:
        parameters = {"service": selection.service, **more}
        with translated(path):
            return with_more_memory(connection, lambda: connection.execute(sql, parameters).fetchall())

    unknown = find_unknown_name(connection, path, selection, live)
    if unknown is not None:
        return Absence(str(unknown), is_unknown=True)
    if live:
        return _without_answers(selection, ask(_ANSWERS, live=list(live)), live)
    wanted = {"target": selection.target, **cohort.parameters()}
    [(everything, found, _, _)] = ask(_SEEN, synthetic="include", **wanted)
    if not everything:
        return _without_pairs(ask(_LIVE_ALONE, limit=SHOWN + 1))
    carried = (
        [row[0] for row in ask(_FLAGS, target=selection.target, flags=wanted["flags"], limit=MOST_NAMES)]
        if cohort.flags
        else []
    )
    for name, value in cohort.flags:
        flag = f"{name}={value}"
        if flag not in carried:
            remedy = closest_of(flag, carried) or "none carries any flag"
            return Absence(f"no request carries the flag {shown(flag)}; {remedy}", is_unknown=True)
    [(_, counted, first, last)] = ask(_SEEN, synthetic=selection.synthetic, **wanted)
    if not found:
        both = ["carries all of these flags"] if cohort.flags else []
        both += ["asked to be served as of this moment"] if cohort.as_of else []
        return Absence(f"no request {' and '.join(both)}")
    if not counted:
        every = "no request that is chosen is" if selection.synthetic == "only" else "every request that is chosen is"
        return Absence(f"{every} tagged as synthetic; choose which count by synthetic (include, exclude, only)")
    if not _misses(selection, first, last):
        return None
    return Absence(f"nothing landed in that time; what landed started between {rfc3339(first)} and {rfc3339(last)}")


def _misses(selection: Selection, first: datetime, last: datetime) -> bool:
    """Whether the time that was asked for is before or after all that there is."""
    since, until = selection.since, selection.until
    return (since is not None and since > last) or (until is not None and until <= first)


def _without_answers(selection: Selection, rows: Sequence[tuple[Any, ...]], live: Sequence[str]) -> Absence | None:
    counted = {target: (first, last) for target, first, last in rows}
    for target in live:
        if target not in counted:
            return Absence(f"no live answer of {shown(target)} has been counted")
        first, last = counted[target]
        if _misses(selection, first, last):
            between = f"{rfc3339(first)} and {rfc3339(last)}"
            return Absence(f"no live answer of {shown(target)} was counted in that time; its own are between {between}")
    return None


def _without_pairs(rows: Sequence[tuple[Any, ...]]) -> Absence:
    if not rows:
        return Absence("nothing has landed yet")
    names = ", ".join(shown(target) for (target,) in rows[:SHOWN]) + (", ..." if len(rows) > SHOWN else "")
    return Absence(f"only live answers without pairs have landed, of {names}; judge a canary beside its baseline")


_SEEN: Final = """
SELECT
    count(*) AS seen,
    count(*) FILTER (in_cohort(c.flags, c.as_of, CAST($flags AS VARCHAR[]), CAST($as_of AS TIMESTAMPTZ))) AS chosen,
    min(c.started_at) FILTER (in_cohort(c.flags, c.as_of, CAST($flags AS VARCHAR[]), CAST($as_of AS TIMESTAMPTZ))),
    max(c.started_at) FILTER (in_cohort(c.flags, c.as_of, CAST($flags AS VARCHAR[]), CAST($as_of AS TIMESTAMPTZ)))
FROM selected_comparisons(NULL, NULL, $synthetic) AS c
WHERE c.role = 'shadow' AND ($service IS NULL OR c.service = $service)
    AND ($target IS NULL OR c.target = $target)
"""

_FLAGS: Final = """
WITH carried AS (
    SELECT unnest(list_transform(map_entries(c.flags), lambda e: e.key || '=' || e.value)) AS flag
    FROM comparisons AS c
    WHERE c.role = 'shadow' AND ($service IS NULL OR c.service = $service)
        AND ($target IS NULL OR c.target = $target)
)
SELECT k.flag FROM carried AS k
GROUP BY k.flag
QUALIFY list_contains(CAST($flags AS VARCHAR[]), k.flag) OR row_number() OVER (ORDER BY count(*) DESC, k.flag) <= $limit
ORDER BY count(*) DESC, k.flag
"""

_LIVE_ALONE: Final = """
SELECT p.target FROM populations AS p
WHERE p.measure = 'requests' AND ($service IS NULL OR p.service = $service)
GROUP BY p.target
ORDER BY sum(p.responses) DESC, p.target
LIMIT $limit
"""

_ANSWERS: Final = """
SELECT p.target, min(p.minute), max(p.minute) + INTERVAL 1 MINUTE FROM populations AS p
WHERE p.measure = 'requests' AND list_contains($live, p.target) AND ($service IS NULL OR p.service = $service)
GROUP BY p.target
"""
