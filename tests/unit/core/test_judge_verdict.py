"""The verdict: limits, what is counted, and the order of reasons."""

from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

from gnomon.core.judge import (
    EndpointEvidence,
    Evidence,
    FieldEvidence,
    Judgement,
    Limits,
    Tally,
    Timings,
    give_verdict,
)
from gnomon.reference import schemas

LIMITS = Limits(
    max_divergence=0.01,
    max_endpoint_divergence=0.05,
    max_error_increase=0.005,
    max_p50_shift=0.10,
    max_p99_shift=0.25,
    min_pairs=500,
    min_effect=0.0001,
    confidence=0.95,
)


def timings(count: int, *, slower: float = 1.0, seed: int = 1) -> Timings:
    """Log-normal latencies of both sides."""
    noise = np.random.default_rng(seed).standard_normal((3, count))
    return Timings(np.exp(0.3 * (noise[0] + noise[1])), slower * np.exp(0.3 * (noise[0] + noise[2])))


def endpoint(name: str = "GET /a", total: int = 20_000, **changes: Any) -> EndpointEvidence:
    """An endpoint without a single divergence."""
    plus, minus = changes.pop("plus", 0), changes.pop("minus", 0)
    fields: dict[str, Any] = {
        "service": "shop",
        "endpoint": name,
        "target": "shop@2",
        "pairs": total,
        "judged": total,
        "divergence": Tally(plus, minus, total),
        "errors": Tally(changes.pop("errors", 0), 0, total),
        "timings": Timings.none(),
        "diverging": ["r-1"],
        "failing": ["r-2"],
        "slowest": ["r-3"],
    }
    return EndpointEvidence(**{**fields, **changes})


def field(pattern: str, plus: int, minus: int, total: int = 20_000, **changes: Any) -> FieldEvidence:
    """A field of `GET /a`."""
    fields: dict[str, Any] = {
        "service": "shop",
        "endpoint": "GET /a",
        "target": "shop@2",
        "kind": "changed",
        "controlled": True,
        "request_ids": ["r-9"],
    }
    return FieldEvidence(pattern=pattern, tally=Tally(plus, minus, total), **{**fields, **changes})


def judge(*endpoints: EndpointEvidence, fields: tuple[FieldEvidence, ...] = (), **limits: Any) -> Judgement:
    """Judge endpoints and fields under the default limits, or some others."""
    return give_verdict(Evidence(list(endpoints), list(fields)), msgspec.structs.replace(LIMITS, **limits))


def codes(judgement: Judgement) -> list[str]:
    """The codes of the reasons."""
    return [reason.code for reason in judgement.verdict.reasons]


def test_a_control_that_went_away_holds_up_a_pass() -> None:
    """What no control saw is judged by nobody: neither pass nor fail, and it is said how much that is."""
    judgement = judge(endpoint("GET /b"), endpoint(total=2_000, judged=20_000))
    assert (judgement.verdict.verdict, codes(judgement)) == ("undecided", ["control_coverage"])
    (reason,) = judgement.verdict.reasons
    assert (reason.endpoint, reason.rate) == ("GET /a", 0.1)
    assert judgement.coverage.share_of_pairs == 0.55
    assert judge(endpoint("GET /b"), endpoint(total=18_500, judged=20_000)).verdict.verdict == "pass"
    assert judge(endpoint("GET /b"), endpoint(total=2, judged=20)).verdict.verdict == "pass"
    assert judge(endpoint(plus=1_000, total=2_000, judged=20_000)).verdict.verdict == "fail"


@pytest.mark.parametrize(
    ("endpoints", "verdict", "first"),
    [
        ([endpoint()], "pass", None),
        ([endpoint(plus=600)], "fail", "max_divergence"),
        ([endpoint(plus=190)], "undecided", "undecided_max_divergence"),
        ([endpoint(plus=150, total=100_000)], "pass", None),
        ([endpoint(), endpoint("GET /b", 1_000, plus=120)], "fail", "max_endpoint_divergence"),
        ([endpoint(errors=200)], "fail", "max_error_increase"),
        ([endpoint(total=400, plus=400)], "undecided", "min_pairs"),
        ([endpoint(timings=timings(20_000))], "pass", None),
        ([endpoint(timings=timings(20_000, slower=1.2))], "fail", "max_latency_shift.p50"),
        ([], "undecided", "min_pairs"),
    ],
)
def test_a_limit_is_exceeded_kept_or_open(endpoints: list[EndpointEvidence], verdict: str, first: str | None) -> None:
    """Fail when a lower end is above its limit, pass when all upper ends are below, else undecided."""
    judged = judge(*endpoints)
    assert judged.verdict.verdict == verdict
    assert (codes(judged) or [None])[0] == first


