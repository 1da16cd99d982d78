"""One input partition under way: its records in order, some at a time in one transaction."""

from __future__ import annotations

import asyncio
import time
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
TRANSACTION_BYTES: Final = 32 * 2**20
"""Bytes of the records of one transaction; a record that is larger has one of its own."""
WAITING_EVENTS: Final = 5_000
WAITING_BYTES: Final = 32 * 2**20
"""Records that wait here while a transaction ends, and their bytes, before no more are to be brought."""
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
        room: Called when more may be brought again.
    """

    committed: Callable[[Tally, int, float], None]
    held: Callable[[DependencyError | None], None]
    room: Callable[[], None]


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
        self._committed = following
        self._judge = judge
        self._sender = sender
        self._told = told
        self._topics = {
            "clean": (route.clean,),
            "synthetic": (route.synthetic,),
            "both": (route.clean, route.synthetic),
            "quarantine": (route.quarantine,),
        }
        self._waiting: deque[tuple[list[Any], int]] = deque()
        self._events = 0
        self._bytes = 0
        self._is_busy = False
        self._moved = time.monotonic()
        self._more = asyncio.Event()
        self._ending = False
        self._bare = bare

    @property
    def has_room(self) -> bool:
        """Whether more may be brought; what is on its way already may still be put."""
        return self._events < WAITING_EVENTS and self._bytes < WAITING_BYTES

    @property
    def is_overfull(self) -> bool:
        """Whether so much more was brought than there was room for that it is to be read again instead."""
        return self._events >= 4 * WAITING_EVENTS or self._bytes >= 2 * WAITING_BYTES

    @property
    def seconds_stuck(self) -> float:
        """For how long nothing was committed although there was something; 0 where there is nothing."""
        return time.monotonic() - self._moved if self._waiting or self._is_busy else 0.0

    def put(self, records: list[Any]) -> None:
        """Take records that follow those of before; they wait for their transaction."""
        records = [record for record in records if record.offset >= self.following]
        if not records or self._ending:
            return
        if not self._waiting and not self._is_busy:
            self._moved = time.monotonic()
        self.following = records[-1].offset + 1
        for part, size in _parts(records):
            self._waiting.append((part, size))
            self._events += len(part)
            self._bytes += size
        self._more.set()

    async def run(self) -> None:
        """Route until `end` is called and nothing waits.

        Raises:
            FencedError: Another process has the partition now.
            DependencyError: The broker does not answer; what was not committed is to be read again.
        """
        loop = asyncio.get_running_loop()
        has_begun = False
        while await self._is_more(None, loop) and await self._is_prepared(loop):
            began = loop.time()
            if not has_begun:
                await self._sender.begin()
                has_begun = True
                if not self._judge.is_prepared(self._waiting[0][0]):
                    continue  # forgotten meanwhile; the transaction has nothing yet, so it is none to the broker
            first = self._waiting[0][0][0]
            tally = Tally(first.topic, first.partition)
            following = await self._fill(tally, loop)
            if following <= self._committed:
                raise RuntimeError(f"{first.topic}[{first.partition}] was about to go back to {following}")
            await self._sender.commit(following)
            has_begun, self._is_busy = False, False
            self._committed, self._moved = following, time.monotonic()
            self._judge.commit()
            self._told.committed(tally, following, loop.time() - began)

    async def _fill(self, tally: Tally, loop: AbstractEventLoop) -> int:
        """Send what waits, and can be judged at once, for one transaction; give the offset that follows."""
        self._is_busy = True
        deadline = loop.time() + TRANSACTION_SECONDS
        events, size, following = 0, 0, 0
        while not events or (events < TRANSACTION_EVENTS and await self._is_more(deadline, loop)):
            records, own = self._waiting[0]
            if events and (size + own > TRANSACTION_BYTES or not self._judge.is_prepared(records)):
                break  # nothing is waited for while a transaction is open
            self._take_out()
            self._send(records, tally)
            await self._sender.flush()
            events, size, following = events + len(records), size + own, records[-1].offset + 1
        return following

    def _take_out(self) -> None:
        had_room = self.has_room
        records, size = self._waiting.popleft()
        self._events -= len(records)
        self._bytes -= size
        if not had_room and self.has_room:
            self._told.room()

    def end(self) -> None:
        """Have `run` return once what waits is committed; nothing more is taken."""
        self._ending = True
        self._more.set()

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
                await self._judge.prepare(self._waiting[0][0])
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


def _parts(records: Sequence[Any]) -> Iterator[tuple[list[Any], int]]:
    """Divide records into as many parts as they need transactions, each with its bytes."""
    part: list[Any] = []
    size = 0
    for record in records:
        own = len(record.value or b"") + len(record.key or b"")
        if record.headers:
            own += sum([len(name) + len(value or b"") for name, value in record.headers])
        if part and size + own > TRANSACTION_BYTES:
            yield part, size
            part, size = [], 0
        part.append(record)
        size += own
    yield part, size


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
