"""`gnomon report`: one self-contained HTML file from a database."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import click
import msgspec

from gnomon.cli.options import (
    FILE,
    check_names,
    config_option,
    db_option,
    load,
    period_options,
    synthetic_option,
    write_file,
)
from gnomon.config import find_database

__all__ = ["report"]

DEFAULT: Final = Path("gnomon-report.html")


class _Given(msgspec.Struct, frozen=True):
    db: Path | None
    out: Path | None
    since: datetime | None
    until: datetime | None
    service: str | None
    target: str | None
    synthetic: Literal["include", "exclude", "only"]
    config: Path | None


@click.command()
@db_option
@period_options
@synthetic_option
@click.option(
    "--out", "-o", metavar="FILE", type=FILE, help=f"File to write. [default: stdout, or {DEFAULT} on a terminal]"
)
@config_option
@click.pass_context
def report(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - see _Given
    """Write what a database holds as one self-contained HTML file.

    \b
    Examples:
      $ gnomon report --out report.html
      $ gnomon report --db gnomon.duckdb --service cart --since 24h --out cart.html
    """
    from gnomon.report import render_report
    from gnomon.store import Selection, open_store
    from gnomon.verdict import judge_store, report_verdict

    given = _Given(**options)
    settings = load(context, given.config).settings
    with open_store(find_database(given.db, settings), still=True) as store:
        selection = Selection(
            since=given.since,
            until=given.until,
            service=given.service,
            target=given.target,
            synthetic=given.synthetic,
        )
        check_names(store, selection)
        shown = store.report(selection, title="Shadow traffic report", now=datetime.now(UTC))
        judged = judge_store(store, selection, settings.verdict)
    page = render_report(msgspec.structs.replace(shown, verdict=report_verdict(judged)))
    out = given.out or (DEFAULT if sys.stdout.isatty() else None)
    if out is None or str(out) == "-":
        click.echo(page, nl=False)
    else:
        write_file(out, page)
        click.echo(f"report written to {out}", err=True)
