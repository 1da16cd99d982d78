"""The collector onto a real Kafka: keys, partitions, and what happens while the broker is away."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from confluent_kafka import Consumer
from tests.integration.envoy.parts import CollectorProcess, ask, free_ports, wait_for
from tests.kafka.brokers import Broker, KafkaProcess
from tests.kafka.fixtures import Topics
from tests.unit.collect.entries import encoded, head, message

from gnomon.collect.wire import METHOD, SERVICE

pytestmark = pytest.mark.kafka

PARTITIONS = 8


class Feed:
    """A stream of log entries, as one of Envoy's workers keeps it open."""

    def __init__(self, port: int, name: str) -> None:
        self._name = name
        self._messages: list[bytes] = []
        self._more = threading.Condition()
        self._closed = False
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._answer = self._channel.stream_unary(f"/{SERVICE}/{METHOD}").future(self._stream())

    def _stream(self) -> Iterator[bytes]:
        while True:
            with self._more:
                self._more.wait_for(lambda: self._messages or self._closed)
                if not self._messages:
                    return
                messages, self._messages = self._messages, []
            yield from messages

    def send(self, ids: list[str], body: str = '{"a":1}') -> None:
        """Send an entry for each of these requests."""
        sent = message({"response_body": encoded(body)})
        (template,) = sent.http_logs.log_entry
        for request_id in ids:
            entry = sent.http_logs.log_entry.add()
            entry.CopyFrom(template)
            request = head(_method="GET", _path=f"/{request_id}", x_request_id=request_id)
            entry.request.request_id = request_id
            entry.common_properties.metadata.filter_metadata["gnomon"].fields["request"].string_value = request
        del sent.http_logs.log_entry[0]
        sent.identifier.log_name = self._name
        with self._more:
            self._messages.append(sent.SerializeToString())
            self._more.notify()

    def close(self) -> None:
        """End the stream, and wait until the collector has read it."""
        self._end()
        self._answer.result(20)
        self._channel.close()

    def drop(self) -> None:
        """End the stream, whether anybody reads it or not."""
        self._end()
        self._answer.cancel()
        self._channel.close()

    def _end(self) -> None:
        with self._more:
            self._closed = True
            self._more.notify()


@contextmanager
def collecting(tmp_path: Any, broker: str, topic: str, **settings: str) -> Iterator[tuple[CollectorProcess, int]]:
    """Run a collector for a topic; gives its port too."""
    (port,) = free_ports(1)
    environment = {"GNOMON_KAFKA": broker, "GNOMON_TOPIC": topic, **settings}
    collector = CollectorProcess(tmp_path, port, out=False, environment=environment)
    collector.start()
    try:
        yield collector, port
    finally:
        collector.kill()


