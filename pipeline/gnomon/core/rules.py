"""`rules.toml`, compiled: what is equal, what is noise, what nobody may read.

A rule has a match part (`service`, `endpoint`, `path`; each optional) and aspects. For one place in a document the
first rule that matches and sets an aspect decides that aspect. `ignore`, `noise` and `redact` hold for everything
below the place too; the other aspects hold for the place itself.

Paths are matched by a small automaton, built while documents are walked: a state knows which rules can still match
below, so a walk asks nothing where no rule can.
"""

from __future__ import annotations

import glob
import hashlib
import re
from fnmatch import translate
from typing import Any, Final, TypeAlias

import msgspec

from gnomon.core.aspects import PLAIN, Aspects, NumberTolerance, Redaction
from gnomon.core.durations import parse_duration
from gnomon.core.patterns import Pattern
from gnomon.core.pointer import unescape
from gnomon.core.rulefile import ASPECTS, INHERITED, EndpointTemplate, Rule, RuleFile, read_rule_file

__all__ = [
    "IGNORED_HEADERS",
    "IGNORED_HEADER_PREFIXES",
    "Aspects",
    "EndpointRules",
    "EndpointTemplate",
    "NumberTolerance",
    "PathRules",
    "Rule",
    "RuleFile",
    "RuleSet",
    "parse_rules",
    "path_steps",
]

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
"""Headers that differ by nature: left out of the document unless a rule says otherwise."""

IGNORED_HEADER_PREFIXES: Final = ("x-envoy-", "x-b3-", "x-gnomon-")

_MAX_ENDPOINTS: Final = 4096
_MAX_STATES: Final = 4096
"""Bounds of what traffic can make us remember: endpoint names and places in documents come from outside."""

_HEADER_PARTS: Final = ("headers", "trailers")
_COMPARING: Final = ("noise", "treat_as", "match", "time_tolerance", "number_tolerance", "case_insensitive")
"""Aspects that mean nothing for a header that is not compared, so a rule that sets one wants it compared."""


class _Any:
    """The step `**`: any number of steps, none included."""


_ANY: Final = _Any()
_ONE: Final = re.compile(r"(?s:.*)")
"""The step `*`: any one step; any service, any endpoint."""

_Step: TypeAlias = "str | re.Pattern[str] | _Any"
_Positions: TypeAlias = frozenset[tuple[int, int]]
"""(rule, steps of its path behind us); one past the end: the rule matched further above and holds below too."""


class _Compiled(msgspec.Struct, frozen=True):
    """A rule with its path split into steps and its texts turned into what the walk needs."""

    rule: Rule
    steps: tuple[Any, ...]
    time_tolerance_us: int | None
    match: Pattern | None
    inherits: bool

    @property
    def in_headers(self) -> bool:
        """Whether the path leads into the headers or trailers by name."""
        return bool(self.steps) and self.steps[0] in _HEADER_PARTS

    def may_lift(self) -> bool:
        """Whether this can bring back a header that differs by nature."""
        last = self.steps[-1] if self.steps else _ANY
        return self.in_headers or (isinstance(last, str) and _differs_by_nature(last))


def _differs_by_nature(header: str) -> bool:
    return header in IGNORED_HEADERS or header.startswith(IGNORED_HEADER_PREFIXES)


def _compile(rule: Rule) -> _Compiled:
    return _Compiled(
        rule,
        path_steps(rule.path),
        None if rule.time_tolerance is None else parse_duration(rule.time_tolerance),
        None if rule.match is None else Pattern(rule.match),
        any(getattr(rule, aspect) is not None for aspect in INHERITED),
    )


def path_steps(path: str | None) -> tuple[_Step, ...]:
    """Split a rule's path; without one it leads everywhere."""
    if path is None:
        return (_ANY,)
    tokens = path[1:].split("/") if path else []
    if len(tokens) > 1 and tokens[0] in _HEADER_PARTS:
        tokens[1] = tokens[1].lower()  # header names are case-insensitive
    return tuple(map(_step, tokens))


def _step(text: str) -> _Step:
    if text == "**":
        return _ANY
    if text == "*":
        return _ONE
    if "*" in text:  # a part of a name: `x-rate-*`
        return re.compile(translate("*".join(glob.escape(unescape(part)) for part in text.split("*"))))
    return unescape(text)


def _scope(pattern: str | None) -> re.Pattern[str]:
    """Compile a glob over services or endpoints: only `*` and `?` are special, names may hold `{id}` and `[`."""
    return _ONE if pattern is None else re.compile(translate(pattern.replace("[", "[[]")))


def _matches(step: object, name: str | None) -> bool:
    return isinstance(step, re.Pattern) and name is not None and step.fullmatch(name) is not None


