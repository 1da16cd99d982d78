from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.sampling import OTHERS, Sampler, place, share_left

MINUTE = 60_000_000


@given(st.text(min_size=1, max_size=256))
def test_a_place_is_between_0_and_1_and_always_the_same(request_id: str) -> None:
    """Any text has one, lone surrogates included."""
    assert 0 <= place(request_id) < 1
    assert place(request_id) == place(request_id)


def test_places_are_spread_evenly() -> None:
    """Ids that differ in their last digits alone are as far apart as any."""
    for ids in ([f"r-{n}" for n in range(10_000)], [f"2027-{n:036}" for n in range(10_000)]):
        tenths = [0] * 10
        for request_id in ids:
            tenths[int(place(request_id) * 10)] += 1
        assert min(tenths) > 850
        assert max(tenths) < 1150


def test_places_stay_what_they_were() -> None:
    """The edge computes the same; a change here would part the sides of requests."""
    assert [round(place(text), 9) for text in ("", "abc", "11111111-2222-4333-8444-555555555555")] == [
        0.0,
        0.741518565,
        0.277892929,
    ]


@given(st.lists(st.text(max_size=20), max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_a_smaller_share_keeps_a_part_of_what_a_larger_one_keeps(ids: list[str], one: float, other: float) -> None:
    """What is kept by both is what the smaller keeps."""
    small, large = Sampler(min(one, other)), Sampler(max(one, other))
    assert all(large.keeps(i, "", 0) for i in ids if small.keeps(i, "", 0))


@given(st.permutations([(i, e) for i in range(20) for e in ("GET /rare", "GET /often")] * 2), st.integers(0, 30))
def test_all_sides_of_a_request_get_the_same_answer(order: list[tuple[int, str]], floor: int) -> None:
    """In whatever order they come, and whatever the floor has seen in between."""
    sampler = Sampler(0.2, floor)
    answers: dict[tuple[int, str], set[bool]] = {}
    for at, (number, endpoint) in enumerate(order):
        answers.setdefault((number, endpoint), set()).add(
            sampler.keeps(f"{endpoint}-{number}", endpoint, at * 10_000_000)
        )
    assert all(len(answer) == 1 for answer in answers.values())


def test_of_a_rare_endpoint_every_request_is_kept() -> None:
    """The floor is per endpoint and period; a busy endpoint takes nothing from a rare one."""
    sampler = Sampler(0.0, floor=5, period_us=MINUTE)
    busy = [sampler.keeps(f"b-{n}", "GET /busy", n) for n in range(100)]
    rare = [sampler.keeps(f"r-{n}", "GET /rare", n) for n in range(5)]
    assert (sum(busy), sum(rare)) == (5, 5)
    assert sampler.keeps("b-100", "GET /busy", MINUTE)


def test_what_the_floor_does_not_need_is_not_asked_for() -> None:
    """With everything kept, or without a floor, nobody has to name endpoints."""
    assert [Sampler(*of).needs_endpoint for of in ((1.0, 5), (0.5, 0), (0.5, 5))] == [False, False, True]


def test_memory_is_bounded() -> None:
    """Old decisions are forgotten, and endpoints beyond the bound share one floor."""
    sampler = Sampler(0.0, floor=1, memory=10, endpoints=3)
    for number in range(100):
        sampler.keeps(f"r-{number}", f"GET /{number}", 0)
    assert len(sampler._decided) == 10
    assert set(sampler._seen) == {"GET /0", "GET /1", "GET /2", OTHERS}


def test_a_queue_takes_less_the_fuller_it_is() -> None:
    """All while it is half empty, then ever less, and nothing when it is full."""
    assert [share_left(fill) for fill in (0, 0.5, 0.75, 1, 2)] == [1, 1, 0.5, 0, 0]
    assert [share_left(fill, 0.75) for fill in (0.5, 0.625, 0.75, 1)] == [1, 0.5, 0, 0]
