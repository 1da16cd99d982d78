"""Array alignment: which element of the shadow's array is which element of live's.

Three ways:

- by key, where the elements have one: order is judged by a longest increasing subsequence (Schensted, 1961), so that
  as few elements as possible count as moved;
- by a longest common subsequence of equal elements: by Hunt & Szymanski (1977), which is fast where few elements are
  alike, or by Myers (1986), which is fast where few elements differ; what is left over and found elsewhere moved, the
  rest pairs in order inside each gap;
- as a multiset, where order does not matter.

Elements are known by their identities here: hashable values, equal for elements that are the same. A longest
subsequence is not unique; who wants the same choice from both sides looks from the same side each time (`flip`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

__all__ = ["Alignment", "Budget", "align_by_key", "align_by_position", "align_multiset", "align_sequence"]

Pairs = list[tuple[int, int]]
MAX_EDITS = 800
"""Edits up to which Myers' algorithm looks; it remembers half the square of them."""


class Alignment(NamedTuple):
    """Index pairs (live, shadow) and indexes left over; each index of either side is in exactly one of the lists.

    `equal` have the same identity and kept their order, `moved` have the same identity at another place, `paired` are
    to be compared inside, `removed` are live's and `added` the shadow's left over. `gave_up`: paired by position,
    because aligning would have cost more than the budget.
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

    def shifted(self, by: int) -> Alignment:
        """Give the same alignment of arrays with so many elements more at the head of both, which are left out."""
        return Alignment(
            [(i + by, j + by) for i, j in self.equal],
            [(i + by, j + by) for i, j in self.paired],
            [(i + by, j + by) for i, j in self.moved],
            [i + by for i in self.removed],
            [j + by for j in self.added],
            self.gave_up,
        )


class Budget:
    """Units of work left for the alignments of one comparison; a unit is a step of a loop, well below a microsecond."""

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
    return sorted((j, i) for i, j in pairs)


def align_by_position(live: int, shadow: int, *, gave_up: bool = False) -> Alignment:
    """Pair two arrays of these lengths by position."""
    common = min(live, shadow)
    paired = [(i, i) for i in range(common)]
    return Alignment([], paired, [], list(range(common, live)), list(range(common, shadow)), gave_up)


def align_by_key(
    live: Sequence[Hashable], shadow: Sequence[Hashable], *, ordered: bool = True, flip: bool = False
) -> Alignment:
    """Align two arrays by their elements' keys, which are unique on each side; nothing is in `equal`."""
    if flip:
        return align_by_key(shadow, live, ordered=ordered).inverse()
    where = {key: j for j, key in enumerate(shadow)}
    pairs = [(i, where[key]) for i, key in enumerate(live) if key in where]
    known = set(live)
    removed = [i for i, key in enumerate(live) if key not in where]
    added = [j for j, key in enumerate(shadow) if key not in known]
    if not ordered:
        return Alignment([], pairs, [], removed, added)
    kept = _longest_increasing([j for _, j in pairs])
    stayed = [pair for n, pair in enumerate(pairs) if n in kept]
    moved = [pair for n, pair in enumerate(pairs) if n not in kept]
    return Alignment([], stayed, moved, removed, added)


def align_multiset(live: Sequence[Hashable], shadow: Sequence[Hashable]) -> Alignment:
    """Align without regard to order: equal elements first, the rest in order of appearance."""
    equal, rest_live, rest_shadow = _match_equal(live, shadow, range(len(live)), range(len(shadow)))
    common = min(len(rest_live), len(rest_shadow))
    paired = list(zip(rest_live, rest_shadow, strict=False))
    return Alignment(equal, paired, [], rest_live[common:], rest_shadow[common:])


def align_sequence(
    live: Sequence[Hashable], shadow: Sequence[Hashable], budget: Budget, *, flip: bool = False
) -> Alignment:
    """Align two arrays by content and order; by position when the budget does not allow it."""
    if flip:
        return align_sequence(shadow, live, budget).inverse()
    common = _common_subsequence(live, shadow, budget)
    if common is None:
        return align_by_position(len(live), len(shadow), gave_up=True)
    return _fill_gaps(live, shadow, common)


def _fill_gaps(live: Sequence[Hashable], shadow: Sequence[Hashable], anchors: Pairs) -> Alignment:
    """Find what moved among the elements outside the common subsequence, and pair the rest gap by gap."""
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
    waiting = _places(shadow, reversed(from_shadow))
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


