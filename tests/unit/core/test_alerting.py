"""Alert rules, pure: what is measured, and what follows from it in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.alerting import AlertState, Criterion, Figures, Named, Reading, alert_key, decide, measure, step
from gnomon.core.judge import EndpointEvidence, Evidence, FieldEvidence, Tally, Timings
from gnomon.model import Alert

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def endpoint(name: str = "GET /a", diverged: int = 0, total: int = 1000, **changes: Any) -> EndpointEvidence:
    """One endpoint of which so many requests diverge."""
    fields: dict[str, Any] = {
        "service": "cart",
        "endpoint": name,
        "target": "cart@2",
        "pairs": total,
        "judged": total,
        "divergence": Tally(diverged, 0, total),
        "errors": Tally(0, 0, total),
        "timings": Timings.none(),
        "diverging": [f"{name}-{n}" for n in range(min(diverged, 5))],
    }
    return EndpointEvidence(**{**fields, **changes})


def field(name: str, pattern: str, count: int, total: int = 1000) -> FieldEvidence:
    """One field that differs so many times."""
    return FieldEvidence(
        service="cart",
        endpoint=name,
        target="cart@2",
        pattern=pattern,
        kind="changed",
        tally=Tally(count, 0, total),
        controlled=False,
        request_ids=[f"{pattern}-1"],
    )


def figures(*endpoints: EndpointEvidence, fields: list[FieldEvidence] | None = None, **more: Any) -> Figures:
    """What was seen."""
    return Figures(evidence=Evidence(list(endpoints), fields or []), **more)


def criterion(metric: str = "divergence_rate", above: float = 0.01, **changes: Any) -> Criterion:
    """A rule's question."""
    return Criterion(**{"metric": metric, "above": above, **changes})


def rule(hold: timedelta = timedelta(), **changes: Any) -> Named:
    """A whole rule."""
    fields: dict[str, Any] = {
        "name": "prices",
        "severity": "critical",
        "hold": hold,
        "window": timedelta(minutes=10),
        "criterion": criterion(),
    }
    return Named(**{**fields, **changes})


def reading(*, exceeded: bool, **changes: Any) -> Reading:
    """What is seen of one service and target."""
    fields: dict[str, Any] = {
        "service": "cart",
        "target": "cart@2",
        "endpoint": "GET /a",
        "value": 0.5 if exceeded else 0.0,
        "interval": (0.4, 0.6) if exceeded else (0.0, 0.005),
        "pairs": 1000,
    }
    return Reading(exceeded=exceeded, **{**fields, **changes})


def test_a_broken_build_is_one_reading_with_its_patterns_and_requests() -> None:
    """However many endpoints and fields differ, one service and target has one reading, the worst first."""
    names = [f"GET /{n}" for n in range(500)]
    endpoints = [endpoint(name, 500 + n % 7) for n, name in enumerate(names)]
    fields = [field(name, f"/body/{n % 40}", 100 + n) for n, name in enumerate(names)]
    [found] = measure(criterion(), figures(*endpoints, fields=fields))
    assert found.exceeded
    assert (found.service, found.target) == ("cart", "cart@2")
    assert len(found.patterns) == len(set(found.patterns)) == 10
    assert len(found.request_ids) == len(set(found.request_ids)) == 10
    assert len(found.broken) == 5


def test_one_broken_endpoint_among_many_is_found_and_named() -> None:
    """Each endpoint is looked at by itself too: ten times the limit at one of fifty is little of everything."""
    good = [endpoint(f"GET /{n}", 0, 10_000) for n in range(49)]
    [found] = measure(criterion(), figures(*good, endpoint("POST /pay", 100)))
    assert found.exceeded
    assert (found.endpoint, found.broken) == ("POST /pay", ["POST /pay"])
    assert found.request_ids[0].startswith("POST /pay")


def test_the_whole_is_found_where_no_endpoint_has_enough_pairs() -> None:
    """Many small endpoints together are above the limit, which is said by the rule's glob."""
    [found] = measure(criterion(min_pairs=100), figures(*[endpoint(f"GET /{n}", 5, 10) for n in range(40)]))
    assert found.exceeded
    assert (found.endpoint, found.broken, found.pairs) == ("*", [], 400)


@pytest.mark.parametrize(("diverged", "total", "exceeded"), [(3, 100, False), (10, 1000, False), (60, 1000, True)])
def test_what_is_above_the_limit_by_chance_does_not_count(diverged: int, total: int, exceeded: bool) -> None:
    """The lower end of the interval decides, not the rate."""
    [found] = measure(criterion(), figures(endpoint("GET /a", diverged, total)))
    assert found.exceeded is exceeded


