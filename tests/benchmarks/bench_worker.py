"""`gnomon worker` beside a stock Faust agent that runs DeepDiff per pair, on a real Kafka, in one run.

Prints pairs landed a second, CPU of a pair, the ratio, how long a pair takes until a query sees it, how long a restart
takes with many pairs in the horizon, and what two workers take; fails on no time. `make bench` measures 40,000 pairs of
2 KB records, every other pair differing, and a restart with 1,000,000 pairs. PAIRS, STOCK_PAIRS, HORIZON_PAIRS, RATE
and SECONDS in the environment change that; PARTS names the parts to run.
"""

from __future__ import annotations

import json
import os
import platform
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psutil
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from traffic import body, differing, record

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kafka.brokers import Broker, find_broker_kind, start_broker, wait_for
from tests.kafka.workers import Store, WorkerProcess

from gnomon.config import Settings
from gnomon.config import Store as StoreSettings
from gnomon.model import Comparison, Difference
from gnomon.store.log import Batch, Position
from gnomon.stream.landing import StoreLog

PAIRS = int(os.environ.get("PAIRS", "40000"))
STOCK_PAIRS = int(os.environ.get("STOCK_PAIRS", "2000"))
HORIZON_PAIRS = int(os.environ.get("HORIZON_PAIRS", "1000000"))
RATE = int(os.environ.get("RATE", "2000"))
SECONDS = int(os.environ.get("SECONDS", "20"))
PARTS = os.environ.get("PARTS", "stock,throughput,two,delay,restart").split(",")
PARTITIONS = 8


class Rate(NamedTuple):
    """What some pairs took: pairs a second of wall time, and microseconds of CPU a pair."""

    per_second: float
    cpu_us: float


class Topic:
    """A topic of the bench's own, and what a group has committed of it."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.name = f"bench-{secrets.token_hex(4)}"
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._admin.create_topics([NewTopic(self.name, PARTITIONS, 1)])[self.name].result(30)

    def producer(self) -> Producer:
        """A producer that puts both sides of a pair into one partition."""
        return Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 5,
            }
        )

    def fill(self, count: int, first: int = 0) -> None:
        """Put pairs on it that were recorded just now."""
        producer = self.producer()
        for number in range(first, first + count):
            for side in pair(number, time.time_ns() // 1000 - 100_000):
                send(producer, self.name, number, side)
        assert producer.flush(120) == 0

    def committed(self, consumer: Consumer) -> int:
        """Give how many records are landed, as far as the group has said so."""
        partitions = [TopicPartition(self.name, number) for number in range(PARTITIONS)]
        try:
            return sum(max(partition.offset, 0) for partition in consumer.committed(partitions, timeout=30))
        except KafkaException:  # the coordinator is moving in: nothing is known yet
            return -1

    def members(self, group: str) -> int:
        """Give how many members of a group have partitions; 0 while they are being assigned."""
        found = self._admin.describe_consumer_groups([group])[group].result(30)
        assigned = [len(member.assignment.topic_partitions) for member in found.members]
        return sum(map(bool, assigned)) if sum(assigned) == PARTITIONS else 0

    def group(self, name: str) -> Consumer:
        """A client that asks what a group has committed, without joining it."""
        return Consumer({"bootstrap.servers": self.bootstrap, "group.id": name})


def pair(number: int, started_us: int) -> tuple[bytes, bytes]:
    """Make both sides of one request; every other request differs in two places."""
    document = body(random.Random(number), number)
    other = differing(document) if number % 2 else document
    return record("live", number, started_us, 0, document), record("shadow", number, started_us, 0, other)


def send(producer: Producer, topic: str, number: int, value: bytes) -> None:
    """Send one side, keyed by its request's id."""
    key = f"{number:08x}-0000-4000-8000-{number:012x}".encode()
    while True:
        try:
            producer.produce(topic, value, key)
        except BufferError:
            producer.poll(0.1)
        else:
            return


def environment(topic: Topic, group: str) -> dict[str, str]:
    """Settings of a worker that reads a topic."""
    return {"GNOMON_KAFKA": topic.bootstrap, "GNOMON_TOPIC": topic.name, "GNOMON_GROUP": group}


