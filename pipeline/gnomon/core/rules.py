"""`rules.toml`: what is equal, what is noise, what nobody may read.

A rule has a match part (`service`, `endpoint`, `path`; each optional) and aspects. For one place in a document the
first rule that matches and sets an aspect decides that aspect. `ignore`, `noise` and `redact` hold for everything
below the place too; the other aspects hold for the place itself.

Paths are matched by a small automaton, built while documents are walked: a state knows which rules can still match
below, so a walk asks nothing where no rule can.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal

import msgspec

from gnomon.core.durations import parse_duration
from gnomon.core.pointer import unescape
from gnomon.errors import ConfigError

__all__ = [
    "Aspects",
    "EndpointRules",
    "EndpointTemplate",
    "NumberTolerance",
    "PathRules",
    "Rule",
    "RuleFile",
    "RuleSet",
    "parse_rules",
]

NonNegative = Annotated[float, msgspec.Meta(ge=0)]

IGNORED_HEADERS: Final = frozenset(
    {
        "date",
        "age",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "content-encoding",
        "via",
        "alt-svc",
        "server-timing",
        "x-request-id",
        "traceparent",
        "tracestate",
    }
)
IGNORED_HEADER_PREFIXES: Final = ("x-envoy-", "x-b3-", "x-gnomon-")
MAX_COMPILED = 4096


class NumberTolerance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two numbers are equal when |live - shadow| <= max(absolute, relative * max(|live|, |shadow|))."""

    relative: NonNegative = 0.0
    absolute: NonNegative = 0.0


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    treat_as: Literal["uuid", "timestamp", "presence", "type"] | None = None
    match: str | None = None
    case_insensitive: bool | None = None
    null_is_missing: bool | None = None
    redact: Literal["hash", "drop"] | None = None
    reason: str | None = None


class EndpointTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[endpoint]]` table: a name where inference is not wanted, `GET /users/{id}/orders/{order}`."""

    template: str
    service: str | None = None


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole `rules.toml`."""

    rule: list[Rule] = []
    endpoint: list[EndpointTemplate] = []


INHERITED: Final = ("ignore", "noise", "redact")
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
_LIFTING: Final = ("noise", "treat_as", "match", "time_tolerance", "number_tolerance", "case_insensitive")


class Aspects(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the rules say about one place; `time_tolerance_us` in microseconds."""

    ignore: bool = False
    noise: bool = False
    noise_reason: str | None = None
    redact: Literal["hash", "drop"] | None = None
    unordered: bool = False
    key: str | None = None
    map: bool = False
    number_tolerance: NumberTolerance | None = None
    time_tolerance_us: int | None = None
    treat_as: Literal["uuid", "timestamp", "presence", "type"] | None = None
    match: re.Pattern[str] | None = None
    case_insensitive: bool = False
    null_is_missing: bool = False

    @property
    def equalises(self) -> bool:
        """Whether two unlike values may be equal here."""
        return (
            self.number_tolerance is not None
            or self.time_tolerance_us is not None
            or self.treat_as is not None
            or self.match is not None
            or self.case_insensitive
        )


_PLAIN: Final = Aspects()


class _Wild:
    """A step that is not a name: `*` (one step) or `**` (any depth)."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_ONE: Final = _Wild("*")
_ANY: Final = _Wild("**")
_Step = str | _Wild


class _Compiled(msgspec.Struct, frozen=True):
    """A rule with its path split into steps and its texts turned into what the walk needs."""

    rule: Rule
    steps: tuple[Any, ...]
    time_tolerance_us: int | None
    match: re.Pattern[str] | None


def _steps(path: str | None) -> tuple[_Step, ...]:
    if path is None:
        return (_ANY,)
    tokens = path[1:].split("/") if path else []
    if tokens and tokens[0] in ("headers", "trailers"):
        tokens[1:2] = [token.lower() for token in tokens[1:2]]  # header names are case-insensitive
    return tuple(_ONE if t == "*" else _ANY if t == "**" else unescape(t) for t in tokens)


class PathRules:
    """One state of the automaton: the rules that hold at a place, and those that may still match below it."""

    __slots__ = ("_children", "_compiled", "_indexed", "_items", "_names", "_positions", "aspects", "dead", "redact", "skip")

    def __init__(self, compiled: tuple[_Compiled, ...], positions: frozenset[tuple[int, int]]) -> None:
        self._compiled = compiled
        self._positions = positions
        self._children: dict[str | None, PathRules] = {}
        self._items: dict[int | None, PathRules] = {}
        self._names: set[str] = set()
        self._indexed = False
        pending = False
        for rule, at in positions:
            steps = compiled[rule].steps
            if at < len(steps):
                pending = True
                step = steps[at]
                if isinstance(step, str):
                    self._names.add(step)
                    self._indexed = self._indexed or step.isdigit()
        self.aspects = self._resolve()
        self.redact = self.aspects.redact
        self.skip = self.aspects.ignore and not self._may_lift_ignore()
        self.dead = not pending and self.aspects is _PLAIN

    def child(self, name: str) -> PathRules:
        """Give the state of an object's member."""
        if self.dead:
            return self
        key = name if name in self._names else None
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = self._advance(name)
        return found

    def item(self, index: int) -> PathRules:
        """Give the state of an array's element."""
        if self.dead:
            return self
        key = index if self._indexed and str(index) in self._names else None
        found = self._items.get(key)
        if found is None:
            found = self._items[key] = self._advance(str(index))
        return found

    def _advance(self, name: str) -> PathRules:
        reached: set[tuple[int, int]] = set()
        for rule, at in self._positions:
            steps = self._compiled[rule].steps
            if at >= len(steps):
                reached.add((rule, len(steps) + 1))
                continue
            step = steps[at]
            if step is _ANY:
                reached.add((rule, at))
            elif step is _ONE or step == name:
                reached.add((rule, at + 1))
        return PathRules(self._compiled, _closure(self._compiled, reached))

    def _matching(self) -> list[tuple[int, bool]]:
        """Give the rules that match here, first rule first, with whether they match this very place."""
        found: dict[int, bool] = {}
        for rule, at in self._positions:
            length = len(self._compiled[rule].steps)
            if at >= length:
                found[rule] = found.get(rule, False) or at == length
        return sorted(found.items())

    def _resolve(self) -> Aspects:
        values: dict[str, Any] = {}
        deciders: dict[str, _Compiled] = {}
        for index, here in self._matching():
            compiled = self._compiled[index]
            for aspect in ASPECTS if here else INHERITED:
                value = getattr(compiled.rule, aspect)
                if value is not None and aspect not in values:
                    values[aspect] = value
                    deciders[aspect] = compiled
        if not values:
            return _PLAIN
        if "time_tolerance" in values:
            del values["time_tolerance"]
            values["time_tolerance_us"] = deciders["time_tolerance"].time_tolerance_us
        if "match" in values:
            values["match"] = deciders["match"].match
        if values.get("noise"):
            rule = deciders["noise"].rule
            values["noise_reason"] = rule.reason or f"rule: {rule.path or 'everything'}"
        return Aspects(**values)

    def _may_lift_ignore(self) -> bool:
        """Whether a rule further below can say `ignore = false` before the one that ignores here."""
        decider = next(i for i, _ in self._matching() if self._compiled[i].rule.ignore is not None)
        return any(
            rule < decider and at < len(self._compiled[rule].steps) and self._compiled[rule].rule.ignore is False
            for rule, at in self._positions
        )

    def redacts_below(self) -> bool:
        """Whether some rule redacts here or may redact below."""
        return self.redact is not None or any(
            at < len(self._compiled[rule].steps) and self._compiled[rule].rule.redact is not None
            for rule, at in self._positions
        )

    def aligns_by_tolerance(self) -> bool:
        """Whether a tolerance holds here or may hold below: such equality has no canonical form."""
        if self.aspects.number_tolerance is not None or self.aspects.time_tolerance_us is not None:
            return True
        return any(
            at < len(self._compiled[rule].steps)
            and (self._compiled[rule].rule.number_tolerance is not None or self._compiled[rule].rule.time_tolerance is not None)
            for rule, at in self._positions
        )


def _closure(compiled: tuple[_Compiled, ...], positions: set[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """Let `**` match no step at all, and drop an exact match that only repeats an inherited one."""
    reached = set(positions)
    pending = list(positions)
    while pending:
        rule, at = pending.pop()
        steps = compiled[rule].steps
        if at < len(steps) and steps[at] is _ANY and (rule, at + 1) not in reached:
            reached.add((rule, at + 1))
            pending.append((rule, at + 1))
    return frozenset(reached)


class EndpointRules:
    """The rules of one service's endpoint; `root` stands for the whole compared document."""

    __slots__ = ("_lifted", "root")

    def __init__(self, compiled: tuple[_Compiled, ...]) -> None:
        start = _closure(compiled, {(i, 0) for i in range(len(compiled))})
        self.root = PathRules(compiled, start)
        self._lifted = frozenset(_lifted_headers(compiled))

    def keeps_header(self, name: str) -> bool:
        """Whether a header (lower-case name) is part of the document: not one that differs by nature."""
        if name in IGNORED_HEADERS or name.startswith(IGNORED_HEADER_PREFIXES):
            return name in self._lifted
        return True


def _lifted_headers(compiled: tuple[_Compiled, ...]) -> list[str]:
    """Headers that a rule names itself and does not ignore: they are compared although they differ by nature."""
    decided: dict[str, bool] = {}
    for item in compiled:
        name = item.steps[-1] if item.steps else _ANY
        if not isinstance(name, str) or item.steps[0] not in ("headers", "trailers", _ANY, _ONE):
            continue
        if item.rule.ignore is not None:
            decided.setdefault(name.lower(), not item.rule.ignore)
        elif any(getattr(item.rule, aspect) is not None for aspect in _LIFTING):
            decided.setdefault(name.lower(), True)
    return [name for name, kept in decided.items() if kept]


class RuleSet:
    """All rules, and their version: a hash of what they say (comments and layout do not count)."""

    def __init__(self, file: RuleFile, text: str = "", source: str = "rules") -> None:
        self.file = file
        self.text = text
        self.version = hashlib.sha256(msgspec.json.encode(file, order="deterministic")).hexdigest()[:16]
        self.endpoints = tuple(file.endpoint)
        self._compiled = [_compile(rule, number, source) for number, rule in enumerate(file.rule, start=1)]
        self._by_endpoint: dict[tuple[str, str], EndpointRules] = {}
        self._by_rules: dict[tuple[int, ...], EndpointRules] = {}

    def for_endpoint(self, service: str, endpoint: str) -> EndpointRules:
        """Give the compiled rules of one endpoint; endpoints with the same rules share them."""
        found = self._by_endpoint.get((service, endpoint))
        if found is None:
            chosen = tuple(
                i
                for i, c in enumerate(self._compiled)
                if _glob(c.rule.service, service) and _glob(c.rule.endpoint, endpoint)
            )
            found = self._by_rules.get(chosen)
            if found is None:
                found = self._by_rules[chosen] = EndpointRules(tuple(self._compiled[i] for i in chosen))
            if len(self._by_endpoint) >= MAX_COMPILED:  # endpoint names come from traffic: the cache is bounded
                self._by_endpoint.clear()
            self._by_endpoint[service, endpoint] = found
        return found

    def templates_for(self, service: str) -> list[str]:
        """Give the endpoint templates that hold for one service, in the order of the file."""
        return [e.template for e in self.endpoints if _glob(e.service, service)]


def _glob(pattern: str | None, value: str) -> bool:
    return pattern is None or pattern == value or fnmatchcase(value, pattern)


def _compile(rule: Rule, number: int, source: str) -> _Compiled:
    where = f"{source}: [[rule]] number {number}"
    if rule.path is not None and rule.path != "" and not rule.path.startswith("/"):
        raise ConfigError(f"{where}: path {rule.path!r} does not start with '/'", 'write it as "/body/items/*/price"')
    if all(getattr(rule, aspect) is None for aspect in ASPECTS):
        raise ConfigError(f"{where}: says nothing", f"set one of {', '.join(ASPECTS)}, or remove the table")
    match = None
    if rule.match is not None:
        try:
            match = re.compile(rule.match)
        except re.error as error:
            raise ConfigError(f"{where}: match {rule.match!r} is not a regular expression: {error}") from error
    time_us = None
    if rule.time_tolerance is not None:
        try:
            time_us = parse_duration(rule.time_tolerance)
        except ValueError as error:
            raise ConfigError(f"{where}: time_tolerance: {error}") from error
    return _Compiled(rule, _steps(rule.path), time_us, match)


_KNOWN: Final = {
    "rule": tuple(Rule.__struct_fields__),
    "endpoint": tuple(EndpointTemplate.__struct_fields__),
    "number_tolerance": tuple(NumberTolerance.__struct_fields__),
}


def parse_rules(text: str, source: str = "rules.toml") -> RuleSet:
    """Read the text of a rules file; `source` is named in errors.

    Raises:
        ConfigError: Not TOML, or a table, key or value that a rules file cannot have; says which, and the closest key.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not TOML: {error}", "correct that line") from error
    _check_keys(document, ("rule", "endpoint"), source, "table")
    for table in ("rule", "endpoint"):
        entries = document.get(table, [])
        if not isinstance(entries, list):
            raise ConfigError(f"{source}: [{table}] must be an array of tables", f"write [[{table}]]")
        for number, entry in enumerate(entries, start=1):
            where = f"{source}: [[{table}]] number {number}"
            if not isinstance(entry, dict):
                raise ConfigError(f"{where} must be a table", f"write [[{table}]]")
            _check_keys(entry, _KNOWN[table], where, "key")
            if isinstance(entry.get("number_tolerance"), dict):
                _check_keys(entry["number_tolerance"], _KNOWN["number_tolerance"], f"{where}: number_tolerance", "key")
            try:
                msgspec.convert(entry, Rule if table == "rule" else EndpointTemplate)
            except msgspec.ValidationError as error:
                raise ConfigError(f"{where}: {_explain(error)}") from error
    return RuleSet(msgspec.convert(document, RuleFile), text, source)


def _explain(error: msgspec.ValidationError) -> str:
    """Turn msgspec's `Expected ..., got ... - at `$.x`` into `x: expected ..., got ...`."""
    message, _, where = str(error).partition(" - at `$.")
    return f"{where.rstrip('`')}: {message[0].lower()}{message[1:]}" if where else message


def _check_keys(table: dict[str, Any], known: tuple[str, ...], where: str, what: str) -> None:
    for key in table:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise ConfigError(f"{where}: no such {what}: {key!r}", remedy)
