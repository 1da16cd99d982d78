"""Finds and reads `gnomon.toml`, lets `GNOMON_*` win over it, and says what is wrong in one sentence."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final, get_origin, get_type_hints

import msgspec

from gnomon.config.alerts import Alerting, read_alerting
from gnomon.config.routes import Route, read_routes
from gnomon.config.settings import Settings, read_secret
from gnomon.config.values import Leaf, Problem, in_words
from gnomon.errors import ConfigError

__all__ = ["Key", "Loaded", "find_database", "find_rules", "keys", "load_settings", "secrets_of"]

DEFAULT_FILE: Final = Path("gnomon.toml")
_NOT_SETTINGS: Final = frozenset({"GNOMON_CONFIG"})
# Kubernetes sets these in every pod beside a service whose name starts with "gnomon".
_KUBERNETES: Final = re.compile(r"GNOMON(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")


class Key(msgspec.Struct, frozen=True):
    """One setting: its path in the file, its environment variable, its kind and its default."""

    path: tuple[str, ...]
    env: str
    leaf: Leaf
    default: Any

    @property
    def dotted(self) -> str:
        """The path as it is written in documents: `join.window`."""
        return ".".join(self.path)


class Loaded(msgspec.Struct, frozen=True):
    """Settings and where they are from.

    `origins` has an entry for each key that was set: the name of the file or of the variable. `warnings` are
    sentences to show. `alerting` is what `settings.alert` and `settings.hook` say, `routes` what `settings.route` says.
    """

    settings: Settings
    file: Path | None = None
    origins: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    alerting: Alerting = Alerting()
    routes: tuple[Route, ...] = ()


@cache
def sections(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Give the annotation of each field of a settings struct."""
    return get_type_hints(struct, include_extras=True)


def is_struct(annotation: object) -> bool:
    """Whether an annotation is a section of its own, not a value."""
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


def is_tables(annotation: object) -> bool:
    """Whether an annotation is an array of tables that is kept as written."""
    return get_origin(annotation) is tuple and "dict" in str(annotation)


def keys(struct: type[msgspec.Struct] = Settings, path: tuple[str, ...] = ()) -> Iterator[Key]:
    """Give every setting, in the order of the structs."""
    for field in msgspec.structs.fields(struct):
        annotation = sections(struct)[field.name]
        here = (*path, field.name)
        if is_struct(annotation):
            yield from keys(annotation, here)
        elif not is_tables(annotation):
            leaf = Leaf(annotation)
            yield Key(here, leaf.env or "_".join(("GNOMON", *here)).upper(), leaf, field.default)


def secrets_of(settings: Settings) -> set[str]:
    """Give the values of all secrets, those in files too, so that they can be kept out of logs.

    Raises:
        ConfigError: A file cannot be read.
    """
    found = set()
    for key in keys():
        if key.leaf.secret:
            section: Any = settings
            for name in key.path[:-1]:
                section = getattr(section, name)
            value = getattr(section, key.path[-1])
            file = getattr(section, f"{key.path[-1]}_file", None)
            found.add(read_secret(key.dotted, value, file))
    return {secret for secret in found if secret is not None}


def load_settings(option: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Read the settings.

    Args:
        option: The file that `--config` names; else `GNOMON_CONFIG`, else `./gnomon.toml` if it exists.
        environ: The environment.

    Raises:
        ConfigError: The file cannot be read, or it or a variable says something impossible.
    """
    named = option or (Path(environ["GNOMON_CONFIG"]) if environ.get("GNOMON_CONFIG") else None)
    file = named or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if file is not None:
        values = _read_table(_read_file(file), Settings, (), file)
        origins = dict.fromkeys(_dotted(values), str(file))
    for key in keys():
        text = environ.get(key.env, "")
        if text or (key.env in environ and get_origin(key.leaf.kind) is tuple):
            try:
                value = key.leaf.read_text(text, Path())
            except Problem as problem:
                raise ConfigError(f"{key.env} ({key.dotted}): {problem}", "correct the variable or unset it") from None
            _put(values, key.path, value)
            origins[key.dotted] = key.env
    _settle_secrets(values, origins)
    settings: Settings = _build(Settings, values)
    return Loaded(
        settings,
        file,
        origins,
        _unknown_variables(environ),
        read_alerting(settings.alert, settings.hook, file),
        read_routes(settings.route, file, has_registry=bool(settings.registry.url)),
    )


def find_database(option: Path | None, settings: Settings) -> Path:
    """Say what a command reads: its option, else the setting, else the store if it exists, else ./gnomon.duckdb."""
    if option is not None or settings.db is not None:
        return option or settings.db or Path()
    return settings.store.path if settings.store.path.exists() else Path("gnomon.duckdb")


def find_rules(option: Path | None, settings: Settings) -> Path | None:
    """Say which rules file holds: a command's option, else the setting, else ./rules.toml if it exists."""
    default = Path("rules.toml")
    return option or settings.rules or (default if default.exists() else None)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}", "name a settings file that exists") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}", "correct that place") from error


