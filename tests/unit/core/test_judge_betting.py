"""Evidence and confidence sequences against brute force, and against what they promise."""

from __future__ import annotations

from itertools import product
from math import comb, exp, inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.judge.betting import _LOG_WEIGHTS, _PARTS, Tally, log_evidence, lower_end, mean_interval, upper_end
from gnomon.core.judge.family import log_threshold

COUNTS = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 400)).map(lambda c: (c[0], c[1], sum(c)))


def bet_one_by_one(scores: list[int], null: float) -> float:
    """Logarithm of the capital after betting on each score in turn, for every size of bet."""
    capital = np.exp(_LOG_WEIGHTS)
    for score in scores:
        capital = capital * (1 + _PARTS / (1 + null) * (score - null))
    return float(np.log(capital.sum()))


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=60), st.floats(-0.5, 0.9))
def test_the_evidence_of_counts_is_the_capital_of_betting_on_each_request(scores: list[int], null: float) -> None:
    """The closed form is what betting one request after the other gives, in whatever order they come."""
    counted = log_evidence(scores.count(1), scores.count(-1), len(scores), null)
    assert float(counted) == pytest.approx(bet_one_by_one(scores, null), abs=1e-9)


@pytest.mark.parametrize("chances", [(0.1, 0.1, 0.8), (0.3, 0.3, 0.4), (0.01, 0.01, 0.98), (0.5, 0.5, 0.0)])
def test_what_is_expected_under_no_effect_is_no_more_than_the_stake(chances: tuple[float, float, float]) -> None:
    """Summed over every outcome of six requests, expected evidence is at most 1 where the mean is the null."""
    expected = 0.0
    for plus, minus in product(range(7), range(7)):
        if plus + minus <= 6:
            ways = comb(6, plus) * comb(6 - plus, minus)
            chance = ways * chances[0] ** plus * chances[1] ** minus * chances[2] ** (6 - plus - minus)
            expected += chance * exp(float(log_evidence(plus, minus, 6)))
    assert expected == pytest.approx(1.0)


@given(COUNTS, st.floats(0.5, 9))
def test_an_end_is_where_the_evidence_crosses_the_threshold(counts: tuple[int, int, int], threshold: float) -> None:
    """Means below the lower end are refuted and means above it are not."""
    end = float(lower_end(*counts, threshold))
    if counts[2]:
        if end > -0.99:
            assert float(log_evidence(*counts, end - 1e-6)) >= threshold
        assert float(log_evidence(*counts, min(end + 1e-6, 0.999))) < threshold


@given(COUNTS, st.floats(0.5, 9))
def test_the_interval_holds_the_mean_and_turns_with_the_signs(counts: tuple[int, int, int], threshold: float) -> None:
    """An interval has the mean seen inside, and swapping the sides mirrors it."""
    tally = Tally(*counts)
    low, high = mean_interval(tally, threshold)
    assert -1 <= low <= high <= 1
    if tally.mean is not None:
        assert low <= tally.mean <= high
    mirrored = mean_interval(Tally(tally.minus, tally.plus, tally.total), threshold)
    assert mirrored == pytest.approx((-high, -low))


def test_a_confidence_sequence_covers_at_every_look() -> None:
    """Of 400 runs of 3,000 requests looked at every 50, no more than the stated share ever misses the truth."""
    rng = np.random.default_rng(5)
    scores = rng.multinomial(50, [0.04, 0.02, 0.94], size=(400, 60)).cumsum(axis=1)
    low = lower_end(scores[..., 0], scores[..., 1], scores.sum(axis=2), log(10))
    high = upper_end(scores[..., 0], scores[..., 1], scores.sum(axis=2), log(10))
    assert np.mean((low > 0.02).any(axis=1)) <= 0.1
    assert np.mean((high < 0.02).any(axis=1)) <= 0.1


def test_nothing_seen_bounds_nothing() -> None:
    """Without requests the interval is everything there is and the mean is None."""
    assert mean_interval(Tally(), 3.0) == (-1.0, 1.0)
    assert Tally().mean is None


@pytest.mark.parametrize(
    ("attainable", "size"),
    [
        ([], 1),
        ([1.0, 2.0], 1),
        ([9.0], 1),
        ([9.0] * 4, 4),
        ([9.0] * 4 + [0.1] * 100, 4),
        ([50.0] * 1000, 1000),
        ([3.5, 3.5], 2),
    ],
)
def test_the_family_is_what_could_be_tested(attainable: list[float], size: int) -> None:
    """Things that could not reach what their number asks for do not raise the threshold for the others."""
    assert log_threshold(attainable, 0.95) == pytest.approx(log(20 * size))


@given(st.lists(st.floats(0, 12), max_size=30))
def test_no_more_things_can_be_refuted_than_are_counted(attainable: list[float]) -> None:
    """At the threshold of a family of k, at most k can reach it: the bound on all errors together (Tarone 1990)."""
    threshold = log_threshold(attainable, 0.95)
    able = sum(value >= threshold for value in attainable)
    assert able <= round(exp(threshold) * 0.05) or able == 0
    assert threshold < inf
