"""The first lines of a report, in words: how much diverges, what could not be compared, where to look first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from gnomon.model import DIVERGENT
from gnomon.report.text import count, delta_ms, legible, milliseconds, percent, plural
from gnomon.summary import EndpointStat, FieldStat, LatencyStat, OutcomeCounts, Report, is_shadowless

__all__ = ["Glance", "Headline", "diverged", "glance", "headline", "is_shift", "judged"]

SHIFT_MS = 1.0
SHIFT = 0.1
"""A latency shift is worth a reader's attention from one millisecond and a tenth of the live figure."""

ENOUGH = 20
"""Pairs below which a latency shift is not worth a line."""


class Headline(msgspec.Struct, frozen=True):
    """`figure` and `sentence` are read together; `detail` says of how many and how sure; `not_compared` the rest.

    `where` names the endpoint that diverges most, empty without one.
    """

    figure: str
    sentence: str
    detail: str
    not_compared: str
    state: str
    where: str = ""


class Glance(msgspec.Struct, frozen=True):
    """One thing to know: a label, what it is about (traffic's text), and a sentence; `anchor` may be empty."""

    label: str
    subject: str
    sentence: str
    anchor: str = ""


def diverged(counts: OutcomeCounts) -> int:
    """Count the divergences among outcomes."""
    return sum(int(getattr(counts, outcome)) for outcome in DIVERGENT)


def judged(counts: OutcomeCounts) -> int:
    """Count what a divergence rate is a share of: all but `live_missing` and `incomparable`."""
    return counts.match + counts.noise + diverged(counts)


def is_shift(delta: float, live: float) -> bool:
    """Tell whether a latency that moved up by `delta` milliseconds from `live` is worth a reader's attention."""
    return delta >= SHIFT_MS and delta >= SHIFT * live


def headline(report: Report) -> Headline:
    """Say how much diverges, of how many, how sure that is, and what could not be compared."""
    number = judged(report.outcomes)
    rest = _not_compared(report)
    if report.divergence_rate is None:
        return Headline("–", "nothing could be compared", "No request has answers of both sides.", rest, "unknown")
    if is_shadowless(report):
        asked = (
            f"{plural(report.comparisons, 'live request')} should have an answer of a shadow, and none was recorded."
        )
        return Headline("–", "no shadow was seen", asked, rest, "unknown")
    net = " Net of the control." if report.control_outcomes is not None else ""
    if report.scored is not None and report.scored < number:
        net = f" Net of the control, of the {plural(report.scored, 'request')} that it answered or that have none."
    if report.control_outcomes is not None and report.divergences and not report.divergence_rate:
        net += " In as many or more only the control differs from live."
    sure = ""
    if report.interval:
        low, high = (percent(end) for end in report.interval)
        sure = f"; 95% interval {low} to {high}"
    detail = f"{count(report.divergences)} of {plural(number, 'comparable request')}{sure}.{net}"
    state = "diverges" if report.divergence_rate > 0 else "alike"
    where = _worst_endpoint(report) if report.divergence_rate > 0 else ""
    return Headline(percent(report.divergence_rate), "of requests diverge", detail, rest, state, where)


def _worst_endpoint(report: Report) -> str:
    """Name the endpoint that is surely the worst, by the lower end of its rate."""
    diverging = [stat for stat in report.endpoints if stat.divergence_rate]
    worst = min(
        diverging, key=lambda s: (-(s.rate_lo or 0), -(s.divergence_rate or 0), -s.pairs, s.endpoint), default=None
    )
    return legible(worst.endpoint, 80) if worst else ""


def _not_compared(report: Report) -> str:
    """Say how many requests are not in the rate, and why."""
    outcomes = report.outcomes
    reasons = [
        text
        for number, text in (
            (outcomes.live_missing, f"{count(outcomes.live_missing)} live missing"),
            (outcomes.incomparable, f"{count(outcomes.incomparable)} incomparable"),
        )
        if number
    ]
    refused = sum(reject.count for reject in report.rejects)
    if refused:
        reasons.append(f"{plural(refused, 'record')} refused")
    return f"Not compared: {', '.join(reasons)}." if reasons else "Every record could be read and compared."


def glance(
    endpoints: Sequence[EndpointStat],
    fields: Sequence[FieldStat],
    report: Report,
    anchor_of: Callable[[EndpointStat | FieldStat | LatencyStat], str],
) -> list[Glance]:
    """Say where to look first: endpoints and fields are ranked, worst first."""
    lines: list[Glance] = []
    if is_shadowless(report):
        return lines
    diverging = [stat for stat in endpoints if diverged(stat.outcomes)]
    if diverging:
        lines.append(_where(diverging, len(endpoints), anchor_of(diverging[0])))
    if fields:
        field = fields[0]
        sentence = f"{field.kind.replace('_', ' ')}, {field.severity} severity, in {percent(field.rate)} of requests"
        lines.append(Glance("What", legible(field.pattern, 80), sentence, "fields"))
    unanswered = report.outcomes.shadow_error + report.outcomes.shadow_missing
    if unanswered:
        sentence = f"got no answer from the shadow, {percent(unanswered / judged(report.outcomes))} of all"
        lines.append(Glance("Unanswered", plural(unanswered, "request"), sentence, "outcomes"))
    slowest = _slowest(report.latency)
    if slowest:
        sentence = (
            f"median {delta_ms(slowest.delta.p50)} ms on a live median of {milliseconds(slowest.live.p50)} ms, "
            f"over {plural(slowest.pairs, 'pair')}"
        )
        lines.append(Glance("Slower", legible(slowest.endpoint, 80), sentence, anchor_of(slowest)))
    return lines


def _where(diverging: Sequence[EndpointStat], endpoints: int, anchor: str) -> Glance:
    worst, others = diverging[0], len(diverging) - 1
    of_all = plural(endpoints, "endpoint")
    rest = f"{count(others)} more of {of_all} diverge" if others else f"of {of_all} it is the only one that does"
    share = f"{percent(worst.divergence_rate)} of {plural(judged(worst.outcomes), 'request')}"
    return Glance("Where", legible(worst.endpoint, 80), f"diverges in {share}; {rest}", anchor)


def _slowest(latency: Sequence[LatencyStat]) -> LatencyStat | None:
    """Find the endpoint whose median moved most, if any moved enough to speak of."""
    moved = [stat for stat in latency if stat.pairs >= ENOUGH and is_shift(stat.delta.p50, stat.live.p50)]
    return max(moved, key=lambda stat: stat.delta.p50, default=None)
