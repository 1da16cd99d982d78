"""What stands in a store that nobody of ours wrote, or that is damaged or gone: said by name, and never a row less."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gnomon.errors import DependencyError, InputError
from gnomon.store import open_store, run_query
from gnomon.store.log import Batch, Layout, LogWriter, Maintainer, Position, Retention
from gnomon.store.log.layout import SENTINEL
from gnomon.store.log.manifest import load_manifest, missing_files

Make = Callable[..., Any]
Compact = Callable[..., Any]
Harm = Callable[[Path], object]


@pytest.fixture
def filled(root: Path, comparison: Make, difference: Make, compact: Compact) -> Path:
    """A store of six requests: three of partition 0 compacted, three of partition 1 in batches of their own."""
    for partition in (0, 1):
        writer = LogWriter(root, "t", partition)
        for number in range(3):
            row = (comparison(f"{partition}-{number}", second=number), [difference("/body/name")])
            writer.land(Batch(comparisons=[row], position=Position("t", partition, number + 1)))
        writer.close()
        if not partition:
            compact()
    return root


def _batches(root: Path) -> list[Path]:
    return sorted((root / "hot" / "worker").glob("t-1.*"))


def _sealed(root: Path) -> Path:
    [file] = [file for file in (root / "sealed" / "comparisons").iterdir() if file.name != SENTINEL]
    return file


def _count(root: Path) -> tuple[Any, ...]:
    [row] = run_query(root, "SELECT count(*), count(DISTINCT request_id) FROM comparisons").rows
    return row


def _scramble(file: Path) -> None:
    """Damage what is in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 150] = bytes(150)
    file.write_bytes(data)


def test_foreign_files_are_nobody_s(filled: Path, ask: Callable[[str], Any], compact: Compact) -> None:
    """Copies, and what other systems and people leave behind, are no rows and no trouble, nor do they go."""
    batch, sealed = _batches(filled)[-1], _sealed(filled)
    [manifest, *_] = sorted((filled / "manifests").iterdir(), reverse=True)
    foreign = [
        batch.with_name("._" + batch.name),
        batch.with_name("x.parquet"),
        manifest.with_name("zzz.parquet"),
        sealed.with_name("x.parquet"),
    ]
    for file in foreign:
        file.write_bytes(b"junk")
    copies = [
        (batch, batch.with_name(f"{batch.stem} (copy).parquet")),
        (batch, batch.with_name(f"{batch.stem} 2.parquet")),
        (manifest, manifest.with_name(f"{manifest.stem} (1).parquet")),
        (sealed, sealed.with_name(f"Copy of {sealed.name}")),
        (sealed, sealed.with_name(f"{sealed.stem} - Copy.parquet")),
    ]
    for original, copy in copies:
        shutil.copy(original, copy)
    for directory in (batch.with_name("t-9.000000000001.parquet"), manifest.with_name("000000009999.parquet")):
        directory.mkdir()
    count = "SELECT count(*), count(DISTINCT request_id) FROM comparisons"
    assert _count(filled) == (6, 6)
    assert ask(count) == [(6, 6)]
    assert LogWriter(filled, "t", 1).position == Position("t", 1, 3)
    done = compact()
    assert done.batches > 0
    assert not done.damaged
    assert ask(count) == [(6, 6)]
    assert all(copy.exists() for _, copy in copies[:3])


@pytest.mark.parametrize("harm", [lambda file: os.truncate(file, 0), lambda file: os.truncate(file, 900), _scramble])
@pytest.mark.parametrize("place", [-1, -2])
def test_a_damaged_batch_is_named_and_stops_only_its_own_series(
    filled: Path, comparison: Make, compact: Compact, harm: Harm, place: int
) -> None:
    """Other partitions land and are compacted; queries and compaction say which file it is; moved away, all goes."""
    broken = _batches(filled)[place]
    harm(broken)
    with pytest.raises(InputError, match="is damaged"):
        _count(filled)
    with pytest.raises(InputError, match="is damaged"), open_store(filled) as store:
        store.summary()
    writer = LogWriter(filled, "t", 0)
    landed = writer.land(Batch(comparisons=[(comparison("new"), [])], position=Position("t", 0, 4)))
    assert landed.comparisons == 1
    assert not writer.find({})
    done = compact()
    assert done.damaged == [broken]
    assert done.batches >= 2
    assert broken.exists()
    with pytest.raises((InputError, DependencyError), match="is damaged"):
        LogWriter(filled, "t", 1)
    broken.unlink()
    LogWriter(filled, "t", 1)
    assert _count(filled) == (6, 6)
    assert not compact().damaged


@pytest.mark.parametrize("harm", [lambda file: os.truncate(file, 500), _scramble])
def test_a_damaged_compacted_file_is_named(filled: Path, compact: Compact, harm: Harm) -> None:
    """Readers and compaction name it, or say that compaction will; what does not depend on it goes on."""
    broken = _sealed(filled)
    harm(broken)
    with pytest.raises(InputError, match="is damaged"):
        _count(filled)
    with pytest.raises(DependencyError, match="is damaged"):
        LogWriter(filled, "t", 0)
    done = compact()
    assert done.damaged == [broken]
    assert done.batches > 0


def test_a_missing_compacted_file_is_no_shorter_answer(filled: Path, compact: Compact) -> None:
    """Readers, writers and compaction say that it is missing, until somebody says that it is to be forgotten."""
    missing = _sealed(filled)
    missing.unlink()
    for reads in (_count, lambda root: open_store(root).summary(), lambda root: LogWriter(root, "t", 0)):
        with pytest.raises((InputError, DependencyError), match=r"is missing.*--forget-missing"):
            reads(filled)
    assert compact().damaged == [missing]
    layout = Layout(filled)
    assert missing_files(layout, load_manifest(layout)) == [missing]
    maintainer = Maintainer(layout, Retention(timedelta(days=9_000)))
    assert maintainer.forget_missing() == [missing]
    assert _count(filled) == (3, 3)
    assert maintainer.forget_missing() == []


def test_a_damaged_manifest_is_named(filled: Path, compact: Compact) -> None:
    """What counts is not guessed."""
    [manifest, *_] = sorted((filled / "manifests").iterdir(), reverse=True)
    os.truncate(manifest, 100)
    for asks in (lambda: _count(filled), compact):
        with pytest.raises(InputError, match=f"{manifest.name} is damaged"):
            asks()


def test_a_name_that_starts_with_a_dot_is_refused(root: Path) -> None:
    """Such files are other systems' companions of ours; nothing lands where nobody would see it."""
    with pytest.raises(InputError, match="does not start with a dot"):
        LogWriter(root, ".t", 0)
