"""A canary without pairs: what fails, what passes, and what is left open."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.judge import Limits, Population, Populations, judge_populations
from gnomon.core.judge.population import _ends, _Histogram
from gnomon.core.population import MANY, bucket_of

LIMITS = Limits(
    max_divergence=0.01,
    max_endpoint_divergence=0.05,
    max_error_increase=0.005,
    max_p50_shift=0.1,
    max_p99_shift=0.25,
    min_pairs=500,
    min_effect=0.0001,
    confidence=0.95,
)


def latencies(count: int, slower: float = 1.0, seed: int = 1) -> dict[int, int]:
    """Log-normal latencies by bucket."""
    buckets, counts = np.unique(
        [bucket_of(ms) for ms in np.random.default_rng(seed).lognormal(2, 0.3, count) * slower], return_counts=True
    )
    return dict(zip(buckets.tolist(), counts.tolist(), strict=True))


def population(count: int, units: dict[tuple[str, str, str], float] | None = None, **fields: Any) -> Population:
    """So many answers, each unit in a share of them."""
    shares = {("type", "/body", "object"): 1.0} if units is None else units
    made = {unit: round(count * share) for unit, share in shares.items()}
    return Population(**{"requests": count, "shaped": count, "units": made, "latencies": latencies(count), **fields})


def pair(canary: Population, baseline: Population, endpoint: str = "GET /a") -> Populations:
    """One endpoint."""
    return Populations(service="cart", endpoint=endpoint, target="cart@2", canary=canary, baseline=baseline)


PRICE = ("type", "/body/price", "number")
TEXT = ("type", "/body/price", "string")


def test_what_was_cut_is_not_judged() -> None:
    """Of too many words or types those that were counted depend on who came first; the rest is judged all the same."""
    word = ("value", "/body/state", "open")
    one = population(30_000, {PRICE: 1, word: 0.9}, cut=frozenset({"value"}))
    other = population(30_000, {PRICE: 1, word: 0.2})
    assert judge_populations([pair(one, other)], LIMITS).verdict.verdict == "pass"
    broken = population(30_000, {PRICE: 0.5, word: 0.2})
    assert judge_populations([pair(broken, one)], LIMITS).verdict.verdict == "fail"
    assert (
        judge_populations([pair(broken, population(30_000, cut=frozenset({"type"})))], LIMITS).verdict.verdict != "fail"
    )


def test_a_canary_like_the_baseline_passes() -> None:
    """Enough answers alike in errors, latencies and shape; `pairs` is the smaller number of answers."""
    judged = judge_populations([pair(population(30_000, {PRICE: 1}), population(60_000, {PRICE: 1}))], LIMITS)
    found = judged.verdict
    assert (found.verdict, found.pairs, found.divergence_rate, found.reasons) == ("pass", 30_000, 0.0, [])
    assert found.latency.overall is not None
    assert (found.latency.overall.delta_p50, found.latency.overall.hodges_lehmann_ms) == (None, None)
    assert judged.coverage.share_of_pairs == 1


def test_a_changed_type_fails_with_its_pattern() -> None:
    """A field that was a number and is text in a fifth of the answers is one reason, which says the types."""
    canary, baseline = population(3_000, {PRICE: 0.8, TEXT: 0.2}), population(3_000, {PRICE: 1})
    found = judge_populations([pair(canary, baseline)], LIMITS).verdict
    assert found.verdict == "fail"
    named = [reason for reason in found.reasons if reason.pattern]
    assert [r.rate for r in named] == [pytest.approx(0.2)]
    assert [r.message for r in named] == ["number -> string"]
    assert {(r.code, r.endpoint, r.pattern, r.kind) for r in named} == {
        ("max_endpoint_divergence", "GET /a", "/body/price", "type_changed")
    }
    assert found.divergence_rate == pytest.approx(0.2)


@pytest.mark.parametrize(("canary", "baseline", "kind"), [(0.5, 1.0, "removed"), (1.0, 0.5, "added")])
def test_a_field_that_comes_or_goes(canary: float, baseline: float, kind: str) -> None:
    """The kind says which way."""
    found = judge_populations([pair(population(2_000, {PRICE: canary}), population(2_000, {PRICE: baseline}))], LIMITS)
    assert [(r.pattern, r.kind) for r in found.verdict.reasons if r.pattern] == [("/body/price", kind)]


def test_a_small_difference_within_the_limit_is_named() -> None:
    """A field that differs for sure, and less than the limit allows, is a reason of its own that fails nothing."""
    canary, baseline = population(100_000, {PRICE: 0.98}), population(100_000, {PRICE: 1})
    found = judge_populations([pair(canary, baseline)], LIMITS).verdict
    assert (found.verdict, [(r.code, r.pattern) for r in found.reasons]) == ("pass", [("field", "/body/price")])


def test_a_new_word_is_found_unless_the_field_is_no_enumeration() -> None:
    """Cardinality counts: a field with too many words in either population has none to compare."""
    words = {("value", "/body/state", "open"): 1.0}
    new = {("value", "/body/state", "open"): 0.7, ("value", "/body/state", "lost"): 0.3}
    found = judge_populations([pair(population(2_000, new), population(2_000, words))], LIMITS).verdict
    assert {(r.pattern, r.kind) for r in found.reasons if r.pattern} == {
        ("/body/state=lost", "added"),
        ("/body/state=open", "removed"),
    }
    many = {("value", "/body/state", MANY): 0.1, **words}
    found = judge_populations([pair(population(2_000, new), population(2_000, many))], LIMITS).verdict
    assert not [reason for reason in found.reasons if reason.pattern]


def test_services_are_judged_apart() -> None:
    """A service that the canary breaks is not thinned out by another, and is named first."""
    good = pair(population(90_000), population(90_000))
    bad = pair(population(8_000, failed=240), population(8_000, failed=80))
    found = judge_populations([good, msgspec.structs.replace(bad, service="pay")], LIMITS).verdict
    assert found.verdict == "fail"
    assert (found.services[0].service, found.services[0].verdict) == ("pay", "fail")
    assert (found.reasons[0].service, found.pairs) == ("pay", 98_000)


def test_errors_fail() -> None:
    """Two failures in a hundred more than the baseline's are above the limit."""
    found = judge_populations([pair(population(8_000, failed=240), population(8_000, failed=80))], LIMITS).verdict
    assert (found.verdict, found.reasons[0].code) == ("fail", "max_error_increase")
    assert found.reasons[0].rate == pytest.approx(0.02)


