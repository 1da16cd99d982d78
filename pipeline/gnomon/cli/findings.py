"""What one run found, as tables."""

from __future__ import annotations

from typing import Final

import click
import msgspec

from gnomon.cli.tables import print_table
from gnomon.cli.text import one_line, percent, plural
from gnomon.model import DIVERGENT, OUTCOMES
from gnomon.summary import EndpointStat, FieldStat, RunSummary, is_shadowless

__all__ = ["print_findings"]

TOP: Final = 20
"""Lines of a table of findings; `gnomon query` has the rest."""


def print_findings(summary: RunSummary, hint: str, *, named: bool) -> None:
    """Print outcomes, the divergence rate, endpoints with divergences and the fields that differ most.

    Args:
        summary: What was found.
        hint: What `gnomon query` needs to read the database that it is in, ` --db FILE` or nothing.
        named: Whether the captures of a shadow were named as such.
    """
    _print_outcomes(summary)
    if summary.incomparable:
        print_table(
            ["why bodies could not be compared", "pairs"], [(r.reason, r.count) for r in summary.incomparable[:TOP]]
        )
        click.echo()
    _print_rate(summary, hint, named=named)
    diverging = [] if is_shadowless(summary) else [stat for stat in summary.endpoints if divergences(stat)]
    if diverging:
        _print_endpoints(diverging)
    if summary.fields:
        _print_fields(summary.fields)
    click.echo(_landing(summary, hint))


def divergences(stat: EndpointStat) -> int:
    """Count the divergences of an endpoint, the control's not taken off."""
    return sum(getattr(stat.outcomes, outcome) for outcome in DIVERGENT)


def _print_outcomes(summary: RunSummary) -> None:
    shadow, control = msgspec.structs.asdict(summary.outcomes), msgspec.structs.asdict(summary.control_outcomes)
    with_control = summary.control_comparisons > 0
    rows = [
        (outcome, shadow[outcome], *((control[outcome],) if with_control else ()))
        for outcome in OUTCOMES
        if shadow[outcome] or control[outcome]
    ]
    print_table(["outcome", "shadow", *(["control"] if with_control else [])], rows)
    click.echo()


def _print_rate(summary: RunSummary, hint: str, *, named: bool) -> None:
    if summary.divergence_rate is None or is_shadowless(summary):
        click.echo(f"Divergence rate: none, {_why_none(summary, hint, named=named)}")
        return
    interval = ""
    if summary.interval is not None:
        low, high = summary.interval
        interval = f" (95 %: {percent(low)} to {percent(high)})"
    net = ", net of the control" if summary.control_comparisons else ""
    click.echo(
        f"Divergence rate: {percent(summary.divergence_rate)}{interval}{net}; "
        f"{plural(summary.divergences, 'divergence')} in {plural(summary.comparisons, 'comparison')}"
        f"{'' if summary.pairs else '; no request id is on both sides'}"
    )


def _why_none(summary: RunSummary, hint: str, *, named: bool) -> str:
    """Say in a sentence why there is nothing to give a rate of."""
    if not summary.records:
        return "the captures hold no records"
    if summary.unread:
        return "no record could be read"
    if not summary.comparisons and not summary.control_comparisons:
        return (
            "every record is live and expects no shadow (expect: []), as a canary's traffic does; "
            f"gnomon verdict --canary TARGET --baseline TARGET{hint} judges live answers without pairs"
        )
    if is_shadowless(summary):
        if named:
            return "no record that could be read is of a shadow; look at what --shadow names"
        return "no record is of a shadow; name the roles' files by --live and --shadow where records do not say theirs"
    return "nothing could be compared"


def _print_endpoints(stats: list[EndpointStat]) -> None:
    ranked = sorted(stats, key=lambda stat: (-(stat.divergence_rate or 0), -divergences(stat), stat.endpoint))
    rows = [
        (
            stat.service,
            stat.endpoint,
            stat.target,
            stat.pairs,
            divergences(stat),
            percent(stat.divergence_rate),
            "-"
            if stat.rate_lo is None or stat.rate_hi is None
            else f"{percent(stat.rate_lo)} to {percent(stat.rate_hi)}",
        )
        for stat in ranked[:TOP]
    ]
    click.echo()
    print_table(
        ["service", "endpoint", "target", "pairs", "divergences", "rate", "95 %"],
        rows,
        title=_title("Endpoints that diverge", stats),
    )


def _print_fields(stats: list[FieldStat]) -> None:
    rows = [
        (
            stat.endpoint,
            stat.pattern,
            stat.kind,
            stat.severity,
            stat.requests,
            percent(stat.rate),
            percent(stat.control_rate),
            _change(stat),
            stat.request_ids[0] if stat.request_ids else None,
        )
        for stat in stats[:TOP]
    ]
    click.echo()
    print_table(
        ["endpoint", "field", "kind", "severity", "requests", "rate", "control", "live -> shadow", "for example"],
        rows,
        title=_title("Fields that differ", stats),
    )


def _change(stat: FieldStat) -> str:
    return f"{_short(stat.live_value)} -> {_short(stat.shadow_value)}"


def _short(text: str | None, length: int = 20) -> str:
    if text is None:
        return "(none)"
    return text if len(text) <= length else f"{text[:length]}..."


def _title(text: str, found: list[EndpointStat] | list[FieldStat]) -> str:
    return text if len(found) <= TOP else f"{text} (the first {TOP} of {len(found)})"


def _landing(summary: RunSummary, hint: str) -> str:
    parts = [plural(summary.records, "record")]
    if summary.duplicates:
        parts.append(plural(summary.duplicates, "duplicate"))
    if summary.rejects:
        parts.append(f'{plural(summary.rejects, "reject")} (gnomon query "FROM rejects"{hint} says why)')
    landed = f"{summary.new} new, {summary.unchanged} unchanged, {summary.replaced} replaced"
    return f"\n{', '.join(parts)} in {summary.seconds:.1f} s; {one_line(summary.db)}: {landed}"