def cpu_seconds(processes: list[WorkerProcess]) -> float:
    """CPU that processes took so far."""
    return sum(sum(psutil.Process(worker.process.pid).cpu_times()[:2]) for worker in processes)


def throughput(broker: Broker, directory: Path, workers: int) -> tuple[Rate, Store]:
    """Measure workers that have started and share the partitions; pairs a second from the 10th to the 90th per cent."""
    topic, group = Topic(broker.bootstrap), f"bench-{secrets.token_hex(4)}"
    store = Store(directory / f"store-{workers}")
    now_us = time.time_ns() // 1000
    sides = [(number, side) for number in range(PAIRS) for side in pair(number, now_us)]
    consumer = topic.group(group)
    with ExitStack() as stack:
        running = [stack.enter_context(WorkerProcess(store.path, environment(topic, group))) for _ in range(workers)]
        wait_for("all workers have partitions", lambda: topic.members(group) == workers, 180)
        cpu = cpu_seconds(running)
        producer = topic.producer()
        for number, side in sides:
            send(producer, topic.name, number, side)
        assert producer.flush(120) == 0
        wait_for("everything landed", lambda: topic.committed(consumer) >= 2 * PAIRS, 600)
        used = cpu_seconds(running) - cpu
    consumer.close()
    sql = "SELECT epoch(quantile_disc(landed_at, 0.9)) - epoch(quantile_disc(landed_at, 0.1)) FROM comparisons"
    ((seconds,),) = store.rows(sql)
    return Rate(PAIRS * 0.8 / seconds, used / PAIRS * 1e6), store


def stock(topic: Topic) -> Rate:
    """Measure the stock agent."""
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("stock_agent.py"))],
        env=os.environ
        | {
            "STOCK_KAFKA": topic.bootstrap,
            "STOCK_TOPIC": topic.name,
            "STOCK_GROUP": f"bench-{secrets.token_hex(4)}",
            "STOCK_PAIRS": str(STOCK_PAIRS),
        },
        stdout=subprocess.PIPE,
        check=True,
        timeout=600,
    )
    took = json.loads(ran.stdout[ran.stdout.index(b"{") :])  # Faust draws before
    return Rate(took["pairs"] / took["seconds"], took["cpu"] / took["pairs"] * 1e6)


