"""Array alignment: which element of the shadow's array is which element of live's.

Three ways, each symmetric: aligning (b, a) gives the inverse of aligning (a, b).

- by key, where the elements have one: order is judged by a longest increasing subsequence (Schensted, 1961), so that
  as few elements as possible count as moved;
- by a longest common subsequence of equal elements (Hunt & Szymanski, 1977; Myers, 1986, where many elements are
  alike): what is left over and found elsewhere moved, the rest pairs in order inside each gap;
- as a multiset, where order does not matter.

Work is bounded by a `Budget`; when it is used up, arrays are paired by position and the alignment says so.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

__all__ = ["Alignment", "Budget", "align_by_key", "align_by_position", "align_multiset", "align_sequence"]

Pairs = list[tuple[int, int]]
MAX_EDITS = 400
"""Edits up to which Myers' algorithm looks for a subsequence when Hunt and Szymanski's would be too dear."""


class Alignment(NamedTuple):
    """Index pairs (live, shadow), each list in live's order.

    `equal` need no look inside unless rules say so, `paired` are to be compared inside, `moved` are the same element
    at another place, `removed` are live's and `added` the shadow's left over. `gave_up`: paired by position, because
    aligning would have cost more than the budget.
    """

    equal: Pairs
    paired: Pairs
    moved: Pairs
    removed: list[int]
    added: list[int]
    gave_up: bool = False

    def inverse(self) -> Alignment:
        """Give the alignment of the swapped arrays."""
        return Alignment(
            _swap(self.equal), _swap(self.paired), _swap(self.moved), self.added, self.removed, self.gave_up
        )


class Budget:
    """Units of work left for the alignments of one comparison (about 0.3 microseconds each)."""

    __slots__ = ("left",)

    def __init__(self, units: int) -> None:
        self.left = units

    def spend(self, units: int) -> bool:
        """Take units if there are enough; tells whether there were."""
        if units > self.left:
            return False
        self.left -= units
        return True


def _swap(pairs: Pairs) -> Pairs:
    return sorted((b, a) for a, b in pairs)


def align_by_position(live: int, shadow: int, *, gave_up: bool = False) -> Alignment:
    """Pair two arrays of these lengths by position."""
    common = min(live, shadow)
    return Alignment(
        [], [(i, i) for i in range(common)], [], list(range(common, live)), list(range(common, shadow)), gave_up
    )


def align_by_key(live: Sequence[Hashable], shadow: Sequence[Hashable], *, ordered: bool = True) -> Alignment:
    """Align two arrays by their elements' keys, which are unique on each side; nothing is in `equal`."""
    where = {key: j for j, key in enumerate(shadow)}
    pairs = [(i, where[key]) for i, key in enumerate(live) if key in where]
    known = set(live)
    removed = [i for i, key in enumerate(live) if key not in where]
    added = [j for j, key in enumerate(shadow) if key not in known]
    moved: Pairs = []
    if ordered and any(pairs[n][1] > pairs[n + 1][1] for n in range(len(pairs) - 1)):
        flipped = _comes_first(shadow, live)
        basis = _swap(pairs) if flipped else pairs
        kept = _longest_increasing([b for _, b in basis])
        moved = [pair for n, pair in enumerate(basis) if n not in kept]
        moved = _swap(moved) if flipped else moved
        gone = set(moved)
        pairs = [pair for pair in pairs if pair not in gone]
    return Alignment([], pairs, moved, removed, added)


def align_multiset(live: Sequence[Hashable], shadow: Sequence[Hashable]) -> Alignment:
    """Align without regard to order: equal elements first, the rest in order of appearance."""
    equal, rest_live, rest_shadow = _match_equal(live, shadow, range(len(live)), range(len(shadow)))
    common = min(len(rest_live), len(rest_shadow))
    paired = list(zip(rest_live, rest_shadow, strict=False))
    return Alignment(equal, paired, [], rest_live[common:], rest_shadow[common:])


def align_sequence(live: Sequence[Hashable], shadow: Sequence[Hashable], budget: Budget) -> Alignment:
    """Align two arrays of elements' identities (equal elements have equal identities) by content and order."""
    if _comes_first(shadow, live):  # a longest common subsequence is not unique: choose the same one from both sides
        return _align(shadow, live, budget).inverse()
    return _align(live, shadow, budget)


def _align(live: Sequence[Hashable], shadow: Sequence[Hashable], budget: Budget) -> Alignment:
    head = 0
    shorter = min(len(live), len(shadow))
    while head < shorter and live[head] == shadow[head]:
        head += 1
    tail = 0
    while tail < shorter - head and live[-1 - tail] == shadow[-1 - tail]:
        tail += 1
    middle_live, middle_shadow = live[head : len(live) - tail], shadow[head : len(shadow) - tail]
    common = _common_subsequence(middle_live, middle_shadow, budget)
    if common is None:
        return align_by_position(len(live), len(shadow), gave_up=True)
    anchors = [(i, i) for i in range(head)]
    anchors += [(i + head, j + head) for i, j in common]
    anchors += [(len(live) - n, len(shadow) - n) for n in range(tail, 0, -1)]
    return _fill_gaps(live, shadow, anchors)


