"""The report as a page: what is shown, in which order, and what is left out.

A page has bounds: of thousands of endpoints and fields it shows the worst, and says how many it does not show.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gnomon.report.figures import Interval, Segment, interval, outcome_segments, scale_top, ticks
from gnomon.report.headline import Glance, Headline, diverged, glance, headline, is_shift
from gnomon.report.pair import PairView, anchor, view_pair
from gnomon.report.text import Parts, contrast_or_one, count, delta_ms, legible, milliseconds, moment, percent
from gnomon.report.verdict import VerdictView, view_verdict
from gnomon.summary import EndpointStat, FieldStat, LatencyStat, RejectCount, Report

__all__ = ["EndpointView", "FieldView", "Page", "compose"]

MAX_ENDPOINTS = 200
MAX_FIELDS = 100
MAX_NOISE_FIELDS = 50
MAX_SAMPLES = 50
MAX_REJECTS = 50
MAX_IDS = 5
"""Request ids listed for a field; all of them are in the database."""

_SEVERITY = {"high": 3, "medium": 2, "low": 1}


class Link(msgspec.Struct, frozen=True):
    """A text, and the anchor in this page that it leads to (empty: none)."""

    text: str
    anchor: str


class LatencyView(msgspec.Struct, frozen=True):
    """One quantile of an endpoint's latency, in milliseconds, and whether the shadow is slower to speak of."""

    name: str
    live: str
    shadow: str
    delta: str
    slower: bool


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of endpoints."""

    anchor: str
    endpoint: str
    service: str
    target: str
    pairs: str
    divergences: str
    rate: str
    between: str
    bar: Interval | None
    latency: list[LatencyView]


class FieldView(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of fields."""

    anchor: str
    pattern: str
    endpoint: Link
    target: str
    kind: str
    severity: str
    rate: str
    between: str
    of: str
    control: str
    bar: Interval | None
    live: Parts | None
    shadow: Parts | None
    ids: list[Link]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """All that the template draws; every text is legible, none is escaped."""

    title: str
    source: str
    created_at: str
    period: str
    rules: list[str]
    headline: Headline
    verdict: VerdictView | None
    glance: list[Glance]
    outcomes: list[Segment]
    control_outcomes: list[Segment]
    has_control: bool
    several_targets: bool
    endpoints: list[EndpointView]
    endpoints_left_out: int
    endpoint_scale: str
    endpoint_ticks: list[float]
    fields: list[FieldView]
    fields_left_out: int
    noise_fields: list[FieldView]
    noise_left_out: int
    field_scale: str
    field_ticks: list[float]
    samples: list[PairView]
    opened: str
    samples_left_out: int
    rejects: list[tuple[str, str, str]]
    rejects_left_out: int
    reject_total: int


def compose(report: Report) -> Page:
    """Choose and order what the page shows."""
    endpoints = sorted(report.endpoints, key=_endpoint_rank)
    fields = sorted(report.fields, key=_field_rank)
    differing = [field for field in fields if field.requests]
    noisy = sorted((field for field in fields if not field.requests), key=lambda field: -field.noise_requests)
    samples = [view_pair(sample) for sample in report.samples[:MAX_SAMPLES]]
    places = _Places(report, samples, endpoints[:MAX_ENDPOINTS])
    top = scale_top(stat.rate_hi for stat in endpoints[:MAX_ENDPOINTS])
    field_top = scale_top(max(field.rate_hi, field.control_rate or 0) for field in fields[:MAX_FIELDS])
    latency = {_key(stat): stat for stat in report.latency}
    return Page(
        title=legible(report.title),
        source=legible(report.source),
        created_at=moment(report.created_at),
        period=_period(report),
        rules=[legible(version, 80) for version in report.rules[:5]],
        headline=headline(report),
        verdict=view_verdict(report.verdict) if report.verdict else None,
        glance=glance(endpoints, differing, report, places.endpoint_anchor),
        outcomes=outcome_segments(report.outcomes),
        control_outcomes=outcome_segments(report.control_outcomes) if report.control_outcomes else [],
        has_control=report.control_outcomes is not None,
        several_targets=len({stat.target for stat in report.endpoints}) > 1,
        endpoints=[_endpoint(stat, latency.get(_key(stat)), top) for stat in endpoints[:MAX_ENDPOINTS]],
        endpoints_left_out=max(len(endpoints) - MAX_ENDPOINTS, 0),
        endpoint_scale=percent(top),
        endpoint_ticks=ticks(top),
        fields=[_field(field, field_top, places) for field in differing[:MAX_FIELDS]],
        fields_left_out=max(len(differing) - MAX_FIELDS, 0),
        noise_fields=[_field(field, field_top, places) for field in noisy[:MAX_NOISE_FIELDS]],
        noise_left_out=max(len(noisy) - MAX_NOISE_FIELDS, 0),
        field_scale=percent(field_top),
        field_ticks=ticks(field_top),
        samples=samples,
        # The one that shows most; a reader who prints the page sees it without a click.
        opened=next((view.anchor for view in samples if view.differences and view.parts), ""),
        samples_left_out=max(len(report.samples) - MAX_SAMPLES, 0),
        rejects=[_reject(reject) for reject in sorted(report.rejects, key=lambda one: -one.count)[:MAX_REJECTS]],
        rejects_left_out=max(len(report.rejects) - MAX_REJECTS, 0),
        reject_total=sum(reject.count for reject in report.rejects),
    )


