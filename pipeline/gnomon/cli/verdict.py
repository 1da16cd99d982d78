"""`gnomon verdict`: pass, fail or undecided, for people and for pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
import msgspec

from gnomon.cli.options import (
    Flag,
    Instant,
    check_names,
    config_option,
    db_option,
    load,
    period_options,
    synthetic_option,
)
from gnomon.cli.tables import print_table
from gnomon.cli.text import one_line, percent, plural, rfc3339
from gnomon.config import find_database
from gnomon.errors import UsageError

if TYPE_CHECKING:
    from gnomon.core.judge import Check, Judgement, Part

__all__ = ["verdict"]

TOP: Final = 20
MOST_PARTS: Final = 10
SHOWN: Final = 3
EXIT_CODES: Final = {"pass": 0, "fail": 1, "undecided": 3}


class _Given(msgspec.Struct, frozen=True):
    db: Path | None
    since: datetime | None
    until: datetime | None
    service: str | None
    target: str | None
    synthetic: Literal["include", "exclude", "only"]
    flags: tuple[tuple[str, str], ...]
    as_of: datetime | None
    canary: str | None
    baseline: str | None
    as_json: bool
    config: Path | None


@click.command()
@db_option
@period_options
@synthetic_option
@click.option(
    "--flag",
    "flags",
    metavar="NAME=VALUE",
    type=Flag(),
    multiple=True,
    help="Only requests with this flag. Repeatable.",
)
@click.option("--as-of", metavar="TIME", type=Instant(), help="Only requests to be served as of this moment.")
@click.option("--canary", metavar="TARGET", help="Judge this target's live answers, without pairs, beside --baseline.")
@click.option("--baseline", metavar="TARGET", help="The target that answers the rest of live traffic.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@config_option
@click.pass_context
def verdict(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - see _Given
    """Say whether the new version may go on: pass (exit 0), fail (1) or undecided (3), by the limits of [verdict].

    Figures may be looked at as often as wanted while traffic comes in: the stated confidence is over all looks and over
    everything that is tested together.

    \b
    Examples:
      $ gnomon verdict
      $ gnomon verdict --service cart --target cart@2 --since 2027-07-12T08:00:00Z --json
      $ gnomon verdict --flag new-cart=on
      $ gnomon verdict --canary cart@2 --baseline cart@1 --since 1h
    """
    from gnomon.store import Cohort, Selection, open_store
    from gnomon.verdict import explain_absence, judge_canary, judge_store

    given = _Given(**options)
    _check_canary(given)
    settings = load(context, given.config).settings
    selection = Selection(
        since=given.since,
        until=given.until,
        service=given.service,
        target=given.target,
        synthetic=given.synthetic,
    )
    live = [name for name in (given.canary, given.baseline) if name is not None]
    place = find_database(given.db, settings)
    with open_store(place, still=True) as store:
        cohort = Cohort(flags=given.flags, as_of=given.as_of)
        check_names(store, selection, live)
        if given.canary is not None and given.baseline is not None:
            judged = judge_canary(store, selection, settings.verdict, (given.canary, given.baseline))
        else:
            judged = judge_store(store, selection, settings.verdict, cohort)
        judged = explain_absence(store, selection, judged, cohort, live)
    if given.as_json:
        click.echo(msgspec.json.encode(judged.verdict).decode())
    else:
        _print(judged, given, "wait for more" if place.is_dir() else "compare more captures into this database")
    context.exit(EXIT_CODES[judged.verdict.verdict])


def _check_canary(given: _Given) -> None:
    """Refuse what cannot be meant. Raises UsageError."""
    if given.canary is None and given.baseline is None:
        return
    if given.canary is None or given.baseline is None or given.canary == given.baseline:
        raise UsageError("--canary and --baseline are two targets of live traffic", "name both")
    if given.target is not None or given.flags or given.as_of is not None:
        raise UsageError("--target, --flag and --as-of choose pairs, which a canary has not", "leave them out")


def _print(judged: Judgement, given: _Given, remedy: str) -> None:
    """Print a verdict; `remedy` says how more pairs come about."""
    found, parts = judged.verdict, judged.parts
    counted = sum(part.enough for part in parts)
    fewer = f", {counted} of them judged" if counted < found.pairs else ""
    click.echo(f"{found.verdict}: {plural(found.pairs, 'pair')}{fewer}")
    if len(parts) != 1:
        click.echo(f"{_asked(given)}, {_chosen(given)}")
    if len(parts) > 1:
        click.echo()
        _print_parts(parts)
    why = [reason.message for reason in found.reasons if reason.code in {"min_pairs", "unknown_name"}]
    said = [message for message in why if message is not msgspec.UNSET]
    if not parts and not said:
        click.echo(f"\nThere are fewer pairs than verdict.min_pairs; {remedy}")
    for part in parts[:MOST_PARTS]:
        _print_part(part, given, "" if said else remedy, alone=len(parts) == 1)
    for message in said:
        click.echo(f"\n{one_line(message[:1].upper() + message[1:])}")
    if len(parts) > MOST_PARTS:
        click.echo(f"\n{len(parts) - MOST_PARTS} more; choose with --service and --target")


def _asked(given: _Given) -> str:
    """Say what was asked about."""
    service = f"service {one_line(given.service)}" if given.service is not None else "all services"
    target = given.canary if given.canary is not None else given.target
    return f"{service}, {f'target {one_line(target)}' if target is not None else 'all targets'}"


def _chosen(given: _Given) -> str:
    """Say which of the requests of a service and target were asked about."""
    flags = [f"flag {one_line(name)}={one_line(value)}" for name, value in given.flags]
    named = [
        f"beside the baseline {one_line(given.baseline)}" if given.baseline is not None else "",
        *flags,
        f"as of {rfc3339(given.as_of)}" if given.as_of else "",
        {"include": "synthetic requests too", "only": "synthetic requests only"}.get(given.synthetic, ""),
        f"since {rfc3339(given.since)}" if given.since else "",
        f"until {rfc3339(given.until)}" if given.until else "",
    ]
    asked = ", ".join(filter(None, named))
    whole = given.since is given.until is given.as_of is None and not flags
    return ", ".join(filter(None, (asked, "all that has landed" if whole else "")))


def _name(part: Part) -> str:
    target = f", target {one_line(part.seen.target)}" if part.seen.target else ""
    return f"service {one_line(part.seen.service)}{target}"


def _print_parts(parts: Sequence[Part]) -> None:
    print_table(
        ["verdict", "service", "target", "pairs", "seen", "interval"],
        [
            (
                part.verdict,
                part.seen.service,
                part.seen.target,
                part.seen.pairs,
                percent(part.seen.rate.rate if part.seen.rate else None),
                _interval(part.seen.rate.interval if part.seen.rate else (None, None)),
            )
            for part in parts[:TOP]
        ],
        title="Services and targets"
        if len(parts) <= TOP
        else f"Services and targets (the worst {TOP} of {len(parts)})",
    )


def _print_part(part: Part, given: _Given, remedy: str, *, alone: bool) -> None:
    """Print what is judged of one service and target; `remedy` is empty where more pairs are not what it wants for."""
    checks = part.seen.checks
    if alone:
        click.echo(f"{_name(part)}, {_chosen(given)}\n")
    else:
        click.echo(f"\n{part.verdict}: {_name(part)}, {plural(part.seen.pairs, 'pair')}\n")
    whole = [check for check in checks if check.endpoint is None]
    print_table(["limit", "seen", "interval", "at most", "state"], [_whole(check, part) for check in whole])
    apart = _apart(part)
    if apart:
        click.echo()
        print_table(
            ["endpoint", "limit", "seen", "interval", "at most", "state"],
            [(check.endpoint, _short(check.code), *_whole(check, part)[1:]) for check in apart[:TOP]],
            title=_title_of(apart),
        )
    _print_examples([*whole, *apart])
    _print_fields(part)
    if part.is_short and remedy:
        click.echo(f"\nThere are fewer pairs than verdict.min_pairs ({part.enough} of {part.needed}); {remedy}")
    for reason in part.reasons:
        if reason.code == "control_coverage":
            what = f"the control answered {percent(reason.rate)} of the requests to {one_line(reason.endpoint or '')}"
            click.echo(f"\n{what}, fewer than verdict.min_control: the rest is judged by nobody")
    covered = part.seen.coverage
    have = "has enough pairs to be judged on its own"
    if covered.covered != 1:
        have = "have enough pairs to be judged on their own"
    click.echo(
        f"\nCoverage: {covered.covered} of {plural(covered.endpoints, 'endpoint')} {have}"
        f" ({percent(covered.share_of_pairs)} of what was judged)"
    )
    if part.uncovered:
        few = ", ".join(map(one_line, part.uncovered[:SHOWN]))
        click.echo(f"Too few pairs: {few}{', ...' if len(part.uncovered) > SHOWN else ''}")


def _title_of(apart: Sequence[Check]) -> str:
    """Name the table of what endpoints do not keep for certain: an endpoint has a line for each limit."""
    endpoints = len({check.endpoint for check in apart})
    title = f"Limits not kept for certain, of {plural(endpoints, 'endpoint')}"
    return title if len(apart) <= TOP else f"{title} (the worst {TOP} of {len(apart)})"


def _print_examples(checks: Sequence[Check]) -> None:
    """Name a request of the first limits that are exceeded."""
    for check in [check for check in checks if check.state == "exceeded" and check.request_ids][:SHOWN]:
        where = f" at {one_line(check.endpoint)}" if check.endpoint is not None else ""
        click.echo(f"for example {one_line(check.request_ids[0])}{where}: {check.code}")


def _print_fields(part: Part) -> None:
    fields = [check for check in part.seen.checks if check.pattern is not None]
    if not fields:
        return
    click.echo()
    print_table(
        ["endpoint", "field", "kind", "net rate", "interval", "state"],
        [_field(check, part) for check in fields[:TOP]],
        title="Fields that diverge"
        if len(fields) <= TOP
        else f"Fields that diverge (the first {TOP} of {len(fields)})",
    )
    for check in fields[:SHOWN]:
        if check.request_ids:
            where = one_line(f"{check.endpoint} {check.pattern}")
            click.echo(f"for example {one_line(check.request_ids[0])} at {where}")


def _apart(part: Part) -> list[Check]:
    """Give the checks of endpoints that do not keep their limit, the worst first.

    What exceeds its limit comes first, then what holds up a verdict, then by how far the lower end is, then by what was
    seen: what is seen of few pairs seldom has a lower end yet.
    """
    apart = [c for c in part.seen.checks if c.endpoint is not None and c.pattern is None and c.state != "kept"]

    def order(check: Check) -> tuple[object, ...]:
        waits = check.covered and not part.is_short
        return check.state != "exceeded", not waits, -max(check.excess, 0.0), -_times(check), check.endpoint

    return sorted(apart, key=order)


def _times(check: Check) -> float:
    """How many times its limit a figure is."""
    return (check.rate or 0.0) / max(check.limit, 1e-6)


def _whole(check: Check, part: Part) -> tuple[object, ...]:
    return (
        check.code,
        percent(check.rate),
        _interval(check.interval),
        percent(check.limit),
        _state(check, part),
    )


def _short(code: str) -> str:
    """Name the limit of an endpoint in few letters."""
    return code.removeprefix("max_").removeprefix("endpoint_")


def _state(check: Check, part: Part) -> str:
    """Say what is known about a limit. Nothing exceeds one before there are enough pairs for a verdict."""
    if check.state == "exceeded" and part.is_short:
        return f"at least {percent(check.interval[0])}, {part.enough} of {part.needed} pairs"
    return check.state if check.covered or check.state != "open" else "open: too few pairs"


def _field(check: Check, part: Part) -> tuple[object, ...]:
    limit = f" {percent(check.limit)}" if check.state == "exceeded" and not part.is_short else ""
    return (
        check.endpoint,
        check.pattern,
        f"{check.kind} ({check.note})" if check.note else check.kind,
        percent(check.rate),
        _interval(check.interval),
        f"{_state(check, part)}{limit}",
    )


def _interval(ends: tuple[float | None, float | None]) -> str:
    if ends == (None, None):
        return "-"
    low, high = map(percent, ends)
    return f"{low.removesuffix(' %') if high.endswith('%') else low} to {high}"
