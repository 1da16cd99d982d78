"""Alerts on the topic `kafka.alerts` of a real broker."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from tests.kafka.brokers import Broker, wait_for
from tests.kafka.fixtures import Topics
from tests.kafka.test_produce import read_all

from gnomon.cli import main
from gnomon.store import run_query
from gnomon.store.log import TableWriter

SCHEMA = Path(__file__).parents[2] / "schemas" / "alert.json"


def watch_once(monkeypatch: pytest.MonkeyPatch, bootstrap: str, topic: str) -> None:
    """Evaluate and send once, with this broker."""
    monkeypatch.setenv("GNOMON_KAFKA", bootstrap)
    monkeypatch.setenv("GNOMON_KAFKA_ALERTS", topic)
    assert main(["watch", "--once"]) == 0


def land_leaks(events: int) -> None:
    """The audit found so many synthetic events on a clean topic."""
    row = {"minute": datetime.now(UTC), "topic": "orders", "partition": 0, "rule": "users", "destination": "leak"}
    counts = {"events": events, "first_offset": 1, "last_offset": 9, "samples": ["orders[0]@1"]}
    TableWriter(Path("gnomon.store"), "routed", "audit").land([row | counts])


def test_changes_of_state_survive_a_broker_that_is_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kafka: Broker, topics: Topics
) -> None:
    """What fired while no broker was there is sent when one is, once, with its key; the failure is a row meanwhile."""
    monkeypatch.chdir(tmp_path)
    topic = topics.make("alerts")
    Path("gnomon.toml").write_text('[[alert]]\nmetric = "synthetic_leaks"\nabove = 0\n', encoding="utf-8")
    land_leaks(3)
    with socket.socket() as bound:  # bound and not listening: whoever connects is refused
        bound.bind(("127.0.0.1", 0))
        watch_once(monkeypatch, f"127.0.0.1:{bound.getsockname()[1]}", topic)
    told = run_query(Path("gnomon.store"), "SELECT name, state FROM alerts ORDER BY name").rows
    assert [tuple(row) for row in told] == [(f"hook kafka:{topic}", "firing"), ("synthetic_leaks", "firing")]

    def sent() -> bool:
        watch_once(monkeypatch, kafka.bootstrap, topic)
        return bool(read_all(kafka.bootstrap, topic))

    wait_for("the alert to be tried again", sent, timedelta(seconds=60).total_seconds())
    watch_once(monkeypatch, kafka.bootstrap, topic)
    [message] = read_all(kafka.bootstrap, topic)
    value = message.value()
    assert value is not None
    alert = json.loads(value)
    jsonschema.validate(alert, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert (alert["name"], alert["state"], alert["value"]) == ("synthetic_leaks", "firing", 3)
    assert message.key() == alert["key"].encode()
    assert [name for name, _ in message.headers() or []] == ["idempotency-key"]
    states = run_query(Path("gnomon.store"), "SELECT arg_max(state, \"at\") FROM alerts WHERE name LIKE 'hook %'").rows
    assert [tuple(row) for row in states] == [("resolved",)]


def test_an_empty_setting_sends_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`kafka.alerts = ""` leaves Kafka alone."""
    monkeypatch.chdir(tmp_path)
    rule = '[kafka]\nalerts = ""\n[[alert]]\nmetric = "synthetic_leaks"\nabove = 0\n'
    Path("gnomon.toml").write_text(rule, encoding="utf-8")
    land_leaks(1)
    assert main(["watch", "--once"]) == 0
    assert [tuple(row) for row in run_query(Path("gnomon.store"), "SELECT name FROM alerts").rows] == [
        ("synthetic_leaks",)
    ]
