"""`gnomon query`: read-only SQL on a database or a store."""

from __future__ import annotations

import base64
import binascii
import csv
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import click

from gnomon.cli.options import config_option, db_option, load
from gnomon.cli.tables import print_table
from gnomon.config import find_database
from gnomon.model import JsonValue

__all__ = ["query"]

MOST_CHARACTERS: Final = 200
"""Of an excerpt in a table; `--json` and `--csv` have it whole, in base64."""

NOT_KEPT: Final = (
    "no exchanges: those of a request without any were not kept (limits.evidence); differences has where it differs"
)
_EXCHANGES: Final = re.compile(r"\bexchanges\b", re.IGNORECASE)


@click.command()
@click.argument("sql")
@db_option
@click.option("--json", "as_json", is_flag=True, help="Print one array of objects: all rows, times in RFC 3339 UTC.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values with a header line.")
@config_option
@click.pass_context
def query(context: click.Context, sql: str, db: Path | None, as_json: bool, as_csv: bool, config: Path | None) -> None:
    """Run read-only SQL and print a table. SQL may be - to read it from stdin.

    `comparisons` and `differences` hold the control's rows and synthetic traffic too; docs/tables.md explains all
    columns.

    \b
    Examples:
      $ gnomon query "SELECT outcome, count(*) FROM comparisons_real WHERE role = 'shadow' GROUP BY ALL"
      $ gnomon query "SELECT endpoint, pattern, requests FROM field_stats WHERE requests > 0 ORDER BY rate_lo DESC"
      $ gnomon query --csv "FROM field_stats" > fields.csv
      $ gnomon query --json "FROM differences WHERE request_id = 'r-17' AND role = 'shadow' AND NOT noise"
      $ gnomon query "SHOW TABLES"
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv are two formats; choose one")
    from gnomon.store import run_query

    text = sys.stdin.read() if sql == "-" else sql
    result = run_query(find_database(db, load(context, config).settings), text)
    first = next(result.rows, None)
    rows = result.rows if first is None else chain([first], result.rows)
    if as_json:
        _print_json(result.columns, rows)
    elif as_csv:
        _print_csv(result.columns, rows)
    else:
        print_table(result.columns, _legible(result.columns, rows))
    if first is None and _EXCHANGES.search(text):
        click.echo(NOT_KEPT, err=True)


def _legible(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[list[object]]:
    """Rows for people: the beginning of what was refused as it was, from the base64 that `rejects` has."""
    places = [place for place, column in enumerate(columns) if column == "excerpt"]
    for row in rows:
        values = list(row)
        for place in places:
            values[place] = _beginning(values[place])
        yield values


def _beginning(excerpt: object) -> object:
    if not isinstance(excerpt, str):
        return excerpt
    try:
        data = base64.b64decode(excerpt, validate=True)
    except binascii.Error:
        return excerpt
    text = data.decode("utf-8", "backslashreplace")
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


def _print_json(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    from gnomon.core.json import dumps
    from gnomon.store import json_value

    names = distinct(columns)
    opened = False
    for row in rows:
        record = {name: json_value(value) for name, value in zip(names, row, strict=True)}
        sys.stdout.write((",\n " if opened else "[") + dumps(record))
        opened = True
    sys.stdout.write("]\n" if opened else "[]\n")


def _print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    from gnomon.store import json_value

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if value is None else _csv_text(json_value(value)) for value in row])


def _csv_text(value: JsonValue) -> object:
    from gnomon.core.json import dumps

    return dumps(value) if isinstance(value, dict | list | bool) else value


def distinct(columns: Sequence[str]) -> list[str]:
    """Number the columns whose name is taken: an object has no two members of one name."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names
