"""The structural difference of two JSON documents: a plain recursive walk.

Where no rule can match, a walk asks no rule; where values are equal, it builds nothing: paths are chains of steps
that become text only when there is a difference to report. Documents are at most 200 levels deep (`core.json`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from gnomon.core.align import (
    Alignment,
    Budget,
    align_by_key,
    align_by_position,
    align_multiset,
    align_sequence,
)
from gnomon.core.equality import alike, equal_under, identity_of_number, numbers_equal, same, type_name
from gnomon.core.json import dumps
from gnomon.core.pointer import escape, escape_pattern
from gnomon.core.rules import Aspects
from gnomon.model import Difference, DifferenceKind, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gnomon.core.rules import PathRules
    from gnomon.model import JsonValue

__all__ = ["ALIGNMENT_UNITS", "diff_documents"]

ALIGNMENT_UNITS: Final = 2_000_000
"""Work that the alignments of one comparison may take, in units of `align.Budget`: below a second."""

GAVE_UP: Final = "aligned by position: the array is too large to align by content"
_DEFAULT_KEY: Final = "id"
_CONTAINERS: Final = frozenset({dict, list})
_NUMBERS: Final = frozenset({int, float, Decimal})
_PAIRWISE: Final = 10_000
_MISSING: Final[Any] = object()

_Step = tuple[Any, Any, Any, bool] | None
"""(parent, step in live, step in shadow, whether the pattern has `*` here); None is the document itself."""


def diff_documents(
    live: JsonValue,
    shadow: JsonValue,
    rules: PathRules | None = None,
    budget: Budget | None = None,
    at: tuple[str, ...] = (),
) -> list[Difference]:
    """Compare two documents, or two parts of documents that stand at the same place.

    Args:
        live: The document as live answered it.
        shadow: The same of the other side.
        rules: The rules at this place; None: no rules.
        budget: What alignments may cost; a fresh one of `ALIGNMENT_UNITS` when there is none.
        at: Names from the root to this place, `("body",)`.

    Returns:
        The differences in live's order, the shadow's additions after live's members; empty when equal under the rules.
    """
    walk = _Walk(budget or Budget(ALIGNMENT_UNITS))
    step: _Step = None
    for name in at:
        step = (step, name, name, False)
    if live is _MISSING or shadow is _MISSING:
        return []
    walk.value(live, shadow, step, rules)
    return walk.found


def severity_of(part: str, kind: DifferenceKind) -> Severity:
    """Give a difference's severity: by the document's part (`status`, `headers`, ...) and by its kind."""
    if part in ("status", "error"):
        return "high"
    if part in ("headers", "trailers"):
        return "low"
    if kind in ("type_changed", "removed"):
        return "high"
    return "medium" if kind == "changed" else "low"


class _Walk:
    """One walk over two documents; collects differences."""

    __slots__ = ("budget", "found", "reason")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.found: list[Difference] = []
        self.reason: str | None = None

    def value(self, live: JsonValue, shadow: JsonValue, at: _Step, rules: PathRules | None) -> None:
        """Compare two values at one place."""
        if rules is not None:
            if rules.dead:
                rules = None
            elif rules.skip or (rules.aspects.equalises and equal_under(live, shadow, rules.aspects)):
                return
        kind = type(live)
        if kind is type(shadow):
            if kind is dict:
                self._object(live, shadow, at, rules)  # type: ignore[arg-type]
            elif kind is list:
                self._array(live, shadow, at, rules)  # type: ignore[arg-type]
            elif live != shadow:
                self._emit("changed", live, shadow, at, rules)
        elif kind in _NUMBERS and type(shadow) in _NUMBERS:
            if not numbers_equal(live, shadow):  # type: ignore[arg-type]
                self._emit("changed", live, shadow, at, rules)
        else:
            self._emit("type_changed", live, shadow, at, rules)

    def _object(
        self, live: dict[str, JsonValue], shadow: dict[str, JsonValue], at: _Step, rules: PathRules | None
    ) -> None:
        if rules is not None:
            self._object_with_rules(live, shadow, at, rules)
            return
        both = 0
        for name, one in live.items():
            other = shadow.get(name, _MISSING)
            if other is _MISSING:
                self._emit("removed", one, _MISSING, (at, name, None, False), None)
                continue
            both += 1
            kind = type(one)
            if kind is type(other) and kind not in _CONTAINERS:
                if one != other:
                    self._emit("changed", one, other, (at, name, name, False), None)
            else:
                self.value(one, other, (at, name, name, False), None)
        if both != len(shadow):
            for name, other in shadow.items():
                if name not in live:
                    self._emit("added", _MISSING, other, (at, name, name, False), None)

    def _object_with_rules(
        self, live: dict[str, JsonValue], shadow: dict[str, JsonValue], at: _Step, rules: PathRules
    ) -> None:
        star = rules.aspects.map
        for name in (*live, *(name for name in shadow if name not in live)):
            below = rules.child(name)
            one, other = live.get(name, _MISSING), shadow.get(name, _MISSING)
            if below.aspects.null_is_missing:
                one = _MISSING if one is None else one
                other = _MISSING if other is None else other
            if one is _MISSING and other is _MISSING:
                continue
            step = (at, name, name, star)
            if other is _MISSING:
                self._emit("removed", one, _MISSING, step, below)
            elif one is _MISSING:
                self._emit("added", _MISSING, other, step, below)
            else:
                self.value(one, other, step, below)

    def _array(self, live: list[JsonValue], shadow: list[JsonValue], at: _Step, rules: PathRules | None) -> None:
        alignment, keyed = self._align(live, shadow, rules)
        reason, self.reason = self.reason, GAVE_UP if alignment.gave_up else self.reason
        inside = alignment.paired
        if rules is not None:
            inside = sorted(alignment.equal + alignment.paired)
        moved = dict(alignment.moved)
        visits = [(i, "pair", j) for i, j in inside]
        visits += [(i, "moved", j) for i, j in moved.items()]
        visits += [(i, "removed", -1) for i in alignment.removed]
        for i, what, j in sorted(visits) if moved or alignment.removed else visits:
            below = None if rules is None else rules.item(i)
            if what == "removed":
                self._emit("removed", live[i], _MISSING, (at, i, None, True), below)
                continue
            step = (at, i, j, True)
            if what == "moved":
                self._emit("moved", live[i], shadow[j], step, below)
            if what == "pair" or keyed or below is not None:
                self.value(live[i], shadow[j], step, below)
        for j in alignment.added:
            self._emit("added", _MISSING, shadow[j], (at, j, j, True), None if rules is None else rules.item(j))
        self.reason = reason

    def _align(
        self, live: list[JsonValue], shadow: list[JsonValue], rules: PathRules | None
    ) -> tuple[Alignment, bool]:
        """Align two arrays; tells also whether by key, so that moved elements are compared inside."""
        aspects = None if rules is None else rules.aspects
        unordered = aspects is not None and aspects.unordered
        keys = _keys(live, shadow, None if aspects is None else aspects.key)
        if keys is not None:
            return align_by_key(*keys, ordered=not unordered), True
        if unordered:
            identities = self._identities(live, shadow, rules)
            if identities is None:
                return align_by_position(len(live), len(shadow), gave_up=True), False
            return align_multiset(*identities), False
        return self._align_by_content(live, shadow, rules), False

    def _align_by_content(
        self, live: list[JsonValue], shadow: list[JsonValue], rules: PathRules | None
    ) -> Alignment:
        shorter = min(len(live), len(shadow))
        head = 0
        while head < shorter and same(live[head], shadow[head]):
            head += 1
        tail = 0
        while tail < shorter - head and same(live[-1 - tail], shadow[-1 - tail]):
            tail += 1
        rest_live, rest_shadow = live[head : len(live) - tail], shadow[head : len(shadow) - tail]
        if not rest_live or not rest_shadow or len(rest_live) == len(rest_shadow) == 1:
            found = align_by_position(len(rest_live), len(rest_shadow))
        else:
            identities = self._identities(rest_live, rest_shadow, rules)
            if identities is None:
                found = align_by_position(len(rest_live), len(rest_shadow), gave_up=True)
            else:
                found = align_sequence(*identities, self.budget)
        if not head:
            return found
        return Alignment(
            [(i + head, j + head) for i, j in found.equal],
            [(i + head, j + head) for i, j in found.paired],
            [(i + head, j + head) for i, j in found.moved],
            [i + head for i in found.removed],
            [j + head for j in found.added],
            found.gave_up,
        )

    def _identities(
        self, live: Sequence[JsonValue], shadow: Sequence[JsonValue], rules: PathRules | None
    ) -> tuple[list[str], list[str]] | None:
        """Give each element a text that is the same for elements equal under the rules; None: over budget."""
        below = None if rules is None else rules.item(0)
        if below is not None and below.aligns_by_tolerance() and len(live) * len(shadow) <= _PAIRWISE:
            return self._identities_pairwise(live, shadow, below)
        try:
            return (
                [self._identity(element, below) for element in live],
                [self._identity(element, below) for element in shadow],
            )
        except _OverBudgetError:
            return None

    def _identities_pairwise(
        self, live: Sequence[JsonValue], shadow: Sequence[JsonValue], below: PathRules
    ) -> tuple[list[str], list[str]] | None:
        """Tolerances have no canonical form: an element is the first live one that it equals."""
        if not self.budget.spend(len(live) * len(shadow) * 10):
            return None

        def first(element: JsonValue, otherwise: str) -> str:
            for n, candidate in enumerate(live):
                walk = _Walk(self.budget)
                walk.value(candidate, element, None, below)
                if all(found.noise for found in walk.found):
                    return str(n)
            return otherwise

        return (
            [first(element, str(n)) for n, element in enumerate(live)],
            [first(element, f"shadow {n}") for n, element in enumerate(shadow)],
        )

    def _identity(self, value: JsonValue, rules: PathRules | None) -> str:
        if not self.budget.spend(1):
            raise _OverBudgetError
        if rules is not None:
            if rules.dead:
                rules = None
            elif rules.skip or rules.aspects.noise:
                return "*"
            elif rules.aspects.equalises:
                stand_in = _stand_in(value, rules)
                if stand_in is not None:
                    return stand_in
        if isinstance(value, str):
            return '"' + value
        if isinstance(value, dict):
            return self._identity_of_object(value, rules)
        if isinstance(value, list):
            parts = [self._identity(v, None if rules is None else rules.item(i)) for i, v in enumerate(value)]
            if rules is not None and rules.aspects.unordered:
                parts.sort()
            return f"[{_join(parts)}]"
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        return identity_of_number(value)

    def _identity_of_object(self, value: dict[str, JsonValue], rules: PathRules | None) -> str:
        parts: list[str] = []
        for name in sorted(value):
            below = None if rules is None else rules.child(name)
            if below is not None and (below.skip or below.aspects.noise):
                continue
            if value[name] is None and below is not None and below.aspects.null_is_missing:
                continue
            parts.append(f"{name}\x00{self._identity(value[name], below)}")
        return f"{{{_join(parts)}}}"

    def _emit(
        self, kind: DifferenceKind, live: JsonValue, shadow: JsonValue, at: _Step, rules: PathRules | None
    ) -> None:
        noise, reason = False, self.reason
        if rules is not None:
            if rules.aspects.ignore:
                return
            if rules.aspects.noise:
                noise, reason = True, rules.aspects.noise_reason
        path, shadow_path, pattern = _paths(at)
        part = path[1:].partition("/")[0]
        self.found.append(
            Difference(
                path,
                None if kind == "removed" else shadow_path,
                pattern,
                kind,
                severity_of(part, kind),
                None if live is _MISSING else dumps(live),
                None if shadow is _MISSING else dumps(shadow),
                noise,
                reason,
            )
        )


class _OverBudgetError(Exception):
    """Alignment would cost more than the budget has left."""


def _join(parts: list[str]) -> str:
    """Join texts so that no two lists give the same text: each is led by its length."""
    return "".join(f"{len(part)}:{part}" for part in parts)


def _stand_in(value: JsonValue, rules: PathRules) -> str | None:
    """Give the text shared by all values that an equalising aspect makes equal; None: the aspect does not hold."""
    aspects = rules.aspects
    if aspects.treat_as is not None and alike(value, value, aspects.treat_as):
        return f"*{type_name(value)}" if aspects.treat_as == "type" else f"*{aspects.treat_as}"
    if aspects.match is not None and equal_under(value, value, Aspects(match=aspects.match)):
        return "*match"
    if aspects.case_insensitive and isinstance(value, str):
        return '"' + value.casefold()
    return None


def _keys(live: list[JsonValue], shadow: list[JsonValue], key: str | None) -> tuple[list[str], list[str]] | None:
    """Give both sides' keys where every element has one, unique on its side, and the sides share most of them."""
    name = _DEFAULT_KEY if key is None else key
    if not live or not shadow or type(live[0]) is not dict or name not in live[0]:
        return None
    sides: list[list[str]] = []
    for elements in (live, shadow):
        keys: list[str] = []
        for element in elements:
            value = element.get(name) if isinstance(element, dict) else None
            if isinstance(value, str):
                keys.append('"' + value)
            elif type(value) in _NUMBERS:
                keys.append(identity_of_number(value))  # type: ignore[arg-type]
            else:
                return None
        if len(set(keys)) != len(keys):
            return None
        sides.append(keys)
    shared = len(set(sides[0]).intersection(sides[1]))
    if key is None and shared * 2 <= min(len(live), len(shadow)):
        return None
    return sides[0], sides[1]


def _paths(at: _Step) -> tuple[str, str, str]:
    """Turn a chain of steps into the path, the shadow's path and the pattern."""
    path: list[str] = []
    shadow_path: list[str] = []
    pattern: list[str] = []
    while at is not None:
        at, live, shadow, star = at
        path.append(escape(live) if isinstance(live, str) else str(live))
        shadow_path.append(escape(shadow) if isinstance(shadow, str) else str(shadow))
        pattern.append("*" if star else escape_pattern(live))
    if not path:
        return "", "", ""
    return (
        "/" + "/".join(reversed(path)),
        "/" + "/".join(reversed(shadow_path)),
        "/" + "/".join(reversed(pattern)),
    )
