"""What a page shows, in which order, and what it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from gnomon.report.page import (
    MAX_ENDPOINTS,
    MAX_FIELDS,
    MAX_IDS,
    MAX_NOISE_FIELDS,
    MAX_REJECTS,
    MAX_SAMPLES,
    compose,
)
from gnomon.summary import EndpointStat, FieldStat, LatencyStat, OutcomeCounts, RejectCount, Report

MakeReport = Callable[..., Report]
SINCE, UNTIL = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC)


def test_endpoints_are_worst_first(make_report: MakeReport, make_endpoint: Callable[..., EndpointStat]) -> None:
    """By what the rate is at least: three requests of three come after a hundred of two hundred."""
    endpoints = [
        make_endpoint("GET /calm", 1000, 0),
        make_endpoint("GET /few", 3, 3, rate_lo=0.44, rate_hi=1.0),
        make_endpoint("GET /many", 200, 100, rate_lo=0.45, rate_hi=0.55),
        make_endpoint("GET /unknown", 0, divergence_rate=None),
    ]
    page = compose(make_report(endpoints=endpoints))
    assert [row.endpoint for row in page.endpoints] == ["GET /many", "GET /few", "GET /calm", "GET /unknown"]
    assert [row.rate for row in page.endpoints] == ["50.0%", "100%", "0%", "–"]
    assert page.endpoints[3].bar is None


def test_fields_are_ordered_by_severity_and_noise_is_apart(
    make_report: MakeReport, make_field: Callable[..., FieldStat]
) -> None:
    """A rare high comes before a frequent low; what only differs as noise is no finding."""
    fields = [
        make_field("/headers/etag", 90, severity="low"),
        make_field("/body/at", 0, noise_requests=100, control_rate=0.99),
        make_field("/status", 1, severity="high"),
        make_field("/body/total", 5),
    ]
    page = compose(make_report(fields=fields))
    assert [row.pattern for row in page.fields] == ["/status", "/body/total", "/headers/etag"]
    assert [(row.pattern, row.of, row.control) for row in page.noise_fields] == [("/body/at", "100 of 100", "99.0%")]


def test_latency_stands_in_the_row_of_its_endpoint(
    make_report: MakeReport,
    make_endpoint: Callable[..., EndpointStat],
    make_latency: Callable[..., LatencyStat],
) -> None:
    """Live, shadow and delta by quantile; only a shift worth a look is called slower."""
    endpoints = [make_endpoint("GET /a"), make_endpoint("GET /b")]
    page = compose(make_report(endpoints=endpoints, latency=[make_latency("GET /b", 10.0, 2.5)]))
    first, second = page.endpoints
    assert first.latency == []
    assert [(q.name, q.live, q.shadow, q.delta, q.slower) for q in second.latency] == [
        ("p50", "10.0", "12.5", "+2.50", True),
        ("p90", "20.0", "22.5", "+3.50", True),
        ("p99", "40.0", "42.5", "+7.50", False),
    ]


def test_request_ids_lead_to_their_pair(make_report: MakeReport, make_field: Callable[..., FieldStat]) -> None:
    """An id whose pair is in the page links to it; no link leads nowhere; the list is bounded."""
    ids = ["r-1", *[f"other-{i}" for i in range(20)]]
    page = compose(make_report(fields=[make_field(request_ids=ids), make_field("/x", target="cart@2")]))
    assert [bool(link.anchor) for link in page.fields[0].ids] == [True] + [False] * (MAX_IDS - 1)
    assert page.fields[0].ids[0].anchor == page.samples[0].anchor
    assert page.fields[1].ids[0].anchor == ""
    assert page.fields[0].endpoint.anchor == page.endpoints[0].anchor
    assert page.fields[1].endpoint.anchor == ""


def test_the_first_pair_that_shows_something_is_open(make_report: MakeReport) -> None:
    """A reader who prints the page sees one pair without a click."""
    report = make_report()
    missing = report.samples[0].comparison | {"request_id": "r-0"}
    page = compose(
        make_report(
            samples=[
                type(report.samples[0])(comparison=missing, differences=[], live=None, shadow=None),
                *report.samples,
            ]
        )
    )
    assert page.opened == page.samples[1].anchor


@pytest.mark.parametrize(
    ("since", "until", "period"),
    [
        (None, None, ""),
        (SINCE, None, "since 2027-01-01 00:00:00 UTC"),
        (None, UNTIL, "until 2027-01-02 00:00:00 UTC"),
        (SINCE, UNTIL, "2027-01-01 00:00:00 UTC to 2027-01-02 00:00:00 UTC"),
    ],
)
def test_the_period_is_said(
    since: datetime | None, until: datetime | None, period: str, make_report: MakeReport
) -> None:
    """A page of a selection says of which."""
    assert compose(make_report(since=since, until=until)).period == period


def test_everything_is_bounded_and_counted(
    make_report: MakeReport, make_endpoint: Callable[..., EndpointStat], make_field: Callable[..., FieldStat]
) -> None:
    """Of thousands of rows the page has the worst, and the number of those it has not."""
    page = compose(
        make_report(
            endpoints=[make_endpoint(f"GET /{i}", diff=i % 2) for i in range(5000)],
            fields=[make_field(f"/body/{i}", i % 2, noise_requests=1) for i in range(10_000)],
            rejects=[RejectCount(reason=f"reason {i}", count=1, first_place="a:1") for i in range(1000)],
            samples=make_report().samples * 100,
        )
    )
    assert (len(page.endpoints), page.endpoints_left_out) == (MAX_ENDPOINTS, 5000 - MAX_ENDPOINTS)
    assert (len(page.fields), page.fields_left_out) == (MAX_FIELDS, 5000 - MAX_FIELDS)
    assert (len(page.noise_fields), page.noise_left_out) == (MAX_NOISE_FIELDS, 5000 - MAX_NOISE_FIELDS)
    assert (len(page.rejects), page.rejects_left_out) == (MAX_REJECTS, 1000 - MAX_REJECTS)
    assert (len(page.samples), page.samples_left_out) == (MAX_SAMPLES, 100 - MAX_SAMPLES)
    assert page.reject_total == 1000


def test_targets_are_named_where_there_are_several(
    make_report: MakeReport, make_endpoint: Callable[..., EndpointStat]
) -> None:
    """With two shadows, a field must say which of them it is about."""
    assert not compose(make_report()).several_targets
    both = [make_endpoint(target="cart@2"), make_endpoint(target="cart@3")]
    assert compose(make_report(endpoints=both)).several_targets


def test_a_control_is_drawn_where_there_is_one(make_report: MakeReport) -> None:
    """Without a control there is no column for it."""
    assert not compose(make_report()).has_control
    page = compose(make_report(control_outcomes=OutcomeCounts(match=5)))
    assert page.has_control
    assert [segment.outcome for segment in page.control_outcomes] == ["match"]
