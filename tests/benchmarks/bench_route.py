"""`gnomon route` beside a stock Faust agent with `exactly_once` and aiokafka's plain transactional loop, in one run.

Prints events a second of one process, in transactions on a real Kafka, 1 KB, 3 % synthetic, from the first commit to
the last; and how much later than on the input an event is there for those who read committed events; fails on no time.
`make bench` measures 400,000 events. EVENTS, STOCK_EVENTS, RATE, SECONDS and PARTS in the environment change that.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from confluent_kafka import Consumer

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kafka.brokers import Broker, find_broker_kind, start_broker, wait_for
from tests.kafka.fixtures import Topics
from tests.kafka.routers import EventSender, RouteProcess, Split, business, committed

EVENTS = int(os.environ.get("EVENTS", "400000"))
STOCK_EVENTS = int(os.environ.get("STOCK_EVENTS", "20000"))
RATE = int(os.environ.get("RATE", "5000"))
SECONDS = int(os.environ.get("SECONDS", "20"))
PARTS = os.environ.get("PARTS", "plain,stock,route,delay").split(",")
PARTITIONS = 4
PLAIN_TRANSACTION = 20_000


def fill(bootstrap: str, topic: str, count: int) -> None:
    """Put events on a topic."""
    sender = EventSender(bootstrap, topic)
    for event in business(count):
        sender.send(event)
    sender.flush()


def measured(bootstrap: str, group: str, topic: str, count: int, process: psutil.Process) -> str:
    """Measure from the first commit that is seen until everything is committed."""
    wait_for("events are committed", lambda: committed(bootstrap, group, topic, PARTITIONS) > 0, 180)
    first = committed(bootstrap, group, topic, PARTITIONS)
    began, cpu = time.perf_counter(), sum(process.cpu_times()[:2])
    wait_for("all is committed", lambda: committed(bootstrap, group, topic, PARTITIONS) >= count, 900)
    seconds, used = time.perf_counter() - began, sum(process.cpu_times()[:2]) - cpu
    return report(count - first, seconds, used)


def report(events: int, seconds: float, cpu: float) -> str:
    """Give one line."""
    return f"{events / seconds:,.0f} events/s, {cpu / events * 1e6:.1f} us of CPU an event"


async def plain(bootstrap: str, split: Split) -> str:
    """The loop of aiokafka's documentation, with a `send` per record and no more of a judge than one path."""
    consumer = AIOKafkaConsumer(
        split.source,
        bootstrap_servers=bootstrap,
        group_id=f"plain-{secrets.token_hex(3)}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=secrets.token_hex(4), max_batch_size=256 * 1024
    )
    await consumer.start()
    await producer.start()
    done, began, cpu = 0, 0.0, 0.0
    try:
        while done < EVENTS:
            found = await consumer.getmany(timeout_ms=1000, max_records=PLAIN_TRANSACTION)
            if found and not began:
                began, cpu = time.perf_counter(), time.process_time()
            if not found:
                continue
            async with producer.transaction():
                ends = {}
                for tp, records in found.items():
                    for record in records:
                        user = orjson.loads(record.value.removeprefix(b"\xef\xbb\xbf")).get("user") or {}
                        synthetic = isinstance(user, dict) and str(user.get("id")).startswith("synthetic-")
                        await producer.send(
                            split.synthetic if synthetic else split.clean,
                            record.value,
                            record.key,
                            tp.partition,
                            record.timestamp,
                            list(record.headers),
                        )
                    ends[TopicPartition(tp.topic, tp.partition)] = records[-1].offset + 1
                    done += len(records)
                await producer.send_offsets_to_transaction(ends, consumer._group_id)
        return report(done, time.perf_counter() - began, time.process_time() - cpu)
    finally:
        await producer.stop()
        await consumer.stop()


def stock(bootstrap: str, split: Split) -> str:
    """A stock Faust agent with `processing_guarantee="exactly_once"`."""
    group = f"stock-{secrets.token_hex(3)}"
    with tempfile.TemporaryFile() as said, tempfile.TemporaryDirectory() as data:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("stock_router.py"))],
            env=os.environ
            | {
                "STOCK_KAFKA": bootstrap,
                "STOCK_GROUP": f"{group}-route",
                "STOCK_TOPICS": json.dumps(split),
                "STOCK_DATA": data,
            },
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            return measured(bootstrap, group, split.source, STOCK_EVENTS, psutil.Process(process.pid))
        except TimeoutError as late:
            said.seek(0)
            return f"did not get there ({late}); {said.read()[-300:].decode(errors='replace')!r}"
        finally:
            process.kill()
            process.wait(30)


