"""One moment of a store: a directory that is read as the store is, and in which nothing changes.

    manifests/  the manifest that held
    hot/KIND/   the batches that no group held then, put together into one file
    sealed      the store's own

Views over all files look into every batch anew in each of their parts: with hundreds of batches that costs more than
all else, and the questions of one command see different moments. Here each batch is read once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from gnomon.errors import DependencyError
from gnomon.store.database import is_gone, reading_config, translated
from gnomon.store.log.layout import KINDS, SENTINEL, Layout, group_file, refused
from gnomon.store.log.manifest import Manifest, manifest_bytes, whole_manifest
from gnomon.store.log.series import seq_of, series_files
from gnomon.store.log.views import files_sql

__all__ = ["RENEW", "Snapshot", "Snapshots"]

RENEW: Final = timedelta(seconds=30)
"""How old what a long-lived reader sees may be."""

SMALL: Final = 4 * 2**20
"""Bytes from which a batch stays where it is: to open it costs little beside reading it."""

TRIES: Final = 5
TOGETHER: Final = f"!together.{0:012}.parquet"
"""Views take it for a batch, and no series is named so."""


class Snapshot:
    """One moment; see the module.

    Args:
        root: The directory.
        needed: Files of the store that it speaks of. They go some minutes after no manifest names them.
        taken: When it was begun, by the monotonic clock.
    """

    def __init__(self, root: Path, needed: list[Path], taken: float) -> None:
        self.root = root
        self.taken = taken
        self.users = 0
        self._needed = needed

    def intact(self) -> bool:
        """Whether all of it is still there; then it was at every moment before."""
        return all(map(os.path.exists, self._needed))


class Snapshots:
    """The snapshots of one store that readers in one process share; safe to use from threads.

    Args:
        layout: The store.
        renew: How old one may be that is given again; None: any age.
    """

    def __init__(self, layout: Layout, renew: timedelta | None = RENEW) -> None:
        self.root = layout.root
        self._layout = layout
        self._renew = renew
        self._lock = threading.Lock()
        self._latest: Snapshot | None = None
        self._made = 0
        self.place = Path(tempfile.mkdtemp(prefix="gnomon-snapshot-"))
        """Where all of them are."""
        self.close: Callable[[], object] = weakref.finalize(
            self, partial(shutil.rmtree, ignore_errors=True), self.place
        )
        """Remove them all; done at the end of the process at the latest."""

    def take(self, instead_of: Snapshot | None = None) -> Snapshot:
        """Give the newest that is young enough and not `instead_of`, which counts as given back.

        Raises:
            DependencyError: The store or the place for temporary files cannot be used now.
            InputError: A file of the store is damaged.
        """
        with self._lock:
            latest = self._latest
            if latest is None or latest is instead_of or self._is_old(latest):
                self._latest = self._make()
                if latest is not None:
                    self._drop(latest)
                latest = self._latest
            latest.users += 1
            if instead_of is not None:
                instead_of.users -= 1
                self._drop(instead_of)
            return latest

    def current(self, held: Snapshot) -> Snapshot:
        """Give what is held while it is young enough, else take another instead. Raises as `take`."""
        return self.take(held) if self._is_old(held) else held

    def release(self, held: Snapshot) -> None:
        """Give one back."""
        with self._lock:
            held.users -= 1
            self._drop(held)

    def _is_old(self, snapshot: Snapshot) -> bool:
        return self._renew is not None and time.monotonic() - snapshot.taken > self._renew.total_seconds()

    def _drop(self, snapshot: Snapshot) -> None:
        if snapshot is not self._latest and not snapshot.users:
            shutil.rmtree(snapshot.root, ignore_errors=True)

    def _make(self) -> Snapshot:
        """Make one; again when what was listed is compacted away before it is read."""
        for left in reversed(range(TRIES)):
            self._made += 1
            root = self.place / str(self._made)
            taken = time.monotonic()
            try:
                with refused(self.place):
                    return Snapshot(root, _write(self._layout, root), taken)
            except BaseException as error:
                shutil.rmtree(root, ignore_errors=True)
                cause = error.__cause__
                if not left or not (
                    isinstance(error, DependencyError) and isinstance(cause, Exception) and _gone(cause)
                ):
                    raise
        raise AssertionError


def _gone(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or is_gone(error)


def _write(layout: Layout, root: Path) -> list[Path]:
    """Write a snapshot and give the files of the store that it needs. Raises as `Snapshots.take`, and OSError."""
    # What a manifest speaks of is there when directories are listed after it.
    manifest = whole_manifest(layout)
    place = Layout(root)
    place.manifests.mkdir(parents=True)
    (place.manifests / f"{manifest.version:012}.parquet").write_bytes(manifest_bytes(manifest))
    place.sealed("").symlink_to(layout.sealed(""))
    needed = [group_file(layout, table, group.gid) for group in manifest.groups for table in group.tables]
    with translated(layout.root), duckdb.connect(config=reading_config()) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for kind in KINDS:
            needed += _put_together(connection, layout, place, kind, list(_uncovered(layout, kind, manifest)))
    return needed


def _uncovered(layout: Layout, kind: str, manifest: Manifest) -> Iterator[Path]:
    """The batches of a kind that no group holds."""
    covered = {footer.series: footer.seq for footer in manifest.covered}
    with refused(layout.root):
        for file in series_files(layout, kind):
            name, seq = seq_of(file)
            if seq > covered.get(f"{kind}/{name}", 0):
                yield file


def _put_together(
    connection: duckdb.DuckDBPyConnection, layout: Layout, place: Layout, kind: str, files: list[Path]
) -> list[Path]:
    """Write small batches as one file, and leave large ones where they are; give those."""
    place.hot(kind).mkdir(parents=True)
    sentinel = layout.hot(kind) / SENTINEL
    (place.hot(kind) / SENTINEL).symlink_to(sentinel)
    with refused(layout.root):
        large = [file for file in files if file.stat().st_size > SMALL]
    for file in large:
        (place.hot(kind) / file.name).symlink_to(file)
    small = [file for file in files if file not in set(large)]
    if small:
        target = str(place.hot(kind) / TOGETHER).replace("'", "''")
        # The first file of a list says what the columns are; the rows of this one have no series.
        rows = f"SELECT b.* FROM {files_sql([sentinel, *small])} AS b WHERE b.series IS NOT NULL"
        connection.execute(f"COPY ({rows}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
    return large
