"""The join: records in, requests with their sides out."""

from __future__ import annotations

import pytest

from gnomon.core.join import Group, Joined, Member, split_by_horizon
from gnomon.model import Exchange, Place, Request, Response, Role

SECOND = 1_000_000


def member(
    role: Role,
    at: float = 0,
    *,
    request_id: str = "r1",
    target: str = "",
    expect: list[str] | None = None,
    status: int = 200,
) -> Member:
    """Make a record that was complete `at` seconds after the epoch plus a day."""
    exchange = Exchange(
        request_id=request_id,
        role=role,
        target=target,
        expect=expect,
        started_us=86_400 * SECOND + round(at * SECOND),
        duration_us=0,
        request=Request(method="GET", path="/"),
        response=Response(status=status),
    )
    return Member(exchange, Place("test", 1))


def names(joined: Joined) -> tuple[bool, list[str], list[str]]:
    """Give (live is there, others, missing) with slots as `role:target`."""
    return (
        joined.live is not None,
        [f"{role}:{target}" for role, target in joined.others],
        [f"{role}:{target}" for role, target in joined.missing],
    )


@pytest.mark.parametrize(
    ("expect", "arrived", "missing"),
    [
        (None, [], ["shadow:"]),
        (None, [("shadow", "a")], []),
        (None, [("control", "")], ["shadow:"]),
        ([], [], []),
        (["shadow:a", "shadow:b"], [("shadow", "a")], ["shadow:b"]),
        (["shadow", "shadow:b"], [], ["shadow:b"]),
        (["shadow", "control"], [("shadow", "a")], ["control:"]),
        (["control"], [("shadow", "a")], ["control:"]),
        (["shadow", "shadow"], [], ["shadow:"]),
        (["somebody"], [], []),
    ],
)
def test_missing_is_what_the_live_record_expects_and_nobody_sent(
    expect: list[str] | None, arrived: list[tuple[Role, str]], missing: list[str]
) -> None:
    """`expect` names roles or single targets; where it is absent the setting says who is expected."""
    group = Group("r1")
    group.add(member("live", expect=expect))
    for role, target in arrived:
        group.add(member(role, target=target))
    assert [f"{role}:{target}" for role, target in group.missing(["shadow"])] == missing


def test_without_live_nobody_is_missing() -> None:
    """Who else was sent a request is known from live's record alone."""
    group = Group("r1")
    group.add(member("shadow"))
    assert names(group.joined(["shadow"])) == (False, ["shadow:"], [])


def test_of_duplicates_the_earlier_start_is_kept_and_the_rest_counted() -> None:
    """Which of several records for one side counts does not depend on which came first."""
    early, late = member("shadow", 1, status=200), member("shadow", 2, status=500)
    for order in ([early, late, late], [late, early, late], [late, late, early]):
        group = Group("r1")
        for one in order:
            group.add(one)
        joined = group.joined([])
        assert joined.others["shadow", ""] is early
        assert joined.duplicates == {("shadow", ""): 2}


def test_of_duplicates_that_start_together_the_smaller_bytes_are_kept() -> None:
    """Ties are broken by content."""
    one, two = member("live", status=200), member("live", status=201)
    groups = [Group("r1"), Group("r1")]
    for group, order in zip(groups, ([one, two], [two, one]), strict=True):
        for record in order:
            group.add(record)
    assert groups[0].joined([]).live == groups[1].joined([]).live == one


DAY = 86_400


def test_an_id_used_again_after_the_horizon_is_another_request() -> None:
    """Each use of the id keeps its own shadow."""
    members = [member("live", 0), member("shadow", 1), member("live", 2 * DAY), member("shadow", 2 * DAY + 1)]
    requests = split_by_horizon(members, DAY * SECOND)
    assert [[m.exchange.role for m in request] for request in requests] == [["live", "shadow"], ["live", "shadow"]]


def test_a_replay_days_later_joins_the_only_recording() -> None:
    """Hours may lie between a recording and its replay."""
    members = [member("live", 0), member("shadow", 9 * DAY)]
    assert len(split_by_horizon(members, DAY * SECOND)) == 1
