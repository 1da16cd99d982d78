"""What waits to be processed, bounded in bytes, and what is shed so that it stays bounded.

Shed is by the place of the request id (`core.sampling`): the fuller the backlog, the smaller the share of requests that
still get in. What was decided for the first entry of a request holds for its others, which come a little later: room is
kept for them. So in an overload both sides of a request are shed together, and what is kept are pairs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import msgspec

from gnomon.collect.exchange import Origin
from gnomon.collect.wire import Entry
from gnomon.core.sampling import place, share_left

__all__ = ["Backlog", "Batch"]

FULL: Final = 0.8
"""How full the backlog may be before no further request gets in; the rest is for other sides of those that are in."""
REMEMBERED: Final = 100_000
"""How many of the last requests are remembered at least, and twice as many at most; some 20 MB."""


class Batch(msgspec.Struct, frozen=True):
    """Entries of one message, whose log they are from, and the bytes of memory that they take."""

    entries: list[Entry]
    origin: Origin
    size: int


class Backlog:
    """A queue of batches with one reader.

    Args:
        max_bytes: How many bytes of entries may wait.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.waiting_bytes = 0
        self.torn = 0
        """Entries for which there was no room though another side of their request had got in."""
        self._admitted: dict[int, bool] = {}
        self._admitted_before: dict[int, bool] = {}
        self._batches: deque[Batch] = deque()
        self._arrived = asyncio.Event()
        self._closed = False

    def admits(self, request_id: bytes) -> bool:
        """Say whether an entry gets in, by the id of its request; of those without one each is for itself."""
        if not request_id:
            return self.waiting_bytes < FULL * self.max_bytes
        key = hash(request_id)  # of bytes, so keyed: nobody can make two alike
        admitted = self._admitted.get(key, self._admitted_before.get(key))
        if admitted is None:
            share = share_left(self.waiting_bytes / self.max_bytes, FULL)
            admitted = share >= 1 or place(request_id.decode("latin-1")) < share
            if len(self._admitted) >= REMEMBERED:
                self._admitted, self._admitted_before = {}, self._admitted
            self._admitted[key] = admitted
        elif admitted and self.waiting_bytes >= self.max_bytes:
            self.torn += 1
            return False
        return admitted

    def put(self, batch: Batch) -> None:
        """Add a batch whose entries are all admitted."""
        self._batches.append(batch)
        self.waiting_bytes += batch.size
        self._arrived.set()

    async def get(self) -> Batch | None:
        """Wait for the next batch; None when the backlog is closed and empty."""
        while not self._batches:
            if self._closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        batch = self._batches.popleft()
        self.waiting_bytes -= batch.size
        return batch

    def close(self) -> None:
        """Let the reader end once it has read what waits."""
        self._closed = True
        self._arrived.set()
