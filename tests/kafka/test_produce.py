"""`gnomon produce` on a real broker."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from tests.kafka.brokers import Broker, KafkaProcess, free_port
from tests.kafka.fixtures import Topics

from gnomon.capture import NdjsonWriter, Source
from gnomon.cli import main
from gnomon.config import Kafka, Redact, Settings
from gnomon.core.rules import parse_rules
from gnomon.emit.kafka import KafkaTransport
from gnomon.emit.record import Record
from gnomon.emit.transport import Sent
from gnomon.model import Exchange
from gnomon.stream.produce import ProduceRequest, produce
from gnomon.testing import exchange, pair

PARTITIONS = 8


def read_all(bootstrap: str, topic: str) -> list[Message]:
    """Give every record of a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reads", "enable.auto.commit": False})
    try:
        partitions = [
            TopicPartition(topic, number, 0) for number in consumer.list_topics(topic, 30).topics[topic].partitions
        ]
        count = sum(consumer.get_watermark_offsets(partition, 30)[1] for partition in partitions)
        consumer.assign(partitions)
        records: list[Message] = []
        while len(records) < count:
            found = consumer.consume(count - len(records), timeout=30)
            assert found, f"{len(records)} of {count} records came"
            records += found
        return records
    finally:
        consumer.close()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, kafka: Broker, topics: Topics) -> str:
    """Settings in the environment; gives the topic's name, which is not there yet."""
    monkeypatch.setenv("GNOMON_KAFKA", kafka.bootstrap)
    monkeypatch.setenv("GNOMON_REDACT_KEY", "a key for tests")
    monkeypatch.setenv("GNOMON_TOPIC", name := topics.name())
    return name


@pytest.mark.apache_kafka
def test_a_capture_is_on_kafka_when_the_command_ends(
    settings: str, kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All records are there, both sides of each request in the partition where librdkafka would put its key too."""
    capture = tmp_path / "capture.ndjson.gz"
    with NdjsonWriter(capture) as writer:
        for number in range(100):
            for side in pair(f"r-{number}", {"id": number}, {"id": number + 1}):
                writer.write(side)
    assert main(["produce", str(capture)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{settings}: 200 records sent, in ")
    assert printed.err == f"gnomon: made the topic {settings} with {PARTITIONS} partitions\n"
    records = read_all(kafka.bootstrap, settings)
    placed: dict[bytes, set[int | None]] = {}
    for record in records:
        placed.setdefault(record.key(), set()).add(record.partition())
    assert len(records) == 200
    assert all(len(partitions) == 1 for partitions in placed.values())

    by_other_client: dict[bytes, int] = {}
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
    for key in placed:
        producer.produce(settings, key=key, on_delivery=lambda _, m: by_other_client.update({m.key(): m.partition()}))
    assert producer.flush(30) == 0
    assert {key: {partition} for key, partition in by_other_client.items()} == placed


@pytest.mark.apache_kafka
def test_unreadable_lines_and_large_bodies(
    settings: str, kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines that cannot be read keep their bytes; a body of 3 MB is cut, and keeps its size and a keyed hash."""
    capture = tmp_path / "capture.ndjson"
    large = msgspec.json.encode(exchange("r-1", answer="x" * 3_000_000))
    capture.write_bytes(b"{broken\n" + large + b"\n")
    assert main(["produce", str(capture), "--rate", "1000"]) == 0
    assert ": 2 records sent, 1 of them unreadable, 1 of them cut to fit, in " in capsys.readouterr().out
    values = sorted((record.value() for record in read_all(kafka.bootstrap, settings)), key=len)
    assert values[0] == b"{broken"
    sent = msgspec.json.decode(values[1], type=Exchange)
    assert sent.response is not None
    body = sent.response.body
    assert body is not None
    assert (body.truncated, body.size, str(body.hash)[:12]) == (True, 3_000_000, "hmac-sha256:")


@pytest.mark.apache_kafka
def test_a_topic_that_takes_less_gets_less(
    settings: str, kafka: Broker, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the topic's own limit is lower than the settings', records are cut until it takes them."""
    monkeypatch.setenv("GNOMON_TOPIC", topic := topics.make(config={"max.message.bytes": "20000"}))
    capture = tmp_path / "capture.ndjson"
    with NdjsonWriter(capture) as writer:
        for number in range(3):
            hardly_compresses = Random(number).randbytes(50_000).hex()
            writer.write(exchange(f"r-{number}", answer=hardly_compresses))
    assert main(["produce", str(capture)]) == 0
    sent = [msgspec.json.decode(record.value(), type=Exchange) for record in read_all(kafka.bootstrap, topic)]
    bodies = [one.response.body for one in sent if one.response]
    assert [body is not None and body.truncated for body in bodies] == [True, True, True]


def test_a_broker_that_dies_on_the_way(kafka_process: KafkaProcess, process_topics: Topics, tmp_path: Path) -> None:
    """Killed while records are sent and started again, the broker has every record in the end."""
    topic = process_topics.make(partitions=2)
    capture = tmp_path / "capture.ndjson"
    with NdjsonWriter(capture) as writer:
        for number in range(6_000):
            writer.write(exchange(f"r-{number}", answer={"id": number}))
    settings = Settings(kafka=Kafka(bootstrap=kafka_process.bootstrap, topic=topic), redact=Redact(enabled=False))
    request = ProduceRequest(
        sources=[Source(str(capture))], rules=parse_rules("", "none"), settings=settings, rate=2_000
    )
    under_way = threading.Event()

    def restart() -> None:
        under_way.wait(30)
        kafka_process.kill()
        kafka_process.start()

    killer = threading.Thread(target=restart)
    killer.start()
    transport = _Told(KafkaTransport(settings.kafka), under_way)
    produced = produce(request, transport)
    killer.join()
    ids = {record.key() for record in read_all(kafka_process.bootstrap, topic)}
    assert len(ids) == 6_000
    assert produced.sent == 6_000


class _Told:
    """A transport that tells when the first records were written."""

    def __init__(self, transport: KafkaTransport, told: threading.Event) -> None:
        self._transport = transport
        self._told = told

    def send(self, records: Sequence[Record], timeout: float) -> Sent:
        """Send, and tell."""
        sent = self._transport.send(records, timeout)
        if sent.written:
            self._told.set()
        return sent

    def close(self, timeout: float) -> None:
        """Close."""
        self._transport.close(timeout)


def test_wrong_use_and_no_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two words about time are wrong use; a capture that is not there is told before a broker that is not there."""
    monkeypatch.setenv("GNOMON_REDACT_KEY", "a key for tests")
    monkeypatch.setenv("GNOMON_KAFKA", address := f"127.0.0.1:{free_port()}")
    capture = tmp_path / "capture.ndjson"
    with NdjsonWriter(capture) as writer:
        writer.write(exchange())
    assert main(["produce", str(capture), "--rate", "1", "--as-recorded"]) == 2
    assert main(["produce", str(tmp_path / "none.ndjson")]) == 2
    capsys.readouterr()
    assert main(["produce", str(capture)]) == 4
    assert capsys.readouterr().err.startswith(f"gnomon: no Kafka broker can be reached at {address}: nothing listens")
