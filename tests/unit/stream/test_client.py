from __future__ import annotations

from typing import Any

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from gnomon.config import Kafka, KafkaSecurity
from gnomon.kafka import client_options
from gnomon.stream.client import faust_credentials


@pytest.mark.parametrize("protocol", ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_faust_hands_aiokafka_what_we_would(protocol: Any, mechanism: Any) -> None:
    """By way of Faust's credentials a client is made with the same options as without Faust."""
    security = KafkaSecurity(protocol=protocol)
    if protocol.startswith("sasl"):
        security = KafkaSecurity(protocol=protocol, sasl=mechanism, username="alice", password="secret")
    kafka = Kafka(security=security)
    ours = {key: value for key, value in client_options(kafka).items() if key != "bootstrap_servers"}
    fausts = dict(credentials_to_aiokafka_auth(faust_credentials(kafka)))
    assert (ours.pop("ssl_context") is None) is (fausts.pop("ssl_context", None) is None)
    assert fausts == ours
