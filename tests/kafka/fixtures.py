"""Fixtures for tests that need Kafka; a broker starts when the first test asks for it.

A test that asks for one of them gets its markers by that; `apache_kafka` alone is written on tests. What each marker
needs of the machine, and what is said where it is not there, is in tests/conftest.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from tests.kafka.brokers import Broker, KafkaProcess, find_broker_kind, start_broker, wait_for
from tests.kafka.certificates import Certificates, make_certificates


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark whoever asks for a broker, so that tests need not say it twice."""
    asked = set(getattr(item, "fixturenames", ()))
    if asked & {"kafka", "_kafka_process", "secured_kafka"}:
        item.add_marker("kafka")
    if asked & {"_kafka_process", "secured_kafka"}:
        item.add_marker("kafka_process")


class Topics:
    """Makes topics with names that no other test has; `admin` is a client of confluent-kafka for the rest."""

    def __init__(self, bootstrap: str) -> None:
        self.made: list[str] = []
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def name(self, about: str = "topic") -> str:
        """Give a name for a topic that is not there yet."""
        name = f"{about}-{secrets.token_hex(4)}"
        self.made.append(name)
        return name

    def make(self, about: str = "topic", *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Make a topic and give its name; it is there when this returns."""
        name = self.name(about)
        topic = NewTopic(name, partitions, 1, config=dict(config or {}))
        self.admin.create_topics([topic], operation_timeout=30)[name].result(60)
        # Whoever made it is answered by the controller; brokers hear of it a moment later
        wait_for(f"{name} is known", lambda: name in self.admin.list_topics(timeout=30).topics, 60)
        return name


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """The broker that tests share; `bootstrap` is its address."""
    kind = find_broker_kind()
    assert kind is not None, "a test that asks for a broker is marked `kafka`"
    with ExitStack() as stack:
        yield start_broker(kind, stack)


@pytest.fixture(scope="session")
def _all_topics(kafka: Broker) -> Iterator[Topics]:
    topics = Topics(kafka.bootstrap)
    yield topics
    if kafka.kind == "given" and topics.made:  # it is somebody's: leave it as it was
        for removed in topics.admin.delete_topics(topics.made).values():
            removed.exception()


@pytest.fixture
def topics(_all_topics: Topics) -> Topics:
    """Makes topics on the shared broker."""
    return _all_topics


@pytest.fixture
def group() -> str:
    """A consumer group that no other test is in."""
    return f"group-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def _kafka_process() -> Iterator[KafkaProcess]:
    with KafkaProcess() as process:
        yield process


@pytest.fixture
def kafka_process(_kafka_process: KafkaProcess) -> Iterator[KafkaProcess]:
    """A broker that the test may stop, kill or pause; it runs when the test begins."""
    if not _kafka_process.is_running:
        _kafka_process.start()
    yield _kafka_process
    if _kafka_process.is_running:
        _kafka_process.resume()  # a test that failed may have left it paused


@pytest.fixture
def process_topics(kafka_process: KafkaProcess) -> Topics:
    """Makes topics on the broker that the test may stop."""
    return Topics(kafka_process.bootstrap)


class Secured(NamedTuple):
    """A broker that asks who is there: the listener SASL takes passwords over TLS, MUTUAL certificates."""

    process: KafkaProcess
    certificates: Certificates
    password: str
    """Of the user alice."""


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker with TLS, SASL PLAIN, SCRAM and client certificates; not to be stopped."""
    certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
    password = "correct horse"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="{password}";'
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.broker),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.ca),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl.plain.sasl.jaas.config": plain,
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": scram,
    }
    listeners = {"SASL": "SASL_SSL", "MUTUAL": "SSL"}
    with KafkaProcess(settings, listeners=listeners, scram={"alice": password}) as process:
        yield Secured(process, certificates, password)
