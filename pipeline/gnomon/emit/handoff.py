"""The bounded queue between a service's requests and the thread that writes records."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Handoff"]

T = TypeVar("T")


class Handoff(Generic[T]):
    """A queue that never blocks who puts and holds no more than it may; what does not fit is refused.

    What was taken counts until it is done, so the bounds hold for everything that is not written yet. Safe for any
    number of threads that put and one that takes.

    Args:
        max_items: How many items may wait.
        max_bytes: How many bytes they may have together.
    """

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items: deque[tuple[int, T]] = deque()
        self._held = 0
        self._held_bytes = 0
        self._lock = threading.Lock()
        self._done = threading.Condition(self._lock)
        self._ready = threading.Event()
        self._closing = threading.Event()

    def __len__(self) -> int:
        """How many items wait or are being written."""
        return self._held

    @property
    def fill(self) -> float:
        """How full it is: 0 where nothing waits, 1 where nothing more fits."""
        return max(self._held / self._max_items, self._held_bytes / self._max_bytes)

    def put(self, item: T, size: int) -> bool:
        """Queue an item of `size` bytes; False where there is no room, or the queue is closed."""
        with self._lock:
            if self._closing.is_set() or self._held >= self._max_items or self._held_bytes + size > self._max_bytes:
                return False
            self._items.append((size, item))
            self._held += 1
            self._held_bytes += size
        if not self._ready.is_set():
            self._ready.set()
        return True

    def take(self, most: int, linger: float) -> list[tuple[int, T]]:
        """Wait for items and give up to `most` with their sizes; [] once the queue is closed and empty.

        Args:
            most: How many at most.
            linger: Seconds to let more come together before they are taken, so that a burst wakes the taker once.
        """
        while True:
            self._ready.wait()
            if len(self._items) < most:
                self._closing.wait(linger)
            with self._lock:
                taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
                if not self._items and not self._closing.is_set():
                    self._ready.clear()
                if taken or self._closing.is_set():
                    return taken

    def done(self, count: int, size: int) -> None:
        """Say that items that were taken, `size` bytes together, are written or given up."""
        with self._done:
            self._held -= count
            self._held_bytes -= size
            if not self._held:
                self._done.notify_all()

    def wait_empty(self, timeout: float) -> bool:
        """Wait until nothing is left to write, `timeout` seconds at most; whether that is so."""
        deadline = time.monotonic() + timeout
        with self._done:
            while self._held:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._done.wait(left)
        return True

    @property
    def closing(self) -> threading.Event:
        """Set once the queue is closed."""
        return self._closing

    def close(self) -> None:
        """Take nothing more in, and let `take` end when all is taken."""
        with self._lock:
            self._closing.set()
        self._ready.set()
