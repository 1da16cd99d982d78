"""`gnomon verdict`: pass, fail or undecided, for people and for pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
import msgspec

from gnomon.cli.options import Flag, Instant, config_option, db_option, load, period_options, synthetic_option
from gnomon.cli.tables import print_table
from gnomon.cli.text import one_line, percent
from gnomon.config import find_database
from gnomon.errors import UsageError

if TYPE_CHECKING:
    from gnomon.core.judge import Check, Judgement

__all__ = ["verdict"]

TOP: Final = 20
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
    from gnomon.verdict import judge_canary, judge_store

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
    with open_store(find_database(given.db, settings)) as store:
        cohort = Cohort(flags=given.flags, as_of=given.as_of)
        if given.canary is not None and given.baseline is not None:
            judged = judge_canary(store, selection, settings.verdict, given.canary, given.baseline)
        else:
            judged = judge_store(store, selection, settings.verdict, cohort)
    if given.as_json:
        click.echo(msgspec.json.encode(judged.verdict).decode())
    else:
        _print(judged)
    context.exit(EXIT_CODES[judged.verdict.verdict])


def _check_canary(given: _Given) -> None:
    """Refuse what cannot be meant. Raises UsageError."""
    if given.canary is None and given.baseline is None:
        return
    if given.canary is None or given.baseline is None or given.canary == given.baseline:
        raise UsageError("--canary and --baseline are two targets of live traffic", "name both")
    if given.target is not None or given.flags or given.as_of is not None:
        raise UsageError("--target, --flag and --as-of choose pairs, which a canary has not", "leave them out")


def _print(judged: Judgement) -> None:
    found = judged.verdict
    click.echo(f"{found.verdict}: {found.pairs} pairs\n")
    print_table(
        ["limit", "endpoint", "seen", "interval", "at most", "state"],
        [_line(check) for check in _shown(judged.checks)],
    )
    fields = [check for check in judged.checks if check.pattern is not None]
    if fields:
        click.echo()
        title = (
            "Fields that diverge" if len(fields) <= TOP else f"Fields that diverge (the first {TOP} of {len(fields)})"
        )
        print_table(
            ["endpoint", "field", "kind", "net rate", "interval", "limit", "state", "for example"],
            [_field(check) for check in fields[:TOP]],
            title=title,
        )
    if any(reason.code == "min_pairs" for reason in found.reasons):
        click.echo("\nThere are fewer pairs than verdict.min_pairs; wait for more")
    for reason in found.reasons:
        if reason.code == "control_coverage":
            what = f"the control answered {percent(reason.rate)} of the requests to {one_line(reason.endpoint or '')}"
            click.echo(f"\n{what}, fewer than verdict.min_control: the rest is judged by nobody")
    covered = judged.coverage
    click.echo(
        f"\nCoverage: {covered.covered} of {covered.endpoints} endpoints have enough pairs to be judged on their own"
        f" ({percent(covered.share_of_pairs)} of what was judged)"
    )


def _shown(checks: Sequence[Check]) -> list[Check]:
    """Give the checks of everything together, then those of endpoints that do not keep their limit, the worst first."""
    apart = [c for c in checks if c.endpoint is not None and c.pattern is None and c.state != "kept"]
    apart.sort(key=lambda check: (check.state != "exceeded", not check.covered, -check.excess))
    return [check for check in checks if check.endpoint is None] + apart[:TOP]


def _line(check: Check) -> tuple[object, ...]:
    state = check.state if check.covered or check.state != "open" else "open: too few pairs"
    return (
        check.code,
        check.endpoint or "(all)",
        percent(check.rate),
        _interval(check.interval),
        percent(check.limit),
        state,
    )


def _field(check: Check) -> tuple[object, ...]:
    return (
        check.endpoint,
        check.pattern,
        check.kind,
        percent(check.rate),
        _interval(check.interval),
        f"{check.code} {percent(check.limit)}" if check.state != "kept" else None,
        check.state,
        one_line(check.request_ids[0]) if check.request_ids else None,
    )


def _interval(ends: tuple[float | None, float | None]) -> str:
    return f"{percent(ends[0])} to {percent(ends[1])}"