def _places(array: Sequence[Hashable], indexes: Iterable[int]) -> dict[Hashable, list[int]]:
    places: dict[Hashable, list[int]] = {}
    for index in indexes:
        places.setdefault(array[index], []).append(index)
    return places


def _common_subsequence(live: Sequence[Hashable], shadow: Sequence[Hashable], budget: Budget) -> Pairs | None:
    """Give a longest common subsequence as increasing index pairs; None when the budget does not allow it."""
    in_live, in_shadow = Counter(live), Counter(shadow)
    # What one side lacks is in no common subsequence; numbers are cheaper to compare than long texts
    numbers = {identity: n for n, identity in enumerate(in_live.keys() & in_shadow.keys())}
    from_live = [i for i, identity in enumerate(live) if identity in numbers]
    from_shadow = [j for j, identity in enumerate(shadow) if identity in numbers]
    one, other = [numbers[live[i]] for i in from_live], [numbers[shadow[j]] for j in from_shadow]
    matches = sum(in_live[identity] * in_shadow[identity] for identity in numbers)
    cost = matches + len(one) + len(other)
    # Few edits are found fast, however many matches there are: worth a try beside all of them, or all that is left
    allowance = min(cost // 4, budget.left - cost) if cost <= budget.left else budget.left
    attempt = Budget(allowance)
    found = _myers(one, other, attempt)
    budget.spend(allowance - attempt.left)
    if found is None and budget.spend(cost):
        found = _hunt_szymanski(one, other)
    return None if found is None else [(from_live[i], from_shadow[j]) for i, j in found]


def _hunt_szymanski(live: Sequence[int], shadow: Sequence[int]) -> Pairs:
    """Hunt & Szymanski, "A fast algorithm for computing longest common subsequences", CACM 20(5), 1977."""
    where = _places(shadow, reversed(range(len(shadow))))
    ends: list[int] = []  # ends[k]: the smallest shadow index at which a common subsequence of length k + 1 ends
    links: list[tuple[int, int, object]] = []
    for i, identity in enumerate(live):
        for j in where[identity]:
            k = bisect_left(ends, j)
            if k == len(ends):
                ends.append(j)
                links.append((i, j, links[k - 1] if k else None))
            elif j < ends[k]:
                ends[k] = j
                links[k] = (i, j, links[k - 1] if k else None)
    pairs: Pairs = []
    link: object = links[-1] if links else None
    while isinstance(link, tuple):
        i, j, link = link
        pairs.append((i, j))
    pairs.reverse()
    return pairs


def _myers(live: Sequence[int], shadow: Sequence[int], budget: Budget) -> Pairs | None:
    """Myers, "An O(ND) difference algorithm and its variations", Algorithmica 1, 1986, section 4.

    Gives None past `MAX_EDITS` edits, or when the budget, which it spends as it goes, is used up.
    """
    most = min(MAX_EDITS, len(live) + len(shadow))
    centre = most + 1
    furthest = [0] * (2 * most + 3)  # by diagonal (live index - shadow index) + centre: how far in live
    history: list[list[int]] = []
    for edits in range(most + 1):
        history.append(furthest[centre - edits - 1 : centre + edits + 2])
        for diagonal in range(-edits, edits + 1, 2):
            below, above = furthest[centre + diagonal - 1], furthest[centre + diagonal + 1]
            start = i = above if _goes_down(diagonal, edits, below, above) else below + 1
            j = i - diagonal
            while i < len(live) and j < len(shadow) and live[i] == shadow[j]:
                i += 1
                j += 1
            furthest[centre + diagonal] = i
            if not budget.spend(1 + i - start):
                budget.left = 0
                return None
            if i >= len(live) and j >= len(shadow):
                return _trace(history, len(live), len(shadow))
    return None


def _goes_down(diagonal: int, edits: int, below: int, above: int) -> bool:
    """Whether the furthest path to a diagonal comes from the one above: by a step in the shadow alone."""
    return diagonal == -edits or (diagonal != edits and below < above)


def _trace(history: list[list[int]], i: int, j: int) -> Pairs:
    """Walk back from the end through Myers' furthest points and give the diagonal steps."""
    pairs: Pairs = []
    for edits in range(len(history) - 1, -1, -1):
        furthest, diagonal = history[edits], i - j
        below, above = furthest[diagonal + edits], furthest[diagonal + edits + 2]
        down = _goes_down(diagonal, edits, below, above)
        start_i = above if down else below
        start_j = start_i - diagonal - 1 if down else start_i - diagonal + 1
        if not edits:
            start_i = start_j = 0
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