class _Places:
    """Which anchors exist in this page, so that no link leads nowhere."""

    def __init__(self, report: Report, samples: Sequence[PairView], endpoints: Sequence[EndpointStat]) -> None:
        self.pairs: dict[tuple[str, str], str] = {}
        for sample, view in zip(report.samples, samples, strict=False):
            row = sample.comparison
            self.pairs.setdefault((str(row.get("request_id")), str(row.get("target"))), view.anchor)
        self.endpoints = {_key(stat) for stat in endpoints}

    def pair_anchor(self, request_id: str, target: str) -> str:
        return self.pairs.get((request_id, target), "")

    def endpoint_anchor(self, stat: EndpointStat | FieldStat | LatencyStat) -> str:
        key = _key(stat)
        return anchor("endpoint", *key) if key in self.endpoints else ""


def _key(stat: EndpointStat | FieldStat | LatencyStat) -> tuple[str, str, str]:
    return stat.service, stat.endpoint, stat.target


def _endpoint_rank(stat: EndpointStat) -> tuple[object, ...]:
    """Worst first: by what the divergence rate is at least, then by the rate, then by weight."""
    return -(stat.rate_lo or 0), -(stat.divergence_rate or 0), -diverged(stat.outcomes), -stat.pairs, _key(stat)


def _field_rank(field: FieldStat) -> tuple[object, ...]:
    """Worst first: by severity, then by what the rate is at least, then by weight."""
    return -_SEVERITY[field.severity], -field.rate_lo, -field.requests, _key(field), field.pattern, field.kind


def _period(report: Report) -> str:
    since, until = report.since, report.until
    if since and until:
        return f"{moment(since)} to {moment(until)}"
    if since:
        return f"since {moment(since)}"
    return f"until {moment(until)}" if until else ""


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def _endpoint(stat: EndpointStat, latency: LatencyStat | None, top: float) -> EndpointView:
    return EndpointView(
        anchor=anchor("endpoint", *_key(stat)),
        endpoint=legible(stat.endpoint),
        service=legible(stat.service, 80),
        target=legible(stat.target, 80),
        pairs=count(stat.pairs),
        divergences=count(diverged(stat.outcomes)),
        rate=percent(stat.divergence_rate),
        between=_between(stat.rate_lo, stat.rate_hi),
        bar=interval(stat.divergence_rate, stat.rate_lo, stat.rate_hi, top),
        latency=_latency(latency) if latency else [],
    )


def _latency(stat: LatencyStat) -> list[LatencyView]:
    return [
        LatencyView(
            name,
            milliseconds(getattr(stat.live, name)),
            milliseconds(getattr(stat.shadow, name)),
            delta_ms(getattr(stat.delta, name)),
            # The upper quantiles of a delta are above zero for equal builds too: the figures themselves decide.
            slower=is_shift(getattr(stat.shadow, name) - getattr(stat.live, name), getattr(stat.live, name)),
        )
        for name in ("p50", "p90", "p99")
    ]


def _field(field: FieldStat, top: float, places: _Places) -> FieldView:
    live, shadow = contrast_or_one(field.live_value, field.shadow_value, 120)
    return FieldView(
        anchor=anchor("field", *_key(field), field.pattern, field.kind),
        pattern=legible(field.pattern),
        endpoint=Link(legible(field.endpoint), places.endpoint_anchor(field)),
        target=legible(field.target, 80),
        kind=field.kind,
        severity=field.severity,
        rate=percent(field.rate),
        between=_between(field.rate_lo, field.rate_hi),
        of=f"{count(field.requests or field.noise_requests)} of {count(field.pairs)}",
        control=percent(field.control_rate) if field.control_rate is not None else "",
        bar=interval(field.rate, field.rate_lo, field.rate_hi, top, field.control_rate),
        live=live,
        shadow=shadow,
        ids=[Link(legible(one, 48), places.pair_anchor(one, field.target)) for one in field.request_ids[:MAX_IDS]],
    )


def _reject(reject: RejectCount) -> tuple[str, str, str]:
    return legible(reject.reason), count(reject.count), legible(reject.first_place)
