"""What makes two elements of an array the same one: equal values, or values that rules make equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gnomon.core.equality import number_key, stand_in

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gnomon.core.rules import PathRules
    from gnomon.model import JsonValue

__all__ = ["Identities"]

_TRUE: Final = ("true",)
_FALSE: Final = ("false",)
_IGNORED: Final = ("ignored",)


class Identities:
    """Gives identities to the values of two documents, which must outlive it.

    Each object and array is looked into once, however many arrays around it are aligned: work and memory are linear
    in the documents. A rule's `noise` makes no identity (a rule that only marks differences must not change them),
    and tolerances make none (nearness is not transitive).
    """

    __slots__ = ("_classes", "_known")

    def __init__(self) -> None:
        self._classes: dict[Hashable, object] = {}
        self._known: dict[tuple[int, PathRules | None], object] = {}

    def of(self, value: JsonValue, rules: PathRules | None = None) -> Hashable:
        """Give the identity of a value at a place with these rules."""
        if rules is not None:
            if rules.dead:
                rules = None
            elif rules.skip or (rules.aspects.ignore and not isinstance(value, dict | list)):
                return _IGNORED
            elif rules.equalises:
                shared = stand_in(value, rules.aspects)
                if shared is not None:
                    return shared
        if isinstance(value, dict | list):
            return self._of_container(value, rules)
        if isinstance(value, bool):
            return _TRUE if value else _FALSE
        return value if value is None or isinstance(value, str) else number_key(value)

    def _of_container(self, value: Any, rules: PathRules | None) -> object:  # noqa: ANN401 - an object or an array
        place = (id(value), rules)
        found = self._known.get(place)
        if found is None:
            key = self._object_key(value, rules) if type(value) is dict else self._array_key(value, rules)
            found = self._known[place] = self._classes.setdefault(key, object())
        return found

    def _object_key(self, value: dict[str, JsonValue], rules: PathRules | None) -> Hashable:
        members: list[tuple[str, Hashable]] = []
        for name, inner in value.items():
            below = None if rules is None else rules.child(name)
            if below is not None and (below.skip or (inner is None and below.aspects.null_is_missing)):
                continue
            members.append((name, self.of(inner, below)))
        return frozenset(members)

    def _array_key(self, value: list[JsonValue], rules: PathRules | None) -> Hashable:
        below = None if rules is None else rules.element()
        elements: list[Hashable] = []
        for inner in value:
            elements.append(self.of(inner, below))  # noqa: PERF401 - a comprehension is a frame more on each level
        if rules is not None and rules.aspects.unordered:
            counts: dict[Hashable, int] = {}
            for element in elements:
                counts[element] = counts.get(element, 0) + 1
            return ("unordered", frozenset(counts.items()))
        return tuple(elements)
