"""Landing batches: what lands, what is a replay, what is late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.store.log.conftest import later

from gnomon.errors import FencedError, InputError
from gnomon.model import Place, Reject, instant
from gnomon.store import open_store
from gnomon.store.log import LandedRow, LogWriter, Position, StoreInfo

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
    assert writer.find({one.request_id: one.started_at, "other": one.started_at}) == [LandedRow(one, later())]


def test_a_restarted_writer_goes_on(writer: LogWriter, root: Path, batch: Make, comparison: Make) -> None:
    """Position and state are those of the last batch that landed; a new series has none."""
    assert writer.position is None
    assert writer.state == {}
    writer.land(batch([(comparison(), [])], offset=41, watermark_us=1))
    writer.land(batch(offset=42, watermark_us=2, counts={"a": [1, None, 2.5]}))
    again = LogWriter(root, TOPIC, 0, clock=later)
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
        writer = LogWriter(root, TOPIC, 0, clock=later)
    assert writer.landed("r-1", 1_800_000_000_000_000)
    assert not writer.landed("r-2", 1_800_000_000_000_000)
    new = (comparison("r-2", outcome="diff"), [difference()])
    landed = writer.land(
        batch(
            [new, *old, new],
            offset=8,
            exchanges=[exchange("r-1"), exchange("r-2"), exchange("r-3")],
            rejects=[_reject(5), _reject(6), _reject(7)],
        )
    )
    assert (landed.comparisons, landed.differences, landed.exchanges, landed.rejects, landed.replays) == (1, 1, 2, 1, 3)
    assert ask("SELECT count(*), count(DISTINCT request_id) FROM comparisons") == [(3, 2)]
    assert ask("SELECT count(*) FROM differences") == [(2,)]
    assert ask('SELECT "offset" FROM rejects ORDER BY 1') == [(5,), (6,), (7,), (None,)]


def test_an_id_beyond_the_horizon_is_another_request(root: Path, batch: Make, comparison: Make, ask: Ask) -> None:
    """The same id a day later in event time lands again, and is known from then on; a second less is a replay."""
    writer = LogWriter(root, TOPIC, 0, clock=later)
    landed = [
        writer.land(batch([(comparison("r-1", second=second), [])])).comparisons
        for second in (0, DAY - 1, DAY, 2 * DAY - 1, 0, 1)
    ]
    assert landed == [1, 0, 1, 0, 0, 0]
    assert LogWriter(root, TOPIC, 0, clock=later).land(batch([(comparison("r-1", second=DAY), [])])).replays == 1
    assert ask("SELECT count(*) FROM comparisons") == [(2,)]


@pytest.mark.parametrize("compacted", ["nothing", "before", "after", "both"])
@pytest.mark.parametrize("started", [0, 5])
def test_what_replaces_a_request_takes_the_place_of_all_its_rows(
    writer: LogWriter,
    root: Path,
    batch: Make,
    comparison: Make,
    difference: Make,
    exchange: Make,
    compact: Make,
    ask: Ask,
    compacted: str,
    started: int,
) -> None:
    """Of all its comparisons, differences and exchanges, hot and compacted, also where it started earlier after all."""
    before = [
        (comparison("r-1", target="", outcome="shadow_missing", shadow_status=None, second=5), []),
        (comparison("r-1", role="control", target="", outcome="diff", differences=1, second=5), [difference("/old")]),
    ]
    other = (comparison("r-2", outcome="diff", second=5), [difference("/kept")])
    old_exchanges = [exchange("r-1", second=5), exchange("r-2", second=5)]
    writer.land(batch([*before, other], exchanges=old_exchanges))
    if compacted in {"before", "both"}:
        compact()
    now = [
        (comparison("r-1", outcome="diff", differences=1, late=True, second=started), [difference("/new")]),
        (comparison("r-1", role="control", target="", second=started), []),
    ]
    replaced = [("r-1", instant(1_800_000_005_000_000))]
    new_exchanges = [exchange("r-1", second=started), exchange("r-1", "shadow", "cart@2", second=started)]
    revision = batch(now, replaced=replaced, exchanges=new_exchanges)
    assert writer.land(revision).comparisons == 2
    for _ in range(2):
        if compacted in {"after", "both"}:
            compact()
        assert ask("SELECT request_id, target, role, outcome FROM comparisons ORDER BY ALL") == [
            ("r-1", "", "control", "match"),
            ("r-1", "cart@2", "shadow", "diff"),
            ("r-2", "cart@2", "shadow", "diff"),
        ]
        assert ask("SELECT request_id, path FROM differences ORDER BY ALL") == [("r-1", "/new"), ("r-2", "/kept")]
        assert ask("SELECT request_id, role FROM exchanges ORDER BY ALL") == [
            ("r-1", "live"),
            ("r-1", "shadow"),
            ("r-2", "live"),
        ]
        assert ask("SELECT sum(pairs) FROM endpoint_stats") == [(2,)]
        writer.land(revision)  # once more, as after a disk that was in doubt
    assert LogWriter(root, TOPIC, 0, clock=later).land(batch([*before, other])).replays == 3


def test_a_request_may_come_to_nothing(
    writer: LogWriter, root: Path, batch: Make, comparison: Make, compact: Make, ask: Ask
) -> None:
    """A live record that started earlier may say that nobody was to be asked; the request stays known."""
    writer.land(batch([(comparison("r-1", outcome="shadow_missing"), []), (comparison("r-2"), [])]))
    writer.land(batch(replaced=[("r-1", instant(1_800_000_000_000_000))]))
    assert ask("SELECT request_id FROM comparisons") == [("r-2",)]
    assert LogWriter(root, TOPIC, 0, clock=later).landed("r-1", 1_800_000_000_000_000)
    compact()
    assert ask("SELECT request_id FROM comparisons") == [("r-2",)]


def test_a_revision_is_of_its_own_series(
    writer: LogWriter, root: Path, batch: Make, comparison: Make, ask: Ask
) -> None:
    """Numbers of batches say what is earlier within a series only."""
    other = LogWriter(root, TOPIC, 1)
    for number in range(3):
        other.land(batch([(comparison(f"r-{number}", topic="other"), [])]))
    writer.land(batch([(comparison("r-1"), [])], replaced=[("r-1", instant(1_800_000_000_000_000))]))
    assert ask("SELECT count(*) FROM comparisons") == [(4,)]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_runs_ahead_parts_no_request(
    writer: LogWriter, root: Path, batch: Make, comparison: Make, restarted: bool
) -> None:
    """What says that it started a year from now is found by who asks with the time of day."""
    row = comparison("r-1", second=10_000 * DAY)
    landed_at = writer.land(batch([(row, [])])).landed_at
    if restarted:
        writer = LogWriter(root, TOPIC, 0, clock=later)
    assert writer.landed("r-1", int(landed_at.timestamp() * 1e6))
    assert not writer.landed("r-1", int(row.started_at.timestamp() * 1e6))
    assert [found.comparison for found in writer.find({"r-1": landed_at})] == [row]
    assert writer.find({"r-1": row.started_at}) == []
    assert writer.land(batch([(row, [])])).replays == 1


def test_a_row_of_yesterday_stays(root: Path, batch: Make, comparison: Make, ask: Ask) -> None:
    """What is beyond the horizon is another request, and what takes the place of one leaves the other."""
    writer = LogWriter(root, TOPIC, 0, clock=later)
    writer.land(batch([(comparison("r-1", outcome="shadow_missing"), [])]))
    writer.land(batch([(comparison("r-1", second=DAY, outcome="shadow_missing"), [])]))
    again = comparison("r-1", second=DAY)
    writer.land(batch([(again, [])], replaced=[("r-1", again.started_at)]))
    assert ask("SELECT outcome FROM comparisons ORDER BY 1") == [("match",), ("shadow_missing",)]


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
    second = LogWriter(root, TOPIC, 0, clock=later)
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
        LogWriter(root, TOPIC, 0, clock=later)


def test_find_tells_what_holds_now(writer: LogWriter, batch: Make, comparison: Make, compact: Make) -> None:
    """Offsets to read the other side from, and whose the duplicates are, hot and compacted."""
    first = comparison("r-1", outcome="shadow_missing", live_offset=7)
    writer.land(batch([(first, [])]))
    assert writer.find({"r-1": first.started_at}) == [LandedRow(first, later())]
    second = comparison("r-1", live_offset=7, shadow_offset=9, late=True, duplicates=3)
    revision = batch([(second, [])], replaced=[("r-1", first.started_at)], live_duplicates={"r-1": 2})
    writer.land(revision)
    for _ in range(2):
        assert writer.find({"r-1": second.started_at}) == [LandedRow(second, later(), 2)]
        assert writer.find({"r-1": second.started_at - timedelta(days=1)}) == []
        assert writer.find({"r-1": second.started_at + timedelta(days=1)}) == []
        compact()