def delays(topic: Topic, directory: Path) -> list[float]:
    """Send pairs at a steady rate; give, of each, the seconds from its second record until a query saw it."""
    store = Store(directory / "store-delay")
    sent: dict[str, float] = {}

    def run() -> None:
        producer = topic.producer()
        began = time.perf_counter()
        for number in range(RATE * SECONDS):
            early = began + number / RATE - time.perf_counter()
            if early > 0:
                time.sleep(early)
            for side in pair(number, time.time_ns() // 1000):
                send(producer, topic.name, number, side)
            sent[f"{number:08x}-0000-4000-8000-{number:012x}"] = time.time()
            producer.poll(0)
        producer.flush(60)

    seen: dict[str, float] = {}
    with WorkerProcess(store.path, environment(topic, f"bench-{secrets.token_hex(4)}")):
        topic.fill(100, first=10**9)  # the worker has started when these have landed
        wait_for("the worker started", lambda: store.count() >= 100, 120)
        sender = threading.Thread(target=run)
        sender.start()
        deadline = time.monotonic() + SECONDS * 3 + 60
        while len(seen) < RATE * SECONDS and time.monotonic() < deadline:
            rows = store.rows("SELECT request_id FROM comparisons WHERE started_at > now() - INTERVAL 15 SECONDS")
            now = time.time()
            for (request_id,) in rows:
                if request_id in sent:
                    seen.setdefault(request_id, now)
            time.sleep(0.2)
        sender.join()
    # The first seconds are those in which everything warms up
    steady = [name for name in seen if int(name[:8], 16) >= RATE * 5]
    return sorted(seen[name] - sent[name] for name in steady)


def fill_store(path: Path, topic: Topic) -> None:
    """Land pairs of the last hour, every other one differing, as a worker would have."""
    settings = Settings(store=StoreSettings(path=path))
    log = StoreLog(settings)
    now = datetime.now(UTC)
    difference = Difference(
        "/body/items/3/price", "/body/items/3/price", "/body/items/*/price", "changed", "medium", "1", "2"
    )
    size = 5000
    for partition in range(PARTITIONS):
        writer = log.open(topic.name, partition)
        for start in range(0, HORIZON_PAIRS // PARTITIONS, size):
            rows = []
            for number in range(start, min(start + size, HORIZON_PAIRS // PARTITIONS)):
                differs = number % 2
                comparison = Comparison(
                    request_id=f"{partition}-{number:08x}-0000-4000-8000-{number:012x}",
                    target="cart@2.4.0-rc1",
                    role="shadow",
                    service="cart",
                    endpoint="GET /carts/{id}/items",
                    method="GET",
                    path=f"/carts/{number}/items",
                    started_at=now - timedelta(hours=1) + timedelta(milliseconds=number),
                    live_status=200,
                    shadow_status=200,
                    outcome="diff" if differs else "match",
                    differences=differs,
                    severity="medium" if differs else None,
                    rules="bench",
                    topic=topic.name,
                    partition=partition,
                )
                rows.append((comparison, [difference] if differs else []))
            state = {"following": 0, "open": [], "watermark_us": 0}
            writer.land(Batch(comparisons=rows, position=Position(topic.name, partition, 0), state=state))
        writer.close()


def restart(topic: Topic, directory: Path) -> float:
    """Give the seconds from the start of a worker until it has landed what was waiting for it."""
    path = directory / "store-restart"
    fill_store(path, topic)
    topic.fill(400)
    group = f"bench-{secrets.token_hex(4)}"
    consumer = topic.group(group)
    began = time.perf_counter()
    with WorkerProcess(path, environment(topic, group)):
        wait_for("what waited has landed", lambda: topic.committed(consumer) >= 800, 300)
        seconds = time.perf_counter() - began
    consumer.close()
    return seconds


def lines(broker: Broker, directory: Path) -> Iterator[str]:
    """Run everything and give the report line by line."""
    if "stock" in PARTS:
        topic = Topic(broker.bootstrap)
        topic.fill(STOCK_PAIRS)
        # A new broker makes the topic of offsets when it is first asked, and the stock agent does not wait for that
        wait_for("the broker knows of offsets", lambda: topic.committed(topic.group("warm")) >= 0, 60)
        slow = stock(topic)
        yield f"stock agent     {slow.per_second:,.0f} pairs/s, {slow.cpu_us:,.0f} us of CPU a pair; it lands nothing"
    if "throughput" in PARTS:
        one, store = throughput(broker, directory, 1)
        outcomes = dict(store.rows("SELECT outcome, count(*) FROM comparisons GROUP BY 1"))
        yield f"gnomon worker   {one.per_second:,.0f} pairs/s landed, {one.cpu_us:,.0f} us of CPU a pair; {outcomes}"
        if "stock" in PARTS:
            by_time, by_cpu = one.per_second / slow.per_second, slow.cpu_us / one.cpu_us
            yield f"ratio           {by_time:.1f} times the stock agent, {by_cpu:.1f} times by CPU"
        if "two" in PARTS:
            two, _ = throughput(broker, directory, 2)
            more = two.cpu_us / one.cpu_us
            cpu = f"{two.cpu_us:,.0f} us of CPU a pair, {more:.2f} of one's"
            yield f"two workers     {two.per_second:,.0f} pairs/s, {cpu}"
    if "delay" in PARTS:
        seen = delays(Topic(broker.bootstrap), directory)
        p50, p99 = (seen[int(len(seen) * share)] for share in (0.5, 0.99))
        yield f"visible after   p50 {p50:.2f} s, p99 {p99:.2f} s at {RATE:,} pairs/s ({len(seen):,} pairs)"
    if "restart" in PARTS:
        seconds = restart(Topic(broker.bootstrap), directory)
        yield f"restart         {seconds:.1f} s with {HORIZON_PAIRS:,} pairs in the horizon"


if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    kind = find_broker_kind()
    if kind is None:
        print("NOT RUN: install java (17 or later) and mvn, start Docker, or set GNOMON_TEST_KAFKA=host:port")
        raise SystemExit(0)
    with ExitStack() as whole, tempfile.TemporaryDirectory(prefix="gnomon-bench-") as made:
        for line in lines(start_broker(kind, whole), Path(made)):
            print(line, flush=True)
