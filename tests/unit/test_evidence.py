"""Which requests keep their exchanges."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from gnomon.core.join import Group, Member
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.engine import ComparedRequest, Engine, EngineOptions
from gnomon.evidence import EvidenceBudget
from gnomon.testing import STARTED_US, pair

HOUR_US = 3_600_000_000
ENGINE = Engine(parse_rules(""), EngineOptions(), Redactor(b"key"))


def request(number: int, started_us: int = STARTED_US) -> ComparedRequest:
    """One request that differs at one place."""
    group = Group(f"r-{number}")
    for one in pair(f"r-{number}", {"a": 1}, {"a": 2}, started_us=started_us):
        group.add(Member(one))
    return ENGINE.compare(group.joined(("shadow",)))


def test_the_first_of_each_finding_are_kept() -> None:
    """More of the same is not wanted, whenever it comes."""
    budget = EvidenceBudget(2)
    assert [budget.wants(request(n, STARTED_US + n * HOUR_US)) for n in range(4)] == [True, True, False, False]


def test_a_new_period_has_a_new_budget() -> None:
    """What is kept expires; a worker that runs for months still has evidence of today."""
    budget = EvidenceBudget(1, timedelta(hours=24))
    hours = (0, 1, 23, 24, 25, 48)
    assert [budget.wants(request(h, STARTED_US + h * HOUR_US)) for h in hours] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def timed(number: int, shadow_ms: int, live_ms: int = 20, synthetic: str | None = None) -> ComparedRequest:
    """One request with equal answers, of which the shadow's took its time."""
    group = Group(f"r-{number}")
    for one in pair(f"r-{number}", {"a": 1}, {"a": 1}):
        ms = live_ms if one.role == "live" else shadow_ms
        group.add(Member(msgspec.structs.replace(one, duration_us=ms * 1000, synthetic=synthetic)))
    return ENGINE.compare(group.joined(("shadow",)))


def test_the_slowest_pairs_are_kept() -> None:
    """Those that a verdict on latency names can be looked at, whenever they come: the five slowest are always kept."""
    budget = EvidenceBudget(20)
    times = [40, 45, 50, 55, 60, 30, 39, 61, 40, 90]
    kept = {ms for number, ms in enumerate(times) if budget.wants(timed(number, ms))}
    assert kept == {40, 45, 50, 55, 60, 61, 90}
    assert set(sorted(times)[-5:]) <= kept


def test_what_is_hardly_slower_is_not_kept() -> None:
    """Jitter is no finding: a pair is slow that takes half as long again, and 10 ms more; a load test's never is."""
    budget = EvidenceBudget(20)
    assert not budget.wants(timed(1, 29))
    assert not budget.wants(timed(2, 9, live_ms=1))
    assert not budget.wants(timed(3, 1_400, live_ms=1_000))
    assert not budget.wants(timed(4, 500, synthetic="load-test"))
    assert budget.wants(timed(5, 30))


def test_ever_slower_pairs_end_somewhere() -> None:
    """A service that becomes slower with each request does not fill the disk; without a budget nothing is kept."""
    budget = EvidenceBudget(2)
    assert sum(budget.wants(timed(number, 100 + number)) for number in range(100)) == 20
    assert not EvidenceBudget(0).wants(timed(1, 500))


def test_what_was_kept_for_being_slow_is_kept_again() -> None:
    """A request that is compared anew, because more of it came, keeps its exchanges."""
    budget = EvidenceBudget(1)
    assert budget.wants(timed(1, 100))
    assert budget.wants(timed(1, 100), again=True)
    assert not budget.wants(timed(2, 90), again=True)
