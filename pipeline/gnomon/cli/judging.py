"""What `gnomon rejudge` and `gnomon rules test` share: options, the call, and the table of what changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import click
import msgspec

from gnomon.cli.options import config_option, db_option, load, period_options, read_rules, rules_option
from gnomon.cli.tables import print_table
from gnomon.cli.text import one_line, plural
from gnomon.config import find_database
from gnomon.model import OUTCOMES

if TYPE_CHECKING:
    from gnomon.rejudge import RejudgeSummary

__all__ = ["judge", "judging_options"]

TOP: Final = 20

P = ParamSpec("P")
R = TypeVar("R")


class _Given(msgspec.Struct, frozen=True):
    db: Path | None
    rules: Path | None
    since: datetime | None
    until: datetime | None
    service: str | None
    target: str | None
    as_json: bool
    config: Path | None


def judging_options(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command take what judging again needs."""
    command = config_option(command)
    command = click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")(command)
    return db_option(rules_option(period_options(command)))


def judge(context: click.Context, options: dict[str, Any], *, dry_run: bool) -> None:
    """Judge again, or only say what would change, and print it.

    Args:
        context: Of the command.
        options: What `judging_options` were given.
        dry_run: Whether the database stays as it is.
    """
    from gnomon.rejudge import rejudge
    from gnomon.store import Selection

    given = _Given(**options)
    loaded = load(context, given.config)
    selection = Selection(
        since=given.since, until=given.until, service=given.service, target=given.target, synthetic="include"
    )
    summary = rejudge(
        find_database(given.db, loaded.settings),
        read_rules(given.rules, loaded),
        loaded.settings,
        selection=selection,
        dry_run=dry_run,
    )
    if given.as_json:
        click.echo(msgspec.json.encode(summary).decode())
    else:
        _print(summary)


def _print(summary: RejudgeSummary) -> None:
    before, after = msgspec.structs.asdict(summary.before), msgspec.structs.asdict(summary.after)
    rows = [(name, before[name], after[name]) for name in OUTCOMES if before[name] or after[name]]
    print_table(["outcome", "before", "would be" if summary.dry_run else "after"], rows)
    if summary.fields:
        click.echo()
        print_table(
            ["endpoint", "field", "kind", "requests before", "would be" if summary.dry_run else "after"],
            [(f.endpoint, f.pattern, f.kind, f.before, f.after) for f in summary.fields[:TOP]],
            title="Fields that change"
            + (f" (the first {TOP} of {len(summary.fields)})" if len(summary.fields) > TOP else ""),
        )
    would = "would change" if summary.dry_run else "changed"
    click.echo(
        f"\nRules {summary.rules}: {summary.judged} of {plural(summary.comparisons, 'comparison')} judged again, "
        f"{plural(summary.changed, 'outcome')} {would}"
    )
    for unmet in summary.unmet[:TOP]:
        click.echo(f"Rule {unmet.number} ({one_line(unmet.rule)}) matched {one_line(unmet.why)}")
    if len(summary.unmet) > TOP:
        click.echo(f"{plural(len(summary.unmet) - TOP, 'more rule')} matched nothing")
    if summary.hidden:
        click.echo(
            f"{_stay(summary.hidden)}: the rules of that time may have hidden what these would show; "
            "compare the captures again to know"
        )
    if summary.evidence_gone:
        click.echo(
            f"{_stay(summary.evidence_gone)}: the exchanges were not kept; compare the captures again, "
            "or keep more by limits.evidence"
        )
    if summary.overtaken:
        click.echo(
            f"{_stay(summary.overtaken)}: newer results landed, or the old ones expired, while they were "
            "judged; run it again"
        )


def _stay(number: int) -> str:
    return "1 stays as it is" if number == 1 else f"{number} stay as they are"
