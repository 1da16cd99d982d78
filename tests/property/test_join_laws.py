"""Laws of the join: what a request comes to depends on its records alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.join import Group, Member, split_by_horizon
from gnomon.model import Exchange, Request, Response

WINDOW = 30_000_000

members = st.builds(
    lambda request_id, role, target, started, status, expect: Member(
        Exchange(
            request_id=request_id,
            role=role,
            target=target if role == "shadow" else "",
            expect=expect if role == "live" else None,
            started_us=1_000_000_000_000 + started,
            duration_us=0,
            request=Request(method="GET", path="/"),
            response=Response(status=status),
        )
    ),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["live", "shadow", "control"]),
    st.sampled_from(["", "x"]),
    st.integers(0, 5) | st.integers(0, WINDOW - 1),
    st.integers(200, 202),
    st.none() | st.lists(st.sampled_from(["shadow", "shadow:x", "control"]), max_size=3),
)


@given(st.lists(members, max_size=12).flatmap(lambda m: st.tuples(st.just(m), st.permutations(m))))
def test_groups_and_splits_are_those_of_the_set(orders: tuple[list[Member], list[Member]]) -> None:
    """Without a window, too, only the records count; splitting by the horizon loses none and doubles none."""
    groups = []
    for order in orders:
        group = Group("a")
        for member in order:
            group.add(member)
        joined = group.joined(["shadow"])
        groups.append((joined.live, joined.others, joined.missing, joined.duplicates))
        split = split_by_horizon(order, 10)
        assert sorted(map(id, (m for request in split for m in request))) == sorted(map(id, order))
    assert groups[0] == groups[1]
