"""What a verdict is about: scores net of the control, against a count by hand; latencies; who is left out."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from gnomon.config import Verdict
from gnomon.core.alerting import Criterion, measure
from gnomon.core.judge import EndpointEvidence, FieldEvidence, Tally
from gnomon.model import EPOCH, Comparison, Difference
from gnomon.store import Landed, Selection, open_store
from gnomon.verdict import judge_store

FIELDS = ("/body/a", "/body/b", "/body/c")


def evidence(target: Path, selection: Selection | None = None, **options: Any) -> Any:
    """What is read from a database."""
    with open_store(target) as store:
        return store.evidence(selection, **options)


def test_scores_are_those_counted_by_hand(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """Over random requests of two shadows and a control, endpoints and fields score what sets of fields say."""
    rng = random.Random(7)
    rows: list[Any] = []
    scores: dict[str, Counter[int]] = {"cart@2": Counter(), "cart@3": Counter()}
    fields: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for number in range(300):
        control = {name for name in FIELDS if rng.random() < 0.3}
        made = {"role": "control", "target": "live-2", "outcome": "diff" if control else "match"}
        rows.append((comparison(str(number), second=number, **made), [difference(name) for name in control]))
        for target_name, score in scores.items():
            shown = {name for name in FIELDS if rng.random() < 0.4}
            found = [difference(name, noise=name in control) for name in sorted(shown)]
            outcome = "diff" if shown - control else "noise" if shown else "match"
            rows.append((comparison(str(number), second=number, target=target_name, outcome=outcome), found))
            score[bool(shown - control) - bool(control - shown)] += 1
            for name in FIELDS:
                fields[target_name, name][(name in shown) - (name in control)] += 1
    land(target, rows)
    read = evidence(target)
    assert {e.target: e.divergence for e in read.endpoints} == {
        name: Tally(score[1], score[-1], 300) for name, score in scores.items()
    }
    assert {(f.target, f.pattern): f.tally for f in read.fields} == {
        key: Tally(score[1], score[-1], 300) for key, score in fields.items()
    }
    assert all(f.controlled and f.kind == "changed" and len(f.request_ids) == 5 for f in read.fields)


def test_requests_without_the_controls_answer_are_left_out(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """Where a control is sent a part of the requests, its noise is taken off that part and the rest proves nothing."""
    rows: list[Any] = [(comparison(str(number), outcome="diff"), [difference("/body/a")]) for number in range(10)]
    rows += [(comparison(str(number), role="control", target="live-2", outcome="match"), []) for number in range(4)]
    land(target, rows)
    [endpoint] = evidence(target).endpoints
    [field] = evidence(target).fields
    assert (endpoint.pairs, endpoint.divergence, field.tally) == (10, Tally(4, 0, 4), Tally(4, 0, 4))


def test_without_a_control_scores_are_plain_counts(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """What is not judged is left out as in every divergence rate, and noise by a rule is no field."""
    land(
        target,
        [
            (
                comparison("a", outcome="diff"),
                [difference("/body/a"), difference("/body/b", noise=True, reason="rule")],
            ),
            (comparison("b", outcome="shadow_missing", shadow_status=None), []),
            (comparison("c", outcome="live_missing", live_status=None), []),
            (comparison("d", outcome="incomparable"), []),
            (comparison("e"), []),
        ],
    )
    read = evidence(target)
    [endpoint] = read.endpoints
    assert (endpoint.pairs, endpoint.divergence) == (3, Tally(2, 0, 3))
    assert endpoint.diverging == ["a", "b"]
    assert [(f.pattern, f.tally, f.controlled) for f in read.fields] == [("/body/a", Tally(1, 0, 3), False)]


def test_errors_are_transport_errors_and_server_errors_of_pairs(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """A side fails without an answer or with a 5xx; failing alike scores nothing."""
    land(
        target,
        [
            (comparison("a", outcome="shadow_error", shadow_status=None, shadow_error="timeout"), []),
            (comparison("b", outcome="diff", shadow_status=503), []),
            (comparison("c", outcome="diff", live_status=500, shadow_status=502), []),
            (comparison("d", outcome="diff", live_status=500), []),
            (comparison("e", outcome="diff", shadow_status=404), []),
            (comparison("f", outcome="shadow_missing", shadow_status=None), []),
        ],
    )
    [endpoint] = evidence(target).endpoints
    assert endpoint.errors == Tally(2, 1, 5)
    assert endpoint.failing == ["a", "b"]


def test_latencies_are_paired_and_begin_after_the_warm_up(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """Pairs with both latencies, of each target from the end of its warm-up on; the slowest requests are named."""
    rows: list[Any] = [
        (comparison(str(s), second=s, live_ms=10.0 + s, shadow_ms=20.0 - s, delta_ms=10.0 - 2 * s), [])
        for s in range(6)
    ]
    rows.append((comparison("half", second=7, live_ms=None, delta_ms=None), []))
    rows.append((comparison("late", second=4, target="cart@3"), []))
    land(target, rows)
    first, second = sorted(evidence(target, warmup=timedelta(seconds=3)).endpoints, key=lambda e: e.target)
    assert first.timings.live.tolist() == [13.0, 14.0, 15.0]
    assert first.timings.shadow.tolist() == [17.0, 16.0, 15.0]
    assert first.slowest == ["0", "1", "2", "3", "4"]
    assert len(second.timings) == 0


def test_synthetic_traffic_and_what_is_not_selected_stay_out(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """A verdict is about real traffic of the service, target and time asked for."""
    found = [difference()]
    land(
        target,
        [
            (comparison("a", outcome="diff"), found),
            (comparison("b", outcome="diff", synthetic="load-test"), found),
            (comparison("c", outcome="diff", service="search"), found),
            (comparison("d", outcome="diff", target="cart@3"), found),
            (comparison("e", outcome="diff", second=50), found),
        ],
    )
    selection = Selection(service="cart", target="cart@2", until=comparison(second=50).started_at)
    read = evidence(target, selection)
    [endpoint], [field] = read.endpoints, read.fields
    assert isinstance(endpoint, EndpointEvidence)
    assert isinstance(field, FieldEvidence)
    assert (endpoint.divergence, field.tally) == (Tally(1, 0, 1), Tally(1, 0, 1))
    assert len(evidence(target).endpoints) == 3


def test_the_rate_is_that_of_the_summary(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """Where every request has a control, verdict and views speak of the same rate."""
    rows: list[Any] = []
    for number in range(50):
        rows.append((comparison(str(number), outcome="diff" if number < 10 else "match"), []))
        control = "diff" if number > 45 else "match"
        rows.append((comparison(str(number), role="control", target="live-2", outcome=control), []))
    land(target, rows)
    [endpoint] = evidence(target).endpoints
    with open_store(target) as store:
        assert endpoint.divergence.mean == store.summary().divergence_rate == 0.12


def test_there_is_one_divergence_rate(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """Views, summary, metrics, verdict and alerts agree where a control answers some, all or none of the requests."""
    rows: list[Any] = []
    for number in range(60):
        endpoint = ("GET /some", "GET /all", "GET /none")[number % 3]
        rows.append((comparison(str(number), endpoint=endpoint, outcome="diff" if number < 33 else "match"), []))
        if endpoint == "GET /all" or (endpoint == "GET /some" and number > 20):
            outcome = "diff" if number > 52 else "match"
            made = {"role": "control", "target": "live-2", "outcome": outcome, "endpoint": endpoint}
            rows.append((comparison(str(number), **made), []))
    land(target, rows)
    with open_store(target) as store:
        found = store.evidence()
        rates = {row.endpoint: row.divergence_rate for row in store.endpoints()}
        assert rates == {e.endpoint: e.divergence.mean for e in found.endpoints}
        assert rates["GET /some"] == (4 - 2) / 13
        pooled = sum((endpoint.divergence for endpoint in found.endpoints), Tally())
        summary = store.summary()
        assert (
            summary.divergence_rate == pooled.mean == judge_store(store, Selection(), Verdict()).verdict.divergence_rate
        )
        assert (summary.scored, summary.divergences) == (13 + 20 + 20, 33)
        [rate] = store.rates(Selection())
        assert (rate.divergence_rate, rate.rate_lo, rate.rate_hi) == (
            summary.divergence_rate,
            *(summary.interval or ()),
        )
        by_endpoint = store.sql("SELECT endpoint, divergence_rate FROM rate_stats()").fetchall()
        assert dict(by_endpoint) == rates
        [reading] = measure(
            Criterion(metric="divergence_rate", above=0.9, endpoint="GET /some"),
            store.figures(EPOCH, {"divergence_rate"}),
        )
        assert reading.value == rates["GET /some"]


def test_reading_a_store_needs_no_numpy() -> None:
    """Only verdicts do: `gnomon compare` starts faster without it."""
    program = "import sys; sys.modules['numpy'] = None; import gnomon.store; import gnomon.cli.rules"
    subprocess.run([sys.executable, "-c", program], check=True)
