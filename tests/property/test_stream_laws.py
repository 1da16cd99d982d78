"""Laws of the stream: what lands is what a batch join makes of the same records.

Whatever the order of arrival, however records are cut into batches, wherever windows close, and however often the
worker is killed and its successor reads again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.decode import decode_exchange
from gnomon.core.join import Group, Member, Slot
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.core.window import Found, Given
from gnomon.engine import Engine, EngineOptions
from gnomon.model import Exchange, JsonValue, Place, Request, Response
from gnomon.stream.intake import Collected, Intake, IntakeOptions

WINDOW, LATENESS, START = 30_000_000, 600_000_000, 1_000_000_000_000
OPTIONS = IntakeOptions(
    window_us=WINDOW, lateness_us=LATENESS, skew_us=WINDOW, horizon_us=1 << 60, expect=("shadow",), memory=1 << 20
)
TIGHT = msgspec.structs.replace(OPTIONS, memory=4000)


class Sent(NamedTuple):
    """A record as it is in Kafka."""

    offset: int
    timestamp: int
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


exchanges = st.builds(
    lambda request_id, role, target, started, status, expect: Exchange(
        request_id=request_id,
        role=role,
        target=target if role == "shadow" else "",
        expect=expect if role == "live" else None,
        service="s",
        started_us=START + started,
        duration_us=0,
        request=Request(method="GET", path="/"),
        response=Response(status=status),
    ),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["live", "shadow", "control"]),
    st.sampled_from(["", "x"]),
    st.integers(0, 5) | st.integers(0, LATENESS // 2),
    st.integers(200, 202),
    st.none() | st.lists(st.sampled_from(["shadow", "shadow:x", "control"]), min_size=1, max_size=3),
)
ENGINE = Engine(parse_rules(""), EngineOptions(), Redactor(b"k" * 32))
STEPS = st.sampled_from(["take", "take", "take", "land", "window", "lose", "crash"])


class World:
    """A partition, its log, and whoever reads it at the time."""

    def __init__(self, records: Sequence[Exchange], options: IntakeOptions) -> None:
        self.kafka = [Sent(n, START // 1000, msgspec.json.encode(record)) for n, record in enumerate(records)]
        self.options = options
        self.landed: dict[str, Given] = {}
        self.state: dict[str, JsonValue] = {}
        self.settled: list[int] = []
        self.start()

    def start(self) -> None:
        """Take the partition over from whoever had it."""
        self.intake = Intake(
            Place("t", partition=0),
            self.options,
            self.state,
            lambda request_id, _: request_id in self.landed,
            ENGINE.populations(),
        )
        self.at = self.intake.offsets.following

    def take(self) -> bool:
        """Read one record; false at the end."""
        if self.at == len(self.kafka):
            return False
        self.intake.take(self.kafka[self.at], START + 2 * LATENESS)
        self.at += 1
        self.intake.shed()
        return True

    def land(self, *, lost: bool = False, everything: bool = False) -> None:
        """Look up, collect and land; `lost`: it landed, and the worker never heard of it."""
        recalls, self.intake.recalls = self.intake.recalls, []
        for recall in recalls:
            offsets = {place.offset for place in recall.places}
            given = self.landed.get(recall.request_id) if recall.given else None
            members = [member for offset in offsets if offset is not None for member in self.read(offset)]
            if given is not None:
                known = Found.of(given)
                members += [m for one in known.members for m in self.read(one.place.offset if one.place else None)]
                self.intake.answer(recall, msgspec.structs.replace(known, members=members))
            else:
                self.intake.answer(recall, Found(members, at_us=START))
        collected = self.intake.collect(everything=everything)
        self.intake.settle()  # so that each request had a moment in which others could join it
        state = self.intake.handed_on()
        self._commit(collected, state)
        if not lost:
            self.intake.has_landed(collected)

    def _commit(self, collected: Collected, state: dict[str, JsonValue]) -> None:
        for one in collected.given:
            request_id = one.joined.request_id
            assert (request_id in self.landed) is bool(one.replaces), "landed twice, or revised before it was there"
            self.landed[request_id] = one
        assert not collected.rejects
        self.settled += collected.offsets
        self.state = state

    def read(self, offset: int | None) -> list[Member]:
        """Read a record of Kafka again."""
        assert offset is not None
        place = Place("t", partition=0, offset=offset)
        exchange = decode_exchange(self.kafka[offset].value, place)
        return [Member(exchange, place)] if isinstance(exchange, Exchange) else []


def batch(records: Sequence[Exchange]) -> dict[str, tuple[object, ...]]:
    """Join the records as `gnomon compare` does."""
    groups: dict[str, Group] = {}
    for record in records:
        groups.setdefault(record.request_id, Group(record.request_id)).add(Member(record))
    joined = {request_id: group.joined(["shadow"]) for request_id, group in groups.items()}
    return {request_id: told(Given(one)) for request_id, one in joined.items() if one.others or one.missing}


def told(given: Given) -> tuple[object, ...]:
    """Give what of a request must not depend on how it was read."""
    joined = given.joined
    sides: dict[Slot, Exchange] = {slot: member.exchange for slot, member in joined.others.items()}
    return (joined.live and joined.live.exchange, sides, set(joined.missing))


@given(
    st.lists(exchanges, max_size=12).flatmap(lambda r: st.tuples(st.just(r), st.permutations(r))),
    st.lists(STEPS, max_size=40),
    st.sampled_from([OPTIONS, TIGHT]),
)
def test_what_lands_is_what_a_batch_join_makes_of_the_records(
    orders: tuple[list[Exchange], list[Exchange]], steps: list[str], options: IntakeOptions
) -> None:
    """Order, batches, windows, memory and crashes change nothing; every record is done with once."""
    records, arrived = orders
    world = World(arrived, options)
    for step in steps:
        match step:
            case "take":
                world.take()
            case "land":
                world.land()
            case "lose":
                world.land(lost=True)
                world.start()
            case "crash":
                world.start()
            case "window":
                world.intake.flow(START + 4 * LATENESS)
    while world.take():
        pass
    for n in range(5, 9):
        world.intake.flow(START + 2 * n * LATENESS)
        world.land(everything=True)
    assert {request_id: told(given) for request_id, given in world.landed.items()} == batch(records)
    assert sorted(world.settled) == list(range(len(arrived)))


@given(st.lists(exchanges, max_size=12).flatmap(lambda r: st.tuples(st.just(r), st.permutations(r))), st.data())
def test_within_the_window_duplicates_are_counted_as_a_batch_counts_them(
    orders: tuple[list[Exchange], list[Exchange]], data: st.DataObject
) -> None:
    """As long as no window closes, batches and crashes count the same duplicates."""
    records, arrived = orders
    wide = msgspec.structs.replace(OPTIONS, window_us=2 * LATENESS)
    world = World(arrived, wide)
    while world.take():
        step = data.draw(st.sampled_from(["", "", "land", "crash"]))
        if step == "land":
            world.land()
        elif step == "crash":
            world.start()
    world.land(everything=True)
    groups: dict[str, Group] = {}
    for record in records:
        groups.setdefault(record.request_id, Group(record.request_id)).add(Member(record))
    for request_id, one in world.landed.items():
        assert sum(one.joined.duplicates.values()) == sum(groups[request_id].duplicates.values())
