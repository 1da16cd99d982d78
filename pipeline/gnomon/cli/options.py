"""Options that several commands share, and what they are read as."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click
import msgspec

from gnomon.cli.text import one_line
from gnomon.config import Loaded, Settings, find_database, find_rules, load_settings
from gnomon.core.moments import read_moment
from gnomon.core.rules import RuleSet, parse_rules
from gnomon.errors import InputError, UsageError

if TYPE_CHECKING:
    from gnomon.store import Selection, Store

__all__ = [
    "FILE",
    "ClosestGroup",
    "Flag",
    "Given",
    "Instant",
    "check_names",
    "config_option",
    "db_hint",
    "db_option",
    "format_option",
    "load",
    "period_options",
    "read_rules",
    "rules_option",
    "synthetic_option",
    "warn_of_random_key",
    "write_file",
]

P = ParamSpec("P")
R = TypeVar("R")

FILE = click.Path(path_type=Path)


class Given(msgspec.Struct):
    """What the group was given, for its commands."""

    config: Path | None = None


class ClosestGroup(click.Group):
    """A group of commands that names the closest one where there is none of that name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            near = get_close_matches(args[0], known, n=1)
            hint = f". Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'{hint}")
        return super().resolve_command(ctx, args)


class Instant(click.ParamType):
    """A moment: an RFC 3339 time, a date (its first moment, UTC), or a duration before now."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401
        """Read a moment; `now` is the one thing that the command line takes from the clock."""
        if isinstance(value, datetime):
            return value
        try:
            return read_moment(value, datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error))


class Flag(click.ParamType):
    """A request-scoped feature flag and its value: `new-cart=on`."""

    name = "flag"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, str]:
        """Split at the first `=`."""
        if isinstance(value, tuple):
            return value
        name, separator, wanted = value.partition("=")
        if not name or not separator:
            self.fail(f"{value!r} is not a flag; write NAME=VALUE, such as new-cart=on")
        return name, wanted


def config_option(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command take `--config` and `--debug` after its name too."""
    text = "Print a traceback where something goes wrong."
    command = click.option("--debug", is_flag=True, expose_value=False, help=text)(command)
    return click.option("--config", metavar="FILE", type=FILE, help="Settings file.")(command)


def db_option(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command choose what it reads."""
    text = "Database or store to read. [default: GNOMON_DB, else the store, else gnomon.duckdb]"
    return click.option("--db", metavar="FILE", type=FILE, help=text)(command)


def db_hint(db: Path, settings: Settings) -> str:
    """Give what a printed command needs to read `db`: nothing where it would by itself, else ` --db FILE`."""
    return "" if find_database(None, settings) == db else f" --db {shlex.quote(str(db))}"


def format_option(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command be told what its captures are."""
    choice = click.Choice(["auto", "ndjson", "har", "envoy-tap", "goreplay", "opensearch"])
    text = "Format of the captures."
    return click.option("--format", "fmt", type=choice, default="auto", show_default=True, help=text)(command)


def rules_option(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command choose its rules."""
    return click.option(
        "--rules", metavar="FILE", type=FILE, help="Rules file. [default: GNOMON_RULES, else ./rules.toml if it exists]"
    )(command)


def period_options(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command narrow what it reads by time, service and target."""
    for name, text in (
        ("--target", "Only comparisons with this target."),
        ("--service", "Only this service."),
    ):
        command = click.option(name, metavar="NAME", help=text)(command)
    for name, text in (
        ("--until", "Only requests started before this time."),
        ("--since", "Only requests started at or after this time: RFC 3339, a date, or a duration ago such as 24h."),
    ):
        command = click.option(name, metavar="TIME", type=Instant(), help=text)(command)
    return command


def synthetic_option(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command say whether synthetic traffic counts."""
    choice = click.Choice(["include", "exclude", "only"])
    text = "Whether requests tagged as synthetic count."
    return click.option("--synthetic", type=choice, default="exclude", show_default=True, help=text)(command)


def check_names(store: Store, selection: Selection, live: Sequence[str] = ()) -> None:
    """Refuse a service or a target that nothing that landed has: it is a typo.

    Raises:
        UsageError: There is one; it names the closest.
    """
    unknown = store.unknown_name(selection, live)
    if unknown is not None:
        raise unknown


def load(context: click.Context, config: Path | None) -> Loaded:
    """Load the settings and say their warnings on stderr.

    Raises:
        ConfigError: They say something impossible.
    """
    given = context.find_object(Given) or Given()
    loaded = load_settings(config or given.config, os.environ)
    for warning in loaded.warnings:
        click.echo(f"gnomon: warning: {one_line(warning)}", err=True)
    return loaded


def read_rules(option: Path | None, loaded: Loaded) -> RuleSet:
    """Read the rules that hold for a command; without a file there are none.

    Raises:
        InputError: The file cannot be read.
        ConfigError: It says something that rules cannot say.
    """
    file = find_rules(option, loaded.settings)
    if file is None:
        return parse_rules("", "no rules")
    try:
        return parse_rules(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}", "name a rules file that exists") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text: {error}", "save it as UTF-8") from error


def warn_of_random_key(settings: Settings) -> None:
    """Say on stderr where secrets are hashed under a key that nobody will know after this run."""
    if settings.redact.enabled and settings.redact.read_key() is None:
        click.echo(
            "gnomon: warning: secrets are hashed with a random key, so they compare within this run only; "
            "set GNOMON_REDACT_KEY, the same wherever exchanges are recorded and compared",
            err=True,
        )


def check_writable(file: Path) -> None:
    """Look whether a file can be written, before the work whose result it is to hold.

    Raises:
        UsageError: It is a directory, or its directory is missing or not ours to write to.
    """
    if file.is_dir():
        raise UsageError(f"{file} is a directory", "name a file to write")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        why = "no permission" if file.parent.exists() else "there is no such directory"
        raise UsageError(f"{file} cannot be written: {why}", "choose another place")


def write_file(file: Path, text: str) -> None:
    """Write a file that a command was asked for.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", "choose another place") from error