class PathRules:
    """One state of the automaton: the rules that hold at a place, and those that may still match below it.

    Attributes:
        aspects: What the rules say about the value at this place.
        redact: How it is hidden, with everything below it.
        positions: What has matched so far; states with the same are the same.
        equalises: Whether unlike values may be equal here.
        skip: Nothing at this place or below it can make a difference.
        dead: No rule can match here or anywhere below.
    """

    __slots__ = (
        "_automaton",
        "_indexed",
        "_names",
        "_next",
        "_wild",
        "aspects",
        "dead",
        "equalises",
        "positions",
        "redact",
        "skip",
    )

    def __init__(self, automaton: _Automaton, positions: _Positions) -> None:
        pending = [automaton.rules[rule].steps[at] for rule, at in positions if at < len(automaton.rules[rule].steps)]
        self._automaton = automaton
        self.positions = positions
        self._next: dict[object, PathRules] = {}
        self._names = frozenset(step for step in pending if isinstance(step, str))
        self._wild = tuple({step for step in pending if isinstance(step, re.Pattern) and step is not _ONE})
        self._indexed = bool(self._wild) or any(name.isdigit() for name in self._names)
        self.aspects = automaton.aspects(positions)
        self.redact: Redaction | None = self.aspects.redact
        self.equalises = self.aspects.equalises
        self.dead = not pending and self.aspects == PLAIN
        self.skip = self.aspects.ignore and not automaton.may_lift_ignore(positions)

    def child(self, name: str) -> PathRules:
        """Give the state of an object's member."""
        key: object = name if name in self._names else None
        if self._wild:
            key = (key, *(step.fullmatch(name) is not None for step in self._wild))
        found = self._next.get(key)
        if found is None:
            found = self._next[key] = self._automaton.advance(self.positions, name)
        return found

    def item(self, index: int) -> PathRules:
        """Give the state of an array's element."""
        return self.child(str(index)) if self._indexed else self.element()

    def element(self) -> PathRules:
        """Give the state of an array's element that no rule names by its index."""
        found = self._next.get(_ANY)
        if found is None:
            found = self._next[_ANY] = self._automaton.advance(self.positions, None)
        return found

    def forget(self) -> None:
        """Drop the states below; they are built again when asked for."""
        self._next.clear()

    def redacts_below(self) -> bool:
        """Whether some rule redacts here or may redact below."""
        return self.redact is not None or any(rule.redact is not None for rule in self._pending())

    def tolerates_below(self) -> bool:
        """Whether a tolerance holds here or may hold below."""
        return self.aspects.tolerates or any(
            rule.number_tolerance is not None or rule.time_tolerance is not None for rule in self._pending()
        )

    def _pending(self) -> list[Rule]:
        rules = self._automaton.rules
        return [rules[rule].rule for rule, at in self.positions if at < len(rules[rule].steps)]


class _Automaton:
    """The states that walks have met so far; a state is known by its positions."""

    __slots__ = ("_states", "rules")

    def __init__(self, rules: tuple[_Compiled, ...]) -> None:
        self.rules = rules
        self._states: dict[_Positions, PathRules] = {}

    def start(self) -> PathRules:
        """Give the state of the whole document."""
        return self._state({(rule, 0) for rule in range(len(self.rules))})

    def advance(self, positions: _Positions, name: str | None) -> PathRules:
        """Give the state one step further down; None is a step that no rule names."""
        reached: set[tuple[int, int]] = set()
        for rule, at in positions:
            compiled = self.rules[rule]
            if at >= len(compiled.steps):
                if compiled.inherits:
                    reached.add((rule, len(compiled.steps) + 1))
                continue
            step = compiled.steps[at]
            if step is _ANY:
                reached.add((rule, at))
            elif step is _ONE or step == name or _matches(step, name):
                reached.add((rule, at + 1))
        return self._state(reached)

    def _state(self, reached: set[tuple[int, int]]) -> PathRules:
        pending = list(reached)
        while pending:  # `**` matches no step at all, too
            rule, at = pending.pop()
            steps = self.rules[rule].steps
            if at < len(steps) and steps[at] is _ANY and (rule, at + 1) not in reached:
                reached.add((rule, at + 1))
                pending.append((rule, at + 1))
        positions = frozenset(reached)
        found = self._states.get(positions)
        if found is None:
            if len(self._states) >= _MAX_STATES:
                for state in self._states.values():
                    state.forget()
                self._states.clear()
            found = self._states[positions] = PathRules(self, positions)
        return found

    def matching(self, positions: _Positions) -> list[tuple[_Compiled, bool]]:
        """Give the rules that hold at a place, first rule first, with whether they match this very place."""
        here: dict[int, bool] = {}
        for rule, at in positions:
            length = len(self.rules[rule].steps)
            if at >= length:
                here[rule] = here.get(rule, False) or at == length
        return [(self.rules[rule], exact) for rule, exact in sorted(here.items())]

    def aspects(self, positions: _Positions) -> Aspects:
        """Decide each aspect by the first rule that sets it."""
        values: dict[str, Any] = {}
        deciders: dict[str, _Compiled] = {}
        for compiled, here in self.matching(positions):
            for aspect in ASPECTS if here else INHERITED:
                value = getattr(compiled.rule, aspect)
                if value is not None and aspect not in values:
                    values[aspect] = value
                    deciders[aspect] = compiled
        if values.pop("time_tolerance", None) is not None:
            values["time_tolerance_us"] = deciders["time_tolerance"].time_tolerance_us
        if "match" in values:
            values["match"] = deciders["match"].match
        if "treat_as" in values:
            values["treats_inside"] = deciders["treat_as"].steps[-1:] == (_ANY,)
        if values.get("noise"):
            rule = deciders["noise"].rule
            values["noise_reason"] = rule.reason or f"rule: {rule.path or 'everything'}"
        return Aspects(**values)

    def may_lift_ignore(self, positions: _Positions) -> bool:
        """Whether a rule further below can say `ignore = false` before the one that ignores here."""
        held = {rule for rule, at in positions if at >= len(self.rules[rule].steps)}
        decider = min((rule for rule in held if self.rules[rule].rule.ignore is not None), default=0)
        return any(
            rule < decider and at < len(self.rules[rule].steps) and self.rules[rule].rule.ignore is False
            for rule, at in positions
        )


