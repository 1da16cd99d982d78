"""Landing batches: what lands, what is a replay, what is late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gnomon.errors import FencedError, InputError
from gnomon.model import Place, Reject, instant
from gnomon.store import open_store
from gnomon.store.log import LogWriter, Position, StoreInfo

TOPIC = "gnomon.exchanges"
DAY = 24 * 3_600
Ask = Callable[[str], list[tuple[Any, ...]]]
Make = Callable[..., Any]


def _reject(offset: int | None, reason: str = "broken") -> Reject:
    return Reject(Place(TOPIC, partition=0, offset=offset), reason, b"{")


def test_a_batch_is_rows_of_four_tables(
    writer: LogWriter, batch: Make, comparison: Make, difference: Make, exchange: Make, ask: Ask
) -> None:
    """Comparisons, their differences, exchanges and rejects land together, with the batch's time."""
    found = [difference("/a"), difference("/b", noise=True, reason="clock", live_value=None)]
    rows = [
        (comparison("r-1", outcome="diff", differences=1, flags={"b": "2", "a": "1"}), found),
        (comparison("r-2"), []),
    ]
    landed = writer.land(
        batch(rows, offset=7, exchanges=[exchange("r-1"), exchange("r-1", "shadow", "cart@2")], rejects=[_reject(3)])
    )
    assert (landed.comparisons, landed.differences, landed.exchanges, landed.rejects, landed.replays) == (2, 2, 2, 1, 0)
    assert ask("SELECT request_id, outcome, flags['a'], landed_at FROM comparisons ORDER BY 1") == [
        ("r-1", "diff", "1", landed.landed_at),
        ("r-2", "match", None, landed.landed_at),
    ]
    assert ask("SELECT path, noise, reason, live_value FROM differences ORDER BY 1") == [
        ("/a", False, None, "1"),
        ("/b", True, "clock", None),
    ]
    assert ask("SELECT role, endpoint FROM exchanges ORDER BY 1") == [
        ("live", "GET /users/{id}"),
        ("shadow", "GET /users/{id}"),
    ]
    assert ask('SELECT source, "partition", "offset", reason, excerpt FROM rejects') == [
        (TOPIC, 0, 3, "broken", "ew==")
    ]


@pytest.mark.parametrize("compacted", [False, True])
def test_what_lands_reads_back_as_it_was(
    writer: LogWriter, root: Path, batch: Make, comparison: Make, difference: Make, compact: Make, compacted: bool
) -> None:
    """Every field of a comparison and of its differences survives, hot and compacted."""
    one = comparison(
        "ünï-\x00-\U0001f9a9", role="control", target="", live_error="timeout", shadow_error="reset", outcome="diff",
        differences=2, noise_differences=1, severity="high", duplicates=3, synthetic="load", as_of="2027-01-01",
        flags={"x": "y"}, topic=TOPIC, partition=0, live_offset=1, shadow_offset=2, live_ms=None, live_target="cart@1",
    )  # fmt: skip
    found = [difference("/a", shadow_path=None, kind="removed", shadow_value=None), difference("/b", reason="because")]
    writer.land(batch([(one, found)]))
    if compacted:
        compact()
    with open_store(root) as store:
        [[request]] = store.judged()
    assert request.comparisons == [(one, found)]
    assert writer.find([one.request_id, "other"], one.started_at) == [one]
    assert writer.find([one.request_id], one.started_at + timedelta(seconds=1)) == []


