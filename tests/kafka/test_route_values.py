"""The synthetic filter on a real Kafka, for values of a Schema Registry and records that clients stumble at."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.admin import NewPartitions
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from tests.kafka.brokers import KafkaProcess, wait_for
from tests.kafka.fixtures import Topics
from tests.kafka.oddities import OddName, send_odd
from tests.kafka.routers import Business, EventSender, RouteProcess, Split, Start, committed, read_all
from tests.kafka.workers import Store
from tests.registry.server import RegistryServer

pytestmark = pytest.mark.apache_kafka

USER = {"type": "record", "name": "User", "fields": [{"name": "id", "type": "string"}]}
ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "n", "type": "long"}, {"name": "user", "type": ["null", "User"]}],
}
TAGS = 'tags = [{ path = "/user/id", prefix = "synthetic-" }]'


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    """A registry that has the schemas below."""
    with RegistryServer() as server:
        server.register("user", json.dumps(USER))
        server.register("orders-value", json.dumps(ORDER), references=[("User", "user", 1)])
        server.register("orders-proto", "message Order {}", "PROTOBUF", proto().SerializeToString())
        server.register("orders-json", '{"type": "object"}', "JSON")
        yield server


def proto() -> descriptor_pb2.FileDescriptorProto:
    """Give a file whose second message is the order."""
    file = descriptor_pb2.FileDescriptorProto(package="shop", syntax="proto3")
    file.message_type.add(name="Other")
    order = file.message_type.add(name="Order")
    user = order.nested_type.add(name="User")
    user.field.add(name="id", number=1, type=Field.TYPE_STRING, label=1)
    order.field.add(name="user", number=1, type=Field.TYPE_MESSAGE, type_name=".shop.Order.User", label=1)
    return file


def avro(number: int, user: str | None, schema: int = 2) -> bytes:
    """Write an order as Confluent's serializer does."""
    known: dict[str, Any] = {}
    fastavro.parse_schema(USER, known)
    stream = BytesIO()
    value = {"n": number, "user": None if user is None else {"id": user}}
    fastavro.schemaless_writer(stream, fastavro.parse_schema(ORDER, known), value)
    return b"\x00" + schema.to_bytes(4, "big") + stream.getvalue()


def message(user: str, schema: int = 3) -> bytes:
    """The same in Protocol Buffers."""
    inner = b"\x0a" + bytes([len(user)]) + user.encode()
    return b"\x00" + schema.to_bytes(4, "big") + b"\x02\x02" + b"\x0a" + bytes([len(inner)]) + inner


def values(kafka: KafkaProcess, topic: str) -> list[bytes | None]:
    """Read a topic."""
    return [one.value for one in read_all(kafka.bootstrap, topic)]


def send(sender: EventSender, *data: bytes) -> None:
    """Send values to one partition, and wait until they are there."""
    for value in data:
        sender.send(Business(0, b"k", value, [], False), partition=1)
    sender.flush()


