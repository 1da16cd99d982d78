from __future__ import annotations

import asyncio

import pytest

from gnomon.collect import backlog as backlogs
from gnomon.collect.backlog import Backlog, Batch
from gnomon.collect.counts import Counts
from gnomon.collect.exchange import Origin


def batch(size: int) -> Batch:
    """Nothing, of this size."""
    return Batch([], Origin(), size)


def admitted(backlog: Backlog, ids: list[bytes]) -> set[bytes]:
    """Give those that get in."""
    return {request_id for request_id in ids if backlog.admits(request_id)}


def some_ids(name: str) -> list[bytes]:
    """Make a thousand ids."""
    return [f"{name}-{number}".encode() for number in range(1000)]


def test_the_fuller_the_smaller_the_share() -> None:
    """Nothing is shed while it is half empty, every new request when it is nearly full."""
    backlog = Backlog(100)
    counts = []
    for name, size in (("a", 0), ("b", 50), ("c", 15), ("d", 15), ("e", 20)):
        backlog.put(batch(size))
        counts.append(len(admitted(backlog, some_ids(name))))
        counts.append(backlog.admits(b""))
    assert (counts[0], counts[1], counts[2], counts[3]) == (1000, True, 1000, True)
    assert 400 < counts[4] < 600
    assert counts[6:] == [0, False, 0, False]


def test_other_sides_of_a_request_get_in_as_its_first_one_did() -> None:
    """However full it has become meanwhile, or empty again; only where it is full to the brim there is no room."""
    backlog = Backlog(100)
    ids = some_ids("r")
    backlog.put(batch(45))
    assert admitted(backlog, ids) == set(ids)
    backlog.put(batch(35))
    assert admitted(backlog, ids) == set(ids)
    assert admitted(backlog, some_ids("s")) == set()
    backlog.waiting_bytes = 0
    assert admitted(backlog, some_ids("s")) == set()
    assert backlog.torn == 0
    backlog.waiting_bytes = 100
    assert admitted(backlog, ids) == set()
    assert backlog.torn == 1000


def test_only_the_last_requests_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; at least so many as it says are known."""
    monkeypatch.setattr(backlogs, "REMEMBERED", 400)
    backlog = Backlog(100)
    backlog.put(batch(80))
    ids = some_ids("r")
    assert admitted(backlog, ids) == set()
    backlog.waiting_bytes = 0
    assert admitted(backlog, ids[:100]) == set(ids[:100])
    assert admitted(backlog, ids[600:]) == set()
    assert len(backlog._admitted) + len(backlog._admitted_before) <= 800


def test_batches_come_out_in_order_until_it_is_closed_and_empty() -> None:
    """Closing lets the reader finish what waits."""

    async def read() -> list[int | None]:
        backlog = Backlog(100)
        backlog.put(batch(1))
        backlog.put(batch(2))
        backlog.close()
        return [None if got is None else got.size for got in [await backlog.get() for _ in range(3)]]

    assert asyncio.run(read()) == [1, 2, None]


def test_a_reader_waits_for_what_comes() -> None:
    """A reader that was there first gets the batch, one that waits at the end learns of it."""

    async def read() -> list[object]:
        backlog = Backlog(100)
        first = asyncio.create_task(backlog.get())
        await asyncio.sleep(0)
        backlog.put(batch(3))
        got = await first
        second = asyncio.create_task(backlog.get())
        await asyncio.sleep(0)
        backlog.close()
        return [got and got.size, await second, backlog.waiting_bytes]

    assert asyncio.run(read()) == [3, None, 0]


def test_counts_add_up_and_say_so() -> None:
    """What is not accounted for is under way."""
    counts = Counts(received=10, shed=2, written=3, lost=1)
    counts.skip("upgrade")
    counts.skip("upgrade")
    assert counts.under_way == 2
    assert str(counts) == "10 exchanges received, 3 written, 2 shed, 2 left out (upgrade), 1 lost"
