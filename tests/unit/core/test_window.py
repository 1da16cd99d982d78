"""The windowed join: records in; requests, recalls and late records out."""

from __future__ import annotations

import pytest

from gnomon.core.join import Member, Slot
from gnomon.core.window import Event, Found, Given, Joiner, Recall, TooLate, Unneeded
from gnomon.model import Exchange, Place, Request, Response, Role

SECOND = 1_000_000
WINDOW, LATENESS = 30 * SECOND, 600 * SECOND
DAY_US = 86_400 * SECOND


def member(
    role: Role,
    at: float = 0,
    *,
    offset: int = 0,
    target: str = "",
    expect: list[str] | None = None,
    status: int = 200,
    request_id: str = "r1",
) -> Member:
    """Make a record that was complete `at` seconds after the epoch plus a day."""
    exchange = Exchange(
        request_id=request_id,
        role=role,
        target=target,
        expect=expect,
        started_us=seconds(at),
        duration_us=0,
        request=Request(method="GET", path="/"),
        response=Response(status=status),
    )
    return Member(exchange, Place("test", partition=0, offset=offset))


def seconds(at: float) -> int:
    """Give the watermark `at` seconds after the epoch plus a day."""
    return DAY_US + round(at * SECOND)


def feed(joiner: Joiner, one: Member, *, given: bool = False, size: int = 100) -> list[Event]:
    """Feed a record at its own time."""
    return joiner.feed(one, one.exchange.completed_us, size, given=given)


def found(*members: Member, duplicates: dict[Slot, int] | None = None) -> Found:
    """Answer a recall with records, of which the first came first."""
    return Found(members, duplicates or {}, at_us=members[0].exchange.completed_us)


def names(event: Event) -> tuple[bool, list[str], list[str]]:
    """Give (live is there, others, missing) with slots as `role:target`."""
    assert isinstance(event, Given)
    joined = event.joined
    return (
        joined.live is not None,
        [f"{role}:{target}" for role, target in joined.others],
        [f"{role}:{target}" for role, target in joined.missing],
    )


@pytest.fixture
def joiner() -> Joiner:
    """Wait 30 s, and 10 minutes more for who is late."""
    return Joiner(WINDOW, LATENESS, DAY_US)


def test_a_request_is_given_out_when_everybody_expected_is_here(joiner: Joiner) -> None:
    """Nothing waits for the window when nothing is missing."""
    assert feed(joiner, member("live", offset=1, expect=["shadow:a", "shadow:b"])) == []
    assert feed(joiner, member("shadow", 1, offset=2, target="a")) == []
    (event,) = feed(joiner, member("shadow", 2, offset=3, target="b"))
    assert names(event) == (True, ["shadow:a", "shadow:b"], [])
    assert isinstance(event, Given)
    assert event.offsets == (1, 2, 3)
    assert joiner.advance(seconds(31)) == []
    assert (len(joiner), joiner.size) == (0, 0)


def test_who_has_not_come_when_the_window_closes_is_missing(joiner: Joiner) -> None:
    """The window is event time: the watermark closes it, and not before."""
    feed(joiner, member("live"))
    assert joiner.advance(seconds(29.9)) == []
    (event,) = joiner.advance(seconds(30))
    assert names(event) == (True, [], ["shadow:"])


def test_a_shadow_without_live_is_given_out_alone(joiner: Joiner) -> None:
    """It becomes `live_missing`."""
    feed(joiner, member("shadow"))
    (event,) = joiner.advance(seconds(30))
    assert names(event) == (False, ["shadow:"], [])


def test_a_request_that_nobody_else_was_sent_holds_no_memory_and_comes_to_nothing(joiner: Joiner) -> None:
    """`expect = []` with nobody there is no comparison, only an offset that is done with."""
    assert feed(joiner, member("live", offset=7, expect=[])) == []
    assert joiner.size == 0
    (event,) = joiner.advance(seconds(30))
    assert isinstance(event, Given)
    assert not event.joined.others
    assert not event.joined.missing
    assert event.offsets == (7,)