def test_a_restarted_writer_goes_on(writer: LogWriter, root: Path, batch: Make, comparison: Make) -> None:
    """Position and state are those of the last batch that landed; a new series has none."""
    assert writer.position is None
    assert writer.state == {}
    writer.land(batch([(comparison(), [])], offset=41, watermark_us=1))
    writer.land(batch(offset=42, watermark_us=2, counts={"a": [1, None, 2.5]}))
    again = LogWriter(root, TOPIC, 0)
    assert again.position == Position(TOPIC, 0, 42)
    assert again.state == {"watermark_us": 2, "counts": {"a": [1, None, 2.5]}}
    assert LogWriter(root, TOPIC, 1).position is None


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("compacted", [False, True])
def test_replays_are_dropped(
    writer: LogWriter,
    root: Path,
    batch: Make,
    comparison: Make,
    difference: Make,
    exchange: Make,
    compact: Make,
    ask: Ask,
    restarted: bool,
    compacted: bool,
) -> None:
    """What has landed lands no more, with its differences, exchanges and rejects; what is new does."""
    old = [(comparison("r-1", outcome="diff"), [difference()]), (comparison("r-1", role="control"), [])]
    writer.land(batch(old, offset=5, exchanges=[exchange("r-1")], rejects=[_reject(5), _reject(6), _reject(None)]))
    if compacted:
        compact()
    if restarted:
        writer = LogWriter(root, TOPIC, 0)
    assert writer.knows("r-1", "cart@2", "shadow", 1_800_000_000_000_000)
    assert not writer.knows("r-2", "cart@2", "shadow", 1_800_000_000_000_000)
    new = (comparison("r-2", outcome="diff"), [difference()])
    landed = writer.land(
        batch(
            [*old, new, new],
            offset=8,
            exchanges=[exchange("r-1"), exchange("r-2"), exchange("r-3")],
            rejects=[_reject(5), _reject(6), _reject(7)],
        )
    )
    assert (landed.comparisons, landed.differences, landed.exchanges, landed.rejects, landed.replays) == (1, 1, 2, 1, 3)
    assert ask("SELECT count(*), count(DISTINCT request_id) FROM comparisons") == [(3, 2)]
    assert ask("SELECT count(*) FROM differences") == [(2,)]
    assert ask('SELECT "offset" FROM rejects ORDER BY 1') == [(5,), (6,), (7,), (None,)]


def test_an_id_beyond_the_horizon_is_another_request(
    writer: LogWriter, root: Path, batch: Make, comparison: Make, ask: Ask
) -> None:
    """The same id a day later in event time lands again, and is known from then on; a second less is a replay."""
    landed = [
        writer.land(batch([(comparison("r-1", second=second), [])])).comparisons
        for second in (0, DAY - 1, DAY, 2 * DAY - 1, 0, 1)
    ]
    assert landed == [1, 0, 1, 0, 0, 0]
    assert LogWriter(root, TOPIC, 0).land(batch([(comparison("r-1", second=DAY), [])])).replays == 1
    assert ask("SELECT count(*) FROM comparisons") == [(2,)]


@pytest.mark.parametrize("missing_target", ["", "cart@2"])
@pytest.mark.parametrize("compacted", ["nothing", "missing", "late"])
def test_a_late_comparison_takes_the_place_of_the_missing_row(
    writer: LogWriter,
    root: Path,
    batch: Make,
    comparison: Make,
    difference: Make,
    compact: Make,
    ask: Ask,
    missing_target: str,
    compacted: str,
) -> None:
    """Also of one that names no target, before and after compaction; it is marked late, and replays change nothing."""
    missing = (comparison("r-1", target=missing_target, outcome="shadow_missing", shadow_status=None), [])
    other = (comparison("r-2", target=missing_target, outcome="shadow_missing", shadow_status=None), [])
    writer.land(batch([missing, other]))
    if compacted == "missing":
        compact()
    answer = (comparison("r-1", outcome="diff", differences=1), [difference()])
    assert writer.land(batch([answer])).comparisons == 1
    if compacted == "late":
        compact()
    for open_again in (False, True):
        again = LogWriter(root, TOPIC, 0) if open_again else writer
        assert again.land(batch([missing, answer])).replays == 2
        assert ask("SELECT request_id, target, outcome, late FROM comparisons ORDER BY 1") == [
            ("r-1", "cart@2", "diff", True),
            ("r-2", missing_target, "shadow_missing", False),
        ]
    compact()
    compact()
    assert ask("SELECT count(*), count(*) FILTER (late) FROM comparisons") == [(2, 1)]
    assert ask("SELECT sum(shadow_missing), sum(diff) FROM endpoint_stats") == [(1, 1)]


