"""Quantiles and shifts against brute force, and against what they promise."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.judge.betting import Array, log_evidence
from gnomon.core.judge.quantiles import (
    _last_refuted,
    _logarithms,
    _Profile,
    hodges_lehmann,
    quantile_interval,
    quantile_ranks,
    shift_state,
)
from gnomon.core.judge.quantiles import shift_interval as shift

ALONE = log(20)


def latencies(count: int, seed: int, *, slower: float = 1.0, shared: float = 0.5) -> tuple[Array, Array]:
    """Two sides of the same requests, log-normal, part of what makes them slow in common."""
    noise = np.random.default_rng(seed).standard_normal((3, count))
    common = np.sqrt(shared) * noise[0]
    live, shadow = (np.exp(0.5 * (common + np.sqrt(1 - shared) * own)) for own in noise[1:])
    return live, shadow * slower


@given(st.integers(0, 300), st.sampled_from([0.5, 0.9, 0.99]), st.floats(1, 8))
def test_ranks_are_the_counts_that_are_not_refuted(count: int, share: float, threshold: float) -> None:
    """Halving finds what looking at every count finds."""
    possible = [
        below
        for below in range(count + 1)
        if log_evidence(below, 0, count, share) < threshold and log_evidence(0, below, count, -share) < threshold
    ]
    assert quantile_ranks(count, share, threshold) == (possible[0], possible[-1])


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=40))
def test_the_hodges_lehmann_estimate_is_the_median_of_all_pair_means(deltas: list[float]) -> None:
    """Counting in halvings gives the lower or upper median of the means of every pair."""
    means = sorted((one + other) / 2 for one, other in combinations_with_replacement(deltas, 2))
    middle = means[(len(means) - 1) // 2], means[len(means) // 2]
    assert middle[0] - 1e-6 <= hodges_lehmann(np.array(deltas)) <= middle[1] + 1e-6


@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.9]), st.floats(-0.3, 0.3))
def test_the_profile_never_overstates_the_evidence_at_any_place(seed: int, share: float, by: float) -> None:
    """Whatever it refutes is refuted at every place where live's quantile may be, counted one by one."""
    live, shadow = (_logarithms(side, number) for number, side in enumerate(latencies(400, seed, slower=1.4)))
    profile = _Profile(live, shadow, share, 1.0)
    least, largest = quantile_ranks(400, share, 1.0 + log(10))
    ordered = np.concatenate(([-inf], np.sort(live), [inf]))
    inside = np.concatenate((live, shadow - by))
    inside = inside[(inside >= ordered[least]) & (inside < ordered[largest + 1])]
    shifted = shadow - by

    def least(sign: int) -> float:
        evidence = []
        for x in inside:
            over, under = np.sum((shifted > x) & (live <= x)), np.sum((shifted <= x) & (live > x))
            paired = log_evidence(*((over, under) if sign > 0 else (under, over)), 400)
            exceeding = np.sum(shifted > x)
            alone = log_evidence(*((exceeding, 0) if sign > 0 else (0, exceeding)), 400, sign * (1 - share))
            evidence.append(float(np.logaddexp(paired, alone) - log(2)))
        return min(evidence)

    if profile.refutes_at_most(by):
        assert least(1) >= 1.0 + log(1.25)
    if profile.refutes_at_least(by):
        assert least(-1) >= 1.0 + log(1.25)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_shift_is_inside_its_interval(share: float) -> None:
    """A candidate that is a fifth slower throughout has a shift of a fifth at every quantile."""
    low, high = shift(*latencies(20_000, 1, slower=1.2), share, ALONE)
    assert 0 < low < 0.2 < high < 0.5


def test_a_slower_tail_with_an_unchanged_median_is_found() -> None:
    """One request in fifty that takes five times as long moves the 99th percentile and not the median."""
    live, shadow = latencies(20_000, 2)
    slow = np.random.default_rng(3).random(20_000) < 0.02
    shadow = np.where(slow, shadow * 5, shadow)
    assert shift(live, shadow, 0.99, ALONE)[0] > 0.25
    assert shift(live, shadow, 0.5, ALONE)[1] < 0.1


def test_a_wider_spread_around_the_same_median_is_found() -> None:
    """A variance change, which a comparison of locations misses, is a faster low and a slower high quantile."""
    live, shadow = latencies(20_000, 4, shared=0.0)
    shadow = shadow**1.3
    assert shift(live, shadow, 0.9, ALONE)[0] > 0
    assert shift(live, shadow, 0.1, ALONE)[1] < 0
    low, high = shift(live, shadow, 0.5, ALONE)
    assert low < 0 < high


def test_no_shift_is_claimed_between_two_of_a_kind_at_any_look() -> None:
    """Of 40 runs without an effect looked at five times, no more than the stated share shows one."""
    wrong = 0
    for seed in range(40):
        live, shadow = latencies(4_000, seed)
        looks = range(800, 4_001, 800)
        wrong += any(shift(live[:look], shadow[:look], 0.9, ALONE)[0] > 0 for look in looks)
    assert wrong <= 2


def test_equal_latencies_have_no_shift() -> None:
    """Ties are broken at random by a billionth, so latencies that are all the same stay the same."""
    same = np.full(3_000, 5.0)
    assert shift(same, same, 0.99, ALONE) == pytest.approx((0, 0), abs=1e-4)
    assert shift(same, same * 2, 0.5, ALONE) == pytest.approx((1, 1), abs=1e-3)


def test_too_few_pairs_give_no_end() -> None:
    """Ten pairs say nothing about a 99th percentile, and none say nothing at all."""
    assert shift(*latencies(10, 1), 0.99, ALONE) == (-1, inf)
    assert shift(np.empty(0), np.empty(0), 0.5, ALONE) == (-1, inf)
    assert quantile_interval(np.arange(10.0), 0.99, ALONE)[1] == inf
    assert quantile_interval(np.empty(0), 0.5, ALONE) == (-inf, inf)


def test_a_quantile_interval_covers() -> None:
    """The median of exponential latencies is inside its interval."""
    values = np.random.default_rng(1).exponential(10, 5_000)
    low, high = quantile_interval(values, 0.5, ALONE)
    assert low < 10 * log(2) < high
    assert high - low < 1.5


@given(
    count=st.sampled_from([1, 4, 9, 12, 60, 250, 1_100]),
    share=st.sampled_from([0.5, 0.9, 0.99]),
    threshold=st.floats(2, 9),
    factor=st.sampled_from([0.5, 1, 1.2, 3, 1e6]),
    limit=st.sampled_from([0.1, 0.25, 1]),
    seed=st.integers(0, 9),
)
@settings(deadline=None, max_examples=60)
def test_a_limit_can_be_asked_about_without_the_interval(
    count: int, share: float, threshold: float, factor: float, limit: float, seed: int
) -> None:
    """`shift_state` says what the interval says of a limit, and no end is given up that there is."""
    noise = np.random.default_rng(seed).standard_normal((2, count))
    live, shadow = np.exp(noise[0]), factor * np.exp(noise[0] + 0.1 * noise[1])
    low, high = shift(live, shadow, share, threshold)
    state = "exceeded" if low > limit else "kept" if high < limit else "open"
    assert shift_state(live, shadow, share, limit, threshold) == state
    profile = _Profile(_logarithms(live, 1), _logarithms(shadow, 2), share, threshold)
    for end, refutes, direction in ((low, profile.refutes_at_most, -1.0), (high, profile.refutes_at_least, 1.0)):
        assert end == float(np.expm1(_last_refuted(refutes, profile.estimate(), direction)))
