"""Which diverging requests keep their exchanges."""

from __future__ import annotations

from datetime import timedelta

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