def ready(worker: RouteProcess) -> tuple[int, str]:
    """Ask a filter whether it is ready."""
    wait_for("it says where its metrics are", lambda: "are at http://" in worker.log.read_text(), 60)
    address = worker.log.read_text().rpartition("are at http://")[2].split('"')[0]
    connection = HTTPConnection(address.removesuffix("/metrics"), timeout=10)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("kind", "real", "synthetic", "refused"),
    [
        (
            "avro",
            [avro(1, "u-1"), avro(2, None)],
            [avro(3, "synthetic-1")],
            [avro(4, "u-1", 99), avro(5, "u-1", 3), avro(6, "u-1")[:-1], b"{}", b"", b"\x00\x00\x00\x00\x02\xff"],
        ),
        (
            "protobuf",
            [message("u-1")],
            [message("synthetic-1")],
            [message("u-1", 2), message("u-1")[:-1], b"\x00\x00\x00\x00\x03\x08", b"{}"],
        ),
        (
            "json",
            [b'\x00\x00\x00\x00\x04{"user": {"id": "u-1"}}', b"{}"],
            [b'\x00\x00\x00\x00\x04{"user": {"id": "synthetic-1"}}'],
            [b"\x00\x00\x00\x00\x04{", avro(1, "u-1")],
        ),
    ],
)
def test_values_are_read_by_their_schema_and_sent_on_as_they_are(
    kafka_process: KafkaProcess,
    split: Split,
    registry: RegistryServer,
    sender: EventSender,
    start: Start,
    done: Callable[..., None],
    kind: str,
    real: list[bytes],
    synthetic: list[bytes],
    refused: list[bytes],
) -> None:
    """What has no schema, another one or is no value of it goes to quarantine, and stops nothing."""
    send(sender, *refused, *real, *synthetic)
    start(f'value = "{kind}"\n{TAGS}', GNOMON_REGISTRY_URL=registry.url)
    done(len(refused + real + synthetic))
    assert values(kafka_process, split.clean) == real
    assert values(kafka_process, split.synthetic) == synthetic
    assert values(kafka_process, split.quarantine) == refused


def test_a_registry_that_is_down_is_waited_for(
    kafka_process: KafkaProcess,
    split: Split,
    registry: RegistryServer,
    sender: EventSender,
    start: Start,
    done: Callable[..., None],
) -> None:
    """What cannot be judged is not clean: its partition stands still and says why, and nothing is lost."""
    registry.stop()
    send(sender, avro(1, "u-1"), avro(2, "synthetic-1"))
    worker = start(f'value = "avro"\n{TAGS}', GNOMON_REGISTRY_URL=registry.url)
    wait_for("it is not ready", lambda: f"schema registry at {registry.url}" in ready(worker)[1], 60)
    assert ready(worker)[0] == 503
    assert [values(kafka_process, topic) for topic in split[1:]] == [[], [], []]
    registry.start()
    done(2)
    wait_for("it is ready", lambda: ready(worker)[0] == 200, 60)
    registry.stop()  # what is known is not asked for again
    send(sender, avro(3, "u-1"))
    done(3)
    assert values(kafka_process, split.clean) == [avro(1, "u-1"), avro(3, "u-1")]
    assert values(kafka_process, split.synthetic) == [avro(2, "synthetic-1")]
    assert worker.stop() == 0


def test_the_audit_reads_values_of_a_registry_too(
    kafka_process: KafkaProcess, split: Split, registry: RegistryServer, tmp_path: Path
) -> None:
    """And does not call anything clean while the registry does not answer."""
    send(EventSender(kafka_process.bootstrap, split.clean), avro(1, "u-1"), avro(2, "synthetic-1"), b"{}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")} | {
        "GNOMON_KAFKA": kafka_process.bootstrap,
        "GNOMON_CONFIG": str(split.configure(tmp_path, f'value = "avro"\n{TAGS}')),
        "GNOMON_REGISTRY_URL": registry.url,
    }

    def audit() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gnomon", "route", "audit", "--clean", split.clean]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    ran = audit()
    assert ran.returncode == 1
    assert "3 events, 2 that should not be there" in ran.stdout
    registry.stop()
    ran = audit()
    assert ran.returncode == 4
    assert f"the schema registry at {registry.url} does not answer" in ran.stderr


