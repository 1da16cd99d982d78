"""Whether anything of a request has landed, asked once per request before it is joined."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.unit.store.log.conftest import later

from gnomon.core.join import Group, Member
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.engine import Engine, EngineOptions
from gnomon.store.log import Batch, LogWriter, Position
from gnomon.testing import STARTED_US, pair


def test_what_has_landed_is_told_by_request_also_after_a_restart(tmp_path: Path) -> None:
    """Whatever its targets; an id that comes again after the horizon is another request."""
    group = Group("r-1")
    for one in pair("r-1", {"a": 1}, {"a": 2}, target="cart@2"):
        group.add(Member(one))
    engine = Engine(parse_rules(""), EngineOptions(), Redactor(b"key"))
    rows = [(one.comparison, one.differences) for one in engine.compare(group.joined(())).compared]
    writer = LogWriter(tmp_path / "store", "exchanges", 3, clock=later)
    assert not writer.landed("r-1", STARTED_US)
    writer.land(Batch(comparisons=rows, position=Position("exchanges", 3, 2)))
    again = LogWriter(tmp_path / "store", "exchanges", 3, clock=later)
    for owner in (writer, again):
        assert owner.landed("r-1", STARTED_US)
        assert not owner.landed("r-2", STARTED_US)
        assert not owner.landed("r-1", STARTED_US + timedelta(days=2) // timedelta(microseconds=1))
        owner.close()
