"""The page of all commands, docs/cli.md."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Final

import click

from gnomon.cli.app import app

__all__ = ["commands_page", "walk"]

_HEAD: Final = """\
# The command line

Errors go to stderr as one sentence with the place and the remedy. Exit codes:

| code | means |
| --- | --- |
| 0 | done |
| 1 | the gate failed |
| 2 | wrong use, bad configuration, or unreadable input |
| 3 | not enough data |
| 4 | a dependency (broker, database) could not be reached |
| 70 | a bug of Gnomon |
| 130 | interrupted |

This page is made from the code by `make docs`.
"""


def walk(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Give every command that does something, with a context that knows its full name."""
    if not isinstance(command, click.Group):
        yield command, context
        return
    if command.invoke_without_command:
        yield command, context
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if below is not None:
            yield from walk(below, click.Context(below, info_name=name, parent=context))


def commands_page() -> str:
    """Write the page: for each command its use, what it does, its arguments and options, and examples."""
    top = app.make_context("gnomon", [], resilient_parsing=True)
    parts = [_HEAD, "## Options of `gnomon` itself\n", _options(app, top)]
    parts += [_section(command, context) for command, context in walk(app, top)]
    return "\n".join(parts)


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    blocks = [f"## `{context.command_path}`", f"```text\n{usage}\n```"]
    blocks += [_block(paragraph) for paragraph in inspect.cleandoc(command.help or "").split("\n\n")]
    return "\n\n".join(blocks) + "\n\n" + _options(command, context)


def _block(paragraph: str) -> str:
    """Write a paragraph in one line, and one that click is told not to wrap, of examples, as it is."""
    if paragraph.startswith("\b"):
        title, _, rest = paragraph.removeprefix("\b\n").partition("\n")
        lines = "\n".join(line.strip() for line in rest.splitlines())
        return f"{title}\n\n```console\n{lines}\n```"
    return " ".join(paragraph.split())


def _options(command: click.Command, context: click.Context) -> str:
    rows = ["| option | does |", "| --- | --- |"]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            rows.append("| `{}` | {} |".format(*(text.replace("|", "\\|") for text in record)))
    return "\n".join(rows) + "\n"
