"""Judging a store again: one step for all rows, under the lease, and the series of writers go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gnomon import rejudge as rejudge_module
from gnomon.config import Settings
from gnomon.core.rules import parse_rules
from gnomon.rejudge import rejudge
from gnomon.store import Selection, open_store
from gnomon.store.log import LogWriter, land_rules

Make = Callable[..., Any]
Ask = Callable[[str], list[tuple[Any, ...]]]
OLD = parse_rules("", "old")
NEW = parse_rules('[[rule]]\npath = "/body/price"\nignore = true\n', "new")


@pytest.mark.parametrize("compacted", [False, True])
def test_new_rules_on_a_store(
    writer: LogWriter,
    root: Path,
    batch: Make,
    comparison: Make,
    difference: Make,
    compact: Make,
    ask: Ask,
    compacted: bool,
) -> None:
    """Rows and differences change in place: nothing twice, nothing lost, runs and rules land, replays stay replays."""
    land_rules(root, OLD.version, OLD.text, writer._series.footer.landed_at)
    rows = []
    for number in range(6):
        found = [difference("/body/price"), difference("/body/name")][: 1 + number % 2]
        old = comparison(f"r-{number}", outcome="diff", differences=len(found), severity="medium", rules=OLD.version)
        rows.append((old, found))
    rows.append((comparison("gone", outcome="shadow_missing", rules=OLD.version), []))
    writer.land(batch(rows[:4], offset=4))
    writer.land(batch(rows[4:], offset=7))
    if compacted:
        compact()
    selection = Selection(synthetic="include")
    dry = rejudge(root, NEW, Settings(), selection=selection, dry_run=True)
    assert dry.changed == 3
    assert ask("SELECT count(*) FROM comparisons WHERE outcome = 'match'") == [(0,)]
    done = rejudge(root, NEW, Settings(), selection=selection)
    assert (done.comparisons, done.judged, done.changed) == (7, 7, 3)
    assert ask("SELECT outcome, count(*) FROM comparisons GROUP BY 1 ORDER BY 1") == [
        ("diff", 3),
        ("match", 3),
        ("shadow_missing", 1),
    ]
    assert ask("SELECT path, count(*) FROM differences GROUP BY 1") == [("/body/name", 3)]
    assert ask("SELECT DISTINCT rules FROM comparisons") == [(NEW.version,)]
    assert ask("SELECT command, comparisons FROM runs") == [("rejudge", 7)]
    with open_store(root) as store:
        assert store.rules(NEW.version) == NEW.text
        assert store.rules(OLD.version) == OLD.text
    assert writer.land(batch(rows, offset=8)).replays == 7
    assert LogWriter(root, "gnomon.exchanges", 0).land(batch(rows, offset=8)).replays == 7
    again = rejudge(root, NEW, Settings(), selection=selection)
    assert again.changed == 0
    assert ask("SELECT count(*), count(DISTINCT request_id) FROM comparisons") == [(7, 7)]


def test_a_late_answer_after_judging_again(
    writer: LogWriter, root: Path, batch: Make, comparison: Make, ask: Ask
) -> None:
    """A row that was judged again as missing still gives way to the answer that comes late."""
    land_rules(root, OLD.version, OLD.text, writer._series.footer.landed_at)
    writer.land(batch([(comparison("r-1", target="", outcome="shadow_missing", rules=OLD.version), [])]))
    rejudge(root, NEW, Settings(), selection=Selection(synthetic="include"))
    again = comparison("r-1", rules=NEW.version)
    writer.land(batch([(again, [])], replaced=[("r-1", again.started_at)]))
    assert ask("SELECT outcome FROM comparisons") == [("match",)]


@pytest.mark.parametrize("compacted", [False, True])
def test_what_lands_while_it_judges_stays(
    root: Path,
    batch: Make,
    comparison: Make,
    difference: Make,
    compact: Make,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    compacted: bool,
) -> None:
    """A revision that lands after its request was read is not overwritten, and is counted; the others are judged."""
    writer = LogWriter(root, "gnomon.exchanges", 0)
    land_rules(root, OLD.version, OLD.text, writer._series.footer.landed_at)
    late = comparison("late", outcome="shadow_missing", shadow_status=None, rules=OLD.version)
    priced = comparison("priced", outcome="diff", differences=1, severity="medium", rules=OLD.version)
    writer.land(batch([(late, []), (priced, [difference("/body/price")])], offset=2))
    rewrite = rejudge_module.rewrite_store

    def land_before(*arguments: Any) -> int:
        again = comparison("late", outcome="diff", differences=1, late=True, severity="medium", rules=OLD.version)
        revision = batch([(again, [difference("/body/name")])], offset=4, replaced=[("late", again.started_at)])
        writer.land(revision)
        if compacted:
            compact()
        return rewrite(*arguments)

    monkeypatch.setattr(rejudge_module, "rewrite_store", land_before)
    done = rejudge(root, NEW, Settings(), selection=Selection(synthetic="include"))
    assert (done.judged, done.overtaken) == (2, 1)
    assert ask("SELECT request_id, outcome, late, rules FROM comparisons ORDER BY 1") == [
        ("late", "diff", True, OLD.version),
        ("priced", "match", False, NEW.version),
    ]
    assert ask("SELECT request_id, path FROM differences") == [("late", "/body/name")]
    monkeypatch.undo()
    assert rejudge(root, NEW, Settings(), selection=Selection(synthetic="include")).overtaken == 0
    assert ask("SELECT DISTINCT rules FROM comparisons") == [(NEW.version,)]
