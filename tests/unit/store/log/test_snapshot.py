"""Snapshots: the questions of one moment are answered alike, whatever lands and is compacted meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gnomon.errors import DependencyError
from gnomon.store import Opener, open_store
from gnomon.store.log import Layout, LogWriter, snapshot
from gnomon.store.log.snapshot import Snapshots

Make = Callable[..., Any]
LONG = timedelta(hours=1)


@pytest.fixture
def land_one(
    writer: LogWriter, batch: Make, comparison: Make, difference: Make, exchange: Make
) -> Callable[[int], None]:
    """Lands a batch of one pair that differs, with its exchange."""

    def land_one(number: int) -> None:
        rows = [(comparison(f"r-{number}", second=number, outcome="diff", differences=1), [difference()])]
        writer.land(batch(rows, offset=number + 1, exchanges=[exchange(f"r-{number}", second=number)]))

    return land_one


def test_a_command_sees_one_moment_however_long_it_takes(
    root: Path, land_one: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others renew after half a minute it keeps."""
    land_one(0)
    with open_store(root, still=True) as still, open_store(root) as other:
        assert still.summary().pairs == other.summary().pairs == 1
        land_one(1)
        now = time.monotonic()
        monkeypatch.setattr(snapshot.time, "monotonic", lambda: now + 31)
        assert (still.summary().pairs, other.summary().pairs) == (1, 2)


def test_questions_see_one_moment_until_it_is_old(root: Path, land_one: Callable[[int], None]) -> None:
    """What lands after the first question is seen when what is seen is renewed, by `sql` as by all others."""
    land_one(0)
    with (
        open_store(root, Snapshots(Layout(root), LONG)) as still,
        open_store(root, Snapshots(Layout(root), timedelta(0))) as newest,
    ):
        assert (still.summary().pairs, newest.summary().pairs) == (1, 1)
        land_one(1)
        assert (still.summary().pairs, newest.summary().pairs) == (1, 2)
        assert [len(store.fields()[0].request_ids) for store in (still, newest)] == [1, 2]
        assert still.sql("SELECT count(*) FROM differences").fetchall() == [(1,)]
        assert newest.sql("SELECT count(*) FROM differences").fetchall() == [(2,)]
        assert [len(found) for found in newest.judged()] == [2]
        assert newest.request("r-1")[0].live is not None


@pytest.mark.parametrize("small", [snapshot.SMALL, 0])
def test_what_is_compacted_away_is_asked_for_anew(
    root: Path, land_one: Callable[[int], None], compact: Make, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pair is missed or counted twice where batches become a group, and groups a larger one, under a reader."""
    monkeypatch.setattr(snapshot, "SMALL", small)
    land_one(0)
    compact()
    with open_store(root, Snapshots(Layout(root), LONG)) as store:
        for number in range(1, 6):
            before = store.summary().pairs
            land_one(number)
            compact()
            assert store.summary().pairs in {before, number + 1}
            assert [one.comparisons[0][0].request_id for batch in store.judged() for one in batch] == [
                f"r-{known}" for known in range(store.summary().pairs)
            ]
        assert before > 1, "what was compacted away was not asked for anew"


def test_readers_share_a_snapshot_and_the_last_one_removes_it(root: Path, land_one: Callable[[int], None]) -> None:
    """One that is too old goes when the last reader that has it is done; what is left goes with the `Snapshots`."""
    land_one(0)
    shared = Snapshots(Layout(root), LONG)
    first, second = shared.take(), shared.take()
    assert first is second
    land_one(1)
    third = shared.take(instead_of=second)
    assert third is not first
    assert {place.name for place in shared.place.iterdir()} == {first.root.name, third.root.name}
    shared.release(first)
    assert [place.name for place in shared.place.iterdir()] == [third.root.name]
    shared.release(third)
    assert shared.take() is third
    shared.close()
    assert not shared.place.exists()


def test_the_questions_of_a_process_share_what_they_see(root: Path, land_one: Callable[[int], None]) -> None:
    """A server opens a store for each question and reads its batches once."""
    opener = Opener()
    land_one(0)
    with opener.open(root) as first:
        assert first.summary().pairs == 1
        land_one(1)
        with opener.open(root / "catalog.duckdb") as second:
            assert second.summary().pairs == 1
            assert second._snapshot is first._snapshot


def test_a_closed_store_leaves_nothing_behind(root: Path, land_one: Callable[[int], None]) -> None:
    """Neither does one that was never asked."""
    land_one(0)
    with open_store(root) as store:
        store.summary()
        place = store._snapshots.place  # type: ignore[union-attr]
        assert place.exists()
    open_store(root).close()
    assert not place.exists()


def test_a_store_that_cannot_be_read_now_is_said(root: Path, land_one: Callable[[int], None]) -> None:
    """A directory that went away is a dependency's error; when it is back the same reader answers."""
    land_one(0)
    with open_store(root) as store:
        root.rename(root.with_name("elsewhere"))
        with pytest.raises(DependencyError):
            store.summary()
        root.with_name("elsewhere").rename(root)
        assert store.summary().pairs == 1