def test_services_and_targets_are_judged_apart_and_the_worst_counts() -> None:
    """A broken build of one service is not thinned out by the traffic of others, and reasons name both."""
    small = endpoint("GET /b", 1_000, plus=60, service="pay", target="pay@2")
    judged = judge(endpoint(total=100_000), small, endpoint(total=600, target="shop@3"))
    assert judged.verdict.verdict == "fail"
    assert {(reason.service, reason.target) for reason in judged.verdict.reasons if "undecided" not in reason.code} == {
        ("pay", "pay@2")
    }
    assert [(one.service, one.target, one.verdict, one.pairs) for one in judged.verdict.services] == [
        ("pay", "pay@2", "fail", 1_000),
        ("shop", "shop@3", "undecided", 600),
        ("shop", "shop@2", "pass", 100_000),
    ]
    assert judged.verdict.pairs == 101_600
    assert judged.verdict.divergence_rate == pytest.approx(60 / 101_600)
    assert judged.verdict.services[0].divergence_rate == 0.06
    assert (judged.coverage.endpoints, judged.coverage.covered) == (3, 3)


def test_the_error_is_kept_over_all_services_together() -> None:
    """What is enough for one service alone is not among hundreds of them."""
    suspect = endpoint(total=2_000, plus=40)
    others = [endpoint(total=2_000, service=f"s-{number}") for number in range(400)]
    assert codes(judge(suspect, max_endpoint_divergence=1))[0] == "max_divergence"
    verdict = judge(suspect, *others, max_endpoint_divergence=1).verdict
    assert "max_divergence" not in [reason.code for reason in verdict.reasons]


def test_a_limit_is_not_exceeded_before_there_are_enough_pairs() -> None:
    """Fewer than `min_pairs` leave it undecided, and the reason says so."""
    verdict = judge(endpoint(total=400, plus=400)).verdict
    assert verdict.verdict == "undecided"
    assert {reason.code for reason in verdict.reasons} >= {"min_pairs", "undecided_max_divergence"}
    assert "max_divergence" not in {reason.code for reason in verdict.reasons}
    assert verdict.reasons[1].interval[0] > 0.9  # type: ignore[index]


def test_a_dead_shadow_fails_though_it_has_no_pairs() -> None:
    """An answer that is missing counts as one that diverges: the judged requests are as many as a verdict takes."""
    dead = endpoint(pairs=0, judged=10_000, total=10_000, plus=10_000, errors=0)
    judged = judge(dead)
    assert (judged.verdict.verdict, judged.verdict.pairs) == ("fail", 0)
    assert not judged.parts[0].is_short
    assert set(codes(judged)) == {"max_divergence", "max_endpoint_divergence"}
    assert judge(endpoint(pairs=0, judged=400, total=400, plus=400)).verdict.verdict == "undecided"


def test_few_pairs_decide_nothing_about_errors_and_latencies() -> None:
    """For these limits pairs count: below `min_pairs` they neither fail nor pass, whatever is judged."""
    few = {"pairs": 450, "errors": 300}
    judged = judge(endpoint(total=520, **few))
    assert (judged.verdict.verdict, codes(judged)[0]) == ("undecided", "min_pairs")
    broken = judge(endpoint(total=520, plus=200, **few))
    assert broken.verdict.verdict == "fail"
    assert "max_error_increase" not in codes(broken)


def test_of_many_endpoints_those_that_matter_are_measured() -> None:
    """A slow endpoint among hundreds fails with its interval; for the others it is known on which side they are."""
    many = [endpoint(f"GET /{number:03}", 200, timings=timings(200, seed=number)) for number in range(1, 150)]
    slow = endpoint("GET /z", 200, timings=timings(200, slower=1.5))
    judged = judge(*many, slow)
    (reason,) = [r for r in judged.verdict.reasons if r.endpoint and r.code.startswith("max_latency_shift")]
    assert (judged.verdict.verdict, reason.endpoint) == ("fail", "GET /z")
    assert reason.interval is not None
    assert reason.interval[0] == pytest.approx(0.4, abs=0.2)
    alone = {(c.endpoint, c.code): c.state for c in judge(*many[:50]).checks if c.endpoint}
    assert all(c.state in {alone.get((c.endpoint, c.code), c.state), "open"} for c in judged.checks if c.endpoint)


def test_rates_are_net_of_the_control() -> None:
    """A noisy service whose control differs as often as the shadow does passes, and its rate is that of the rest."""
    judged = judge(endpoint(plus=3_000, minus=2_990, total=1_000_000))
    assert judged.verdict.verdict == "pass"
    assert judged.verdict.divergence_rate == pytest.approx(0.00001)


def test_a_control_that_differs_more_gives_no_negative_rate() -> None:
    """Rates and their ends are never below 0."""
    verdict = judge(endpoint(plus=10, minus=500)).verdict
    assert verdict.divergence_rate == 0
    assert verdict.interval is not None
    assert verdict.interval[0] == 0


def test_a_rare_endpoint_can_fail_but_does_not_hold_up_a_pass() -> None:
    """Thirty flawless pairs are no reason to wait; thirty diverging ones are a reason to stop."""
    flawless = judge(endpoint(), endpoint("GET /rare", 30))
    assert flawless.verdict.verdict == "pass"
    assert (flawless.coverage.endpoints, flawless.coverage.covered) == (2, 1)
    assert flawless.coverage.share_of_pairs == pytest.approx(20_000 / 20_030)
    broken = judge(endpoint(), endpoint("GET /rare", 30, plus=30))
    assert broken.verdict.verdict == "fail"
    assert broken.verdict.reasons[0].endpoint == "GET /rare"
    assert broken.verdict.reasons[0].request_ids == ["r-1"]


