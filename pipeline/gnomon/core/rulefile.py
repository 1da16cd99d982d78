"""`rules.toml` as it is written: its tables and keys, and what is wrong with them in a sentence."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from typing import Any, Final, get_args

import msgspec

from gnomon.core.aspects import NumberTolerance, Redaction, Treatment
from gnomon.core.durations import parse_duration
from gnomon.core.patterns import Pattern, PatternError
from gnomon.errors import ConfigError

__all__ = ["ASPECTS", "INHERITED", "EndpointTemplate", "Rule", "RuleFile", "read_rule_file"]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One `[[rule]]` table; a field that is not set says nothing."""

    service: str | None = None
    endpoint: str | None = None
    path: str | None = None
    ignore: bool | None = None
    noise: bool | None = None
    unordered: bool | None = None
    key: str | None = None
    map: bool | None = None
    number_tolerance: NumberTolerance | None = None
    time_tolerance: str | None = None
    treat_as: Treatment | None = None
    match: str | None = None
    case_insensitive: bool | None = None
    null_is_missing: bool | None = None
    redact: Redaction | None = None
    reason: str | None = None


class EndpointTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One `[[endpoint]]` table: a name where inference is not wanted, `GET /users/{id}/orders/{order}`."""

    template: str
    service: str | None = None


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A whole `rules.toml`."""

    rule: list[Rule] = []
    endpoint: list[EndpointTemplate] = []


INHERITED: Final = ("ignore", "noise", "redact")
"""Aspects that hold for everything below a place too."""

ASPECTS: Final = (
    *INHERITED,
    "unordered",
    "key",
    "map",
    "number_tolerance",
    "time_tolerance",
    "treat_as",
    "match",
    "case_insensitive",
    "null_is_missing",
)
"""What a rule can say, by the names of the keys that say it."""

_TABLES: Final[dict[str, type[Rule | EndpointTemplate]]] = {"rule": Rule, "endpoint": EndpointTemplate}
_CHOICES: Final[dict[str, tuple[str, ...]]] = {"treat_as": get_args(Treatment), "redact": get_args(Redaction)}
_TOML_WORDS: Final = {
    "`str`": "a text",
    "`bool`": "true or false",
    "`float`": "a number",
    "`int`": "an integer",
    "`object`": "a table",
    "`array`": "an array",
}


def read_rule_file(text: str, source: str) -> RuleFile:
    """Read the text of a rules file; `source` is named in errors.

    Raises:
        ConfigError: Not TOML, or a table, key or value that a rules file cannot have; says which, and the closest key.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not TOML: {error}", "correct that line") from error
    except RecursionError as error:
        raise ConfigError(f"{source} is nested too deeply", "a rules file has two levels") from error
    _check_keys(document, tuple(_TABLES), source, "table")
    tables = {name: _read_tables(document.get(name, []), name, source) for name in _TABLES}
    return RuleFile(**tables)


def _read_tables(entries: object, name: str, source: str) -> list[Any]:
    if not isinstance(entries, list):
        raise ConfigError(f"{source}: {name} must be an array of tables", f"write [[{name}]]")
    return [_read_table(entry, name, f"{source}: [[{name}]] number {n}") for n, entry in enumerate(entries, start=1)]


def _read_table(entry: object, name: str, where: str) -> Rule | EndpointTemplate:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} must be a table", f"write [[{name}]]")
    _check_keys(entry, _TABLES[name].__struct_fields__, where, "key")
    tolerance = entry.get("number_tolerance")
    if isinstance(tolerance, dict):
        _check_keys(tolerance, NumberTolerance.__struct_fields__, f"{where}: number_tolerance", "key")
    try:
        table = msgspec.convert(entry, _TABLES[name])
    except msgspec.ValidationError as error:
        raise _invalid(entry, where, str(error)) from error
    if isinstance(table, Rule):
        _check_rule(table, where)
    return table


def _check_keys(table: dict[str, Any], known: tuple[str, ...], where: str, what: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: no such {what}: {key!r}", _closest(key, known))


def _closest(word: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _invalid(entry: dict[str, Any], where: str, message: str) -> ConfigError:
    """Turn msgspec's "Expected `str | null`, got `int` - at `$.service`" into the words of TOML."""
    problem, _, place = message.partition(" - at `$.")
    key = place.rstrip("`")
    if key in _CHOICES and isinstance(entry[key], str):
        return ConfigError(f"{where}: {key}: no such value: {entry[key]!r}", _closest(entry[key], _CHOICES[key]))
    problem = problem.replace(" | null", "")
    for word, plain in _TOML_WORDS.items():
        problem = problem.replace(word, plain)
    problem = problem[:1].lower() + problem[1:]
    return ConfigError(f"{where}: {key}: {problem}" if key else f"{where}: {problem}")


def _check_rule(rule: Rule, where: str) -> None:
    """Refuse what has the right type and no meaning."""
    if rule.path and not rule.path.startswith("/"):
        raise ConfigError(f"{where}: path {rule.path!r} does not start with '/'", f"write {'/' + rule.path!r}")
    if all(getattr(rule, aspect) is None for aspect in ASPECTS):
        raise ConfigError(f"{where}: says nothing", f"set one of {', '.join(ASPECTS)}, or remove the table")
    if rule.match is not None:
        try:
            Pattern(rule.match)
        except PatternError as error:
            problem = f"match {rule.match!r} is not a regular expression: {error}"
            raise ConfigError(f"{where}: {problem}", "correct it, or write it in single quotes") from error
    if rule.time_tolerance is not None:
        try:
            parse_duration(rule.time_tolerance)
        except ValueError as error:
            raise ConfigError(f"{where}: time_tolerance: {error}") from error
