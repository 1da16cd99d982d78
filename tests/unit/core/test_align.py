"""Which element of the shadow's array is which element of live's."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

import pytest

from gnomon.core.align import (
    MAX_EDITS,
    Alignment,
    Budget,
    align_by_key,
    align_by_position,
    align_multiset,
    align_sequence,
)

PLENTY = 1_000_000


def sequence(
    live: Sequence[Hashable], shadow: Sequence[Hashable], units: int = PLENTY, *, flip: bool = False
) -> Alignment:
    """Align by content with this budget."""
    return align_sequence(live, shadow, Budget(units), flip=flip)


@pytest.mark.parametrize(
    ("live", "shadow", "expected"),
    [
        ("", "", Alignment([], [], [], [], [])),
        ("", "ab", Alignment([], [], [], [], [0, 1])),
        ("ab", "", Alignment([], [], [], [0, 1], [])),
        ("abc", "abc", Alignment([(0, 0), (1, 1), (2, 2)], [], [], [], [])),
        ("abc", "xabc", Alignment([(0, 1), (1, 2), (2, 3)], [], [], [], [0])),
        ("abc", "ac", Alignment([(0, 0), (2, 1)], [], [], [1], [])),
        ("abc", "abx", Alignment([(0, 0), (1, 1)], [(2, 2)], [], [], [])),
        ("axyzb", "apqb", Alignment([(0, 0), (4, 3)], [(1, 1), (2, 2)], [], [3], [])),
        ("apqb", "axyzb", Alignment([(0, 0), (3, 4)], [(1, 1), (2, 2)], [], [], [3])),
        ("xabyz", "pabq", Alignment([(1, 1), (2, 2)], [(0, 0), (3, 3)], [], [4], [])),
        ("aab", "abb", Alignment([(0, 0), (2, 1)], [], [], [1], [2])),
        ("abcd", "bcda", Alignment([(1, 0), (2, 1), (3, 2)], [], [(0, 3)], [], [])),
        ("xabc", "yabcx", Alignment([(1, 1), (2, 2), (3, 3)], [], [(0, 4)], [], [0])),
        ("xxabc", "abcx", Alignment([(2, 0), (3, 1), (4, 2)], [], [(0, 3)], [1], [])),
    ],
)
def test_by_content(live: str, shadow: str, expected: Alignment) -> None:
    """Most is equal, what is elsewhere moved, each gap pairs in order, and only the surplus is left over."""
    assert sequence(live, shadow) == expected
    assert sequence(shadow, live, flip=True) == expected.inverse()


def test_a_reversed_array_has_moved() -> None:
    """One element is as far as it was; every other one is found elsewhere, and nothing changed."""
    found = sequence("abcde", "edcba")
    assert (len(found.equal), len(found.moved)) == (1, 4)
    assert not found.paired
    assert not found.removed
    assert not found.added


@pytest.mark.parametrize(
    ("live", "shadow", "expected"),
    [
        ([1, 2], [1, 2], Alignment([], [(0, 0), (1, 1)], [], [], [])),
        ([1, 2], [3, 1, 2], Alignment([], [(0, 1), (1, 2)], [], [], [0])),
        ([1, 2, 3], [1, 3], Alignment([], [(0, 0), (2, 1)], [], [1], [])),
        ([1, 2, 3, 4], [2, 3, 4, 1], Alignment([], [(1, 0), (2, 1), (3, 2)], [(0, 3)], [], [])),
        ([1, 2, 3, 9], [3, 8, 1, 2], Alignment([], [(0, 2), (1, 3)], [(2, 0)], [3], [1])),
        ([], [1], Alignment([], [], [], [], [0])),
    ],
)
def test_by_key(live: list[int], shadow: list[int], expected: Alignment) -> None:
    """As few as possible have moved, and what has no counterpart never pairs."""
    assert align_by_key(live, shadow) == expected
    assert align_by_key(shadow, live, flip=True) == expected.inverse()


def test_by_key_without_order() -> None:
    """Nothing moves where order does not matter."""
    assert align_by_key([1, 2, 3], [3, 2, 1], ordered=False) == Alignment([], [(0, 2), (1, 1), (2, 0)], [], [], [])


@pytest.mark.parametrize(
    ("live", "shadow", "expected"),
    [
        ("abc", "cab", Alignment([(0, 1), (1, 2), (2, 0)], [], [], [], [])),
        ("aab", "aba", Alignment([(0, 0), (1, 2), (2, 1)], [], [], [], [])),
        ("aax", "yxa", Alignment([(0, 2), (2, 1)], [(1, 0)], [], [], [])),
        ("ab", "b", Alignment([(1, 0)], [], [], [0], [])),
        ("b", "xby", Alignment([(0, 1)], [], [], [], [0, 2])),
    ],
)
def test_as_multisets(live: str, shadow: str, expected: Alignment) -> None:
    """Equal elements meet as often as both sides have them, the rest in order of appearance."""
    assert align_multiset(live, shadow) == expected
    assert align_multiset(shadow, live) == expected.inverse()


def test_by_position() -> None:
    """The shorter one's length pairs, the rest is left over."""
    assert align_by_position(2, 3) == Alignment([], [(0, 0), (1, 1)], [], [], [2])
    assert align_by_position(3, 2, gave_up=True) == Alignment([], [(0, 0), (1, 1)], [], [2], [], True)


