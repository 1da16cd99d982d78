"""Rates by endpoint, target, flag, as-of and window, and what is new; of a database and of a store alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gnomon.model import Comparison, Difference
from gnomon.store import Cohort, Landed, Selection, Store, open_store
from gnomon.store.log import Batch, LogWriter, Position

START = datetime.fromtimestamp(1_800_000_000, UTC)
AS_OF = "2027-07-12T00:00:00Z"
DOCS = Path(__file__).parents[3] / "docs" / "statistics.md"


def rows(
    comparison: Callable[..., Comparison], difference: Callable[..., Difference]
) -> list[tuple[Comparison, Sequence[Difference]]]:
    """Ten requests with the flag, half of which diverge; ten without it and as of a moment, of which two are missing.

    The ones without it come an hour later. One of them is failed by the shadow, another by live.
    """
    made: list[tuple[Comparison, Sequence[Difference]]] = []
    for n in range(10):
        found = [difference()] if n % 2 else []
        flags = {"new-cart": "on", "theme": "b"}
        outcome = "diff" if found else "match"
        made.append((comparison(f"on-{n}", second=n, flags=flags, outcome=outcome, differences=len(found)), found))
    for n in range(10):
        late: dict[str, Any] = {"second": 3600 + n, "as_of": AS_OF}
        if n < 2:
            late |= {"outcome": "shadow_missing", "shadow_status": None}
        elif n == 2:
            late |= {"outcome": "diff", "shadow_status": 503}
        elif n == 3:
            late |= {"outcome": "diff", "live_status": 503}
        found = [difference("/status", live_value="200", shadow_value="503")] if n in {2, 3} else []
        made.append((comparison(f"off-{n}", **late), found))
    return made


@pytest.fixture(params=["database", "store"])
def opened(
    request: pytest.FixtureRequest,
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> Iterator[Store]:
    """The same rows in a portable database and in a store."""
    made = rows(comparison, difference)
    if request.param == "database":
        land(target, made)
    else:
        writer = LogWriter(target.with_name("store"), "t", 0)
        writer.land(Batch(comparisons=made, position=Position("t", 0, 20)))
        writer.close()
        target = target.with_name("store")
    with open_store(target) as store:
        yield store


def test_everything_together_is_the_views_rate(opened: Store) -> None:
    """Without more parameters rates are those of endpoint_stats, with errors and missing shadows beside them."""
    [row] = opened.sql("SELECT * FROM rate_stats()").fetchall()
    [view] = opened.sql(
        "SELECT divergence_rate, rate_lo, rate_hi, first_seen, last_seen FROM endpoint_stats"
    ).fetchall()
    assert row[:7] == ("cart", "GET /users/{id}", "cart@2", None, None, None, 18)
    assert (*row[7:10], *row[16:]) == view
    assert row[10] == 0
    assert -1 < row[11] < 0 < row[12] < 1
    assert row[13] == 0.1
    assert 0 < row[14] < 0.1 < row[15] < 1


def test_by_flag_as_of_and_window(opened: Store) -> None:
    """Each value of the flag, each moment and each window has its own rate; requests without the flag have none."""
    sql = (
        "SELECT flag_value, as_of, window_start, pairs, divergence_rate, missing_rate "
        "FROM rate_stats(flag := 'new-cart', by_as_of := true, every := INTERVAL '30 minutes') ORDER BY window_start"
    )
    half_hour = timedelta(minutes=30)
    windows = [START + (moment - START) // half_hour * half_hour for moment in (START, START + timedelta(hours=1))]
    assert opened.sql(sql).fetchall() == [
        ("on", None, windows[0], 10, 0.5, 0.0),
        (None, AS_OF, windows[1], 8, 0.4, 0.2),
    ]


def test_errors_are_a_paired_difference(opened: Store) -> None:
    """Requests that only the shadow failed, less those that only live failed; the interval may be below zero."""
    sql = f"SELECT error_increase, error_lo, error_hi FROM rate_stats(until := '{START + timedelta(seconds=3603)}')"
    [(increase, low, high)] = opened.sql(sql).fetchall()
    assert increase == pytest.approx(1 / 11)
    assert low < 0 < increase < high


def test_evidence_of_a_cohort(opened: Store) -> None:
    """All flags must be there, and a moment is the same in any spelling."""

    def pairs(cohort: Cohort) -> int:
        return sum(endpoint.pairs for endpoint in opened.evidence(Selection(), cohort=cohort).endpoints)

    assert pairs(Cohort()) == 18
    assert pairs(Cohort(flags=(("new-cart", "on"),))) == 10
    assert pairs(Cohort(flags=(("theme", "b"), ("new-cart", "on")))) == 10
    assert pairs(Cohort(flags=(("theme", "a"), ("new-cart", "on")))) == 0
    assert pairs(Cohort(as_of=datetime.fromisoformat("2027-07-12T02:00:00+02:00"))) == 8
    of_flag = opened.evidence(Selection(), cohort=Cohort(flags=(("new-cart", "on"),)))
    assert [(field.pattern, field.tally.plus) for field in of_flag.fields] == [("/body/price", 5)]


def test_what_is_new_since_a_deploy_is_one_query(opened: Store) -> None:
    """As the documentation writes it: what diverged for the first time since then."""
    [sql] = [text for text in documented() if "HAVING" in text]
    deploy = START + timedelta(minutes=30)
    found = opened.sql(re.sub(r"TIMESTAMPTZ '[^']*'", f"TIMESTAMPTZ '{deploy}'", sql)).fetchall()
    assert [row[:4] for row in found] == [("cart", "GET /users/{id}", "/status", "changed")]


def test_the_documented_queries_work(opened: Store) -> None:
    """Every SQL example of docs/statistics.md is answered."""
    texts = documented()
    assert len(texts) == 3
    for text in texts:
        opened.sql(text).fetchall()


def documented() -> list[str]:
    """The SQL of the page."""
    return re.findall(r"```sql\n(.*?);\n```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