def _fill_gaps(live: Sequence[Hashable], shadow: Sequence[Hashable], anchors: Pairs) -> Alignment:
    taken_live, taken_shadow = {i for i, _ in anchors}, {j for _, j in anchors}
    moved, rest_live, rest_shadow = _match_equal(
        live,
        shadow,
        [i for i in range(len(live)) if i not in taken_live],
        [j for j in range(len(shadow)) if j not in taken_shadow],
    )
    paired: Pairs = []
    removed: list[int] = []
    added: list[int] = []
    at_live = at_shadow = 0
    for end_live, end_shadow in [*anchors, (len(live), len(shadow))]:
        stop_live = bisect_left(rest_live, end_live, at_live)
        stop_shadow = bisect_left(rest_shadow, end_shadow, at_shadow)
        gap_live, gap_shadow = rest_live[at_live:stop_live], rest_shadow[at_shadow:stop_shadow]
        at_live, at_shadow = stop_live, stop_shadow
        common = min(len(gap_live), len(gap_shadow))
        paired += zip(gap_live, gap_shadow, strict=False)
        removed += gap_live[common:]
        added += gap_shadow[common:]
    return Alignment(anchors, paired, moved, removed, added)


def _match_equal(
    live: Sequence[Hashable], shadow: Sequence[Hashable], from_live: Sequence[int], from_shadow: Sequence[int]
) -> tuple[Pairs, list[int], list[int]]:
    """Pair the n-th occurrence of each identity with the n-th on the other side; give the pairs and both rests."""
    waiting: dict[Hashable, list[int]] = defaultdict(list)
    for j in reversed(from_shadow):
        waiting[shadow[j]].append(j)
    pairs: Pairs = []
    rest_live: list[int] = []
    for i in from_live:
        candidates = waiting.get(live[i])
        if candidates:
            pairs.append((i, candidates.pop()))
        else:
            rest_live.append(i)
    taken = {j for _, j in pairs}
    return pairs, rest_live, [j for j in from_shadow if j not in taken]


def _comes_first(one: Sequence[Hashable], other: Sequence[Hashable]) -> bool:
    """Whether `one` sorts before `other` in some total order of arrays: by length, then by the first unlike identity."""
    if len(one) != len(other):
        return len(one) < len(other)
    for a, b in zip(one, other, strict=True):
        if a != b:
            return repr(a) < repr(b)
    return False


def _common_subsequence(live: Sequence[Hashable], shadow: Sequence[Hashable], budget: Budget) -> Pairs | None:
    """Give a longest common subsequence as increasing index pairs; None when the budget does not allow it."""
    if not live or not shadow:
        return []
    where: dict[Hashable, list[int]] = defaultdict(list)
    for j, identity in enumerate(shadow):
        where[identity].append(j)
    matches = sum(len(where[identity]) for identity in live if identity in where)
    if budget.spend(matches + len(live) + len(shadow)):
        return _hunt_szymanski(live, where)
    if budget.spend(len(live) + len(shadow) + MAX_EDITS * MAX_EDITS):
        return _myers(live, shadow)
    return None


def _hunt_szymanski(live: Sequence[Hashable], where: dict[Hashable, list[int]]) -> Pairs:
    """Hunt & Szymanski, "A fast algorithm for computing longest common subsequences", CACM 20(5), 1977."""
    ends: list[int] = []  # ends[k]: the smallest shadow index at which a common subsequence of length k + 1 ends
    links: list[tuple[int, int, object]] = []
    for i, identity in enumerate(live):
        for j in reversed(where.get(identity, ())):
            k = bisect_left(ends, j)
            link = (i, j, links[k - 1] if k else None)
            if k == len(ends):
                ends.append(j)
                links.append(link)
            elif j < ends[k]:
                ends[k] = j
                links[k] = link
    pairs: Pairs = []
    link_at: object = links[-1] if links else None
    while isinstance(link_at, tuple):
        i, j, link_at = link_at
        pairs.append((i, j))
    pairs.reverse()
    return pairs


def _myers(live: Sequence[Hashable], shadow: Sequence[Hashable]) -> Pairs | None:
    """Myers, "An O(ND) difference algorithm and its variations", Algorithmica 1, 1986; None past `MAX_EDITS` edits."""
    furthest = {1: 0}
    history: list[dict[int, int]] = []
    for edits in range(MAX_EDITS + 1):
        history.append(dict(furthest))
        for diagonal in range(-edits, edits + 1, 2):
            down = diagonal == -edits or (
                diagonal != edits and furthest.get(diagonal - 1, -1) < furthest.get(diagonal + 1, -1)
            )
            i = furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1
            j = i - diagonal
            while i < len(live) and j < len(shadow) and live[i] == shadow[j]:
                i += 1
                j += 1
            furthest[diagonal] = i
            if i >= len(live) and j >= len(shadow):
                return _trace(history, len(live), len(shadow))
    return None


def _trace(history: list[dict[int, int]], i: int, j: int) -> Pairs:
    """Walk back from the end through Myers' furthest points and give the diagonal steps."""
    pairs: Pairs = []
    for edits in range(len(history) - 1, -1, -1):
        furthest = history[edits]
        diagonal = i - j
        down = diagonal == -edits or (
            diagonal != edits and furthest.get(diagonal - 1, -1) < furthest.get(diagonal + 1, -1)
        )
        before = diagonal + 1 if down else diagonal - 1
        start_i = furthest[before] if edits else 0
        start_j = start_i - before if edits else 0
        while i > start_i and j > start_j:
            i -= 1
            j -= 1
            pairs.append((i, j))
        i, j = start_i, start_j
    pairs.reverse()
    return pairs


def _longest_increasing(values: Sequence[int]) -> set[int]:
    """Give the positions of a longest increasing subsequence (Schensted, 1961; patience sorting with links)."""
    ends: list[int] = []
    tops: list[int] = []
    back: list[int] = []
    for n, value in enumerate(values):
        k = bisect_left(ends, value)
        back.append(tops[k - 1] if k else -1)
        if k == len(ends):
            ends.append(value)
            tops.append(n)
        else:
            ends[k] = value
            tops[k] = n
    kept: set[int] = set()
    n = tops[-1] if tops else -1
    while n >= 0:
        kept.add(n)
        n = back[n]
    return kept
