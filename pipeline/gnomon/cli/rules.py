"""`gnomon rules`: validate rules, or try them on what has landed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gnomon.cli.judging import judge, judging_options
from gnomon.cli.options import FILE, config_option, load, read_rules, rules_option
from gnomon.config import find_rules

__all__ = ["rules"]


@click.group()
def rules() -> None:
    """Validate rules, or try them on what has landed."""


@rules.command()
@click.argument("file", required=False, type=FILE, metavar="[FILE]")
@rules_option
@config_option
@click.pass_context
def check(context: click.Context, file: Path | None, rules: Path | None, config: Path | None) -> None:
    """Validate a rules file and say its version.

    \b
    Examples:
      $ gnomon rules check
      $ gnomon rules check team/rules.toml
    """
    if file is not None and rules is not None:
        raise click.UsageError("FILE and --rules are the same thing; name one", context)
    loaded = load(context, config)
    found = read_rules(file or rules, loaded)
    name = find_rules(file or rules, loaded.settings)
    counts = f"{_count(found.file.rule, 'rule')}, {_count(found.file.endpoint, 'endpoint template')}"
    click.echo(f"{name or 'no rules file'}: good, {counts}, version {found.version}")


def _count(things: list[Any], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


@rules.command()
@judging_options
@click.pass_context
def test(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - see judging
    """Try rules on what has landed, and say what they would change; the database stays as it is.

    \b
    Examples:
      $ gnomon rules test --rules rules.toml
      $ gnomon rules test --db gnomon.duckdb --rules new.toml --service cart
    """
    judge(context, options, dry_run=True)
