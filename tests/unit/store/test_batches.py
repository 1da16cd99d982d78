"""Structs as columns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from gnomon.model import Comparison, Difference, Place, Reject
from gnomon.store import batches


def test_all_fields_become_columns(
    comparison: Callable[..., Comparison], difference: Callable[..., Difference]
) -> None:
    """No field of the model is forgotten, and values survive the way there and back."""
    row = comparison(flags={"b": "2", "a": "1"}, live_error="timeout", partition=3, live_offset=2**40)
    [found] = batches.comparison_table([row], "run-1").to_pylist()
    assert found.pop("run") == "run-1"
    assert dict(found.pop("flags")) == {"a": "1", "b": "2"}
    assert found == {name: getattr(row, name) for name in Comparison.__struct_fields__ if name != "flags"}
    [line] = batches.difference_table([row], [difference()]).to_pylist()
    assert set(line) == {"request_id", "target", "role", "service", "endpoint", "started_at"} | set(
        Difference.__struct_fields__
    )


def test_instants_are_exact(comparison: Callable[..., Comparison]) -> None:
    """Microseconds survive, before the epoch and in other zones too."""
    moments = [
        datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    ]
    table = batches.comparison_table([comparison(started_at=moment) for moment in moments], None)
    assert table["started_at"].to_pylist() == moments
    assert table["run"].to_pylist() == [None] * 4


def test_hostile_text_does_not_stop_a_batch(comparison: Callable[..., Comparison]) -> None:
    """A NUL is kept; a lone surrogate, which is no text, is written out as its escape."""
    table = batches.comparison_table(
        [comparison(path="/a\x00b"), comparison(path="/\ud800", flags={"k": "\udfff"})], "r"
    )
    assert table["path"].to_pylist() == ["/a\x00b", "/\\ud800"]
    assert table["flags"].to_pylist()[1] == [("k", "\\udfff")]


def test_rejects(now: datetime) -> None:
    """Places become columns, excerpts base64."""
    table = batches.reject_table(
        [Reject(Place("f", 2), "bad", b"\xff"), Reject(Place("t", partition=1, offset=9), "x")]
    )
    assert table.to_pylist() == [
        {"source": "f", "line": 2, "partition": None, "offset": None, "reason": "bad", "excerpt": "/w=="},
        {"source": "t", "line": None, "partition": 1, "offset": 9, "reason": "x", "excerpt": ""},
    ]