def test_too_few_pairs_prove_nothing() -> None:
    """Below `min_pairs` nothing exceeds, however plain it looks."""
    [found] = measure(criterion(min_pairs=100), figures(endpoint("GET /a", 99, 99)))
    assert not found.exceeded
    assert found.pairs == 99


def test_globs_choose_service_endpoint_and_target() -> None:
    """Only `*` and `?` are special: braces and brackets of templates are letters."""
    seen = figures(
        endpoint("GET /users/{id}", 500),
        endpoint("GET /users/[x]", 500),
        endpoint("GET /users/{id}", 500, service="shop"),
        endpoint("GET /users/{id}", 500, target="cart@3"),
    )
    chosen = criterion(service="c?rt", endpoint="GET /users/{id}", target="cart@2")
    [found] = measure(chosen, seen)
    assert (found.endpoint, found.pairs) == ("GET /users/{id}", 1000)
    assert [r.endpoint for r in measure(criterion(endpoint="GET /users/[x]"), seen)] == ["GET /users/[x]"]
    assert measure(criterion(service="nobody"), seen) == []


def test_errors_missing_and_latency_have_their_own_figures() -> None:
    """Each metric looks at its own counts."""
    rng = np.random.default_rng(1)
    live = rng.gamma(4, 5, 3000)
    one = endpoint("GET /a", 0, 3000, errors=Tally(200, 10, 3000), timings=Timings(live, live * 1.5))
    seen = figures(one, missing={("cart", "GET /a", "cart@2"): Tally(400, 0, 3400)})
    values = {
        metric: measure(criterion(metric, 0.05), seen)[0]
        for metric in ("divergence_rate", "error_rate_increase", "missing_rate", "latency_shift_p50")
    }
    assert not values["divergence_rate"].exceeded
    assert values["error_rate_increase"].value == pytest.approx(190 / 3000)
    assert values["missing_rate"].exceeded
    assert values["missing_rate"].value == pytest.approx(400 / 3400)
    assert values["latency_shift_p50"].value == pytest.approx(0.5)
    assert values["latency_shift_p50"].exceeded
    assert not measure(criterion("latency_shift_p99", 0.6), seen)[0].exceeded


def test_rejects_and_leaks_have_no_service() -> None:
    """A record that cannot be read belongs to nobody; one leak is one too many."""
    seen = figures(rejects=Tally(300, 0, 1000), leaks=1)
    [rejects] = measure(criterion("reject_rate", 0.1), seen)
    [leaks] = measure(criterion("synthetic_leaks", 0), seen)
    assert rejects.exceeded
    assert leaks.exceeded
    assert (rejects.service, leaks.value) == ("", 1.0)
    assert not measure(criterion("synthetic_leaks", 1), seen)[0].exceeded


@pytest.mark.parametrize("later", [figures(), figures(leaks=0)])
def test_no_leaks_end_an_alert_on_leaks(later: Figures) -> None:
    """It says how many there were since, not that there are too few pairs: one is one too many, none is none."""
    one = rule(criterion=criterion("synthetic_leaks", 0))
    [found] = measure(one.criterion, figures(leaks=1))
    state, fired = step(one, None, found, NOW)
    assert fired is not None
    seen = measure(one.criterion, later)
    _, resolved = step(one, state, seen[0] if seen else None, NOW + SECOND)
    assert resolved is not None
    assert (resolved.state, resolved.value) == ("resolved", 0.0)
    assert resolved.summary == "synthetic records on clean topics above 0: 0 in the last 10m"


def test_no_data_is_no_alert() -> None:
    """An empty window has no readings, or ones that exceed nothing."""
    assert measure(criterion(), figures()) == []
    assert not measure(criterion("reject_rate"), figures())[0].exceeded


TIMELINE = [
    # for, what is seen at each second, and when it fires and resolves
    (0, "x", ["firing@0"]),
    (0, "xx.", ["firing@0", "resolved@2"]),
    (0, "x.x", ["firing@0", "resolved@1", "firing@2"]),
    (0, "x-", ["firing@0", "resolved@1"]),
    (2, "xx", []),
    (2, "xxx", ["firing@2"]),
    (2, "xx.xx", []),
    (2, "xxx..", ["firing@2"]),
    (2, "xxx...", ["firing@2", "resolved@5"]),
    (2, "xxx.x..", ["firing@2"]),
    (2, "xxx.x...", ["firing@2", "resolved@7"]),
    (2, "...", []),
]


