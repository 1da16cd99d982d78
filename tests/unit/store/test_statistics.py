"""Outcome counts, divergence rates net of the control, fields and latencies."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from pathlib import Path

import duckdb
import pytest

from gnomon.errors import UsageError
from gnomon.model import OUTCOMES, Comparison, Difference, instant
from gnomon.store import Landed, Selection, open_store, run_query
from gnomon.summary import OutcomeCounts, Quantiles

START = instant(1_800_000_000_000_000)
Z = 1.959963984540054


def _wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson (1927)."""
    middle, spread = k + Z * Z / 2, Z * math.sqrt(k * (n - k) / n + Z * Z / 4)
    return (middle - spread) / (n + Z * Z), (middle + spread) / (n + Z * Z)


def _agresti_min(b: int, c: int, n: int) -> tuple[float, float]:
    """Agresti and Min (2005): half a request more in each discordant cell, two more in all."""
    b_, c_, n_ = b + 0.5, c + 0.5, n + 2
    middle = (b_ - c_) / n_
    spread = Z * math.sqrt((b_ + c_) - (b_ - c_) ** 2 / n_) / n_
    return max(0.0, middle - spread), max(0.0, min(1.0, middle + spread))


def test_every_outcome_is_counted(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """One of each: the denominator leaves out what is no evidence, pairs need both sides."""
    land(target, [(comparison(outcome, outcome=outcome), []) for outcome in OUTCOMES])
    with open_store(target) as store:
        totals = store.summary()
        [endpoint] = store.endpoints()
    assert totals.outcomes == endpoint.outcomes == OutcomeCounts(1, 1, 1, 1, 1, 1, 1, 1)
    assert (totals.comparisons, totals.pairs, totals.divergences) == (8, 6, 4)
    assert totals.divergence_rate == endpoint.divergence_rate == pytest.approx(4 / 6)
    assert totals.interval == pytest.approx(_wilson(4, 6))
    assert (endpoint.rate_lo, endpoint.rate_hi) == pytest.approx(_wilson(4, 6))
    assert (endpoint.pairs, endpoint.first_seen, endpoint.last_seen) == (6, START, START)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 50), (18, 18), (50, 50), (1, 1000)])
def test_interval_without_control(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed], k: int, n: int
) -> None:
    """Wilson's, within 0 and 1 also where nothing or everything diverged."""
    land(target, [(comparison(str(i), outcome="diff" if i < k else "match"), []) for i in range(n)])
    with open_store(target) as store:
        totals = store.summary()
    assert totals.divergence_rate == k / n
    assert totals.interval is not None
    assert totals.interval == pytest.approx(_wilson(k, n), abs=1e-12)
    assert 0 <= totals.interval[0] <= k / n <= totals.interval[1] <= 1


@pytest.mark.parametrize(
    ("both", "shadow_only", "control_only", "neither"), [(2, 5, 3, 40), (0, 0, 6, 10), (0, 9, 0, 1)]
)
def test_rate_is_net_of_the_control(
    target: Path,
    comparison: Callable[..., Comparison],
    land: Callable[..., Landed],
    both: int,
    shadow_only: int,
    control_only: int,
    neither: int,
) -> None:
    """What only the control's requests show is taken off; never below 0."""
    kinds = ["both"] * both + ["shadow"] * shadow_only + ["control"] * control_only + ["neither"] * neither
    rows = []
    for index, kind in enumerate(kinds):
        rows.append((comparison(str(index), outcome="diff" if kind in {"both", "shadow"} else "match"), []))
        outcome = "diff" if kind in {"both", "control"} else "match"
        rows.append((comparison(str(index), role="control", target="live-2", outcome=outcome), []))
    land(target, rows)
    with open_store(target) as store:
        totals = store.summary()
        [endpoint] = store.endpoints()
    diverged = both + shadow_only
    assert totals.divergences == diverged
    assert totals.divergence_rate == endpoint.divergence_rate == max(0, diverged - control_only) / len(kinds)
    assert totals.interval == pytest.approx(_agresti_min(diverged, control_only, len(kinds)))
    assert totals.control_outcomes.diff == both + control_only
    assert totals.control_comparisons == len(kinds)


