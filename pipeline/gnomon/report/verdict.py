"""The verdict of a report in words: what was decided, by which limits, and of which endpoints it speaks."""

from __future__ import annotations

import msgspec

from gnomon.report.text import count, legible, percent, plural
from gnomon.summary import ReportVerdict, VerdictLine

__all__ = ["LimitView", "VerdictView", "view_verdict"]

_WHAT = {
    "max_divergence": "divergence",
    "max_endpoint_divergence": "divergence of the endpoint",
    "max_error_increase": "errors more than live",
    "max_latency_shift.p50": "slower at the median",
    "max_latency_shift.p99": "slower at the 99th percentile",
}


class LimitView(msgspec.Struct, frozen=True):
    """A row of the table of limits. `state` is a word for style, `said` what is shown."""

    what: str
    where: str
    of: str
    seen: str
    between: str
    limit: str
    state: str
    said: str


class VerdictView(msgspec.Struct, frozen=True):
    """The verdict as it is drawn."""

    verdict: str
    why: str
    lines: list[LimitView]
    left_out: int
    coverage: str
    uncovered: list[str]


def view_verdict(verdict: ReportVerdict) -> VerdictView:
    """Put a verdict into words."""
    short = verdict.fewest < verdict.needed
    several = len({(line.service, line.target) for line in verdict.lines}) > 1
    if verdict.verdict == "fail":
        why = f"{plural(verdict.exceeded, 'figure')} above the limit for certain"
    elif verdict.verdict == "pass":
        why = "every limit is kept for certain"
    elif short:
        why = f"{count(verdict.fewest)} of the {plural(verdict.needed, 'pair')} that a verdict takes"
    else:
        why = "some limits are within what the figures may be"
    share = "" if verdict.share_of_pairs is None else f", {percent(verdict.share_of_pairs)} of what was judged"
    return VerdictView(
        verdict=verdict.verdict,
        why=why,
        lines=[_line(line, short=short and verdict.verdict != "fail", several=several) for line in verdict.lines],
        left_out=verdict.lines_left_out,
        coverage=f"{count(verdict.covered)} of {plural(verdict.endpoints, 'endpoint')} "
        f"{'was' if verdict.covered == 1 else 'were'} seen with enough pairs to be judged on "
        f"{'its' if verdict.covered == 1 else 'their'} own{share}.",
        uncovered=[legible(name, 80) for name in verdict.uncovered],
    )


def _line(line: VerdictLine, *, short: bool, several: bool) -> LimitView:
    low, high = ("–" if end is None else percent(end) for end in line.interval)
    said = f"at least {low}, too few pairs" if short and line.state == "exceeded" else line.state
    return LimitView(
        what=_WHAT.get(line.code, line.code),
        where=legible(line.endpoint or "", 80),
        of=" · ".join(legible(name, 60) for name in (line.service, line.target) if name and several),
        seen="–" if line.rate is None else percent(line.rate),
        between="–" if line.interval == (None, None) else f"{low} to {high}",
        limit=percent(line.limit),
        state="open" if short else line.state,
        said=said,
    )
