"""A whole pipeline through a listener with TLS and passwords: topics, records, a worker, findings."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.kafka.fixtures import Secured
from tests.kafka.workers import Store, WorkerProcess

from gnomon.capture import NdjsonWriter
from gnomon.cli import main
from gnomon.testing import pair


def test_commands_and_a_worker_reach_a_secured_broker(
    secured_kafka: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    """With the same settings, clients of aiokafka and Faust are let in, and pairs land."""
    password = tmp_path / "password"
    password.write_text(secured_kafka.password)
    settings = {
        "GNOMON_KAFKA": secured_kafka.process.address("SASL"),
        "GNOMON_KAFKA_PROTOCOL": "sasl_ssl",
        "GNOMON_KAFKA_SASL": "SCRAM-SHA-512",
        "GNOMON_KAFKA_USERNAME": "alice",
        "GNOMON_KAFKA_PASSWORD_FILE": str(password),
        "GNOMON_KAFKA_CA": str(secured_kafka.certificates.ca),
        "GNOMON_TOPIC": f"secured-{group}",
        "GNOMON_GROUP": group,
        "GNOMON_REDACT_KEY": "test",
        "GNOMON_OPERATIONS_BIND": "127.0.0.1:0",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    capture = tmp_path / "capture.ndjson"
    with NdjsonWriter(capture) as writer:
        for number in range(20):
            for side in pair(f"r-{number}", {"id": number}, {"id": number + number % 2}):
                writer.write(side)
    assert main(["topics", "create", "--partitions", "2"]) == 0
    assert main(["produce", str(capture)]) == 0
    store = Store(tmp_path / "store")
    with WorkerProcess(store.path, settings):
        store.wait_for(20, 120)
    assert sorted(store.rows("SELECT outcome, count(*) FROM comparisons GROUP BY 1")) == [("diff", 10), ("match", 10)]
