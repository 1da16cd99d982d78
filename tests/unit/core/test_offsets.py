"""Which records are done with, and what a successor reads again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.offsets import Offsets


def test_the_position_is_the_oldest_record_that_is_not_done_with() -> None:
    """One record that waits holds the position back, however many above it are done with."""
    offsets = Offsets(10)
    assert all(offsets.read(n) for n in (10, 11, 12, 15))
    offsets.done([11, 12, 15])
    assert (offsets.position, offsets.following, len(offsets)) == (10, 16, 1)
    offsets.done([10])
    assert offsets.position == 16


def test_a_record_that_came_already_is_not_read_again() -> None:
    """A slice that is delivered twice changes nothing."""
    offsets = Offsets(0)
    assert offsets.read(5)
    assert not offsets.read(5)
    assert not offsets.read(4)


def test_a_successor_reads_what_was_not_done_with_and_nothing_else() -> None:
    """The ranges that are handed on leave out what has landed."""
    offsets = Offsets(0)
    for n in range(10):
        offsets.read(n)
    offsets.done([0, 1, 4, 5, 6, 9])
    following, ranges = offsets.handed_on()
    assert (following, ranges) == (10, [(2, 4), (7, 9)])
    successor = Offsets(following, ranges)
    assert successor.following == successor.position == 2
    assert [n for n in range(2, 13) if successor.read(n)] == [2, 3, 7, 8, 10, 11, 12]


def test_a_successor_that_stops_early_hands_on_what_it_has_not_read() -> None:
    """Nothing is forgotten when a partition changes hands again before its window is read."""
    successor = Offsets(10, [(2, 4), (7, 9)])
    successor.read(2)
    assert successor.handed_on() == (10, [(2, 4), (7, 9)])
    successor.done([2])
    assert successor.handed_on() == (10, [(3, 4), (7, 9)])
    assert successor.position == 3


def test_what_is_handed_on_is_bounded() -> None:
    """Past the bound records are read twice, not left out."""
    offsets = Offsets(0)
    for n in range(10_000):
        offsets.read(n)
    offsets.done(range(0, 10_000, 2))
    following, ranges = offsets.handed_on()
    assert len(ranges) == 2000
    assert following == 4001


@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.sets(st.integers(0, 120)),
    st.sets(st.integers(0, 120)),
)
def test_over_any_number_of_owners_every_record_is_done_with_once(
    gaps: list[int], done_by_first: set[int], done_by_second: set[int]
) -> None:
    """What one owner does not get done, exactly that is read by the next."""
    log = [sum(gaps[: n + 1]) + n for n in range(len(gaps))]
    finished: list[int] = []
    owner = Offsets(0)
    for done in (done_by_first, done_by_second, set(log)):
        read = [n for n in log if n >= owner.position and owner.read(n)]
        landed = [n for n in read if n in done]
        owner.done(landed)
        finished += landed
        owner = Offsets(*owner.handed_on())
    assert sorted(finished) == log
