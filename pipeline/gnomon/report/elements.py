"""Which array elements stand beside which: as the differences say, then equal ones, then in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from gnomon.model import JsonValue

__all__ = ["Pair", "in_live_order", "match_up", "partners"]

SEARCH = 400
"""Elements up to which equal ones are looked for out of order; above, they pair in order."""

DEEPEST = 200
"""Steps of a path that are looked at; no document that was compared is deeper."""

Pair: TypeAlias = "tuple[int | None, int | None]"


def partners(places: Iterable[tuple[str, str, bool]]) -> dict[tuple[str, str], dict[int, int]]:
    """Find which elements differences put beside each other, by the pointers of their arrays on both sides.

    A place is a difference's path, its path in the shadow, and whether its last step has a partner (an added
    element has none).
    """
    found: dict[tuple[str, str], dict[int, int]] = {}
    for live_path, shadow_path, whole in places:
        live, shadow = live_path.split("/", DEEPEST), shadow_path.split("/", DEEPEST)
        for depth in range(1, min(len(live), len(shadow)) - (not whole)):
            at, other = live[depth], shadow[depth]
            if at.isdecimal() and other.isdecimal() and len(at) < 10 and len(other) < 10:
                found.setdefault(("/".join(live[:depth]), "/".join(shadow[:depth])), {})[int(at)] = int(other)
    return found


def match_up(
    live: list[JsonValue], shadow: list[JsonValue], free_live: list[int], free_shadow: list[int]
) -> dict[int, int]:
    """Pair what the differences do not speak of: equal elements wherever they are, the others in order."""
    if len(free_live) == len(free_shadow) and all(
        live[at] == shadow[other] for at, other in zip(free_live, free_shadow, strict=True)
    ):
        return dict(zip(free_live, free_shadow, strict=True))
    paired: dict[int, int] = {}
    left = list(free_shadow)
    if len(free_live) <= SEARCH and len(free_shadow) <= SEARCH:
        for at in free_live:
            equal = next((other for other in left if shadow[other] == live[at]), None)
            if equal is not None:
                paired[at] = equal
                left.remove(equal)
    waiting = [at for at in free_live if at not in paired]
    paired.update(zip(waiting, left, strict=False))
    return paired


def in_live_order(paired: Mapping[int, int], live: int, shadow: int) -> list[Pair]:
    """Pairs in the order of the live array; what only the shadow has follows the partner of its predecessor."""
    by_shadow = {other: at for at, other in paired.items()}
    extra: dict[int, list[int]] = {}
    last = -1
    for other in range(shadow):
        if other in by_shadow:
            last = by_shadow[other]
        else:
            extra.setdefault(last, []).append(other)
    order: list[Pair] = [(None, other) for other in extra.get(-1, [])]
    for at in range(live):
        order.append((at, paired.get(at)))
        order += [(None, other) for other in extra.get(at, [])]
    return order
