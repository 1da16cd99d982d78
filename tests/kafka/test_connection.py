"""Connections to a broker that asks who is there, and what is said where there is none."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from tests.kafka.brokers import Broker, free_port
from tests.kafka.certificates import KEY_PASSWORD
from tests.kafka.fixtures import Secured

from gnomon.config import Kafka, KafkaSecurity
from gnomon.errors import ConfigError, DependencyError
from gnomon.kafka import check_connection, client_options


def sasl(secured: Secured, **changes: Any) -> Kafka:
    """Settings that reach the listener with passwords, and changes to them."""
    fields = {
        "protocol": "sasl_ssl",
        "sasl": "SCRAM-SHA-256",
        "username": "alice",
        "password": secured.password,
        "ca": secured.certificates.ca,
    }
    return Kafka(bootstrap=secured.process.address("SASL"), security=KafkaSecurity(**{**fields, **changes}))


def mutual(secured: Secured, **changes: Any) -> Kafka:
    """Settings that reach the listener with client certificates, and changes to them."""
    made = secured.certificates
    fields = {
        "protocol": "ssl",
        "ca": made.ca,
        "cert": made.client,
        "key": made.client_key,
        "key_password": KEY_PASSWORD,
    }
    return Kafka(bootstrap=secured.process.address("MUTUAL"), security=KafkaSecurity(**{**fields, **changes}))


async def list_topics(kafka: Kafka) -> list[str]:
    """Ask the broker for its topics, as any client of aiokafka with these settings would."""
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        await admin.start()
        return await admin.list_topics()
    finally:
        await admin.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_passwords_over_tls(secured_kafka: Secured, tmp_path: Path, mechanism: str) -> None:
    """With the right password, in place or in a file, each mechanism lets us in."""
    file = tmp_path / "password"
    file.write_text(f"{secured_kafka.password}\n")
    for secret in ({}, {"password": None, "password_file": file}):
        kafka = sasl(secured_kafka, sasl=mechanism, **secret)
        asyncio.run(check_connection(kafka))
        assert isinstance(asyncio.run(list_topics(kafka)), list)


def test_client_certificates(secured_kafka: Secured) -> None:
    """With a certificate and an encrypted key the broker lets us in."""
    kafka = mutual(secured_kafka)
    asyncio.run(check_connection(kafka))
    assert isinstance(asyncio.run(list_topics(kafka)), list)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"password": "wrong"}, "user alice is refused .*; correct kafka.security.username and password"),
        ({"sasl": "PLAIN", "password": "wrong"}, "user alice is refused .*; correct kafka.security.username"),
        ({"sasl": "SCRAM-SHA-512", "username": "bob"}, "user bob is refused .*; correct kafka.security.username"),
        ({"protocol": "sasl_plaintext", "ca": None}, "the connection was closed .*protocol is sasl_plaintext"),
        ({"ca": None}, r"its certificate is not trusted \(.*; set kafka.security.ca to the PEM file"),
    ],
)
def test_why_a_broker_refuses_passwords(secured_kafka: Secured, changes: dict[str, Any], sentence: str) -> None:
    """What is refused is said with the broker's address and what to correct, and never with the password."""
    kafka = sasl(secured_kafka, **changes)
    with pytest.raises(DependencyError, match=sentence) as caught:
        asyncio.run(check_connection(kafka))
    assert f"no Kafka broker can be reached at {kafka.bootstrap}: " in str(caught.value)
    assert str(kafka.security.password) not in str(caught.value)


def test_why_a_broker_refuses_certificates(secured_kafka: Secured) -> None:
    """An authority that is not the broker's, and a client without a certificate, are told."""
    other = secured_kafka.certificates.other_ca
    with pytest.raises(DependencyError, match="its certificate is not trusted"):
        asyncio.run(check_connection(mutual(secured_kafka, ca=other)))
    with pytest.raises(DependencyError, match="TLS failed|the connection was closed"):
        asyncio.run(check_connection(mutual(secured_kafka, cert=None, key=None, key_password=None)))


def test_a_listener_without_tls_is_told(kafka: Broker) -> None:
    """TLS to a listener that speaks none fails with what to correct."""
    settings = Kafka(bootstrap=kafka.bootstrap, security=KafkaSecurity(protocol="ssl"))
    with pytest.raises(DependencyError, match=f"{kafka.bootstrap}: .*another kafka.security.protocol"):
        asyncio.run(check_connection(settings, timeout=3))


def test_one_of_several_brokers_is_enough(kafka: Broker) -> None:
    """A broker that is down does not matter while another one answers."""
    asyncio.run(check_connection(Kafka(bootstrap=f"127.0.0.1:{free_port()}, {kafka.bootstrap}")))


def test_no_broker_at_all_is_told() -> None:
    """Where nothing listens the sentence names every address and the setting."""
    addresses = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    with pytest.raises(DependencyError, match="nothing listens there; start it, or correct kafka.bootstrap") as caught:
        asyncio.run(check_connection(Kafka(bootstrap=addresses)))
    assert caught.value.exit_code == 4
    assert all(address in str(caught.value) for address in addresses.split(","))


@pytest.mark.parametrize(
    ("security", "sentence"),
    [
        ({"protocol": "sasl_ssl"}, "no mechanism is set; set kafka.security.sasl"),
        ({"protocol": "sasl_ssl", "sasl": "PLAIN"}, "there is no username; set"),
        ({"protocol": "sasl_ssl", "sasl": "PLAIN", "username": "alice"}, "there is no password; set"),
        ({"sasl": "PLAIN"}, "kafka.security.sasl is PLAIN, which does not hold with protocol plaintext"),
        ({"ca": Path("ca.pem")}, "kafka.security.ca is set, which does not hold with protocol plaintext"),
        ({"protocol": "ssl", "key": Path("key.pem")}, "kafka.security.key is set, and no certificate"),
        ({"protocol": "ssl", "ca": Path("none.pem")}, "certificates of kafka.security cannot be used: No such file"),
    ],
)
def test_settings_that_would_silently_not_hold(security: dict[str, Any], sentence: str) -> None:
    """Settings that contradict each other are refused: nothing goes in the clear by mistake."""
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        client_options(Kafka(security=KafkaSecurity(**security)))
