"""How long a question may take, whatever it is waiting for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gnomon.store import Store

__all__ = ["Patience", "TooLongError"]


class TooLongError(Exception):
    """A question that took longer than there was patience."""


class Patience:
    """How long a question may take, from now on; safe to use from threads.

    Args:
        seconds: After this it is over.
    """

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._until = time.monotonic() + seconds
        self.is_over = False

    def end(self) -> None:
        """It is over: what is asked of the store now ends, and what is computed does at the next `check`."""
        with self._lock:
            self.is_over = True
            if self._store is not None:
                self._store.interrupt()

    def check(self) -> None:
        """Raise TooLongError when it is over."""
        if self.is_over or time.monotonic() > self._until:
            self.is_over = True
            raise TooLongError

    @contextmanager
    def watching(self, store: Store) -> Iterator[None]:
        """What is asked of a store while there is patience."""
        with self._lock:
            self._store = store
        timer = threading.Timer(max(self._until - time.monotonic(), 0), self.end)
        timer.daemon = True
        timer.start()
        try:
            self.check()
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._store = None