def test_who_was_not_expected_and_comes_is_joined_with_what_is_read_again(joiner: Joiner) -> None:
    """A live record put out of memory is recalled by its offset when somebody turns up after all."""
    live = member("live", offset=7, expect=[])
    feed(joiner, live)
    (recall,) = feed(joiner, member("shadow", 1, offset=8))
    assert recall == Recall("r1", (Place("test", partition=0, offset=7),), given=False, started_us=seconds(1))
    (event,) = joiner.recalled("r1", found(live))
    assert names(event) == (True, ["shadow:"], [])


def test_what_comes_while_a_recall_is_out_waits_for_the_answer(joiner: Joiner) -> None:
    """One recall at a time; the answer serves all that have come meanwhile."""
    live = member("live", offset=7, expect=[])
    feed(joiner, live)
    feed(joiner, member("shadow", 1, offset=8))
    assert feed(joiner, member("control", 2, offset=9)) == []
    assert joiner.advance(seconds(100)) == []
    (event,) = joiner.recalled("r1", found(live))
    assert names(event) == (True, ["control:", "shadow:"], [])


def test_an_unexpected_control_revises_what_was_given_out(joiner: Joiner) -> None:
    """A control that shows up is always compared, and the shadow hears of it; within the window it is not late."""
    live, shadow = member("live", offset=1), member("shadow", 1, offset=2)
    feed(joiner, live)
    assert len(feed(joiner, shadow)) == 1
    (recall,) = feed(joiner, member("control", 2, offset=3), given=True)
    assert isinstance(recall, Recall)
    assert recall.given
    (event,) = joiner.recalled("r1", found(live, shadow))
    assert names(event) == (True, ["control:", "shadow:"], [])
    assert isinstance(event, Given)
    assert (set(event.replaces), event.offsets, event.joined.late) == ({seconds(0), seconds(1)}, (3,), frozenset())


def test_a_late_counterpart_revises_what_was_missing(joiner: Joiner) -> None:
    """Within the lateness a record still finds its request, and says that it is late."""
    live = member("live", offset=1)
    feed(joiner, live)
    joiner.advance(seconds(40))
    feed(joiner, member("shadow", 35, offset=2), given=True)
    (event,) = joiner.recalled("r1", found(live))
    assert isinstance(event, Given)
    assert names(event) == (True, ["shadow:"], [])
    assert event.joined.late == {("shadow", "")}
    assert event.replaces == (seconds(0),)


def test_a_record_whose_counterpart_closed_too_long_ago_is_too_late(joiner: Joiner) -> None:
    """After the lateness it becomes a reject, although its own time is recent."""
    joiner.advance(seconds(631))
    shadow = member("shadow", 630, offset=2)
    feed(joiner, shadow, given=True)
    assert joiner.recalled("r1", found(member("live", offset=1))) == [TooLate(shadow)]


def test_a_record_whose_time_is_past_is_too_late(joiner: Joiner) -> None:
    """A record from before the lateness whose request nobody has heard of becomes a reject."""
    joiner.advance(seconds(631))
    (event,) = feed(joiner, member("shadow", 0))
    assert isinstance(event, TooLate)
    assert len(joiner) == 0


def test_a_record_whose_counterpart_is_gone_is_too_late(joiner: Joiner) -> None:
    """What Kafka has deleted cannot be compared."""
    shadow = member("shadow", offset=2)
    feed(joiner, shadow, given=True)
    assert joiner.recalled("r1", Found(gone=True)) == [TooLate(shadow)]


def test_a_request_that_was_not_given_out_after_all_is_new(joiner: Joiner) -> None:
    """Who says that something was given out may be mistaken; the record then waits like any other."""
    feed(joiner, member("live", offset=1), given=True)
    assert joiner.recalled("r1", Found()) == []
    (event,) = feed(joiner, member("shadow", 1, offset=2))
    assert names(event) == (True, ["shadow:"], [])


