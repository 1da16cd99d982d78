"""Series of one table: alerts, routing, runs and rule sets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gnomon.errors import FencedError
from gnomon.store.log import Position, TableWriter, land_rules

NOW = datetime(2027, 2, 1, 12, tzinfo=UTC)
Ask = Callable[[str], list[tuple[Any, ...]]]

ALERT = {
    "name": "rate", "key": "k", "state": "firing", "severity": "critical", "service": "cart", "endpoint": "GET /",
    "target": "cart@2", "metric": "divergence_rate", "value": 0.5, "threshold": 0.1, "since": NOW, "at": NOW,
    "summary": "it diverges", "patterns": ["/a"], "request_ids": ["r-1"],
}  # fmt: skip
ROUTED = {
    "minute": NOW, "topic": "orders", "partition": 3, "rule": "header", "destination": "synthetic", "events": 5,
    "first_offset": 1, "last_offset": 9, "samples": ["orders[3]@1"],
}  # fmt: skip


def test_alerts_and_routing_land(root: Path, ask: Ask, compact: Callable[..., Any]) -> None:
    """Rows by column name; position and state come back; compaction keeps the rows."""
    TableWriter(root, "alerts", "watch").land([ALERT, {**ALERT, "state": "resolved"}], state={"open": ["k"]})
    TableWriter(root, "routed", "orders-3").land([ROUTED], position=Position("orders", 3, 10))
    for _ in range(2):
        assert ask("SELECT state, patterns, interval_lo FROM alerts ORDER BY 1") == [
            ("firing", ["/a"], None),
            ("resolved", ["/a"], None),
        ]
        assert ask("SELECT events, samples FROM routed") == [(5, ["orders[3]@1"])]
        compact()
    assert TableWriter(root, "alerts", "watch").state == {"open": ["k"]}
    assert TableWriter(root, "routed", "orders-3").position == Position("orders", 3, 10)


def test_a_second_writer_takes_over(root: Path) -> None:
    """As for workers: the first is told to stop."""
    first = TableWriter(root, "alerts", "watch")
    TableWriter(root, "alerts", "watch")
    with pytest.raises(FencedError):
        first.land([ALERT])


def test_rules_land_once(root: Path, ask: Ask, compact: Callable[..., Any]) -> None:
    """A rule set that any process has landed is not landed again, also after compaction."""
    land_rules(root, "v1", "# one", NOW)
    land_rules(root, "v1", "# one", datetime.now(UTC))
    land_rules(root, "v2", "# two", NOW)
    compact()
    land_rules(root, "v2", "# two", NOW)
    assert ask("SELECT version, rules, first_used FROM rule_versions ORDER BY 1") == [
        ("v1", "# one", NOW),
        ("v2", "# two", NOW),
    ]
