"""The first lines of a report, in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gnomon.report.headline import diverged, glance, headline, judged
from gnomon.summary import EndpointStat, FieldStat, LatencyStat, OutcomeCounts, RejectCount, Report

MIXED = OutcomeCounts(
    match=80, noise=5, diff=4, live_error=3, shadow_error=2, shadow_missing=1, live_missing=30, incomparable=7
)


def nowhere(_stat: EndpointStat | FieldStat | LatencyStat) -> str:
    """Nothing has an anchor."""
    return ""


def test_what_a_rate_is_a_share_of() -> None:
    """`live_missing` and `incomparable` are neither divergences nor in the denominator."""
    assert (diverged(MIXED), judged(MIXED)) == (10, 95)


def test_the_headline_says_how_much_and_how_sure(make_report: Callable[..., Report]) -> None:
    """The rate, what it is a share of, its interval, and what could not be compared."""
    rejects = [RejectCount(reason="not JSON", count=2, first_place="a:1")]
    line = headline(
        make_report(outcomes=MIXED, divergences=10, divergence_rate=0.105, interval=(0.058, 0.183), rejects=rejects)
    )
    assert (line.figure, line.sentence, line.state) == ("10.5%", "of requests diverge", "diverges")
    assert line.detail == "10 of 95 comparable requests; 95% interval 5.80% to 18.3%."
    assert line.not_compared == "Not compared: 30 live missing, 7 incomparable, 2 records refused."


def test_the_headline_of_a_clean_release(make_report: Callable[..., Report]) -> None:
    """No divergence still has an interval: how much there may be."""
    clean = make_report(outcomes=OutcomeCounts(match=1204), divergences=0, divergence_rate=0.0, interval=(0.0, 0.0032))
    line = headline(clean)
    assert (line.figure, line.state) == ("0%", "alike")
    assert line.detail == "0 of 1,204 comparable requests; 95% interval 0% to 0.32%."
    assert line.not_compared == "Every record could be read and compared."


def test_a_rate_that_is_net_of_the_control_says_so(make_report: Callable[..., Report]) -> None:
    """With a control, a reader must know that the counts and the rate need not agree."""
    assert headline(make_report(control_outcomes=OutcomeCounts(match=9, diff=1))).detail.endswith("Net of the control.")


def test_divergences_that_the_control_makes_up_for_are_explained(make_report: Callable[..., Report]) -> None:
    """A rate of 0 beside a number of divergences says where they went."""
    line = headline(make_report(divergence_rate=0.0, control_outcomes=OutcomeCounts(match=80, diff=20)))
    assert line.detail.endswith("Net of the control. In as many or more only the control differs from live.")


def test_nothing_comparable_is_said_in_words(make_report: Callable[..., Report]) -> None:
    """Without a pair there is no rate, and no green light either."""
    line = headline(make_report(outcomes=OutcomeCounts(live_missing=3), divergence_rate=None, interval=None))
    assert (line.figure, line.sentence, line.state) == ("–", "nothing could be compared", "unknown")


def test_a_shadow_that_nobody_recorded_is_no_divergence(
    make_report: Callable[..., Report], make_endpoint: Callable[..., EndpointStat]
) -> None:
    """Answers that were expected and never came, all of them: no figure, and nowhere to look."""
    missing = OutcomeCounts(shadow_missing=7)
    report = make_report(
        comparisons=7, pairs=0, outcomes=missing, divergences=7, divergence_rate=1.0, interval=(0.6, 1)
    )
    line = headline(report)
    assert (line.figure, line.sentence, line.state) == ("–", "no shadow was seen", "unknown")
    assert line.detail == "7 live requests should have an answer of a shadow, and none was recorded."
    assert glance([make_endpoint("GET /", outcomes=missing)], [], report, nowhere) == []


@pytest.mark.parametrize(
    ("diverging", "sentence"),
    [
        (1, "diverges in 10.0% of 100 requests; of 3 endpoints it is the only one that does"),
        (2, "diverges in 10.0% of 100 requests; 1 more of 3 endpoints diverge"),
    ],
)
def test_where_to_look_first(
    diverging: int, sentence: str, make_report: Callable[..., Report], make_endpoint: Callable[..., EndpointStat]
) -> None:
    """The worst endpoint is named, and how many others there are."""
    endpoints = [make_endpoint(f"GET /{i}", diff=10 if i < diverging else 0) for i in range(3)]
    lines = glance(endpoints, [], make_report(latency=[]), nowhere)
    assert [(line.label, line.subject, line.sentence) for line in lines] == [("Where", "GET /0", sentence)]


def test_what_differs_first_and_who_did_not_answer(
    make_report: Callable[..., Report], make_field: Callable[..., FieldStat]
) -> None:
    """The first field and the number of requests without an answer have a line each."""
    report = make_report(outcomes=MIXED, latency=[])
    lines = glance([], [make_field("/body/price", 12, kind="type_changed", severity="high")], report, nowhere)
    assert [(line.label, line.subject, line.sentence) for line in lines] == [
        ("What", "/body/price", "type changed, high severity, in 12.0% of requests"),
        ("Unanswered", "3 requests", "got no answer from the shadow, 3.16% of all"),
    ]


def test_a_slower_endpoint_is_named(
    make_report: Callable[..., Report], make_latency: Callable[..., LatencyStat]
) -> None:
    """The greatest shift of a median is named if it is worth it: not for few pairs, nor for a hair."""
    latency = [
        make_latency("GET /few", 10.0, 50.0, pairs=3),
        make_latency("GET /hair", 100.0, 5.0),
        make_latency("GET /slow", 10.0, 4.0),
        make_latency("GET /slower", 20.0, 6.0),
    ]
    lines = glance([], [], make_report(latency=latency), nowhere)
    assert [(line.label, line.subject) for line in lines] == [("Slower", "GET /slower")]
    assert lines[0].sentence == "median +6.00 ms on a live median of 20.0 ms, over 100 pairs"
    assert glance([], [], make_report(latency=latency[:2]), nowhere) == []
