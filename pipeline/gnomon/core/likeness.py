"""Which of the elements left over in an unordered array is most like which.

Without an order there is nothing to pair them by but what they hold. DeepDiff's distance (the share of a pair of
documents that has to change to make one the other, between 0 and 1) is good at that and slow, so it is asked about a
handful of small elements only; the rest is paired in order of appearance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gnomon.core.json import depth, dumps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gnomon.core.align import Alignment, Budget
    from gnomon.model import JsonValue

__all__ = ["pair_by_likeness"]

MAX_PAIRS: Final = 36
MAX_TEXT: Final = 4096
"""Characters of JSON text up to which an element is small."""

MAX_DEPTH: Final = 20
_UNITS_PER_CHARACTER: Final = 8


def pair_by_likeness(
    alignment: Alignment, live: Sequence[JsonValue], shadow: Sequence[JsonValue], budget: Budget
) -> Alignment:
    """Pair what an unordered alignment left over by likeness, the most alike first.

    Args:
        alignment: As `align_multiset` gives it.
        live: Live's elements.
        shadow: The shadow's.
        budget: What it may cost; the alignment stays as it is when that is too little.
    """
    mine = sorted([*(i for i, _ in alignment.paired), *alignment.removed])
    theirs = sorted([*(j for _, j in alignment.paired), *alignment.added])
    candidates = [
        (i, j) for i in mine for j in theirs if isinstance(live[i], dict | list) and type(live[i]) is type(shadow[j])
    ]
    if len(candidates) <= 1 or len(candidates) > MAX_PAIRS:
        return alignment
    elements = [*(live[i] for i in mine), *(shadow[j] for j in theirs)]
    longest = max(len(dumps(element)) for element in elements)
    if longest > MAX_TEXT or max(map(depth, elements)) > MAX_DEPTH:
        return alignment
    if not budget.spend(len(candidates) * longest * _UNITS_PER_CHARACTER):
        return alignment
    paired = _closest([(_distance(live[i], shadow[j]), i, j) for i, j in candidates])
    rest_live = [i for i in mine if i not in {i for i, _ in paired}]
    rest_shadow = [j for j in theirs if j not in {j for _, j in paired}]
    paired += zip(rest_live, rest_shadow, strict=False)
    common = min(len(rest_live), len(rest_shadow))
    return alignment._replace(paired=sorted(paired), removed=rest_live[common:], added=rest_shadow[common:])


def _closest(distances: list[tuple[float, int, int]]) -> list[tuple[int, int]]:
    """Take the closest pair, then the closest of what is left, and so on."""
    paired: dict[int, int] = {}
    for _, i, j in sorted(distances):
        if i not in paired and j not in paired.values():
            paired[i] = j
    return list(paired.items())


def _distance(one: JsonValue, other: JsonValue) -> float:
    # a fifth of a second to import, and needed by few
    from deepdiff import DeepDiff  # noqa: PLC0415

    found = DeepDiff(one, other, get_deep_distance=True, ignore_numeric_type_changes=True)
    return float(found.get("deep_distance", 0.0))