def test_a_replay_of_what_was_given_out_changes_nothing(joiner: Joiner) -> None:
    """The same offset is the same record."""
    live, shadow = member("live", offset=1), member("shadow", 1, offset=2)
    feed(joiner, shadow, given=True)
    assert joiner.recalled("r1", found(live, shadow)) == [Unneeded((2,))]


@pytest.mark.parametrize(("watermark", "counted"), [(20, True), (40, False)])
def test_a_duplicate_is_counted_within_the_window_only(joiner: Joiner, watermark: float, *, counted: bool) -> None:
    """Past the window one that changes nothing is dropped."""
    live, shadow = member("live", offset=1), member("shadow", 1, offset=2)
    joiner.advance(seconds(watermark))
    feed(joiner, member("shadow", 2, offset=3), given=True)
    (event,) = joiner.recalled("r1", found(live, shadow, duplicates={("shadow", ""): 1}))
    if counted:
        assert isinstance(event, Given)
        assert event.joined.duplicates == {("shadow", ""): 2}
    else:
        assert event == Unneeded((3,))


def test_memory_is_bounded_and_nothing_is_lost_by_it(joiner: Joiner) -> None:
    """The records that have waited longest are put out of memory, and recalled when their windows close."""
    members = [member("live", n, offset=n, request_id=f"r{n}") for n in range(10)]
    for one in members:
        feed(joiner, one)
    assert joiner.size == 1000
    assert joiner.shed(650) == 4
    assert joiner.size == 600
    events = joiner.advance(seconds(33))
    assert all(isinstance(event, Recall) for event in events)
    assert [event.places[0].offset for event in events if isinstance(event, Recall)] == [0, 1, 2, 3]
    for one in members[:4]:
        (event,) = joiner.recalled(one.exchange.request_id, found(one))
        assert names(event) == (True, [], ["shadow:"])
    assert [names(event) for event in joiner.advance(seconds(40))] == [(True, [], ["shadow:"])] * 6


def test_a_watermark_never_runs_backwards(joiner: Joiner) -> None:
    """A lower watermark than before closes nothing and opens nothing."""
    joiner.advance(seconds(100_000))
    joiner.advance(seconds(1))
    assert isinstance(feed(joiner, member("live"))[0], TooLate)


def test_the_deadlines_of_open_windows_are_known(joiner: Joiner) -> None:
    """So that time can pass in an idle partition, as far as they go and no further."""
    assert (joiner.next_deadline(), joiner.last_deadline()) == (None, 0)
    feed(joiner, member("live", 1, request_id="a"))
    feed(joiner, member("live", 5, request_id="b"))
    feed(joiner, member("shadow", 5, request_id="a"))
    assert (joiner.next_deadline(), joiner.last_deadline()) == (seconds(35), seconds(35))


def test_an_id_that_is_used_again_after_the_horizon_is_another_request(joiner: Joiner) -> None:
    """Also while the earlier one is still open, which ends then."""
    feed(joiner, member("live", offset=1))
    first, *others = feed(joiner, member("live", 86_400, offset=2))
    assert (names(first), others) == ((True, [], ["shadow:"]), [])
    (second,) = feed(joiner, member("shadow", 86_401, offset=3))
    assert isinstance(second, Given)
    assert (names(second), second.offsets) == ((True, ["shadow:"], []), (2, 3))


@pytest.mark.parametrize("given", [True, False])
def test_what_waits_for_an_answer_and_is_of_another_request_starts_anew(joiner: Joiner, given: bool) -> None:
    """A recall serves the records within the horizon; those beyond it wait for others of their own."""
    live = member("live", offset=1, expect=[])
    if not given:
        feed(joiner, live)
    feed(joiner, member("shadow", 1, offset=2), given=given)
    assert feed(joiner, member("live", 86_400, offset=3)) == []
    (first,) = joiner.recalled("r1", found(live))
    assert names(first) == (True, ["shadow:"], [])
    (second,) = feed(joiner, member("shadow", 86_401, offset=4))
    assert isinstance(second, Given)
    assert (names(second), second.offsets) == ((True, ["shadow:"], []), (3, 4))