def test_slower_answers_fail_also_in_the_tail_alone() -> None:
    """A median that is a fifth slower, and a tail twice as slow under the same median."""
    slow = population(5_000, latencies=latencies(5_000, 1.2, seed=2))
    found = judge_populations([pair(slow, population(5_000))], LIMITS).verdict
    assert (found.verdict, found.reasons[0].code) == ("fail", "max_latency_shift.p50")
    tail = dict(latencies(50_000))
    slowest = max(tail) + 60
    tail[slowest] = 1_500
    found = judge_populations([pair(population(51_500, latencies=tail), population(50_000))], LIMITS).verdict
    assert {reason.code for reason in found.reasons} == {"max_latency_shift.p99"}


def test_few_answers_and_none_are_undecided() -> None:
    """Below `min_pairs` of either build there is no verdict, and nothing at all is no error."""
    found = judge_populations([pair(population(100, {PRICE: 0}), population(90_000, {PRICE: 1}))], LIMITS).verdict
    assert (found.verdict, found.pairs, found.reasons[0].code) == ("undecided", 100, "min_pairs")
    nothing = judge_populations([], LIMITS)
    assert (nothing.verdict.verdict, nothing.verdict.pairs, nothing.verdict.interval) == ("undecided", 0, None)
    lonely = judge_populations([pair(Population(), population(10))], LIMITS).verdict
    assert (lonely.verdict, lonely.divergence_rate, lonely.latency.overall) == ("undecided", None, None)


def test_an_endpoint_with_few_answers_does_not_hold_up_a_pass() -> None:
    """Coverage says that it is not covered."""
    big = pair(population(30_000, {PRICE: 1}), population(60_000, {PRICE: 1}))
    small = pair(population(20, {PRICE: 1}), population(20, {PRICE: 1}), "GET /b")
    judged = judge_populations([small, big], LIMITS)
    assert judged.verdict.verdict == "pass"
    assert (judged.coverage.endpoints, judged.coverage.covered) == (2, 1)


@given(st.integers(0, 400), st.integers(1, 400))
def test_ends_of_a_share_hold_it(count: int, total: int) -> None:
    """They are between 0 and 1, around what was seen, and mirror images of those of the rest."""
    count = min(count, total)
    low, high = _ends(np.array([float(count)]), np.array([float(total)]), 3.0)
    assert 0 <= low[0] <= count / total <= high[0] <= 1
    rest_low, rest_high = _ends(np.array([float(total - count)]), np.array([float(total)]), 3.0)
    assert (1 - rest_high[0], 1 - rest_low[0]) == (pytest.approx(low[0]), pytest.approx(high[0]))


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_of_buckets_is_that_of_the_values(values: list[float], share: float) -> None:
    """To 1 %, and the interval holds it."""
    buckets, counts = np.unique([bucket_of(value) for value in values], return_counts=True)
    histogram = _Histogram(dict(zip(buckets.tolist(), counts.tolist(), strict=True)))
    exact = sorted(values)[min(int(share * len(values)), len(values) - 1)]
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.0101)
    low, high = histogram.interval(share, 3.0)
    assert low <= exact * (1 + 1e-9)
    assert exact <= high * (1 + 1e-9)
