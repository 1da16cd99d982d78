from __future__ import annotations

import time

import msgspec
import pytest
from tests.unit.collect.entries import message, read

from gnomon.collect.collector import Collector, CollectorOptions
from gnomon.collect.exchange import Origin
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.core.sampling import Sampler
from gnomon.emit.doubt import HOLD
from gnomon.emit.record import RecordWriter
from gnomon.testing import ListTransport


def test_live_expects_nobody_where_sides_were_shed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a while, and only live; what was said of other requests before holds."""
    options = CollectorOptions(bind="", body_bytes=100, queue_bytes=1000, service="s", emitter="e")
    writer = RecordWriter(Redactor(b"k"), parse_rules(""), 10_000)
    collector = Collector(options, Sampler(1.0), writer, ListTransport())
    entry = read(message({"expect": "shadow,control"}))

    def expected(role: str) -> object:
        record = collector._record(entry, Origin(role))  # type: ignore[arg-type]
        assert record is not None
        return msgspec.json.decode(record.value).get("expect")

    assert expected("live") == ["shadow", "control"]
    collector.backlog.torn += 1
    assert (expected("live"), expected("live")) == ([], [])
    assert expected("shadow") == ["shadow", "control"]
    later = time.monotonic() + HOLD
    monkeypatch.setattr("gnomon.collect.collector.time.monotonic", lambda: later)
    assert expected("live") == ["shadow", "control"]
    collector.sink.close(1)
