"""`gnomon rules`: validate rules, propose them from what has landed, or try them on it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from gnomon.cli.judging import judge, judging_options
from gnomon.cli.options import (
    FILE,
    ClosestGroup,
    check_names,
    config_option,
    db_option,
    load,
    period_options,
    read_rules,
    rules_option,
)
from gnomon.cli.text import one_line, plural
from gnomon.config import find_database, find_rules

__all__ = ["rules"]

MOST_REFUSED: Final = 20


class _Given(msgspec.Struct, frozen=True):
    db: Path | None
    since: datetime | None
    until: datetime | None
    service: str | None
    target: str | None
    config: Path | None


@click.group(cls=ClosestGroup)
def rules() -> None:
    """Validate rules, propose them from what has landed, or try them on it.

    \b
    Examples:
      $ gnomon rules suggest > rules.toml
      $ gnomon rules check
      $ gnomon rules test --rules rules.toml
    """


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
    counts = f"{plural(len(found.file.rule), 'rule')}, {plural(len(found.file.endpoint), 'endpoint template')}"
    click.echo(f"{name or 'no rules file'}: good, {counts}, version {found.version}")


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


@rules.command()
@db_option
@period_options
@config_option
@click.pass_context
def suggest(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - see _Given
    """Propose rules from what has landed, with the evidence for each, as TOML to read and to add to rules.toml.

    Proposed are endpoint templates, and rules for volatile fields: timestamps, UUIDs, counters, tokens, names of
    instances. Fields that differ often and are not proposed are named on stderr, with the reason.

    \b
    Examples:
      $ gnomon rules suggest
      $ gnomon rules suggest --service cart --since 24h >> rules.toml
    """
    from gnomon.store import Selection, open_store
    from gnomon.suggest import suggest_rules, suggest_templates, toml_of

    given = _Given(**options)
    selection = Selection(since=given.since, until=given.until, service=given.service, target=given.target)
    with open_store(find_database(given.db, load(context, given.config).settings), still=True) as store:
        check_names(store, selection)
        templates = suggest_templates(store, selection)
        found, refused = suggest_rules(store, selection)
    if templates or found:
        click.echo(toml_of([*templates, *found]), nl=False)
    else:
        click.echo("nothing to suggest: no path segment and no field looks like it holds volatile values", err=True)
    for field in refused[:MOST_REFUSED]:
        where = f"{field.service} {field.endpoint} {field.pattern}"
        click.echo(f"not proposed: {one_line(where)}: {one_line(field.reason)}", err=True)
    if len(refused) > MOST_REFUSED:
        click.echo(f"not proposed: {plural(len(refused) - MOST_REFUSED, 'more field')}", err=True)
