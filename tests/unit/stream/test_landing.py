"""The store as a worker has it: made by the first, and gone by alike by all."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from pathlib import Path

import pytest

from gnomon.config import Limits, Settings, Store
from gnomon.errors import DependencyError
from gnomon.store.log import store_at
from gnomon.stream.landing import StoreLog


def test_the_settings_of_who_made_a_store_hold_and_others_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two workers that differ do not take turns; the second one says what holds, once, and how to change it."""
    path = tmp_path / "store"
    first = StoreLog(Settings(store=Store(path=path)))
    second = StoreLog(Settings(store=Store(path=path, horizon=timedelta(hours=1)), limits=Limits(patterns=7)))
    with caplog.at_level(logging.WARNING, "gnomon"):
        for log in (first, second, first, second):
            for partition in (0, 1):
                writer = log.open("t", partition)
                assert writer.horizon == timedelta(days=1)
                writer.close()
    assert store_at(path).info().patterns == 1_000
    said = (
        f"the store at {path} keeps what it was made with: store.horizon is 1d there and 1h in the settings and "
        "limits.patterns is 1000 there and 7 in the settings; `gnomon catalog --adopt-settings` changes it"
    )
    assert [record.getMessage() for record in caplog.records] == [said]


def test_damage_stops_one_partition_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its partition waits as for a store that is away, others open, and maintenance counts the file every time."""
    path = tmp_path / "store"
    log = StoreLog(Settings(store=Store(path=path)))
    for partition in (0, 1):
        log.open("t", partition).close()
    [broken] = (path / "hot" / "worker").glob("t-1.*")
    broken.write_bytes(b"")
    os.utime(broken, (0, 0))
    log.open("t", 0).close()
    with pytest.raises(DependencyError, match=r"t-1\..* is damaged"):
        log.open("t", 1)
    with caplog.at_level(logging.ERROR, "gnomon"):
        assert list(log.maintain()) == [broken]
        assert list(log.maintain()) == [broken]
    assert [record.args for record in caplog.records] == [(broken,)]
    broken.unlink()
    log.open("t", 1).close()
    assert not log.maintain()
