"""`gnomon worker` on a real broker: what lands is what `gnomon compare` makes of the same records."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer
from tests.kafka.brokers import Broker, wait_for
from tests.kafka.fixtures import Topics
from tests.kafka.workers import SECOND, Sender, Store, WorkerProcess, in_order, now_us, pairs

from gnomon.cli.app import app
from gnomon.model import Exchange, TransportError
from gnomon.testing import exchange, pair

YEAR = 365 * 86_400 * SECOND
Start = Callable[..., WorkerProcess]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that is not there yet."""
    return Store(tmp_path / "store")


@pytest.fixture
def topic(topics: Topics) -> str:
    """A topic of eight partitions."""
    return topics.make("exchanges", partitions=8)


@pytest.fixture
def start(kafka: Broker, topic: str, group: str, store: Store) -> Iterator[Start]:
    """Start workers of one group; settings by their names in the environment, without `GNOMON_`."""
    with ExitStack() as stack:

        def one(settings: Mapping[str, str] | None = None) -> WorkerProcess:
            environment = {"GNOMON_KAFKA": kafka.bootstrap, "GNOMON_TOPIC": topic, "GNOMON_GROUP": group}
            more = {f"GNOMON_{name}": value for name, value in (settings or {}).items()}
            return stack.enter_context(WorkerProcess(store.path, environment | more))

        yield one


def capture(seed: int = 1) -> list[bytes]:
    """Make records of all kinds, shuffled: controls, several shadows, errors, missing sides, duplicates, rejects."""
    rng = random.Random(seed)
    records: list[Exchange] = []
    at = now_us() - 10 * SECOND

    def side(number: int, role: str, answer: Any, **more: Any) -> Exchange:
        fields = {"started_us": at + number * 1000, "duration_us": 500, "path": f"/items/{number % 5}/x", **more}
        return exchange(f"request-{number}", role, answer, **fields)  # type: ignore[arg-type]

    for number in range(600):
        kind = number % 12
        records.append(side(number, "live", {"n": number, "at": 1}, expect=[] if kind == 9 else None))
        if kind in (0, 1, 2, 3):
            records.append(side(number, "shadow", {"n": number if kind < 2 else str(number), "at": 1}))
        elif kind == 4:  # the control makes noise of it
            records += [side(number, "shadow", {"n": number, "at": 2}), side(number, "control", {"n": number, "at": 3})]
        elif kind == 5:
            records += [side(number, "shadow", {"n": number, "at": 1}, target=target) for target in ("a", "b")]
        elif kind == 6:
            records.append(side(number, "shadow", None, error=TransportError("timeout")))
        elif kind == 7:  # live never came
            records[-1] = side(number, "shadow", {"n": number})
        elif kind == 8:  # of two answers the earlier one counts
            first = side(number, "shadow", {"n": number, "at": 1})
            records += [first, msgspec.structs.replace(first, started_us=first.started_us + 7)]
        elif kind == 10:
            records += [side(number, "shadow", {"n": number, "at": 1}), records[-1]]
    lines = [msgspec.json.encode(record) for record in records]
    lines += [b"{", b'{"v":1}', b'{"v":2,"request_id":"x","role":"live"}'] * 5
    rng.shuffle(lines)
    return lines


COLUMNS = (
    "request_id, target, role, service, endpoint, method, path, started_at, live_target, live_status, shadow_status, "
    "live_error, shadow_error, live_ms, shadow_ms, delta_ms, outcome, differences, noise_differences, severity, late, "
    "duplicates, synthetic, as_of, rules"
)


def test_the_result_is_that_of_compare_on_the_same_records(
    kafka: Broker, topic: str, store: Store, start: Start, tmp_path: Path
) -> None:
    """Shuffled, with duplicates and rejects, over eight partitions: the same comparisons, differences and rejects."""
    lines, sender = capture(), Sender(kafka.bootstrap, topic)
    for number, line in enumerate(lines):
        key = json.loads(line).get("request_id", "") if line.startswith(b'{"v":1,"req') else f"reject-{number}"
        sender.send(line, key=key)
    sender.flush()
    file, db = tmp_path / "capture.ndjson", tmp_path / "compared.duckdb"
    file.write_bytes(b"\n".join(lines) + b"\n")
    ran = CliRunner().invoke(app, ["compare", str(file), "--db", str(db)], env={"GNOMON_REDACT_KEY": "test"})
    assert ran.exit_code in (None, 0), ran.output
    with duckdb.connect(str(db), read_only=True) as compared:
        compared.execute("SET TimeZone = 'UTC'")
        asked = [
            f"SELECT {COLUMNS} FROM comparisons",
            (
                "SELECT request_id, target, role, path, shadow_path, pattern, kind, severity, live_value, "
                "shadow_value, noise, reason FROM differences"
            ),
            "SELECT reason, count(*) FROM rejects GROUP BY 1",
        ]
        expected = [in_order(compared.execute(sql).fetchall()) for sql in asked]
    worker = start({"JOIN_WINDOW": "5s"})
    store.wait_for(len(expected[0]), 60)
    assert worker.stop() == 0
    for sql, rows in zip(asked, expected, strict=True):
        assert in_order(store.rows(sql)) == rows
    ((partitions, unknown),) = store.rows(
        'SELECT count(DISTINCT "partition"), count(*) FILTER (topic IS NULL OR coalesce(live_offset, shadow_offset) IS '
        "NULL) FROM comparisons"
    )
    assert (partitions, unknown) == (8, 0)


