"""Laws of array alignment, for any two arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.align import Alignment, Budget, align_by_key, align_by_position, align_multiset, align_sequence

PLENTY = 1_000_000

arrays = st.lists(st.integers(0, 3), max_size=12) | st.lists(st.integers(0, 30), max_size=12)
keys = st.lists(st.integers(0, 12), max_size=10, unique=True)


def longest_common(live: Sequence[int], shadow: Sequence[int]) -> int:
    """Give the length of a longest common subsequence, by the table that everybody knows."""
    row = [0] * (len(shadow) + 1)
    for one in live:
        before = row
        row = [0]
        for j, other in enumerate(shadow):
            row.append(before[j] + 1 if one == other else max(row[j], before[j + 1]))
    return row[-1]


def is_partition(alignment: Alignment, live: int, shadow: int) -> bool:
    """Whether every index of both sides is in exactly one place, and each list is in live's order."""
    pairs = [*alignment.equal, *alignment.paired, *alignment.moved]
    lists = [alignment.equal, alignment.paired, alignment.moved, alignment.removed, alignment.added]
    return (
        sorted([*(i for i, _ in pairs), *alignment.removed]) == list(range(live))
        and sorted([*(j for _, j in pairs), *alignment.added]) == list(range(shadow))
        and all(each == sorted(each) for each in lists)  # type: ignore[type-var]
    )


def increases(pairs: Sequence[tuple[int, int]]) -> bool:
    """Whether pairs do not cross."""
    ordered = sorted(pairs)
    return all(a[1] < b[1] for a, b in pairwise(ordered))


@given(arrays, arrays)
def test_indices_are_partitioned(live: list[int], shadow: list[int]) -> None:
    """Whichever way arrays are aligned, with budget or without."""
    size = (len(live), len(shadow))
    assert is_partition(align_sequence(live, shadow, Budget(PLENTY)), *size)
    assert is_partition(align_sequence(live, shadow, Budget(PLENTY), flip=True), *size)
    assert is_partition(align_sequence(live, shadow, Budget(7)), *size)
    assert is_partition(align_multiset(live, shadow), *size)
    assert is_partition(align_by_position(*size), *size)


@given(arrays, arrays, st.integers(0, 60))
def test_what_is_equal_is_a_longest_common_subsequence(live: list[int], shadow: list[int], units: int) -> None:
    """As long as the budget lasts; whichever algorithm it allows, the length is that of the whole table."""
    for budget in (Budget(PLENTY), Budget(units)):
        found = align_sequence(live, shadow, budget)
        assert budget.left >= 0
        if not found.gave_up:
            assert len(found.equal) == longest_common(live, shadow)
            assert all(live[i] == shadow[j] for i, j in found.equal)
            assert increases(found.equal)


@given(arrays, arrays)
def test_what_is_left_over_differs(live: list[int], shadow: list[int]) -> None:
    """What is elsewhere moved: no element left over in live is left over in the shadow too."""
    found = align_sequence(live, shadow, Budget(PLENTY))
    assert all(live[i] == shadow[j] for i, j in found.moved)
    rest_live = Counter(live[i] for i in [*(i for i, _ in found.paired), *found.removed])
    rest_shadow = Counter(shadow[j] for j in [*(j for _, j in found.paired), *found.added])
    assert not rest_live & rest_shadow


@given(arrays, arrays)
def test_gaps_pair_in_order(live: list[int], shadow: list[int]) -> None:
    """Pairs cross nothing that is equal, and no gap has elements left over on both sides."""
    found = align_sequence(live, shadow, Budget(PLENTY))
    assert increases([*found.equal, *found.paired])
    bounds = [(-1, -1), *found.equal, (len(live), len(shadow))]
    for (i, j), (next_i, next_j) in pairwise(bounds):
        removed = [n for n in found.removed if i < n < next_i]
        added = [n for n in found.added if j < n < next_j]
        assert not (removed and added)


@given(arrays, arrays)
def test_the_other_direction_is_the_inverse(live: list[int], shadow: list[int]) -> None:
    """Looking from the same side each time, both directions say the same."""
    there = align_sequence(live, shadow, Budget(PLENTY))
    assert align_sequence(shadow, live, Budget(PLENTY), flip=True) == there.inverse()
    assert there.inverse().inverse() == there
    assert align_multiset(shadow, live) == align_multiset(live, shadow).inverse()


@given(arrays, arrays)
def test_multisets_match_as_often_as_both_have_an_element(live: list[int], shadow: list[int]) -> None:
    """And the rest pairs up, with a surplus on one side at most."""
    found = align_multiset(live, shadow)
    assert Counter(live[i] for i, _ in found.equal) == Counter(live) & Counter(shadow)
    assert all(live[i] == shadow[j] for i, j in found.equal)
    assert not (found.removed and found.added)
    assert not found.moved


@given(keys, keys)
def test_keys_pair_with_themselves(live: list[int], shadow: list[int]) -> None:
    """What is on both sides is a pair, what has moved is as little as can be, and all else is left over."""
    found = align_by_key(live, shadow)
    assert is_partition(found, len(live), len(shadow))
    assert {live[i] for i, _ in [*found.paired, *found.moved]} == set(live) & set(shadow)
    assert all(live[i] == shadow[j] for i, j in [*found.paired, *found.moved])
    assert increases(found.paired)
    assert len(found.paired) == longest_common(live, shadow)
    assert align_by_key(shadow, live, flip=True) == found.inverse()
    unordered = align_by_key(live, shadow, ordered=False)
    assert sorted(unordered.paired) == sorted([*found.paired, *found.moved])
    assert not unordered.moved
