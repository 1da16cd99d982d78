"""What waits to be processed, bounded in bytes, and what is shed so that it stays bounded.

Shed is by the place of the request id (`core.sampling`): the fuller the backlog, the smaller the share that still gets
in. So in an overload both sides of most requests are shed together, and what is kept are pairs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import msgspec

from gnomon.collect.exchange import Origin
from gnomon.collect.wire import Entry

__all__ = ["Backlog", "Batch"]

EASY: Final = 0.5
"""How full the backlog may be before anything is shed."""


class Batch(msgspec.Struct, frozen=True):
    """Entries of one message, whose log they are from, and the message's size in bytes."""

    entries: list[Entry]
    origin: Origin
    size: int


class Backlog:
    """A queue of batches with one reader.

    Args:
        max_bytes: How many bytes of messages may wait.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.waiting_bytes = 0
        self._batches: deque[Batch] = deque()
        self._arrived = asyncio.Event()
        self._closed = False

    @property
    def share(self) -> float:
        """The share of request ids, by place, that still gets in: 1 while at ease, 0 when full."""
        fill = self.waiting_bytes / self.max_bytes
        return 1.0 if fill <= EASY else max(0.0, (1 - fill) / (1 - EASY))

    def put(self, batch: Batch) -> None:
        """Add a batch whose entries have been chosen by `share`."""
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