def test_a_late_comparison_in_the_same_batch(writer: LogWriter, batch: Make, comparison: Make, ask: Ask) -> None:
    """The missing row and its answer may come in one batch."""
    missing = comparison("r-1", target="", outcome="shadow_missing")
    writer.land(batch([(missing, []), (comparison("r-1"), []), (comparison("r-1", role="control"), [])]))
    assert ask("SELECT role, outcome, late FROM comparisons ORDER BY 1") == [
        ("control", "match", False),
        ("shadow", "match", True),
    ]


def test_a_missing_row_of_yesterday_stays(writer: LogWriter, batch: Make, comparison: Make, ask: Ask) -> None:
    """What is beyond the horizon is another request, and no late answer to this one."""
    writer.land(batch([(comparison("r-1", outcome="shadow_missing"), [])]))
    writer.land(batch([(comparison("r-1", second=DAY), [])]))
    assert ask("SELECT outcome, late FROM comparisons ORDER BY 1") == [("match", False), ("shadow_missing", False)]


def test_values_that_are_no_text(writer: LogWriter, batch: Make, comparison: Make, ask: Ask) -> None:
    """A lone surrogate from hostile traffic neither stops landing nor escapes the replay check."""
    row = (comparison("r-\ud800", target="\udfff"), [])
    assert writer.land(batch([row])).comparisons == 1
    assert writer.land(batch([row])).replays == 1
    assert ask("SELECT request_id FROM comparisons") == [("r-\\ud800",)]


def test_the_second_owner_fences_the_first(
    writer: LogWriter, root: Path, batch: Make, comparison: Make, ask: Ask
) -> None:
    """Opening a series takes it over: the earlier owner lands nothing more, the new one goes on."""
    writer.land(batch([(comparison("r-1"), [])], offset=1))
    second = LogWriter(root, TOPIC, 0)
    for _ in range(2):
        with pytest.raises(FencedError, match="another process has taken over worker/gnomon.exchanges-0"):
            writer.land(batch([(comparison("zombie"), [])], offset=2))
    second.land(batch([(comparison("r-2"), [])], offset=2))
    assert ask("SELECT request_id FROM comparisons ORDER BY 1") == [("r-1",), ("r-2",)]


def test_horizon_and_clock_are_given(root: Path, batch: Make, comparison: Make, ask: Ask) -> None:
    """The store's horizon bounds replays; `landed_at` is the clock's."""
    moment = datetime(2027, 3, 1, 12, 30, tzinfo=UTC)
    writer = LogWriter(root, TOPIC, 0, info=StoreInfo(horizon_us=60_000_000), clock=lambda: moment)
    writer.land(batch([(comparison("r-1"), []), (comparison("r-1", second=61), [])]))
    assert ask("SELECT landed_at FROM comparisons") == [(moment,), (moment,)]


def test_a_damaged_batch_is_said(writer: LogWriter, root: Path, batch: Make) -> None:
    """A last batch that is no Parquet is named, and nothing is guessed."""
    writer.land(batch())
    newest = max((root / "hot" / "worker").glob("gnomon*.parquet"))
    newest.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=f"{newest.name} is damaged"):
        LogWriter(root, TOPIC, 0)


def test_find_sees_the_late_row(writer: LogWriter, batch: Make, comparison: Make) -> None:
    """What is found for late records is what views show: offsets to read the other side from, or its answer."""
    writer.land(batch([(comparison("r-1", outcome="shadow_missing", live_offset=7), [])]))
    [found] = writer.find(["r-1"], instant(0))
    assert (found.outcome, found.live_offset) == ("shadow_missing", 7)
    writer.land(batch([(comparison("r-1", live_offset=7, shadow_offset=9), [])]))
    [found] = writer.find(["r-1"], instant(0))
    assert (found.outcome, found.late, found.shadow_offset) == ("match", True, 9)