def test_shifting_counts_a_common_head() -> None:
    """Every index moves by as much, and what else is known stays."""
    alignment = Alignment([(0, 0)], [(1, 2)], [(3, 1)], [2], [3], True)
    assert alignment.shifted(2) == Alignment([(2, 2)], [(3, 4)], [(5, 3)], [4], [5], True)


def test_a_budget_is_spent_once() -> None:
    """What is not there cannot be taken, and asking for it costs nothing."""
    budget = Budget(10)
    assert budget.spend(7)
    assert not budget.spend(4)
    assert budget.spend(3)
    assert budget.left == 0


def test_without_budget_arrays_are_paired_by_position() -> None:
    """It says that it gave up, and a budget of nothing is not made negative."""
    budget = Budget(0)
    assert align_sequence("ab", "bac", budget) == align_by_position(2, 3, gave_up=True)
    assert budget.left == 0


def test_alignments_share_a_budget() -> None:
    """What the first one spends the second one has not."""
    live, shadow = list(range(1000)), list(reversed(range(1000)))
    budget = Budget(5000)
    assert not align_sequence(live, shadow, budget).gave_up
    assert align_sequence(live, shadow, budget).gave_up


def test_elements_that_one_side_lacks_cost_nothing() -> None:
    """They can be in no common subsequence."""
    budget = Budget(0)
    found = align_sequence(range(100), range(100, 200), budget)
    assert found == align_by_position(100, 100)


SIZE = 100_000


def shuffled(elements: list[int]) -> list[int]:
    """The same elements in another order, the same each time."""
    copy = elements[:]
    random.Random(7).shuffle(copy)
    return copy


def test_a_large_array_of_unlike_elements_is_aligned() -> None:
    """Each element matches one other: work is in proportion to the elements."""
    budget = Budget(PLENTY)
    found = align_sequence(list(range(SIZE)), shuffled(list(range(SIZE))), budget)
    assert not found.gave_up
    assert len(found.equal) + len(found.moved) == SIZE
    assert PLENTY - budget.left < 6 * SIZE


def test_a_large_array_of_few_values_and_few_edits_is_aligned() -> None:
    """Ten thousand million matches are too many to look at; a few edits are found without."""
    live = [n * n % 7 % 2 for n in range(SIZE)]
    shadow = [1, *live[:5000], 1, 1, *live[5000 : SIZE - 10], 0, *live[SIZE - 9 :]]
    budget = Budget(PLENTY)
    found = align_sequence(live, shadow, budget)
    assert not found.gave_up
    assert len(found.equal) >= SIZE - 10
    assert PLENTY - budget.left < 2 * SIZE


def test_a_large_array_of_few_values_and_many_edits_is_given_up() -> None:
    """Work is counted: it is given up within the budget, and the alignment says so."""
    values = random.Random(3)
    live, shadow = ([values.randrange(3) for _ in range(SIZE)] for _ in range(2))
    budget = Budget(PLENTY)
    assert align_sequence(live, shadow, budget) == align_by_position(SIZE, SIZE, gave_up=True)
    assert 0 <= budget.left < PLENTY - MAX_EDITS * MAX_EDITS // 2


def test_looking_for_few_edits_stops_when_the_budget_is_used_up() -> None:
    """Long runs of equal elements cost a unit each, so the search cannot outlast the budget."""
    for live, shadow in (([0, 1] * 2000, [1, 0, 1, 1] * 1000), ([0, 1] * 2000, [0, 1] * 2000)):
        budget = Budget(3000)
        assert align_sequence(live, shadow, budget).gave_up
        assert budget.left == 0


def test_few_edits_among_many_matches_are_cheap() -> None:
    """A thousand elements of two values match half a million times, and three edits need none of it."""
    live = [n * n % 7 % 2 for n in range(1000)]
    shadow = [1, *live[:500], 1, *live[500:-1], 5]
    budget = Budget(PLENTY)
    assert len(align_sequence(live, shadow, budget).equal) == 999
    assert PLENTY - budget.left < 2000


class Counted:
    """An element that counts how often it is compared."""

    comparisons = 0

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        """Count, and compare by value."""
        Counted.comparisons += 1
        return isinstance(other, Counted) and self.value == other.value

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash(self.value)


def test_identities_are_compared_a_few_times_each() -> None:
    """However long they are: inside, the algorithms work on small numbers."""
    live = [Counted(n % 5) for n in range(2000)]
    shadow = [Counted(n % 4) for n in range(2000)]
    Counted.comparisons = 0
    align_sequence(live, shadow, Budget(PLENTY))
    assert Counted.comparisons <= 10 * (len(live) + len(shadow))