def test_a_rare_endpoint_with_ordinary_latencies_does_not_hold_up_a_pass() -> None:
    """Too few pairs to tell a shift from live's own spread are a matter of coverage, not of doubt."""
    rare = endpoint("GET /rare", 60, timings=timings(60, seed=2))
    assert judge(endpoint(timings=timings(20_000)), rare).verdict.verdict == "pass"


def test_fields_that_differ_more_often_than_the_control_are_named_worst_first() -> None:
    """A new kind in a noisy field is found, the noise in it is not, and seldom fields come after frequent ones."""
    fields = (
        field("/body/noisy", 4_000, 4_010),
        field("/body/noisy", 60, 1, kind="type_changed"),
        field("/body/broken", 3_000, 3),
        field("/body/twice", 2, 0),
    )
    found = [reason for reason in judge(endpoint(plus=3_000), fields=fields).verdict.reasons if reason.pattern]
    assert [(reason.pattern, reason.kind) for reason in found] == [
        ("/body/broken", "changed"),
        ("/body/noisy", "type_changed"),
    ]
    assert found[0].rate == pytest.approx(2_997 / 20_000)
    assert found[0].interval is not None
    assert found[0].request_ids == ["r-9"]


def test_a_field_fails_where_the_noise_of_its_endpoint_hides_it() -> None:
    """A field is held to its endpoint's limit by itself, and by its share of the traffic to that of everything."""
    noisy = endpoint(plus=6_000, minus=5_000, total=20_000)
    others = endpoint("GET /b", 80_000)
    (reason,) = [r for r in judge(noisy, others, fields=(field("/body/a", 1_500, 0),)).verdict.reasons if r.pattern]
    assert (reason.code, reason.endpoint) == ("max_endpoint_divergence", "GET /a")
    assert reason.rate == pytest.approx(0.075)
    verdict = judge(endpoint(), fields=(field("/body/a", 600, 0),)).verdict
    assert verdict.verdict == "fail"
    assert (verdict.reasons[0].code, verdict.reasons[0].pattern) == ("max_divergence", "/body/a")
    seldom = judge(noisy, endpoint("GET /b", 8_000_000), fields=(field("/body/a", 900, 0),)).verdict
    assert "undecided_max_endpoint_divergence" in [r.code for r in seldom.reasons if r.pattern]


def test_a_field_below_the_smallest_effect_is_not_named() -> None:
    """However sure the difference is, below `min_effect` it is none."""
    small = field("/body/a", 500, 0, total=1_000_000)
    whole = endpoint(total=1_000_000)
    assert codes(judge(whole, fields=(small,))) == ["field"]
    assert codes(judge(whole, fields=(small,), min_effect=0.001)) == []


def test_without_a_control_every_difference_is_the_shadows() -> None:
    """A field that differs in a few of many requests is named where there is no control to excuse it."""
    assert codes(judge(endpoint(), fields=(field("/body/a", 40, 0, controlled=False),))) == ["field"]


def test_more_fields_ask_for_more_evidence() -> None:
    """What is significant alone is not among a thousand that could be as well."""
    one = field("/body/a", 20, 2)
    many = tuple(field(f"/body/{number}", 500, 500) for number in range(1_000))
    assert codes(judge(endpoint(), fields=(one,), confidence=0.5)) == ["field"]
    assert codes(judge(endpoint(), fields=(one, *many), confidence=0.5)) == []


def test_the_order_of_the_evidence_does_not_matter() -> None:
    """Endpoints and fields in another order give the same verdict."""
    endpoints = [endpoint("GET /a", plus=900), endpoint("GET /b", 3_000, plus=400, timings=timings(3_000))]
    fields = (field("/body/x", 300, 0), field("/body/y", 300, 0))
    one = judge(*endpoints, fields=fields)
    assert judge(*reversed(endpoints), fields=fields[::-1]).verdict == one.verdict


def test_a_verdict_is_plain_json() -> None:
    """Ends that there are too few pairs for are null, and the keys are the published ones."""
    verdict = judge(endpoint(total=600, timings=timings(50))).verdict
    plain = msgspec.json.decode(msgspec.json.encode(verdict))
    assert list(plain) == ["verdict", "pairs", "divergence_rate", "interval", "latency", "reasons", "services"]
    assert plain["latency"]["overall"]["p99"]["interval"] == [None, None]
    assert all(
        set(reason) == {"code", "service", "target", "endpoint", "pattern", "kind", "rate", "interval", "request_ids"}
        for reason in plain["reasons"]
    )
    assert math.isfinite(plain["latency"]["overall"]["hodges_lehmann_ms"])
    jsonschema.validate(plain, json.loads(schemas()["verdict"]))
