"""Samples: what to look at first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gnomon.model import Comparison, Difference, Exchange, Place, Reject
from gnomon.store import Landed, Selection, open_store
from gnomon.summary import Report


def _report(target: Path, **options: Any) -> Report:
    with open_store(target) as store:
        return store.report(title="t", now=datetime(2027, 2, 1, tzinfo=UTC), **options)


def test_severe_then_frequent_each_pattern_before_any_twice(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """Five requests at a harmless pattern do not hide the one at a severe pattern."""
    rows = [(comparison(f"low-{n}", outcome="diff"), [difference("/body/low", severity="low")]) for n in range(5)]
    rows.append((comparison("high", outcome="diff"), [difference("/body/high", severity="high")]))
    land(target, rows)
    ids = [sample.comparison["request_id"] for sample in _report(target, max_samples=3).samples]
    assert ids == ["high", "low-0", "low-1"]


def test_errors_and_missing_sides_are_shown_too(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """A comparison that diverges without any difference has its place among the samples."""
    land(
        target,
        [
            (comparison("d", outcome="diff"), [difference()]),
            (comparison("e", outcome="shadow_error", shadow_error="timeout"), []),
            (comparison("m", outcome="shadow_missing", target=""), []),
            (comparison("ok"), []),
        ],
    )
    assert {sample.comparison["request_id"] for sample in _report(target).samples} == {"d", "e", "m"}


def test_a_sample_has_all_that_is_known(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    exchange: Callable[..., Exchange],
    land: Callable[..., Landed],
) -> None:
    """The comparison and its differences by column name in JSON, and the stored records by role."""
    found = [difference("/body/b"), difference("/body/a", severity="high")]
    land(
        target,
        [
            (comparison(outcome="diff", flags={"arm": "b"}), found),
            (comparison(role="control", target="live-2"), []),
            (comparison(target="cart@3", outcome="diff"), [difference("/body/b")]),
        ],
        exchanges=[exchange(role=role, target=name) for role, name in
                   (("live", ""), ("shadow", "cart@2"), ("shadow", "cart@3"), ("control", "live-2"))],
    )  # fmt: skip
    [sample] = _report(target, selection=Selection(target="cart@2")).samples
    assert sample.comparison["started_at"] == "2027-01-15T08:00:00Z"
    assert sample.comparison["flags"] == {"arm": "b"}
    assert [row["path"] for row in sample.differences] == ["/body/a", "/body/b"]
    assert sample.live is not None
    assert sample.shadow is not None
    assert sample.control is not None
    assert (sample.live["role"], sample.shadow["target"], sample.control["role"]) == ("live", "cart@2", "control")


def test_those_with_stored_records_come_first(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    exchange: Callable[..., Exchange],
    land: Callable[..., Landed],
) -> None:
    """Of two requests with the same difference the one whose records are there is shown."""
    rows = [(comparison(name, outcome="diff", second=second), [difference()]) for second, name in enumerate("abc")]
    land(target, rows, exchanges=[exchange("c", second=2)])
    [sample] = _report(target, max_samples=1).samples
    assert sample.comparison["request_id"] == "c"


def test_the_report_carries_everything(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """Totals, endpoints, fields, latencies, rule versions and rejects with the first place of each reason."""
    places = [Place("b.ndjson", line=9), Place("a.ndjson", line=12), Place("a.ndjson", line=3)]
    rejects = [*(Reject(place, "bad") for place in places), Reject(Place("topic", partition=1, offset=5), "late")]
    land(target, [(comparison(outcome="diff"), [difference()])], rejects=rejects)
    report = _report(target)
    assert [(r.reason, r.count, r.first_place) for r in report.rejects] == [
        ("bad", 3, "a.ndjson:3"),
        ("late", 1, "topic[1]@5"),
    ]
    assert (report.comparisons, report.rules, report.control_outcomes) == (1, ["rules-1"], None)
    assert (len(report.endpoints), len(report.fields), len(report.latency), len(report.samples)) == (1, 1, 1, 1)
    assert report.source == str(target)
