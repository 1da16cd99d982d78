"""The batch transport: slices out, commits up to what has landed, and a Faust that it fits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import entry_points
from typing import Any, NamedTuple

import faust
import pytest
from faust.transport import drivers
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from gnomon.errors import DependencyError
from gnomon.stream.transport import SCHEME, Consumer, Slice, SliceSchema, StartsAnywhere, Transport, check_faust

TP0 = TP("exchanges", 0)


async def nothing(*_: Any, **__: Any) -> None:
    """Do nothing, as a callback."""


def with_consumer(kind: type[stock.Consumer], check: Callable[[Any], Awaitable[None]]) -> None:
    """Run a check on a consumer that talks to no broker."""

    async def run() -> None:
        app = faust.App("test", broker=f"{SCHEME}://127.0.0.1:1", store="memory://", web_enabled=False)
        app.topics.acks_enabled_for = lambda _: True
        callbacks = {"callback": nothing, "on_partitions_revoked": nothing, "on_partitions_assigned": nothing}
        consumer = kind(app.transport, **callbacks)
        try:
            await check(consumer)
        finally:
            consumer._thread.thread_loop.close()  # it makes one when it is made, and closes it when it ends

    asyncio.run(run())


class ConsumerRecord(NamedTuple):
    """A record as aiokafka gives it."""

    offset: int
    topic: str = TP0.topic
    partition: int = TP0.partition
    timestamp: int = 0
    timestamp_type: int = 0


def message(offset: int) -> ConsumerMessage:
    """Make the message of a slice that ends at an offset."""
    return ConsumerMessage(TP0.topic, TP0.partition, offset, 0.0, 0, None, None, None, None, tp=TP0)


async def deliver_and_ack_the_last_first(consumer: Any) -> int | None:
    """Deliver slices of offsets 0-9, 10-19 and 20-29 as Faust does, acknowledge the last, and ask what to commit."""
    messages = [message(9), message(19), message(29)]
    for one in messages:
        read = consumer._read_offset[TP0]
        if read is not None:
            await consumer._add_gap(TP0, read + 1, one.offset)
        consumer._read_offset[TP0] = one.offset
    consumer.ack(messages[2])
    offsets: dict[TP, int] = consumer._filter_committable_offsets(list(consumer._filter_tps_with_pending_acks()))
    return offsets.get(TP0)


def test_faust_itself_would_commit_past_slices_that_are_not_done_with() -> None:
    """The trap that this transport avoids: a gap is registered up to and including the message's own offset."""

    async def check(consumer: Any) -> None:
        assert await deliver_and_ack_the_last_first(consumer) == 30

    with_consumer(stock.Consumer, check)


def test_acknowledging_a_later_slice_first_commits_nothing() -> None:
    """Only what is said to have landed is committed, whatever is acknowledged."""

    async def check(consumer: Consumer) -> None:
        assert await deliver_and_ack_the_last_first(consumer) is None
        consumer.landed(TP0, 10)
        assert consumer._filter_committable_offsets([TP0]) == {TP0: 10}

    with_consumer(Consumer, check)


def test_what_has_landed_never_goes_back_and_goes_with_the_partition() -> None:
    """A lower offset than before changes nothing; after a revocation nothing of it is committed."""

    async def check(consumer: Consumer) -> None:
        consumer.landed(TP0, 10)
        consumer.landed(TP0, 5)
        assert consumer._new_offset(TP0) == 10
        await consumer.on_partitions_revoked({TP0})
        assert list(consumer._filter_tps_with_pending_acks()) == []

    with_consumer(Consumer, check)


def test_a_slice_that_was_fetched_before_a_seek_is_told_from_later_ones() -> None:
    """Who seeks drops what was on its way."""

    async def check(consumer: Consumer) -> None:
        consumer._seek = nothing
        before = Slice([1], 0)
        assert consumer.is_current(TP0, before)
        await consumer.seek(TP0, 7)
        assert not consumer.is_current(TP0, before)
        assert consumer.is_current(TP0, Slice([1], 1))

    with_consumer(Consumer, check)


def test_what_was_on_its_way_while_somebody_sought_is_fetched_once_more() -> None:
    """Nobody knows from which side of the seek it is: it is neither given out nor lost."""

    async def check(consumer: Any) -> None:
        sought: list[int] = []

        async def seek(_: TP, offset: int) -> None:
            sought.append(offset)

        async def fetch_while_somebody_seeks(_: float) -> tuple[dict[TP, list[Any]], set[TP]]:
            if not sought:
                await consumer.seek(TP0, 7)
            return {TP0: [ConsumerRecord(7)]}, {TP0}

        consumer._seek = seek
        consumer._wait_next_records = fetch_while_somebody_seeks
        consumer.highwater = lambda _: 8
        assert [given async for given in consumer.getmany(1.0)] == []
        assert sought == [7, 7]
        ((_, given),) = [given async for given in consumer.getmany(1.0)]
        assert (given.offset, consumer.is_current(TP0, given.value)) == (7, True)

    with_consumer(Consumer, check)


