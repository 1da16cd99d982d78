"""One input partition under way: its records in order, some at a time in one transaction."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from gnomon.config import Route
from gnomon.core.routing import Event, EventRouter, Routing
from gnomon.stream.route.sender import Headers, Sends
from gnomon.stream.route.tally import Tally

__all__ = ["Lane"]

TRANSACTION_SECONDS: Final = 0.1
"""How long a transaction is open for more records: what it adds to an event's delay, and what bounds their number."""
TRANSACTION_EVENTS: Final = 20_000
WAITING_EVENTS: Final = 20_000
"""Records that wait here while a transaction ends, before whoever brings more has to wait."""
LARGE: Final = 256 * 1024
"""Bytes of a value that some hundred bytes of headers may make too large for its topic."""


class Lane:
    """Routes the records of one partition.

    Args:
        route: Where events go.
        judge: Says which.
        sender: Sends them.
        following: The offset to read first.
        committed: Called with what a transaction has sent, the offset to read next, and its seconds, once it is
            committed.
        bare: Leave large events in quarantine without headers of ours, which made one too large before.
    """

    def __init__(
        self,
        route: Route,
        judge: EventRouter,
        sender: Sends,
        following: int,
        committed: Callable[[Tally, int, float], None],
        *,
        bare: bool = False,
    ) -> None:
        self.following = following
        self._judge = judge.judge
        self._sender = sender
        self._committed = committed
        self._topics = {
            "clean": (route.clean,),
            "synthetic": (route.synthetic,),
            "both": (route.clean, route.synthetic),
            "quarantine": (route.quarantine,),
        }
        self._waiting: deque[list[Any]] = deque()
        self._size = 0
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ending = False
        self._bare = bare

    async def wait_for_room(self) -> None:
        """Wait until `put` may be called."""
        await self._room.wait()

    def put(self, records: list[Any]) -> None:
        """Take records that follow those of before; they wait for their transaction."""
        records = [record for record in records if record.offset >= self.following]
        if not records or self._ending:
            return
        self.following = records[-1].offset + 1
        self._waiting.append(records)
        self._size += len(records)
        self._more.set()
        if self._size >= WAITING_EVENTS:
            self._room.clear()

    async def run(self) -> None:
        """Route until `end` is called and nothing waits.

        Raises:
            FencedError: Another process has the partition now.
            DependencyError: The broker does not answer; what was not committed is to be read again.
        """
        loop = asyncio.get_running_loop()
        while await self._is_more(None, loop):
            began = loop.time()
            await self._sender.begin()
            deadline = loop.time() + TRANSACTION_SECONDS
            tally, events, following = Tally(self._waiting[0][0].topic, self._waiting[0][0].partition), 0, 0
            while not events or (events < TRANSACTION_EVENTS and await self._is_more(deadline, loop)):
                records = self._waiting.popleft()
                self._size -= len(records)
                if self._size < WAITING_EVENTS:
                    self._room.set()
                self._send(records, tally)
                await self._sender.flush()
                events += len(records)
                following = records[-1].offset + 1
            await self._sender.commit(following)
            self._committed(tally, following, loop.time() - began)

    def end(self) -> None:
        """Have `run` return once what waits is committed; nothing more is taken."""
        self._ending = True
        self._more.set()
        self._room.set()

    async def close(self) -> None:
        """Let go of the sender."""
        self.end()
        await self._sender.close()

    async def _is_more(self, deadline: float | None, loop: AbstractEventLoop) -> bool:
        """Wait for records until a deadline, or until the end."""
        while not self._waiting:
            if self._ending:
                return False
            self._more.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._more.wait()
            except TimeoutError:
                break
        return bool(self._waiting) and (deadline is None or loop.time() <= deadline or self._ending)

    def _send(self, records: Sequence[Any], tally: Tally) -> None:
        judge, add, count, topics = self._judge, self._sender.add, tally.count, self._topics
        for record in records:
            try:
                routing = judge(Event(record.value, record.headers))
            except Exception as error:  # noqa: BLE001 - a bug of ours must neither stop the partition nor leak an event
                routing = Routing("quarantine", "unjudged", f"it could not be judged: {type(error).__name__}: {error}")
            headers: Headers = record.headers
            if routing.to == "quarantine" and not (self._bare and len(record.value) > LARGE):
                headers = [*headers, *quarantine_headers(record, routing)]
            for topic in topics[routing.to]:
                add(topic, record, headers)
            count(routing.rule, routing.to, record.offset)


def quarantine_headers(record: Any, routing: Routing) -> Headers:  # noqa: ANN401 - aiokafka has no types
    """Give the headers that tell why an event is in quarantine, and where it came from."""
    return [
        ("reason", routing.reason.encode("utf-8", "replace")[:1000]),
        ("topic", record.topic.encode()),
        ("partition", str(record.partition).encode()),
        ("offset", str(record.offset).encode()),
    ]
