"""Runs the command line and turns whatever ends it into one sentence on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click
from click.exceptions import NoArgsIsHelpError
from click.shell_completion import shell_complete

from gnomon.cli.app import COMPLETION_VARIABLE, app
from gnomon.cli.text import one_line
from gnomon.errors import GnomonError, UsageError

__all__ = ["BUG", "INTERRUPTED", "NO_READER", "main"]

BUG: Final = 70
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""
NO_READER: Final = 141
"""128 + SIGPIPE: whoever read the output has gone, `gnomon query ... | head`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `gnomon` with these arguments (the process's own by default) and give the exit code."""
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction is not None:
        return shell_complete(app, {}, "gnomon", COMPLETION_VARIABLE, instruction)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run([*given])  # click takes from the list as it parses
    except click.UsageError as error:
        return _wrong_use(error)
    except click.ClickException as error:
        return _say(error.format_message(), UsageError.exit_code)
    except GnomonError as error:
        if "--debug" in given:
            traceback.print_exc()
        return _say(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # What is still buffered has no reader either; without this Python would complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except Exception as error:  # noqa: BLE001 - the last resort of the program
        return _our_bug(error, debug="--debug" in given)


def _run(arguments: list[str]) -> int:
    try:
        with app.make_context("gnomon", arguments) as context:
            result = app.invoke(context)
    except click.exceptions.Exit as done:
        result = done.exit_code
    sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _say(sentence: str, code: int) -> int:
    click.echo(f"gnomon: {one_line(sentence)}", err=True)
    return code


def _wrong_use(error: click.UsageError) -> int:
    if isinstance(error, NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return UsageError.exit_code
    where = error.ctx.command_path if error.ctx else "gnomon"
    return _say(f"{error.format_message().rstrip('.')}; see '{where} --help'", UsageError.exit_code)


def _our_bug(error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    how = "the traceback above" if debug else "what the same command prints with --debug"
    return _say(f"this is a bug of ours ({what}); please report it to the maintainers of Gnomon with {how}", BUG)
