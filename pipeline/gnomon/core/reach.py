"""Which rules are about something that landed: one that matches nothing is likely to be misspelt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

import msgspec

from gnomon.core.pointer import unescape
from gnomon.core.rulefile import ASPECTS
from gnomon.core.rules import Rule, RuleSet, path_steps
from gnomon.model import Difference

__all__ = ["Reach", "UnmetRule"]

_MOST_SEEN: Final = 100_000
"""Endpoints and fields that are looked at: both are of hostile traffic."""


class UnmetRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that nothing was under: its place in the file (from 1), its match part, and what it did not match."""

    number: int
    rule: str
    why: str


class Reach:
    """Collects what rules match.

    Args:
        rules: The rules.
    """

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._steps = [path_steps(rule.path) for rule in rules.file.rule]
        self._endpoints: set[tuple[str, str]] = set()
        self._fields: set[tuple[str, str, str]] = set()
        self._unmet_endpoints = set(range(len(self._steps)))
        self._unmet_fields = set(self._unmet_endpoints)

    def see(self, service: str, endpoint: str, differences: Iterable[Difference]) -> None:
        """Take one comparison with what differs in it."""
        key = (service, endpoint)
        if key not in self._endpoints and len(self._endpoints) < _MOST_SEEN:
            self._endpoints.add(key)
            self._unmet_endpoints.difference_update(self._rules.chosen(service, endpoint))
        if not self._unmet_fields:
            return
        for difference in differences:
            field = (service, endpoint, difference.pattern)
            if field not in self._fields and len(self._fields) < _MOST_SEEN:
                self._fields.add(field)
                tokens = difference.path.split("/")[1:]
                self._unmet_fields -= {
                    rule
                    for rule in self._rules.chosen(service, endpoint)
                    if rule in self._unmet_fields and _meets(self._steps[rule], tokens)
                }

    def unmet(self, before: Sequence[Rule]) -> list[UnmetRule]:
        """Give the rules that matched no endpoint, and those that are new and matched no difference.

        Args:
            before: Rules that what was seen had been compared under: what they hide makes no difference any more.
        """
        if not self._endpoints:
            return []
        found, known = [], [msgspec.structs.replace(rule, reason=None) for rule in before]
        for at, rule in enumerate(self._rules.file.rule):
            why = ""
            if at in self._unmet_endpoints:
                why = f"no endpoint{self._meant(rule)}"
            elif at in self._unmet_fields and _is_of_differences(rule):
                why = "" if msgspec.structs.replace(rule, reason=None) in known else "no difference"
            if why:
                found.append(UnmetRule(number=at + 1, rule=_match_part(rule), why=why))
        return found

    def _meant(self, rule: Rule) -> str:
        """Say which endpoint or service was meant, if one is like it."""
        for asked, names in (
            (rule.endpoint, sorted({endpoint for _, endpoint in self._endpoints})),
            (rule.service, sorted({service for service, _ in self._endpoints})),
        ):
            near = get_close_matches(asked, names[:1_000], n=1) if asked is not None and asked not in names else []
            if near:
                return f"; did you mean {near[0]!r}?"
        return ""


def _is_of_differences(rule: Rule) -> bool:
    """Whether a rule says something about how sides are compared, and not only what nobody may read."""
    return any(getattr(rule, aspect) is not None for aspect in ASPECTS if aspect != "redact")


def _match_part(rule: Rule) -> str:
    parts = [(name, getattr(rule, name)) for name in ("service", "endpoint", "path")]
    return ", ".join(f"{name} {value!r}" for name, value in parts if value is not None) or "everything"


def _meets(steps: Sequence[object], tokens: Sequence[str], *, at_any: bool = False) -> bool:
    """Whether a rule's path leads to a place, above it, or below it (without `**`, which leads anywhere below).

    An array's position that the rule names by number is as good as another: a place stands for its pattern.
    """
    if not steps:
        return True
    if not tokens:
        return not at_any
    step, *rest = steps
    if not isinstance(step, str | re.Pattern):  # `**`
        return not rest or any(_meets(rest, tokens[at:], at_any=True) for at in range(len(tokens)))
    name = unescape(tokens[0])
    same = step == name or (name.isdigit() and str(step).isdigit())
    if isinstance(step, re.Pattern):
        same = step.fullmatch(name) is not None
    return same and _meets(rest, tokens[1:], at_any=at_any)
