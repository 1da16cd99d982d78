"""Which way two arrays are aligned, and what it may cost.

By a key that the elements share, else by content, or as multisets where a rule says `unordered`. Most elements of most
arrays are equal where they stand: they are set aside first, and only what is between them is aligned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from gnomon.core.align import (
    Alignment,
    Budget,
    align_by_key,
    align_by_position,
    align_multiset,
    align_sequence,
)
from gnomon.core.equality import NUMBERS, identical, number_key, same
from gnomon.core.identity import Identities
from gnomon.core.json import dumps
from gnomon.core.likeness import pair_by_likeness

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gnomon.core.rules import PathRules
    from gnomon.model import JsonValue

__all__ = ["GAVE_UP", "GAVE_UP_NEARNESS", "Aligned", "Aligner", "OverBudgetError"]

GAVE_UP: Final = "aligned by position: the array is too large to align by content"
GAVE_UP_NEARNESS: Final = "aligned by exact values: the array is too large to look for those within a tolerance"
DEFAULT_KEY: Final = "id"
_PLAIN_KEYS: Final = frozenset({str, int})
_NUMBER_KEYS: Final = frozenset({str, *NUMBERS})

_Array: TypeAlias = "list[JsonValue]"
_Keys: TypeAlias = "list[str | int | float | Any]"


Near: TypeAlias = "Callable[[Aligner, JsonValue, JsonValue, PathRules], bool]"


class OverBudgetError(Exception):
    """What was asked would cost more than the budget has left. It never leaves the core."""


class Aligned(NamedTuple):
    """An alignment, whether it is by key (then what moved may differ inside), and why it is not as good as asked."""

    alignment: Alignment
    keyed: bool = False
    reason: str | None = None


class Aligner:
    """Aligns the arrays of two documents, which must outlive it.

    Args:
        budget: What all alignments together may cost.
    """

    __slots__ = ("_budget", "_identities", "_reserve", "_unlike")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._reserve = 0
        self._identities = Identities()
        self._unlike: set[tuple[int, int]] = set()

    def align(
        self, live: _Array, shadow: _Array, rules: PathRules | None, near: Near | None, *, shallow: bool
    ) -> Aligned | None:
        """Align two arrays at a place with these rules; None: they are exactly the same.

        Args:
            live: Live's array.
            shadow: The shadow's.
            rules: The rules at their place.
            near: Whether two elements are equal under the rules of their place, tolerances included; may raise
                `OverBudgetError`. None: elements are matched by what they exactly are.
            shallow: Few containers are around them, so it is no matter if their elements are compared as wholes.
        """
        unordered = rules is not None and rules.aspects.unordered
        keys = _keys(live, shadow, None if rules is None else rules.aspects.key)
        if keys is not None:
            return Aligned(_by_key(keys, ordered=not unordered), keyed=True)
        head, tail = self._common_ends(live, shadow, shallow=shallow)
        if head == len(live) == len(shadow):
            return None
        rest_live, rest_shadow = live[head : len(live) - tail], shadow[head : len(shadow) - tail]
        if not rest_live or not rest_shadow or len(rest_live) == len(rest_shadow) == 1:
            return Aligned(align_by_position(len(rest_live), len(rest_shadow)).shifted(head))
        below = None if rules is None else rules.element()
        ids_live = [self._identities.of(element, below) for element in rest_live]
        ids_shadow = [self._identities.of(element, below) for element in rest_shadow]
        reason = None
        if near is not None and below is not None and below.tolerates_below():
            self._reserve = self._budget.left // 2  # elements that are near are worth no more than their order
            reason = _match_near((rest_live, ids_live), (rest_shadow, ids_shadow), lambda a, b: near(self, a, b, below))
        if unordered:
            alignment = align_multiset(ids_live, ids_shadow)
            alignment = pair_by_likeness(alignment, rest_live, rest_shadow, self._budget)
        else:
            flip = _comes_first((rest_shadow, ids_shadow), (rest_live, ids_live))
            alignment = align_sequence(ids_live, ids_shadow, self._budget, flip=flip)
        return Aligned(alignment.shifted(head), reason=GAVE_UP if alignment.gave_up else reason)

    def pay(self, units: int) -> None:
        """Pay for a step of looking for near elements.

        Raises:
            OverBudgetError: What is left is kept for other work.
        """
        if self._budget.left - units < self._reserve:
            raise OverBudgetError
        self._budget.spend(units)

    def _common_ends(self, live: _Array, shadow: _Array, *, shallow: bool) -> tuple[int, int]:
        """Count the elements that are exactly the same at the head and, of the rest, at the tail of both arrays."""
        head = 0
        for one, other in zip(live, shadow, strict=False):
            if not self._same(one, other, shallow=shallow):
                break
            head += 1
        longest = min(len(live), len(shadow)) - head
        tail = 0
        while tail < longest and self._same(live[-1 - tail], shadow[-1 - tail], shallow=shallow):
            tail += 1
        return head, tail

    def _same(self, one: JsonValue, other: JsonValue, *, shallow: bool) -> bool:
        if shallow and isinstance(one, dict | list) and identical(one, other):
            return True
        return same(one, other, self._unlike)


def _match_near(
    live: tuple[_Array, list[Hashable]],
    shadow: tuple[_Array, list[Hashable]],
    near: Callable[[JsonValue, JsonValue], bool],
) -> str | None:
    """Give elements that only the shadow has the identity of the first of live's such elements that they are near.

    Returns:
        Why some may not have been found, or None.
    """
    elements, identities = live
    in_live, in_shadow = set(identities), set(shadow[1])
    free = [i for i, identity in enumerate(identities) if identity not in in_shadow]
    try:
        for j, identity in enumerate(shadow[1]):
            if identity in in_live:
                continue
            twin = next((i for i in free if near(elements[i], shadow[0][j])), None)
            if twin is not None:
                free.remove(twin)
                shadow[1][j] = identities[twin] = ("near", twin)
    except OverBudgetError:
        return GAVE_UP_NEARNESS
    return None


def _keys(live: _Array, shadow: _Array, key: str | None) -> tuple[_Keys, _Keys] | None:
    """Give both sides' keys, by the rule's key if there is one that serves, else by `id`."""
    if not live or not shadow or type(live[0]) is not dict:
        return None
    for name in (DEFAULT_KEY,) if key is None or key == DEFAULT_KEY else (key, DEFAULT_KEY):
        mine = _keys_of(live, name)
        theirs = None if mine is None else _keys_of(shadow, name)
        if mine is None or theirs is None:
            continue
        if mine == theirs or 2 * len(set(mine).intersection(theirs)) > min(len(live), len(shadow)):
            return mine, theirs
    return None


def _keys_of(elements: _Array, name: str) -> _Keys | None:
    """Give the elements' keys if each has one and no two are alike. `1` and `1.0` are, `1` and `"1"` are not."""
    try:
        keys = [element[name] for element in elements]  # type: ignore[index,call-overload]
        types, distinct = set(map(type, keys)), len(set(keys))
    except (TypeError, KeyError):  # no object, without the member, or one that is no key
        return None
    if not types <= _PLAIN_KEYS:
        if not types <= _NUMBER_KEYS:
            return None
        keys = [key if type(key) is str else number_key(key) for key in keys]  # type: ignore[arg-type]
        distinct = len(set(keys))
    return keys if distinct == len(keys) else None


def _by_key(keys: tuple[_Keys, _Keys], *, ordered: bool) -> Alignment:
    live, shadow = keys
    if live == shadow:
        return align_by_position(len(live), len(shadow))
    return align_by_key(live, shadow, ordered=ordered, flip=_comes_first((shadow, shadow), (live, live)))


def _comes_first(one: tuple[_Array, list[Hashable]], other: tuple[_Array, list[Hashable]]) -> bool:
    """Whether an array sorts before another: by length, then by the text of the first element that is another.

    Any total order does; it decides from which side both `diff(a, b)` and `diff(b, a)` look.
    """
    if len(one[0]) != len(other[0]):
        return len(one[0]) < len(other[0])
    for n, (mine, theirs) in enumerate(zip(one[1], other[1], strict=True)):
        if mine != theirs:
            return dumps(one[0][n]) < dumps(other[0][n])
    return False