class EndpointRules:
    """The rules of one service's endpoint, in the order of the file; `root` stands for the whole compared document."""

    __slots__ = ("_automaton", "_may_lift", "root", "rules")

    def __init__(self, compiled: tuple[_Compiled, ...]) -> None:
        self.rules = tuple(item.rule for item in compiled)
        self._automaton = _Automaton(compiled)
        self.root = self._automaton.start()
        self._may_lift = any(item.may_lift() for item in compiled)

    @property
    def ignores_body(self) -> bool:
        """Whether nothing in the body can make a difference, so that it need not be comparable."""
        return self.root.child("body").skip

    def keeps_header(self, name: str, part: str = "headers") -> bool:
        """Whether a header (lower-case name) of `headers` or `trailers` is in the document.

        One that differs by nature is there only if a rule says otherwise: `ignore = false` at a path that leads into
        the headers or ends in the header's name, or something about how to compare it under its own name.
        """
        return not _differs_by_nature(name) or (self._may_lift and self._lifts(name, part))

    def _lifts(self, name: str, part: str) -> bool:
        for compiled, here in self._automaton.matching(self.root.child(part).child(name).positions):
            named = here and compiled.steps[-1:] == (name,)
            if compiled.rule.ignore is not None and (named or compiled.in_headers):
                return not compiled.rule.ignore
            if named and any(getattr(compiled.rule, aspect) is not None for aspect in _COMPARING):
                return True
        return False


class RuleSet:
    """All rules, and their version: a hash of what they say (comments and layout do not count).

    Args:
        file: What was read.
        text: The text it was read from, as it is stored beside the comparisons.
    """

    def __init__(self, file: RuleFile, text: str = "") -> None:
        self.file = file
        self.text = text
        self.version = hashlib.sha256(msgspec.json.encode(file, order="deterministic")).hexdigest()[:16]
        self.endpoints = tuple(file.endpoint)
        self._compiled = [_compile(rule) for rule in file.rule]
        self._scopes = [(_scope(rule.service), _scope(rule.endpoint)) for rule in file.rule]
        self._template_scopes = [_scope(endpoint.service) for endpoint in file.endpoint]
        self._by_endpoint: dict[tuple[str, str], EndpointRules] = {}
        self._by_rules: dict[tuple[int, ...], EndpointRules] = {}

    def chosen(self, service: str, endpoint: str) -> tuple[int, ...]:
        """Give the places, in the order of the file, of the rules that hold for an endpoint."""
        return tuple(
            rule
            for rule, (services, endpoints) in enumerate(self._scopes)
            if _matches(services, service) and _matches(endpoints, endpoint)
        )

    def for_endpoint(self, service: str, endpoint: str) -> EndpointRules:
        """Give the compiled rules of one endpoint; endpoints with the same rules share them."""
        found = self._by_endpoint.get((service, endpoint))
        if found is None:
            chosen = self.chosen(service, endpoint)
            if len(self._by_endpoint) >= _MAX_ENDPOINTS:
                self._by_endpoint.clear()
                self._by_rules.clear()
            found = self._by_rules.get(chosen)
            if found is None:
                found = self._by_rules[chosen] = EndpointRules(tuple(self._compiled[rule] for rule in chosen))
            self._by_endpoint[service, endpoint] = found
        return found

    def templates_for(self, service: str) -> list[str]:
        """Give the endpoint templates that hold for one service, in the order of the file."""
        return [
            endpoint.template
            for endpoint, services in zip(self.endpoints, self._template_scopes, strict=True)
            if _matches(services, service)
        ]


def parse_rules(text: str, source: str = "rules.toml") -> RuleSet:
    """Read the text of a rules file; `source` is named in errors.

    Raises:
        ConfigError: Not TOML, or a table, key or value that a rules file cannot have; says which, and the closest key.
    """
    return RuleSet(read_rule_file(text, source), text)
