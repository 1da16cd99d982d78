"""Filters as processes of the tests' own, business events for them, and what has come out at the other end."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.kafka.brokers import KafkaProcess, wait_for
from tests.kafka.fixtures import Topics
from tests.kafka.workers import WorkerProcess

Headers = list[tuple[str, bytes | None]]


class Business(NamedTuple):
    """One event: its key, value and headers; `number` tells it from all others."""

    number: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    synthetic: bool


class Split(NamedTuple):
    """A topic and the three that it is split into."""

    source: str
    clean: str
    synthetic: str
    quarantine: str

    @classmethod
    def make(cls, topics: Topics, partitions: int = 4) -> Split:
        """Make all four."""
        return cls(*(topics.make(name, partitions=partitions) for name in ("orders", "clean", "synthetic", "refused")))

    def configure(self, directory: Path, more: str = "") -> Path:
        """Write a settings file that has it."""
        file = directory / f"gnomon-{secrets.token_hex(3)}.toml"
        names = "\n".join(
            f'{key} = "{topic}"' for key, topic in zip(("from", "clean", "synthetic", "quarantine"), self, strict=True)
        )
        file.write_text(f"[[route]]\n{names}\n{more or TAGS}\n")
        return file


TAGS: Final = """
tags = [
  { path = "/user/id", prefix = "synthetic-" },
  { path = "/user/id", in = ["777", 778] },
  { path = "/tags", contains = "load-test" },
  { path = "/items/*/note", regex = "(?i)^probe" },
  { path = "/probe", equals = true },
  { header = "X-Run", regex = "^load-[0-9]+$" },
]
"""
_PADDING: Final = "x" * 700
_ODD: Final[list[tuple[dict[str, Any], Headers]]] = [
    ({}, [("x-synthetic", b"load")]),
    ({}, [("X-Synthetic", b" probe ")]),
    ({}, [("x-SYNTHETIC", b""), ("X-SYNTHETIC", b"second")]),
    ({}, [("baggage", b"a=b , synthetic = load%20test ; ttl=3")]),
    ({}, [("Baggage", b"a=b"), ("BAGGAGE", b"synthetic=%C3%A9")]),
    ({}, [("x-synthetic", b"  ")]),
    ({}, [("x-synthetic", None)]),
    ({}, [("baggage", b"a=b,\xc2\xa0synthetic")]),
    ({}, [("x-run", b"load-12")]),
    ({}, [("x-synthetic", b"\xff\xfe")]),
    ({"user": {"id": "synthetic-9"}}, []),
    ({"user": {"id": 777}}, []),
    ({"user": {"id": "778"}}, []),
    ({"tags": ["a", "load-test"]}, []),
    ({"tags": "is load-test indeed"}, []),
    ({"items": [{}, {"note": "x"}, {"note": "Probe 1"}]}, []),
    ({"probe": True}, []),
    ({"probe": "true"}, []),
]
_REAL: Final[list[tuple[dict[str, Any], Headers]]] = [
    ({}, []),
    ({}, [("x-request-id", b"synthetic"), ("baggage", b"user=synthetic,;=,%,a=%zz")]),
    ({"user": {"id": "real-synthetic-1"}}, []),
    ({"user": {"id": 7770}}, []),
    ({"user": None, "tags": {"x": 1}, "items": "probe"}, []),
    ({"user": [], "tags": [["load-test"]], "items": [None, 3, {"note": None}]}, []),
    ({"probe": False, "items": []}, [("x-run", b"load-x"), ("not-x-synthetic", b"  ")]),
]


def business(count: int, share: float = 0.03, seed: int = 1, first: int = 0) -> Iterator[Business]:
    """Make events of about 1 KB, some of them synthetic, with tags in every place and odd shapes around them."""
    rng = random.Random(seed)
    for number in range(first, first + count):
        synthetic = rng.random() < share
        fields, headers = rng.choice(_ODD if synthetic else _REAL)
        value = {"n": number, "user": {"id": f"user-{number}"}, "total": 12.5, "padding": _PADDING, **fields}
        data = orjson.dumps(value)
        if number % 97 == 0:
            data = b"\xef\xbb\xbf" + data
        yield Business(number, str(number % 1000).encode(), data, [*headers, ("n", str(number).encode())], synthetic)


class EventSender:
    """Puts events on a topic."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": 5,
                "acks": "all",
                "compression.type": "lz4",
                "message.max.bytes": 2_000_000,
                "queue.buffering.max.messages": 50_000,
            }
        )

    def send(self, event: Business, *, partition: int = -1, timestamp: int = 0) -> None:
        """Send one; `flush` says when it is there."""
        while True:
            try:
                self._producer.produce(
                    self.topic, event.value, event.key, partition, headers=event.headers, timestamp=timestamp
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker has it all."""
        assert self._producer.flush(120) == 0


class Outcome(NamedTuple):
    """One record of a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int

    @property
    def number(self) -> int:
        """Of the event that it was."""
        return int(dict(self.headers)["n"] or b"-1")


def read_all(bootstrap: str, topic: str) -> list[Outcome]:
    """Read what is committed on a topic now, in order of partition and offset.

    A transaction's end reaches the offsets of a group before it reaches all topics; so this reads to where partitions
    end for those who read uncommitted records too, and a transaction that nobody ends is an error.
    """
    options: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "group.id": f"read-{secrets.token_hex(4)}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    everything = Consumer(options | {"isolation.level": "read_uncommitted"})
    consumer = Consumer(options | {"isolation.level": "read_committed"})
    try:
        count = len(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        marks = {n: everything.get_watermark_offsets(TopicPartition(topic, n), timeout=30) for n in range(count)}
        consumer.assign([TopicPartition(topic, n, low) for n, (low, _) in marks.items()])
        found: list[Outcome] = []

        def is_read() -> bool:
            for message in consumer.consume(10_000, 0.5):
                assert message.error() is None, message.error()
                place, when = (message.partition(), message.offset()), message.timestamp()[1]
                found.append(Outcome(*place, message.key(), message.value(), list(message.headers() or []), when))
            positions = {part.partition: part.offset for part in consumer.position(consumer.assignment())}
            return all(positions[n] >= high or low == high for n, (low, high) in marks.items())

        wait_for(f"{topic} is read", is_read, 120)
        return sorted(found, key=lambda one: one[:2])
    finally:
        consumer.close()
        everything.close()


def committed(bootstrap: str, group: str, topic: str, partitions: int = 4) -> int:
    """Give how many records of a topic the filter is done with."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{group}-route"})
    try:
        parts = [TopicPartition(topic, number) for number in range(partitions)]
        with suppress(Exception):
            return sum(max(part.offset, 0) for part in consumer.committed(parts, timeout=10))
        return -1
    finally:
        consumer.close()


class RouteProcess(WorkerProcess):
    """A `gnomon route`; a context manager that kills it at its end."""

    command = ("route",)

    def __init__(self, store: Path, settings: Mapping[str, str]) -> None:
        super().__init__(
            store, {"GNOMON_KAFKA_SESSION_TIMEOUT": "2s", "GNOMON_OPERATIONS_BIND": "127.0.0.1:0", **settings}
        )


Start = Callable[..., RouteProcess]


def check(kafka: KafkaProcess, split: Split, events: list[Business]) -> None:
    """See that every event is once where it belongs, in order and as it was: read committed."""
    sent = {event.number: event for event in events}
    where: dict[int, tuple[int, int]] = {}  # of the input: partition and offset
    times: dict[int, int] = {}
    for one in read_all(kafka.bootstrap, split.source):
        where[one.number] = (one.partition, one.offset)
        times[one.number] = one.timestamp
    assert read_all(kafka.bootstrap, split.quarantine) == []
    for topic, synthetic in ((split.clean, False), (split.synthetic, True)):
        found = read_all(kafka.bootstrap, topic)
        numbers = [one.number for one in found]
        wanted = sorted((n for n, event in sent.items() if event.synthetic is synthetic), key=where.__getitem__)
        lacking = sorted(where[n] for n in set(wanted) - set(numbers))
        assert not lacking, f"{len(lacking)} are not on {topic}, from {lacking[0]} to {lacking[-1]}"
        assert numbers == wanted
        for one in found:
            event = sent[one.number]
            assert (one.key, one.value, one.headers) == (event.key, event.value, event.headers)
            assert (one.partition, one.timestamp) == (where[one.number][0], times[one.number])


@contextmanager
def sending(sender: EventSender, events: list[Business], seconds: float) -> Iterator[None]:
    """Send events in the background, over some seconds; wait for them at the end."""
    ended = threading.Event()

    def run() -> None:
        for number, event in enumerate(events):
            sender.send(event)
            if number % 100 == 0:
                ended.wait(seconds * 100 / len(events))
        sender.flush()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    except BaseException:
        ended.set()
        raise
    finally:
        thread.join()
