"""Delivery: what the ledger holds for a hook is sent until it worked, with backoff, or its time is over.

Hooks do not wait for each other. Of one alert a hook hears in order: it is not told that something is resolved before
it was told that it fired. A command is run once: that it is about to run is written down before it runs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

import msgspec

from gnomon.alert.ledger import Entry, Lease, Ledger
from gnomon.alert.payloads import REPEAT
from gnomon.alert.send import SendFailedError
from gnomon.config import Hook
from gnomon.model import Alert

__all__ = ["Courier", "Event", "Sends", "backoff"]

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 300.0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened on the way: an attempt that worked or failed. `retry_in` is in seconds, None where that was all."""

    hook: str
    key: str
    state: str
    outcome: Literal["delivered", "failed"]
    problem: str = ""
    failures: int = 0
    retry_in: float | None = None


class Sends(Protocol):
    """How one attempt is made: `Sender` for hooks, `TopicSender` for Kafka."""

    async def send(self, hook: Hook, alert: Alert, identity: str, /) -> None:
        """Raises SendFailedError when it did not work; says why."""


def backoff(attempts: int, chance: float) -> float:
    """How long to wait after so many failed attempts, in seconds: doubling to five minutes, less up to a half.

    Args:
        attempts: How many have failed, at least 1.
        chance: Between 0 and 1, by chance, so that not all come back at once.
    """
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempts - 1, 20)) * (1 - chance / 2)


class Courier:
    """Takes to one hook what is due for it.

    Args:
        hook: Where to.
        ledger: What is to be sent.
        sender: How.
        clock: The time.
        tell: Called with every event.
    """

    def __init__(
        self, hook: Hook, ledger: Ledger, sender: Sends, clock: Callable[[], datetime], tell: Callable[[Event], None]
    ) -> None:
        self.hook = hook
        self._ledger = ledger
        self._sender = sender
        self._clock = clock
        self._tell = tell

    async def run(self, lease: Lease, stop: asyncio.Event, poll: float = 0.25) -> None:
        """Deliver until `stop` is set, or rather until the attempt that is under way then; looks every `poll` seconds.

        Raises:
            FencedError: Another evaluator has taken over.
            DependencyError: The ledger cannot be written.
        """
        while not stop.is_set():
            await self.deliver(lease, stop)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), poll)

    async def deliver(self, lease: Lease, stop: asyncio.Event) -> None:
        """Make one attempt at everything that is due. Raises as `run` does."""
        for entry in self._ledger.due(self.hook.name, self._clock()):
            if stop.is_set():
                return
            await self._attempt(lease, entry)

    async def _attempt(self, lease: Lease, entry: Entry) -> None:
        once = self.hook.type == "command"
        if once and not self._begin(lease, entry):
            return
        try:
            await self._sender.send(self.hook, entry.alert, entry.identity)
        except SendFailedError as error:
            self._failed(lease, entry, error, once=once)
            return
        repeats = self.hook.type == "alertmanager" and entry.alert.state == "firing"
        self._ledger.delivered(lease, entry, self._clock(), again=REPEAT if repeats else None)
        self._tell(Event(hook=self.hook.name, key=entry.alert.key, state=entry.alert.state, outcome="delivered"))

    def _begin(self, lease: Lease, entry: Entry) -> bool:
        """Whether a command is to be run now, after that is written down; one that waited too long is not run."""
        now = self._clock()
        if now > entry.created + self.hook.retry_for:
            late = SendFailedError("the command could not be run in time, and is not run late")
            self._failed(lease, entry, late, once=True)
            return False
        return self._ledger.start(lease, entry)

    def _failed(self, lease: Lease, entry: Entry, error: SendFailedError, *, once: bool) -> None:
        now = self._clock()
        wait = max(backoff(entry.attempts + 1, random.random()), error.retry_after or 0.0)  # noqa: S311 - jitter
        later = now + timedelta(seconds=wait)
        retry = None if once or later > entry.created + self.hook.retry_for else later
        health = self._ledger.failed(lease, entry, str(error), retry, now)
        self._tell(
            Event(
                hook=self.hook.name,
                key=entry.alert.key,
                state=entry.alert.state,
                outcome="failed",
                problem=str(error),
                failures=health.failures,
                retry_in=None if retry is None else wait,
            )
        )
