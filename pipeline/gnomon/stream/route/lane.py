"""One input partition under way: its records in order, some at a time in one transaction."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from gnomon.config import Route
from gnomon.core.routing import Routing
from gnomon.errors import DependencyError
from gnomon.stream.route.judging import PartitionJudge
from gnomon.stream.route.sender import Headers, Sends
from gnomon.stream.route.tally import Tally

__all__ = ["Lane", "Told"]

TRANSACTION_SECONDS: Final = 0.1
"""How long a transaction is open for more records: what it adds to an event's delay, and what bounds their number."""
TRANSACTION_EVENTS: Final = 20_000
WAITING_EVENTS: Final = 20_000
"""Records that wait here while a transaction ends, before whoever brings more has to wait."""
_PAUSE_SECONDS: Final = 1.0
"""How long to wait before what is needed to judge is asked for again."""
LARGE: Final = 256 * 1024
"""Bytes of a value that some hundred bytes of headers may make too large for its topic."""


class Told(NamedTuple):
    """Who is told what becomes of a lane.

    Attributes:
        committed: Called with what a transaction has sent, the offset to read next, and its seconds, once it is
            committed.
        held: Called with why events cannot be judged now, and with None once they can.
    """

    committed: Callable[[Tally, int, float], None]
    held: Callable[[DependencyError | None], None]


class Lane:
    """Routes the records of one partition.

    Args:
        route: Where events go.
        judge: Says which.
        sender: Sends them.
        following: The offset to read first.
        told: Called with what becomes of it.
        bare: Leave large events in quarantine without headers of ours, which made one too large before.
    """

    def __init__(
        self,
        route: Route,
        judge: PartitionJudge,
        sender: Sends,
        following: int,
        told: Told,
        *,
        bare: bool = False,
    ) -> None:
        self.following = following
        self._judge = judge
        self._sender = sender
        self._told = told
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
        while await self._is_more(None, loop) and await self._is_prepared(loop):
            began = loop.time()
            await self._sender.begin()
            deadline = loop.time() + TRANSACTION_SECONDS
            tally, events, following = Tally(self._waiting[0][0].topic, self._waiting[0][0].partition), 0, 0
            while not events or (events < TRANSACTION_EVENTS and await self._is_more(deadline, loop)):
                if not self._judge.is_prepared(self._waiting[0]):
                    break  # not while a transaction is open
                records = self._waiting.popleft()
                self._size -= len(records)
                if self._size < WAITING_EVENTS:
                    self._room.set()
                self._send(records, tally)
                await self._sender.flush()
                events += len(records)
                following = records[-1].offset + 1
            await self._sender.commit(following)
            self._told.committed(tally, following, loop.time() - began)

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

    async def _is_prepared(self, loop: AbstractEventLoop) -> bool:
        """Get what the next records need to be judged; wait for it as long as it takes, or until the end."""
        is_held = False
        while True:
            try:
                await self._judge.prepare(self._waiting[0])
            except DependencyError as error:
                if self._ending:
                    return False
                is_held = True
                self._told.held(error)
                await self._pause(loop.time() + _PAUSE_SECONDS)
            else:
                if is_held:
                    self._told.held(None)
                return True

    async def _pause(self, deadline: float) -> None:
        while not self._ending:
            self._more.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._more.wait()
            except TimeoutError:
                return

    def _send(self, records: Sequence[Any], tally: Tally) -> None:
        judge, add, (clean,) = self._judge.judge, self._sender.add, self._topics["clean"]
        cleaned = []
        for record in records:
            try:
                routing = judge(record)
            except Exception as error:  # noqa: BLE001 - a bug of ours must neither stop the partition nor leak an event
                routing = Routing("quarantine", "unjudged", f"it could not be judged: {type(error).__name__}: {error}")
            if routing.to == "clean":  # nearly all of them
                add(clean, record, record.headers)
                cleaned.append(record.offset)
            else:
                self._send_aside(record, routing, tally)
        if cleaned:
            tally.count_clean(cleaned)

    def _send_aside(self, record: Any, routing: Routing, tally: Tally) -> None:  # noqa: ANN401 - aiokafka has no types
        headers: Headers = record.headers
        if routing.to != "synthetic":  # there all names are UTF-8
            headers = [(_escaped(name), value) for name, value in headers]
        if routing.to == "quarantine" and not (self._bare and len(record.value) > LARGE):
            headers = [*headers, *quarantine_headers(record, routing)]
        for topic in self._topics[routing.to]:
            self._sender.add(topic, record, headers)
        tally.count(routing.rule, routing.to, record.offset)
        for late in routing.late:
            tally.correct(routing.rule, late)


def _escaped(name: str) -> str:
    """Give a header's name as it can be sent: bytes of it that are not UTF-8 as a backslash, x and two digits."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def quarantine_headers(record: Any, routing: Routing) -> Headers:  # noqa: ANN401 - aiokafka has no types
    """Give the headers that tell why an event is in quarantine, and where it came from."""
    return [
        ("reason", routing.reason.encode("utf-8", "replace")[:1000]),
        ("topic", record.topic.encode()),
        ("partition", str(record.partition).encode()),
        ("offset", str(record.offset).encode()),
    ]
