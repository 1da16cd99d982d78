"""Runs the command line and turns whatever ends it into one sentence on stderr and an exit code."""

from __future__ import annotations

import errno
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
from gnomon.errors import DependencyError, GnomonError, UsageError

__all__ = ["BUG", "INTERRUPTED", "NO_READER", "main"]

BUG: Final = 70
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""
NO_READER: Final = 141
"""128 + SIGPIPE: whoever read the output has gone, `gnomon query ... | head`."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `gnomon` with these arguments (the process's own by default) and give the exit code."""
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction is not None:
        return shell_complete(app, {}, "gnomon", COMPLETION_VARIABLE, instruction)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # closed by the shell, `>&-`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - as long as the process lives
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
        _drop_output()
        return NO_READER
    except Exception as error:  # noqa: BLE001 - the last resort of the program
        return _unforeseen(error, debug="--debug" in given)


def _run(arguments: list[str]) -> int:
    try:
        with app.make_context("gnomon", arguments) as context:
            result = app.invoke(context)
    except click.exceptions.Exit as done:
        result = done.exit_code
    sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _drop_output() -> None:
    """Let go of what is still buffered: without this Python would complain about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(sentence: str, code: int) -> int:
    click.echo(f"gnomon: {one_line(sentence)}", err=True)
    return code


def _wrong_use(error: click.UsageError) -> int:
    if isinstance(error, NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return UsageError.exit_code
    where = error.ctx.command_path if error.ctx else "gnomon"
    return _say(f"{error.format_message().rstrip('.')}; see '{where} --help'", UsageError.exit_code)


def _unforeseen(error: Exception, *, debug: bool) -> int:
    """What no other layer has words for: output that has nowhere to go, else a bug of ours."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
        _drop_output()
        return _say(f"the output cannot be written: {error.strerror}", DependencyError.exit_code)
    if debug:
        traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    how = "the traceback above" if debug else "what the same command prints with --debug"
    return _say(f"this is a bug of ours ({what}); please report it to the maintainers of Gnomon with {how}", BUG)