def test_records_of_two_kinds_of_clients_meet(kafka: Broker, topic: str, store: Store, start: Start) -> None:
    """aiokafka, and librdkafka with `murmur2_random`, put both sides of a request in one partition."""
    both = list(pairs(200))

    async def send_live() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
        await producer.start()
        try:
            for live, _ in both:
                await producer.send(topic, msgspec.json.encode(live), live.request_id.encode())
        finally:
            await producer.stop()

    asyncio.run(send_live())
    sender = Sender(kafka.bootstrap, topic)
    for _, shadow in both:
        sender.send(shadow)
    sender.flush()
    start()
    store.wait_for(200, 60)
    store.check_pairs(200)


def test_a_clock_a_year_ahead_closes_no_other_window(kafka: Broker, topic: str, store: Store, start: Start) -> None:
    """Pairs whose halves come before and after such a record are joined, not late; its own window closes in time."""
    sender, both = Sender(kafka.bootstrap, topic), list(pairs(100))
    for live, _ in both:
        sender.send(live)
    sender.flush()
    for partition in range(8):
        ahead = exchange(f"ahead-{partition}", started_us=now_us() + YEAR)
        sender.send(ahead, partition=partition)
    sender.flush()
    for _, shadow in both:
        sender.send(shadow)
    sender.flush()
    start({"JOIN_WINDOW": "5s"})
    store.wait_for(108, 60)
    assert store.rows("SELECT outcome, late, count(*) FROM comparisons GROUP BY ALL ORDER BY ALL") == [
        ("diff", False, 50),
        ("match", False, 50),
        ("shadow_missing", False, 8),
    ]


def test_the_mark_of_a_transaction_keeps_no_window_open(kafka: Broker, topic: str, store: Store, start: Start) -> None:
    """A live record that nobody answers, the last of its partition but for the mark, is missing its shadow in time."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"{topic}-emitter"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, msgspec.json.encode(exchange("alone", started_us=now_us())), b"alone")
    producer.commit_transaction(30)
    start({"JOIN_WINDOW": "1s"})
    store.wait_for(1, 60)
    assert store.rows("SELECT outcome FROM comparisons") == [("shadow_missing",)]


def test_a_late_counterpart_is_compared_with_what_kafka_still_has(
    kafka: Broker, topic: str, store: Store, start: Start
) -> None:
    """It takes the place of the missing one, also after the worker that said so has gone."""
    sender = Sender(kafka.bootstrap, topic)
    both = [pair(f"request-{n}", {"n": n}, {"n": n}, started_us=now_us(), target="") for n in range(20)]
    for live, _ in both:
        sender.send(live)
    sender.flush()
    worker = start({"JOIN_WINDOW": "1s"})
    store.wait_for(20, 60)
    assert store.rows("SELECT DISTINCT outcome FROM comparisons") == [("shadow_missing",)]
    assert worker.stop() == 0
    for _, shadow in both:
        sender.send(msgspec.structs.replace(shadow, target="cart@2"))
    sender.flush()
    start({"JOIN_WINDOW": "1s"})
    wait_for("late ones", lambda: store.rows("SELECT DISTINCT outcome FROM comparisons") == [("match",)], 60)
    assert store.rows("SELECT target, late, count(*) FROM comparisons GROUP BY ALL") == [("cart@2", True, 20)]


def test_rejects_and_comparisons_are_told_on_their_topics(
    kafka: Broker, topics: Topics, topic: str, group: str, start: Start
) -> None:
    """A reject says why and where from; comparisons are sent where a topic is set for them."""
    rejects, comparisons = topics.make("rejects"), topics.make("comparisons")
    sender = Sender(kafka.bootstrap, topic)
    sender.send(b'{"v":1,"request_id":7}', partition=3)
    for live, shadow in pairs(3):
        sender.send(live)
        sender.send(shadow)
    sender.flush()
    start({"KAFKA_REJECTS": rejects, "KAFKA_COMPARISONS": comparisons})
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": f"{group}-reader", "auto.offset.reset": "earliest"}
    )
    try:
        consumer.subscribe([rejects, comparisons])
        messages: list[Any] = []
        wait_for("4 messages", lambda: len(messages.extend(consumer.consume(10, 1)) or messages) >= 4, 60)  # type: ignore[func-returns-value]
    finally:
        consumer.close()
    (reject,) = [message for message in messages if message.topic() == rejects]
    headers = dict(reject.headers())
    assert (headers["topic"], headers["partition"], headers["offset"]) == (topic.encode(), b"3", b"0")
    assert b"request_id" in headers["reason"]
    told = [json.loads(message.value()) for message in messages if message.topic() == comparisons]
    assert sorted(one["outcome"] for one in told) == ["diff", "diff", "match"]


def test_a_backlog_gives_the_same_rows_as_reading_live(kafka: Broker, topic: str, store: Store, start: Start) -> None:
    """Records of yesterday keep their windows: event time is theirs, not the clock's."""
    sender, yesterday = Sender(kafka.bootstrap, topic), now_us() - 86_400 * SECOND
    both = [
        pair(f"request-{n}", {"n": n}, {"n": n}, started_us=yesterday + n * 100_000, duration_us=10) for n in range(600)
    ]
    waiting: list[Exchange] = []
    for live, shadow in both:  # a minute of traffic, the shadow's records ten seconds behind
        sender.send(live)
        waiting.append(shadow)
        if len(waiting) > 100:
            sender.send(waiting.pop(0))
    for shadow in waiting:
        sender.send(shadow)
    sender.flush()
    start()
    store.wait_for(600, 60)
    assert store.rows("SELECT outcome, late, count(*) FROM comparisons GROUP BY ALL") == [("match", False, 600)]
