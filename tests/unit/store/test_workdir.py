"""Work directories live as long as their process."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnomon.errors import InputError
from gnomon.store import work_directory


def test_it_is_beside_the_target_and_gone_afterwards(tmp_path: Path) -> None:
    """On the target's file system, so that the stage can be renamed to it."""
    with work_directory(tmp_path / "a.duckdb") as path:
        assert path.parent == tmp_path
        (path / "spill").write_text("x")
    assert not list(tmp_path.iterdir())


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    """A directory that nobody holds is swept by the next run on that target only."""
    for name in (".a.duckdb.work-dead", ".b.duckdb.work-other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stage.duckdb").write_text("x")
    with work_directory(tmp_path / "a.duckdb"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".b.duckdb.work-other"]


def test_one_in_use_is_left_alone(tmp_path: Path) -> None:
    """Two runs on one target do not sweep each other's."""
    with work_directory(tmp_path / "a.duckdb") as first:
        with work_directory(tmp_path / "a.duckdb") as second:
            assert first.exists()
            assert first != second
        assert first.exists()


def test_names_with_wildcards_sweep_only_their_own(tmp_path: Path) -> None:
    """A target named like a pattern matches itself alone."""
    (tmp_path / ".ab.duckdb.work-x").mkdir()
    (tmp_path / ".[ab].duckdb.work-x").mkdir()
    with work_directory(tmp_path / "[ab].duckdb"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".ab.duckdb.work-x"]


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    """The sentence names the directory and the way out."""
    expected = "cannot work in .*nowhere: No such file or directory; give a --db"
    with pytest.raises(InputError, match=expected), work_directory(tmp_path / "nowhere" / "a.duckdb"):
        pass