def _read_table(
    table: dict[str, Any], struct: type[msgspec.Struct], path: tuple[str, ...], file: Path
) -> dict[str, Any]:
    """Check one table against its struct and give its values, read."""
    values: dict[str, Any] = {}
    for name, value in table.items():
        annotation = sections(struct).get(name)
        here = (*path, name)
        where = f"{file}: {_place(path)}{name}"
        if annotation is None:
            what = f"[{'.'.join(path)}] has no key {name!r}" if path else f"there is no section or key {name!r}"
            raise ConfigError(f"{file}: {what}", _closest(here, struct))
        if is_tables(annotation):
            if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
                raise ConfigError(f"{where} must be an array of tables", f"write [[{name}]]")
            values[name] = tuple(value)
        elif is_struct(annotation):
            if not isinstance(value, dict):
                raise ConfigError(f"{where}: expected a table, got {in_words(value)}", f"write [{'.'.join(here)}]")
            values[name] = _read_table(value, annotation, here, file)
        else:
            try:
                values[name] = Leaf(annotation).read(value, file.parent)
            except Problem as problem:
                raise ConfigError(f"{where}: {problem}") from None
    return values


def _settle_secrets(values: dict[str, Any], origins: dict[str, str]) -> None:
    """Where a secret and the file that holds it are both set, the environment's wins; set side by side is an error."""
    for key in keys():
        beside = f"{key.dotted}_file"
        if not key.leaf.secret or key.dotted not in origins or beside not in origins:
            continue
        variables = [name for name in (key.dotted, beside) if origins[name].startswith("GNOMON_")]
        if len(variables) != 1:
            raise ConfigError(f"{key.dotted} and {beside} are both set", "keep one of them")
        dropped = beside if variables[0] == key.dotted else key.dotted
        del origins[dropped]
        _put(values, tuple(dropped.split(".")), None)


def _build(struct: type[msgspec.Struct], values: dict[str, Any]) -> Any:  # noqa: ANN401 - the struct it is given
    given = {
        name: _build(sections(struct)[name], value) if is_struct(sections(struct)[name]) else value
        for name, value in values.items()
    }
    return struct(**given)


def _put(values: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _dotted(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _dotted(value, (*path, name))
        else:
            yield ".".join((*path, name))


def _place(path: tuple[str, ...]) -> str:
    return f"[{'.'.join(path)}] " if path else ""


def _closest(path: tuple[str, ...], struct: type[msgspec.Struct]) -> str:
    """Name the closest key: of the same section if one is near, else of any section, else the least far of all."""
    siblings = tuple(struct.__struct_fields__)
    near = get_close_matches(path[-1], siblings, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    everywhere = [".".join(key.path) for key in keys()]
    elsewhere = [dotted for dotted in everywhere if dotted.rpartition(".")[2] == path[-1]]
    if elsewhere:
        return f"did you mean {elsewhere[0]!r}?"
    nearest = max(siblings, key=lambda name: SequenceMatcher(None, path[-1], name).ratio())
    return f"the closest is {nearest!r} of {', '.join(siblings)}"


def _unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    known = {key.env for key in keys()} | _NOT_SETTINGS
    warnings = []
    for name in sorted(environ):
        if not name.startswith("GNOMON_") or name in known or name.startswith("GNOMON_TEST_"):
            continue
        if not _KUBERNETES.fullmatch(name):
            nearest = max(sorted(known), key=lambda other: SequenceMatcher(None, name, other).ratio())
            warnings.append(f"the environment variable {name} is not a setting; did you mean {nearest}?")
    return tuple(warnings)
