"""A run before it lands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gnomon.model import Comparison, Difference, Exchange, Place, Reject, instant
from gnomon.store import Selection, StagedRun, stage, work_directory


@pytest.fixture
def staged(target: Path) -> Iterator[StagedRun]:
    """A stage for a fresh target."""
    with work_directory(target) as work_dir, StagedRun(target, work_dir, run="run-1") as run:
        yield run


def test_statistics_are_of_this_run(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., object],
) -> None:
    """What is staged is counted before it lands, and what had landed is not."""
    land(target, [(comparison(f"old-{n}"), []) for n in range(3)])
    with work_directory(target) as work_dir, StagedRun(target, work_dir, run="run-2") as run:
        run.add(comparison("new", outcome="diff", differences=1), [difference()])
        run.add_reject(Reject(Place("f", 1), "bad"))
        statistics = run.statistics()
        assert statistics.totals(Selection()).divergence_rate == 1.0
        assert [field.pattern for field in statistics.fields(Selection())] == ["/body/price"]
        assert statistics.rejects()[0].first_place == "f:1"


def test_what_does_not_land_is_dropped(target: Path, comparison: Callable[..., Comparison]) -> None:
    """An error on the way leaves no file behind."""
    with suppress(ZeroDivisionError), work_directory(target) as work_dir, StagedRun(target, work_dir, run="r") as run:
        run.add(comparison(), [])
        raise ZeroDivisionError
    assert not list(target.parent.iterdir())


def test_batches_are_bounded(
    staged: StagedRun,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    exchange: Callable[..., Exchange],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows, and the bytes of values, records and excerpts, are written out before they pile up."""
    monkeypatch.setattr(stage, "BATCH_ROWS", 10)
    monkeypatch.setattr(stage, "BATCH_CHARACTERS", 1_000)
    for index in range(25):
        staged.add(comparison(str(index)), [difference()])
    assert len(staged._comparisons) == 5
    staged.add(comparison("long"), [difference(live_value="x" * 1_000)])
    assert (staged._comparisons, staged._differences, staged._characters) == ([], [], 0)
    for index in range(30):
        staged.add_exchange(exchange(str(index)), "GET /", instant(0))
    staged.add_reject(Reject(Place("f", 1), "bad", b"x" * 2_000))
    assert (staged._exchanges, staged._rejects) == ([], [])
    assert staged.statistics().totals(Selection()).comparisons == 26


def test_many_differences_fill_a_batch(
    staged: StagedRun,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A few comparisons with many differences each are written out too."""
    monkeypatch.setattr(stage, "BATCH_ROWS", 10)
    staged.add(comparison(), [difference(f"/{n}") for n in range(50)])
    assert staged._differences == []
