"""Taint on a real Kafka: later events of a tagged session stay out of the clean topic, whoever is killed meanwhile."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import orjson
import pytest
from tests.kafka.brokers import KafkaProcess, wait_for
from tests.kafka.routers import Business, EventSender, Split, Start, read_all, sending
from tests.kafka.workers import Store

pytestmark = pytest.mark.apache_kafka

EVENTS = int(os.environ.get("GNOMON_TEST_TAINT_EVENTS", "8000"))
KILLS = int(os.environ.get("GNOMON_TEST_TAINT_KILLS", "4"))
SESSIONS = 400
BEGIN_MS = time.time_ns() // 1_000_000 - 600_000  # brokers drop what is older than their topics keep
STEP_MS = 10
SPAN_MS = 40_000
TAINT = f'taint = {{ path = "/session", for = "{SPAN_MS // 1000}s" }}'


class TimedSender(EventSender):
    """Sends events of which each is some milliseconds later than the one before."""

    def send(self, event: Business, *, partition: int = -1, timestamp: int = 0) -> None:
        """Send one."""
        super().send(event, partition=partition, timestamp=timestamp or BEGIN_MS + event.number * STEP_MS)


def visits(count: int, seed: int = 5) -> list[Business]:
    """Make events of sessions, which are their keys; one in a hundred has a tag."""
    rng = random.Random(seed)
    events = []
    for number in range(count):
        session = f"session-{rng.randrange(SESSIONS)}"
        tagged = rng.random() < 0.01
        headers: list[tuple[str, bytes | None]] = [("n", str(number).encode())]
        headers += [("x-synthetic", b"load")] if tagged else []
        events.append(Business(number, session.encode(), orjson.dumps({"session": session}), headers, tagged))
    return events


def by_partition(kafka: KafkaProcess, topic: str) -> dict[int, list[int]]:
    """Read a topic: the numbers of its events in order."""
    found: dict[int, list[int]] = {}
    for one in read_all(kafka.bootstrap, topic):
        found.setdefault(one.partition, []).append(one.number)
    return found


def expected(kafka: KafkaProcess, split: Split) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Say what is clean and what is synthetic, by partition, from what was sent."""
    clean: dict[int, list[int]] = {}
    synthetic: dict[int, list[int]] = {}
    until: dict[bytes | None, int] = {}
    for one in read_all(kafka.bootstrap, split.source):
        is_tagged = "x-synthetic" in dict(one.headers)
        if is_tagged:
            until[one.key] = one.timestamp + SPAN_MS
        tainted = is_tagged or until.get(one.key, 0) >= one.timestamp
        (synthetic if tainted else clean).setdefault(one.partition, []).append(one.number)
    return clean, synthetic


def test_taint_is_remembered_when_filters_are_killed(
    kafka_process: KafkaProcess, split: Split, start: Start, done: Callable[..., None]
) -> None:
    """kill -9 of one of two, again and again; each event is where it would be had nobody been killed."""
    rng = random.Random(3)
    events = visits(EVENTS)
    sender = TimedSender(kafka_process.bootstrap, split.source)
    with sending(sender, events, 5 * KILLS):
        pair = [start(TAINT), start(TAINT)]
        done(100)
        for _ in range(KILLS):
            wait_for("a random moment", lambda: rng.random() < 0.02, 60)
            victim = rng.choice(pair)
            victim.kill()
            victim.again()
    done(len(events))
    clean, synthetic = expected(kafka_process, split)
    assert sum(map(len, synthetic.values())) > len(events) // 20
    assert by_partition(kafka_process, split.clean) == clean
    assert by_partition(kafka_process, split.synthetic) == synthetic


def test_late_tags_and_what_is_best_effort_are_counted(
    kafka_process: KafkaProcess, split: Split, start: Start, done: Callable[..., None], store: Store
) -> None:
    """What had been sent on is a correction in the audit; ids that are not the key are told apart."""
    sender = TimedSender(kafka_process.bootstrap, split.source)
    value = b'{"session": "s"}'
    tag: list[tuple[str, bytes | None]] = [("x-synthetic", b"load")]
    first = [(b"s", value, []), (b"s", value, []), (b"s", b'{"session": "t"}', []), (b"s", value, tag)]
    then = [(b"s", value, []), (b"other", value, []), (b"s", b"{}", []), (b"s", b"{", tag)]
    for number, (key, data, headers) in enumerate(first + then):
        sender.send(Business(number, key, data, [("n", str(number).encode()), *headers], False), partition=2)
    sender.flush()
    worker = start(TAINT)
    done(8)
    assert worker.stop() == 0
    assert by_partition(kafka_process, split.clean) == {2: [0, 1, 2, 6]}
    assert by_partition(kafka_process, split.synthetic) == {2: [3, 4, 5]}
    rows = store.rows("SELECT destination, rule, events::BIGINT, samples FROM routed ORDER BY 1, 2")
    place = f"{split.source}[2]@"
    assert [(destination, rule, events) for destination, rule, events, _ in rows] == [
        ("clean", "", 4),
        ("correction", "header x-synthetic", 2),
        ("quarantine", "value", 1),
        ("synthetic", "header x-synthetic", 1),
        ("synthetic", "taint /session", 1),
        ("synthetic", "taint /session (not the key: best effort)", 1),
    ]
    assert rows[1][3] == [f"{place}0"]