def read(broker: str, topic: str, enough: Callable[[list[Any]], bool]) -> list[Any]:
    """Read a topic from its beginning until there is enough."""
    options = {"group.id": secrets.token_hex(4), "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({"bootstrap.servers": broker, **options})
    consumer.subscribe([topic])
    messages: list[Any] = []

    def more() -> bool:
        messages.extend(m for m in consumer.consume(10_000, 0.2) if not m.error())
        return enough(messages)

    try:
        wait_for(more, f"records on {topic}", 60)
    finally:
        consumer.close()
    return messages


def test_records_are_keyed_by_request_id_and_meet_in_one_partition(
    kafka: Broker, topics: Topics, tmp_path: Any
) -> None:
    """Live and shadow of a request, from two streams, are in the partition that Kafka's own clients would choose."""
    topic = topics.make("exchanges", partitions=PARTITIONS)
    ids = [f"r-{number}" for number in range(200)]
    with collecting(tmp_path, kafka.bootstrap, topic) as (collector, port):
        for name in ("live", "shadow:shop@2"):
            feed = Feed(port, name)
            feed.send(ids)
            feed.close()
        messages = read(kafka.bootstrap, topic, lambda found: len(found) == 400)
        assert collector.stop() == 0
        assert "400 exchanges received, 400 written" in collector.log.read_text()
    sides: dict[bytes, set[tuple[str, int]]] = {}
    for found in messages:
        record = json.loads(found.value())
        assert found.key() == record["request_id"].encode()
        sides.setdefault(found.key(), set()).add((record["role"], found.partition()))
    assert {key.decode() for key in sides} == set(ids)
    assert all({role for role, _ in side} == {"live", "shadow"} for side in sides.values())
    assert all(len({partition for _, partition in side}) == 1 for side in sides.values())
    assert len({partition for side in sides.values() for _, partition in side}) == PARTITIONS


def test_a_broker_that_goes_away_and_comes_back_loses_nothing_that_had_room(
    kafka_process: KafkaProcess, process_topics: Topics, tmp_path: Any
) -> None:
    """Entries wait while the broker is down, and are written when it is back."""
    topic = process_topics.make("exchanges", partitions=2)
    with collecting(tmp_path, kafka_process.bootstrap, topic) as (collector, port):
        feed = Feed(port, "live")
        feed.send(["before"])
        read(kafka_process.bootstrap, topic, lambda found: len(found) == 1)
        kafka_process.stop()
        for number in range(20):
            feed.send([f"r-{number}-{n}" for n in range(50)])
        wait_for(lambda: "records are not written" in collector.log.read_text(), "a word on it", 60)
        kafka_process.start()
        found = read(kafka_process.bootstrap, topic, lambda found: len({m.key() for m in found}) == 1001)
        feed.close()
        assert collector.stop() == 0
    assert {m.key().decode() for m in found} == {"before", *(f"r-{i}-{n}" for i in range(20) for n in range(50))}


def test_what_has_no_room_is_shed_and_counted(
    kafka_process: KafkaProcess, process_topics: Topics, tmp_path: Any
) -> None:
    """With the broker gone the collector takes no more than its bound, and says what it did not keep."""
    topic = process_topics.make("exchanges")
    settings = {"GNOMON_COLLECT_QUEUE_BYTES": "1MiB", "GNOMON_COLLECT_DRAIN": "1s"}
    with collecting(tmp_path, kafka_process.bootstrap, topic, **settings) as (collector, port):
        kafka_process.stop()
        feed = Feed(port, "live")
        for number in range(100):
            feed.send([f"r-{number}-{n}" for n in range(100)], "x" * 1000)
        feed.close()
        assert collector.stop() == 0
        (line,) = [line for line in collector.log.read_text().splitlines() if "exchanges received" in line]
    counts = {words.split()[1]: int(words.split()[0]) for words in line.removeprefix("gnomon: ").split(", ")}
    assert counts["exchanges"] == 10_000
    assert counts["shed"] + counts["lost"] == 10_000
    assert 200 < counts["lost"] < 4_000


def test_without_a_broker_it_does_not_start(tmp_path: Any) -> None:
    """A dependency that cannot be reached is exit code 4, and a sentence that names it."""
    (nobody,) = free_ports(1)
    environment = {**os.environ, "GNOMON_KAFKA": f"127.0.0.1:{nobody}"}
    gnomon = Path(sys.executable).with_name("gnomon")
    ended = subprocess.run(
        [gnomon, "collect"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, f"127.0.0.1:{nobody}" in ended.stderr) == (4, True)


def test_health_and_metrics_tell_what_becomes_of_entries(
    kafka_process: KafkaProcess, process_topics: Topics, tmp_path: Any
) -> None:
    """Ready while records are written, not while the broker is away; every count is a metric."""
    topic = process_topics.make("exchanges")
    (operations,) = free_ports(1)
    settings = {"GNOMON_OPERATIONS_BIND": f"127.0.0.1:{operations}", "GNOMON_COLLECT_DRAIN": "1s"}
    with collecting(tmp_path, kafka_process.bootstrap, topic, **settings) as (_, port):
        feed = Feed(port, "live")
        feed.send(["one", "two"])
        wait_for(lambda: b'entries_total{fate="written"} 2.0' in ask(operations, "GET", "/metrics").body, "metrics")
        assert b"gnomon_collect_received_total 2.0" in ask(operations, "GET", "/metrics").body
        assert ask(operations, "GET", "/readyz").status == 200
        kafka_process.stop()
        feed.send(["three"])
        wait_for(lambda: ask(operations, "GET", "/readyz").status == 503, "the word that it is not ready", 60)
        assert ask(operations, "GET", "/healthz").status == 200
        feed.close()