def test_names_of_headers_that_are_no_text_stop_nothing(
    kafka_process: KafkaProcess, split: Split, sender: EventSender, start: Start, done: Callable[..., None]
) -> None:
    """Such an event goes to quarantine, a tombstone both ways; the bytes of the name are told as text."""
    odd = [(OddName(b"x-synthetic\xff\xfe"), b"load"), ("b", b"2")]
    records = [(b"k", b"{}", []), (b"k", b'{"odd": 1}', odd), (b"k", None, odd), (b"k", b"[]", [])]
    asyncio.run(send_odd(kafka_process.bootstrap, split.source, 1, records))
    send(sender, b"3")
    start()
    done(5)
    assert values(kafka_process, split.clean) == [b"{}", None, b"[]", b"3"]
    assert values(kafka_process, split.synthetic) == [None]
    (refused,) = read_all(kafka_process.bootstrap, split.quarantine)
    assert refused.value == b'{"odd": 1}'
    assert refused.headers[:3] == [
        ("x-synthetic\\xff\\xfe", b"load"),
        ("b", b"2"),
        ("reason", b"the name of a header is not UTF-8"),
    ]


def test_a_topic_that_waits_for_the_registry_does_not_stop_others(
    kafka_process: KafkaProcess,
    split: Split,
    process_topics: Topics,
    registry: RegistryServer,
    sender: EventSender,
    start: Start,
    group: str,
    done: Callable[..., None],
) -> None:
    """More of it comes than is kept waiting, and each event is there once when the registry is back."""
    other = Split.make(process_topics)
    names = "\n".join(f'{key} = "{topic}"' for key, topic in zip(("from", *other._fields[1:]), other, strict=True))
    registry.stop()
    data = [avro(number, "u-1") for number in range(50_000)]
    send(sender, *data)
    worker = start(f'value = "avro"\n[[route]]\n{names}', GNOMON_REGISTRY_URL=registry.url)
    wait_for("it is not ready", lambda: f"schema registry at {registry.url}" in ready(worker)[1], 60)
    for number in range(1, 4):
        send(EventSender(kafka_process.bootstrap, other.source), *[b"{}"] * 100)
        wait_for(
            "the other topic is routed",
            lambda number=number: committed(kafka_process.bootstrap, group, other.source) == number * 100,
            60,
        )
    assert values(kafka_process, other.clean) == [b"{}"] * 300
    assert values(kafka_process, split.clean) == []
    registry.start()
    done(len(data))
    assert values(kafka_process, split.clean) == data
    wait_for("it is ready", lambda: ready(worker)[0] == 200, 60)


def test_an_audit_that_follows_waits_for_the_registry_and_reads_partitions_that_are_added(
    kafka_process: KafkaProcess,
    split: Split,
    process_topics: Topics,
    registry: RegistryServer,
    store: Store,
    tmp_path: Path,
) -> None:
    """It tells the keys of what it finds."""
    clean = EventSender(kafka_process.bootstrap, split.clean)
    send(clean, avro(1, "synthetic-1"))
    registry.stop()
    file = split.configure(tmp_path, f'value = "avro"\n{TAGS}')
    settings = {
        "GNOMON_KAFKA": kafka_process.bootstrap,
        "GNOMON_CONFIG": str(file),
        "GNOMON_REGISTRY_URL": registry.url,
    }

    class Follower(RouteProcess):
        command = ("route", "audit", "--clean", split.clean, "--follow")

    with Follower(store.path, settings) as follower:
        wait_for("it is not ready", lambda: f"schema registry at {registry.url}" in ready(follower)[1], 60)
        registry.start()
        wait_for("it was told", lambda: f"{split.clean}[1]@0 key k: path /user/id" in follower.log.read_text(), 60)
        wait_for("it is ready", lambda: ready(follower)[0] == 200, 60)
        process_topics.admin.create_partitions([NewPartitions(split.clean, 6)])[split.clean].result(60)
        known = process_topics.admin.list_topics
        wait_for("they are there", lambda: len(known(timeout=30).topics[split.clean].partitions) == 6, 60)
        clean = EventSender(kafka_process.bootstrap, split.clean)
        clean.send(Business(0, b"later", avro(2, "synthetic-2"), [], True), partition=5)
        clean.flush()
        wait_for("that too", lambda: f"{split.clean}[5]@0 key later: path" in follower.log.read_text(), 60)
        assert follower.log.read_text().count("key k:") == 1
        assert follower.stop() == 0
