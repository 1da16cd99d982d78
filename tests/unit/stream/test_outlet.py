"""What a worker tells on Kafka, and how little it depends on it."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import KafkaConnectionError

from gnomon.model import Place, Reject
from gnomon.stream.outlet import Outlet

REJECT = Reject(Place("exchanges", partition=3, offset=7), "it is no JSON", b"{")


class Producer:
    """Takes what is sent, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.sent: list[tuple[Any, ...]] = []
        self.started = self.stopped = False

    async def start(self) -> None:
        """Start."""
        self.started = True

    async def stop(self) -> None:
        """Stop."""
        self.stopped = True

    async def send(self, topic: str, value: bytes, *, key: bytes | None, headers: list[Any]) -> Any:
        """Take a message."""
        if self.fails:
            raise KafkaConnectionError
        self.sent.append((topic, value, key, dict(headers)))
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged


def test_a_reject_says_why_and_where_from() -> None:
    """The topic, partition and offset lead to the record itself."""

    async def check() -> None:
        producer = Producer()
        outlet = Outlet(lambda: producer, "rejects", "")
        await outlet.send([REJECT], [])
        headers = {"reason": b"it is no JSON", "topic": b"exchanges", "partition": b"3", "offset": b"7"}
        assert producer.sent == [("rejects", b"{", None, headers)]
        await outlet.close()
        assert producer.stopped

    asyncio.run(check())


def test_without_a_topic_nothing_is_sent() -> None:
    """And nobody connects."""

    async def check() -> None:
        producer = Producer()
        await Outlet(lambda: producer, "", "").send([REJECT], [])
        assert not producer.started

    asyncio.run(check())


def test_a_topic_that_takes_nothing_is_left_alone_for_a_while() -> None:
    """The store has all of it; what was not sent is counted."""

    async def check() -> None:
        producer = Producer(fails=True)
        outlet = Outlet(lambda: producer, "rejects", "")
        await outlet.send([REJECT], [])
        producer.fails = False
        await outlet.send([REJECT, REJECT], [])
        assert (outlet.unsent, producer.sent) == (3, [])

    asyncio.run(check())