def test_two_of_a_kind_with_several_noisy_fields_have_no_rate(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """What the control shows and the shadow does not is taken off, also where both differ from live."""
    fields = ["/body/a", "/body/b"]
    rows = []
    shown = [[name for name, show in zip(fields, (1, 2), strict=True) if bits & show] for bits in range(4)]
    for number, (shadow, control) in enumerate(product(shown, shown)):
        found = [difference(name, noise=name in control) for name in shadow]
        new = any(not one.noise for one in found)
        outcome = "diff" if new else "noise" if found else "match"
        rows.append((comparison(str(number), outcome=outcome), found))
        noise = [difference(name) for name in control]
        made = {"role": "control", "target": "live-2", "outcome": "diff" if noise else "match"}
        rows.append((comparison(str(number), **made), noise))
    land(target, rows)
    with open_store(target) as store:
        totals = store.summary()
        [endpoint] = store.endpoints()
    assert totals.divergences == 7
    assert totals.divergence_rate == endpoint.divergence_rate == 0


def test_nothing_compared_has_no_rate(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """Without a denominator the rate and its interval are None."""
    land(target, [(comparison(outcome="incomparable"), [])])
    with open_store(target) as store:
        totals = store.summary()
        [endpoint] = store.endpoints()
    assert (totals.divergence_rate, totals.interval) == (None, None)
    assert (endpoint.divergence_rate, endpoint.rate_lo, endpoint.rate_hi) == (None, None, None)


def test_an_empty_database_answers(target: Path, land: Callable[..., Landed]) -> None:
    """No rows are no error."""
    land(target, [])
    with open_store(target) as store:
        assert store.summary().comparisons == 0
        assert store.summary().rules == []
        assert store.endpoints() == store.fields() == store.latency() == []


def test_selection(target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]) -> None:
    """since is included, until is not; service and target choose; synthetic traffic stays out unless asked for."""
    land(
        target,
        [
            (comparison("a"), []),
            (comparison("b", second=10), []),
            (comparison("c", second=20, service="search"), []),
            (comparison("d", target="cart@3"), []),
            (comparison("e", synthetic="load-test"), []),
            (comparison("f", role="control", target="live-2"), []),
        ],
    )
    ten = START + timedelta(seconds=10)
    expected = [
        (Selection(), 4),
        (Selection(since=ten), 2),
        (Selection(until=ten), 2),
        (Selection(service="search"), 1),
        (Selection(target="cart@3"), 1),
        (Selection(synthetic="include"), 5),
        (Selection(synthetic="only"), 1),
        (Selection(service="none"), 0),
    ]
    with open_store(target) as store:
        assert [store.summary(selection).comparisons for selection, _ in expected] == [count for _, count in expected]
        assert store.summary(Selection(target="cart@3")).control_comparisons == 1
    assert list(run_query(target, "SELECT sum(pairs)::INTEGER FROM endpoint_stats").rows) == [(4,)]
    by_time = "SELECT sum(pairs)::INTEGER FROM endpoint_stats(until := '2027-01-15T08:00:10Z', synthetic := 'include')"
    assert list(run_query(target, by_time).rows) == [(3,)]


def test_a_wrong_word_for_synthetic_is_said(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """The macros name the words they know."""
    land(target, [(comparison(), [])])
    with pytest.raises(UsageError, match="'include', 'exclude' or 'only'"):
        list(run_query(target, "FROM endpoint_stats(synthetic := 'yes')").rows)


def test_fields(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """Requests are counted once per pattern and kind; noise apart; the control beside; an example of values."""
    rows = []
    for index in range(10):
        found = []
        if index < 4:
            found = [
                difference(f"/body/items/{place}/price", pattern="/body/items/*/price", shadow_value=str(index))
                for place in range(3)
            ]
        if index == 9:
            found = [difference("/body/items/0/price", pattern="/body/items/*/price", noise=True)]
        outcome = "diff" if index < 4 else "noise" if found else "match"
        rows.append((comparison(f"r-{index}", second=index, outcome=outcome), found))
        control = [difference("/body/items/7/price", pattern="/body/items/*/price")] if index == 8 else []
        rows.append((comparison(f"r-{index}", second=index, role="control", target="", outcome="match"), control))
    land(target, rows)
    with open_store(target) as store:
        [field] = store.fields()
    assert (field.pattern, field.kind, field.severity) == ("/body/items/*/price", "changed", "medium")
    assert (field.pairs, field.requests, field.noise_requests) == (10, 4, 1)
    assert field.rate == 0.4
    assert (field.rate_lo, field.rate_hi) == pytest.approx(_wilson(4, 10))
    assert (field.control_pairs, field.control_requests, field.control_rate) == (10, 1, 0.1)
    assert field.request_ids == ["r-0", "r-1", "r-2", "r-3", "r-9"]
    assert (field.live_value, field.shadow_value) == ("1", "0")
    assert (field.first_seen, field.last_seen) == (START, START + timedelta(seconds=9))


def test_fields_are_ordered_by_what_matters(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """What diverges before noise, the severe before the frequent."""
    frequent = difference("/body/often", severity="low", kind="added")
    severe = difference("/body/once", severity="high", kind="removed")
    noise = difference("/body/noise", severity="high", noise=True)
    land(
        target,
        [
            (comparison("a", outcome="diff"), [frequent, noise]),
            (comparison("b", outcome="diff"), [frequent, noise]),
            (comparison("c", outcome="diff"), [severe, noise]),
        ],
    )
    with open_store(target) as store:
        assert [field.pattern for field in store.fields()] == ["/body/once", "/body/often", "/body/noise"]


def test_patterns_are_bounded(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """The 1,000 most frequent patterns of an endpoint keep their name, the rest is (other)."""
    many = [difference(f"/body/{index:05}") for index in range(1_005)]
    land(target, [(comparison("a", outcome="diff"), many), (comparison("b", outcome="diff"), many[:1_000])])
    with open_store(target) as store:
        fields = store.sql("SELECT pattern, requests FROM field_stats").fetchall()
    assert len(fields) == 1_001
    assert dict(fields)["(other)"] == 1
    assert dict(fields)["/body/00999"] == 2


def test_latency(target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]) -> None:
    """Quantiles of live, shadow and their difference over pairs that have both."""
    rows = [(comparison(str(i), live_ms=float(i), shadow_ms=i * 3.0, delta_ms=i * 2.0), []) for i in range(101)]
    half = (comparison("x", live_ms=9.0, shadow_ms=None, delta_ms=None, outcome="shadow_missing"), [])
    control = (comparison("1", role="control", live_ms=1.0, shadow_ms=900.0, delta_ms=899.0), [])
    land(target, [*rows, half, control])
    with open_store(target) as store:
        [found] = store.latency()
    assert found.pairs == 101
    assert (found.live, found.shadow, found.delta) == (
        Quantiles(50, 90, 99),
        Quantiles(150, 270, 297),
        Quantiles(100, 180, 198),
    )


def test_learned_templates_apply_to_history(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """Views use the highest version of the learned names; what landed keeps the name it was landed under."""
    for name in ("anna", "bert"):
        land(target, [(comparison(name, endpoint=f"GET /u/{name}", outcome="diff"), [difference()])])
    with duckdb.connect(str(target)) as connection:
        connection.execute("INSERT INTO learned_endpoints VALUES (1, 'cart', 'GET /u/anna', 'GET /u/{old}')")
        for name in ("anna", "bert"):
            row = [2, "cart", f"GET /u/{name}", "GET /u/{name}"]
            connection.execute("INSERT INTO learned_endpoints VALUES (?, ?, ?, ?)", row)
    with open_store(target) as store:
        assert [(row.endpoint, row.pairs) for row in store.endpoints()] == [("GET /u/{name}", 2)]
        assert [(row.endpoint, row.requests) for row in store.fields()] == [("GET /u/{name}", 2)]
        assert [row.endpoint for row in store.latency()] == ["GET /u/{name}"]
        assert len(store.sql("SELECT DISTINCT endpoint FROM comparisons").fetchall()) == 2


def test_views_work_when_the_file_is_attached(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """An analyst who attaches the file under a name of their own gets the same answers."""
    land(target, [(comparison(outcome="diff"), [difference()])])
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{target}' AS mine (READ_ONLY)")
        for view in ("endpoint_stats", "field_stats", "latency_stats"):
            assert len(connection.execute(f"SELECT * FROM mine.{view}").fetchall()) == 1
