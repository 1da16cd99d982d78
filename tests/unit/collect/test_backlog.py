from __future__ import annotations

import asyncio

from gnomon.collect.backlog import Backlog, Batch
from gnomon.collect.counts import Counts
from gnomon.collect.exchange import Origin


def batch(size: int) -> Batch:
    """Nothing, of this size."""
    return Batch([], Origin(), size)


def test_the_fuller_the_smaller_the_share() -> None:
    """Nothing is shed while it is half empty, everything when it is full."""
    backlog = Backlog(100)
    shares = []
    for _ in range(5):
        shares.append(backlog.share)
        backlog.put(batch(25))
    assert shares == [1.0, 1.0, 1.0, 0.5, 0.0]
    assert backlog.share == 0.0


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
