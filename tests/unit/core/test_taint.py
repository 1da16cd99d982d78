"""Taint: which later events a tag reaches, for how long, and what it came too late for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.routing import Late, Routing
from gnomon.core.taint import PartitionTaint, TaintedIds

TAGGED = Routing("synthetic", "header x-synthetic")
CLEAN = Routing("clean")


def make(**more: Any) -> PartitionTaint:
    """Make the taint of one partition, for 100 ms."""
    return PartitionTaint(TaintedIds("/session", 100, **more))


def test_a_tag_reaches_later_events_with_its_id_for_a_time() -> None:
    """Also those whose timestamp is older; another id and another time stay clean."""
    taint = make()
    assert taint.judge(TAGGED, ["s"], b"s", 0, 1_000) == TAGGED
    for at in (900, 1_000, 1_100):
        assert taint.judge(CLEAN, ["other", "s"], b"s", 1, at) == Routing("synthetic", "taint /session")
    assert taint.judge(CLEAN, ["s"], b"s", 2, 1_101) == CLEAN
    assert taint.judge(CLEAN, ["t"], b"t", 3, 1_000) == CLEAN
    assert taint.judge(CLEAN, [], b"s", 4, 1_000) == CLEAN


def test_what_is_tainted_taints_nothing_itself() -> None:
    """Else a session would never end."""
    taint = make()
    taint.judge(TAGGED, ["s"], b"s", 0, 0)
    assert taint.judge(CLEAN, ["s"], b"s", 1, 90).to == "synthetic"
    assert taint.judge(CLEAN, ["s"], b"s", 2, 150).to == "clean"


@pytest.mark.parametrize("routing", [Routing("quarantine", "value", "x"), Routing("both", "tombstone")])
def test_what_is_not_read_neither_taints_nor_is_tainted(routing: Routing) -> None:
    """Quarantine wins."""
    taint = make()
    taint.judge(TAGGED, ["s"], b"s", 0, 0)
    assert taint.judge(routing, ["s"], b"s", 1, 0) == routing
    assert taint.judge(routing, ["t"], b"t", 2, 0) == routing
    assert taint.judge(CLEAN, ["t"], b"t", 3, 0) == CLEAN


def test_where_the_id_is_not_the_key_it_is_best_effort_and_says_so() -> None:
    """Rows of the audit tell them apart."""
    taint = make()
    long = "s" * 300
    for one in (["s"], taint._tainted.ids({"session": long})):
        taint.judge(TAGGED, one, None, 0, 0)
        for key in (None, b"k", b"\xff"):
            assert taint.judge(CLEAN, one, key, 1, 0).rule == "taint /session (not the key: best effort)"
    assert taint.judge(CLEAN, ["s"], b"s", 1, 0).rule == "taint /session"
    assert taint.judge(CLEAN, taint._tainted.ids({"session": long}), long.encode(), 1, 0).rule == "taint /session"


def test_a_tag_that_comes_late_says_what_had_been_sent_on() -> None:
    """Once, and only what is not older than the time for which a tag holds."""
    taint = make()
    for offset, session in enumerate(["s", "t", "s", "s"]):
        taint.judge(CLEAN, [session], b"k", offset, 10)
    assert taint.judge(TAGGED, ["s"], b"k", 4, 50) == TAGGED._replace(late=[Late(3, 0, 3)])
    assert taint.judge(TAGGED, ["s"], b"k", 5, 50) == TAGGED
    assert taint.judge(TAGGED, ["t"], b"k", 6, 111) == TAGGED


def test_memory_is_bounded_and_what_is_forgotten_too_early_is_counted() -> None:
    """The ids that were seen longest ago go first."""
    tainted = TaintedIds("/session", 100, most=2)
    for at, one in enumerate(["a", "b", "a", "c"]):
        tainted.mark([one], at)
    assert [tainted.holds(one, 5) for one in "abc"] == [True, False, True]
    assert (len(tainted), tainted.forgotten) == (2, 1)
    tainted.mark(["d"], 200)  # the time of `a` was over
    assert tainted.forgotten == 1
    taint = PartitionTaint(tainted, most=1)
    taint.judge(CLEAN, ["x"], None, 0, 0)
    taint.judge(CLEAN, ["y"], None, 1, 0)
    assert taint.judge(TAGGED, ["x", "y"], None, 2, 0).late == [Late(1, 1, 1)]


def test_ids_are_scalars_anywhere_at_the_path() -> None:
    """Numbers by their text; objects and null are none."""
    assert TaintedIds("/a/*/id", 1).ids({"a": [{"id": 7}, {"id": "7x"}, {"id": None}, {"id": {}}, {"id": ""}, 3]}) == [
        "7",
        "7x",
    ]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 300))))
def test_taint_is_what_a_look_back_would_say(events: list[tuple[str, bool, int]]) -> None:
    """An event is synthetic when it, or one before it with the id and not too long ago, has a tag."""
    taint = make()
    for place, (one, tagged, at) in enumerate(events):
        before = [then for other, was, then in events[:place] if was and other == one]
        wanted = tagged or any(at <= then + 100 for then in before)
        routing = taint.judge(TAGGED if tagged else CLEAN, [one], None, place, at)
        assert (routing.to == "synthetic") is wanted


def test_others_know_of_a_tag_once_it_is_committed() -> None:
    """Its own partition knows at once."""
    tainted = TaintedIds("/session", 100)
    one, other = PartitionTaint(tainted), PartitionTaint(tainted)
    one.judge(TAGGED, ["s"], b"s", 0, 50)
    one.judge(TAGGED, ["s"], b"s", 1, 0)
    assert one.judge(CLEAN, ["s"], b"s", 2, 150).to == "synthetic"
    assert one.judge(CLEAN, ["s"], b"s", 3, 151).to == "clean"
    assert other.judge(CLEAN, ["s"], b"s", 0, 50).to == "clean"
    one.commit()
    for taint in (one, other):
        assert taint.judge(CLEAN, ["s"], b"s", 4, 150).to == "synthetic"
        assert taint.judge(CLEAN, ["s"], b"s", 5, 151).to == "clean"
