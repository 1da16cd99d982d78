"""`gnomon compare`: the main job, on captures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from gnomon.cli.findings import print_findings
from gnomon.cli.options import (
    FILE,
    check_writable,
    config_option,
    db_hint,
    format_option,
    load,
    read_rules,
    rules_option,
    warn_of_random_key,
)
from gnomon.cli.tables import progress_bar
from gnomon.cli.text import percent
from gnomon.config import Loaded
from gnomon.errors import InputError, NotEnoughDataError
from gnomon.model import Role
from gnomon.summary import RunSummary, is_shadowless

if TYPE_CHECKING:
    from gnomon.capture import FormatChoice

__all__ = ["compare", "gate"]

GATE_FAILED = 1
MIN_CONTROL: Final = 0.9
"""The share of the requests that a control must have answered for a gate to take off what it shows."""


class _Given(msgspec.Struct, frozen=True):
    captures: tuple[str, ...]
    live: tuple[str, ...]
    shadow: tuple[str, ...]
    control: tuple[str, ...]
    fmt: FormatChoice
    db: Path | None
    rules: Path | None
    report: Path | None
    as_json: bool
    fail_over: float | None
    config: Path | None

    def sources(self) -> list[tuple[str, Role | None]]:
        """Give every capture with the role that its option gives it."""
        roles: list[tuple[Role | None, tuple[str, ...]]] = [
            (None, self.captures),
            ("live", self.live),
            ("shadow", self.shadow),
            ("control", self.control),
        ]
        return [(path, role) for role, paths in roles for path in paths]


@click.command()
@click.argument("captures", nargs=-1, metavar="[FILE]...")
@click.option("--live", multiple=True, metavar="FILE", help="A capture of what callers got; may be given again.")
@click.option("--shadow", multiple=True, metavar="FILE", help="A capture of the candidate; may be given again.")
@click.option("--control", multiple=True, metavar="FILE", help="A capture of a second instance of the live version.")
@format_option
@click.option("--db", metavar="FILE", type=FILE, help="Database to land in. [default: GNOMON_DB, else gnomon.duckdb]")
@rules_option
@click.option("--report", metavar="FILE", type=FILE, help="Write an HTML report of this run.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary of this run as JSON instead of tables.")
@click.option(
    "--fail-over",
    metavar="RATE",
    type=click.FloatRange(0, 1),
    help="Exit 1 when the divergence rate is above this share (0.01 is one per cent), 3 without a pair.",
)
@config_option
@click.pass_context
def compare(context: click.Context, /, **options: Any) -> int:  # noqa: ANN401 - see _Given
    """Compare the answers in captures: live against shadow, and against the control where there is one.

    A FILE holds exchanges of any role (a directory: Envoy taps; -: stdin). Where each role has its own file, name
    the files by --live, --shadow and --control.

    \b
    Examples:
      $ gnomon compare capture.ndjson.gz
      $ gnomon compare --live live.har --shadow shadow.har --rules rules.toml --report report.html
      $ gnomon compare capture.ndjson --json --fail-over 0.01
    """
    given = _Given(**options)
    named = given.sources()
    if not named:
        raise click.UsageError("no capture to read; name a FILE, or --live and --shadow", context)
    if sum(path == "-" for path, _ in named) > 1:
        raise click.UsageError("stdin (-) can be read only once", context)
    loaded = load(context, given.config)
    summary = _compare(given, named, loaded)
    hint = db_hint(Path(summary.db), loaded.settings)
    if given.as_json:
        click.echo(msgspec.json.encode(summary).decode())
    else:
        print_findings(summary, hint, named=bool(given.shadow))
        if given.report is not None:
            click.echo(f"Report: {given.report}")
    if summary.unread:
        raise InputError(
            f"{_none_of(summary.records)} could be read; the first is {summary.first_reject}",
            f'see the rest with gnomon query "FROM rejects"{hint}, and name what the captures are by --format',
        )
    return 0 if given.fail_over is None else gate(summary, given.fail_over)


def gate(summary: RunSummary, limit: float) -> int:
    """Give the exit code of `--fail-over`; `limit` is a share between 0 and 1.

    Raises:
        NotEnoughDataError: There is no pair, or none that could be compared.
    """
    if summary.pairs == 0 or summary.divergence_rate is None:
        unlike = "the one pair could not be compared"
        if summary.pairs != 1:
            unlike = f"none of {summary.pairs} pairs could be compared"
        what = "there is no pair" if summary.pairs == 0 else unlike
        remedy = "name the shadow's captures by --shadow" if is_shadowless(summary) else "add captures"
        raise NotEnoughDataError(f"{what}, so the gate has nothing to judge", remedy)
    rate, note = summary.divergence_rate, ""
    left_out = summary.outcomes.live_missing + summary.outcomes.incomparable
    judged = sum(msgspec.structs.astuple(summary.outcomes)) - left_out
    if summary.scored is not None and summary.scored < MIN_CONTROL * judged:
        # What the control did not see may be noise or not: a gate takes it for what it is without a control.
        rate = max(rate, summary.divergences / judged)
        note = f" (nothing is taken off, since the control answered only {summary.scored} of {judged} requests)"
    if rate <= limit:
        return 0
    click.echo(
        f"gnomon: the gate failed: a divergence rate of {percent(rate)}{note} is above {percent(limit)}", err=True
    )
    return GATE_FAILED


def _none_of(records: int) -> str:
    return "the one record" if records == 1 else f"none of the {records} records"


def _compare(given: _Given, named: list[tuple[str, Role | None]], loaded: Loaded) -> RunSummary:
    rules = read_rules(given.rules, loaded)
    if given.report is not None:
        check_writable(given.report)  # before the work, not after it
    from gnomon.capture import Source, capture_size
    from gnomon.compare import CompareRequest, compare_captures

    warn_of_random_key(loaded.settings)
    sources = [Source(path, role) for path, role in named]
    request = CompareRequest(
        sources=sources,
        fmt=given.fmt,
        db=given.db or loaded.settings.db or Path("gnomon.duckdb"),
        rules=rules,
        settings=loaded.settings,
        report=given.report,
        command=shlex.join(["gnomon", *sys.argv[1:]]),
    )
    total = capture_size(sources) if sys.stderr.isatty() else None
    with progress_bar("comparing", total) as progress:
        return compare_captures(request, progress)