def route(bootstrap: str, split: Split, directory: Path) -> str:
    """`gnomon route` as it comes."""
    group = f"route-{secrets.token_hex(3)}"
    with started(bootstrap, split, directory, group) as process:
        return measured(bootstrap, group, split.source, EVENTS, psutil.Process(process.process.pid))


def started(bootstrap: str, split: Split, directory: Path, group: str) -> RouteProcess:
    """Start a filter."""
    settings = {
        "GNOMON_KAFKA": bootstrap,
        "GNOMON_CONFIG": str(split.configure(directory)),
        "GNOMON_GROUP": group,
    }
    return RouteProcess(directory / f"store-{group}", settings)


def delays(bootstrap: str, split: Split, directory: Path) -> list[float]:
    """Send at a steady rate; give the seconds from an event's timestamp until a reader of committed events had it."""
    group = f"delay-{secrets.token_hex(3)}"
    seen: list[float] = []
    ended = threading.Event()

    def read() -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
            }
        )
        consumer.subscribe([split.clean, split.synthetic])
        while not ended.is_set():
            messages, now = consumer.consume(2000, 0.02), time.time()
            seen.extend(now - message.timestamp()[1] / 1000 for message in messages if message.error() is None)
        consumer.close()

    with started(bootstrap, split, directory, group):
        sender = EventSender(bootstrap, split.source)
        warm = list(business(100))
        for event in warm:
            sender.send(event)
        sender.flush()
        wait_for("it has started", lambda: committed(bootstrap, group, split.source, PARTITIONS) >= 100, 120)
        reader = threading.Thread(target=read)
        reader.start()
        wait_for("the reader has started", lambda: len(seen) >= 100, 60)
        began = time.perf_counter()
        for number, event in enumerate(business(RATE * SECONDS)):
            if number % 50 == 0:
                time.sleep(max(began + number / RATE - time.perf_counter(), 0))
            sender.send(event)
        sender.flush()
        wait_for("all was seen", lambda: len(seen) >= RATE * SECONDS + 100, 120)
        ended.set()
        reader.join()
    return sorted(seen[100 + RATE * 3 :])


def lines(broker: Broker, directory: Path) -> Iterator[str]:
    """Run everything and give the report line by line."""
    topics = Topics(broker.bootstrap)
    filled = Split.make(topics, PARTITIONS)
    if {"plain", "route"} & set(PARTS):
        fill(broker.bootstrap, filled.source, EVENTS)
    runs: dict[str, Callable[[], str]] = {
        "plain": lambda: asyncio.run(plain(broker.bootstrap, filled)),
        "route": lambda: route(broker.bootstrap, Split(filled.source, *Split.make(topics, PARTITIONS)[1:]), directory),
    }
    if "plain" in PARTS:
        yield f"plain aiokafka loop   {runs['plain']()}"
    if "stock" in PARTS:
        small = Split.make(topics, PARTITIONS)
        fill(broker.bootstrap, small.source, STOCK_EVENTS)
        yield f"stock agent           {stock(broker.bootstrap, small)}"
    if "route" in PARTS:
        yield f"gnomon route          {runs['route']()}"
    if "delay" in PARTS:
        seen = delays(broker.bootstrap, Split.make(topics, PARTITIONS), directory)
        p50, p99 = (seen[int(len(seen) * share)] for share in (0.5, 0.99))
        yield f"added delay           p50 {p50:.2f} s, p99 {p99:.2f} s at {RATE:,} events/s ({len(seen):,} events)"


if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    kind = find_broker_kind()
    if kind is None or kind == "pypi":
        print("NOT RUN: install java (17 or later) and mvn, start Docker, or set GNOMON_TEST_KAFKA=host:port")
        raise SystemExit(0)
    with ExitStack() as whole, tempfile.TemporaryDirectory(prefix="gnomon-bench-") as made:
        for line in lines(start_broker(kind, whole), Path(made)):
            print(line, flush=True)