@pytest.mark.parametrize(("committed", "expected"), [(400, 400), (None, 3)])
def test_what_is_fetched_while_positions_are_restored_is_given_to_nobody(committed: int | None, expected: int) -> None:
    """Each partition is sought at the end: what was fetched in between, or was on its way, is read again from there."""

    async def check(consumer: Any) -> None:
        sought: list[int] = []
        given: list[Any] = []

        async def seek(_: TP, offset: int) -> None:
            sought.append(offset)

        async def restore_while_somebody_fetches() -> dict[TP, int | None]:
            given.extend([one async for one in consumer.getmany(1.0)])
            return {TP0: committed}

        async def earliest(*tps: TP) -> dict[TP, int]:
            return dict.fromkeys(tps, 3)

        async def fetch(_: float) -> tuple[dict[TP, list[Any]], set[TP]]:
            return {TP0: [ConsumerRecord(500)]}, {TP0}

        async def fetch_while_positions_are_restored(_: float) -> tuple[dict[TP, list[Any]], set[TP]]:
            consumer._wait_next_records = fetch
            await consumer.perform_seek()
            return {TP0: [ConsumerRecord(500)]}, {TP0}

        consumer.assignment = lambda: {TP0}
        consumer.highwater = lambda _: 501
        consumer._seek, consumer.earliest_offsets = seek, earliest
        consumer.seek_to_committed = restore_while_somebody_fetches
        consumer._wait_next_records = fetch_while_positions_are_restored
        assert [one async for one in consumer.getmany(1.0)] == []
        assert given == []
        assert sought == [expected, expected]

    with_consumer(Consumer, check)


def test_a_seek_is_not_lost_on_what_faust_remembers_to_have_read() -> None:
    """Faust notes what it handed on afterwards, and would drop all below as read again."""

    async def check(consumer: Consumer) -> None:
        consumer._read_offset[TP0] = 1000
        assert consumer._read_offset[TP0] is None

    with_consumer(Consumer, check)


def test_it_is_registered_where_faust_looks_for_transports() -> None:
    """The entry point names the transport, and Faust finds it by its scheme."""
    (found,) = entry_points(group="faust.transports", name=SCHEME)
    assert found.load() is Transport
    assert drivers.by_name(SCHEME) is Transport


def test_agents_get_the_slice_as_the_value_of_an_event() -> None:
    """Nothing is decoded on the way."""

    async def run() -> None:
        app = faust.App("test", broker=f"{SCHEME}://127.0.0.1:1", store="memory://")
        part = Slice([1, 2], 0)
        carried = ConsumerMessage("t", 0, 1, 0.0, 0, None, None, part, None, tp=TP0)
        event = await SliceSchema().compile(app)(carried)
        assert event.value is part

    asyncio.run(run())


def test_an_ordinary_application_starts_where_it_has_committed() -> None:
    """Only an application that says so has a word in where partitions are read from."""
    assert not isinstance(faust.App("plain"), StartsAnywhere)


@pytest.mark.parametrize("version", ["0.15.3", "0.15.9"])
def test_a_faust_that_fits_is_taken(version: str) -> None:
    """From the version that this was written for, to the next minor one."""
    check_faust(version)
    check_faust()


@pytest.mark.parametrize("version", ["0.11.3", "0.15.2", "0.16.0", "1.0"])
def test_another_faust_is_refused_with_a_sentence(version: str) -> None:
    """Insides that are not known are not relied on."""
    with pytest.raises(DependencyError, match=r"is not a version that .* install faust-streaming>=0.15.3,<0.16"):
        check_faust(version)


def test_what_is_held_is_not_fetched_until_it_is_released() -> None:
    """Others are; where all are held nothing is asked for: to the fetcher none would mean all."""
    other = TP("exchanges", 1)
    asked: list[tuple[set[TP], float]] = []

    async def check(consumer: Any) -> None:
        async def fetch(active: set[TP], seconds: float) -> dict[TP, list[Any]]:
            asked.append((active, seconds))
            return {}

        consumer._thread.getmany = fetch
        active = {TP0, other}
        for held in ([], [TP0], [TP0, other]):
            for tp in held:
                consumer.hold(tp)
            assert await consumer._getmany(active, 1.0) == {}
            for tp in held:
                consumer.release(tp)
        await consumer._getmany(active, 1.0)
        assert active == {TP0, other}

    with_consumer(Consumer, check)
    assert [active for active, _ in asked] == [{TP0, other}, {other}, {TP0, other}]
    assert [seconds < 1 for _, seconds in asked] == [False, True, False]