@pytest.mark.parametrize(("hold", "seen", "expected"), TIMELINE)
def test_pending_firing_resolved(hold: int, seen: str, expected: list[str]) -> None:
    """It fires once it was above for `for`, and is resolved once it was not for as long; - is: nothing was seen."""
    assert play(rule(hold * SECOND), seen) == expected


def play(one: Named, seen: str) -> list[str]:
    """Take a rule through what is seen second by second; gives the alerts as STATE@SECOND."""
    state: AlertState | None = None
    heard = []
    for second, what in enumerate(seen):
        now = NOW + second * SECOND
        state, alert = step(one, state, None if what == "-" else reading(exceeded=what == "x"), now)
        if alert is not None:
            heard.append(f"{alert.state}@{second}")
            assert alert.at == now
    return heard


@given(st.text("x.-", max_size=40), st.integers(0, 4))
def test_alerts_alternate_and_each_firing_was_above_for_long_enough(seen: str, hold: int) -> None:
    """Law: firing and resolved take turns, and the last `for` seconds before a firing were all above."""
    heard = play(rule(hold * SECOND), seen)
    assert [one.partition("@")[0] for one in heard] == (["firing", "resolved"] * len(heard))[: len(heard)]
    for one in heard:
        state, _, at = one.partition("@")
        before = seen[max(int(at) - hold, 0) : int(at) + 1]
        assert len(before) == hold + 1
        assert set(before) == {"x"} if state == "firing" else "x" not in before


def test_an_alert_says_what_where_and_by_which_requests() -> None:
    """The sentence has the figure, how sure it is, the limit, the pairs, the window and the place."""
    [found] = measure(criterion(), figures(endpoint("GET /a", 500), fields=[field("GET /a", "/body/price", 500)]))
    _, alert = step(rule(), None, found, NOW)
    assert alert is not None
    assert alert.summary.startswith("cart against cart@2: divergence rate 50 % (at least 4")
    assert "limit 1 %, 1000 pairs, in the last 10m, at GET /a, most often /body/price" in alert.summary
    assert (alert.patterns, alert.request_ids[0]) == (["/body/price"], "GET /a-0")
    assert (alert.severity, alert.threshold, alert.value) == ("critical", 0.01, 0.5)


def test_names_from_traffic_cannot_steer_what_reads_an_alert() -> None:
    """Control characters and endless names are cut from sentences and names."""
    hostile = "GET /\x1b[2J\n\u202e" + "x" * 5000
    [found] = measure(criterion(), figures(endpoint(hostile, 900), fields=[field(hostile, "/body/\n" + "y" * 900, 9)]))
    _, alert = step(rule(), None, found, NOW)
    assert alert is not None
    for text in (alert.summary, alert.endpoint, *alert.patterns):
        assert text.isprintable()
        assert len(text) < 2000


def test_a_key_is_short_and_the_same_for_the_same_alert() -> None:
    """Whatever the names hold, and whoever asks."""
    assert alert_key("r", "a", "b") == alert_key("r", "a", "b")
    assert alert_key("r", "ab", "") != alert_key("r", "a", "b")
    assert len(alert_key("r", "x" * 9999, "\n")) < 32


def test_all_rules_take_one_step_and_a_removed_rule_resolves() -> None:
    """States that changed are given, and no others; what fired by a rule that is gone is resolved."""
    above, fine = reading(exceeded=True), reading(exceeded=False, target="cart@3")
    changed, alerts = decide([rule()], {"prices": [above, fine]}, {}, NOW)
    assert [alert.state for alert in alerts] == ["firing"]
    states = {key: state for key, state in changed.items() if state is not None}
    assert len(states) == len(changed) == 1
    assert decide([rule()], {"prices": [above, fine]}, states, NOW + SECOND) == ({}, [])
    changed, alerts = decide([], {}, states, NOW + SECOND)
    assert changed == dict.fromkeys(states)
    assert [(alert.state, alert.summary) for alert in alerts] == [("resolved", "the rule prices is no longer there")]


def test_a_state_survives_being_written_down() -> None:
    """What is decoded is what was encoded."""
    state, alert = step(rule(), None, reading(exceeded=True), NOW)
    assert msgspec.json.decode(msgspec.json.encode(state), type=AlertState) == state
    assert msgspec.json.decode(msgspec.json.encode(alert), type=Alert) == alert
