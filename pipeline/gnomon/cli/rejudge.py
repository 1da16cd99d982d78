"""`gnomon rejudge`: new rules on what has landed."""

from __future__ import annotations

from typing import Any

import click

from gnomon.cli.judging import judge, judging_options

__all__ = ["rejudge"]


@click.command()
@judging_options
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.pass_context
def rejudge(context: click.Context, /, dry_run: bool, **options: Any) -> None:  # noqa: ANN401 - see judging
    """Apply new rules to landed comparisons, and say what cannot be judged again.

    A comparison is judged from its stored exchanges, else from its stored differences. One whose old rules may have
    hidden what the new ones would show, or whose exchanges were not kept, stays as it is and is counted.

    \b
    Examples:
      $ gnomon rejudge --rules rules.toml
      $ gnomon rejudge --db gnomon.duckdb --service cart --since 24h --dry-run
    """
    judge(context, options, dry_run=dry_run)
