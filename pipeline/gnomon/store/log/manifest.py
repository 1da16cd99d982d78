"""Manifests: which compacted groups count, and up to which batch of each series they hold the rows.

A manifest is one small immutable Parquet file of one row. Views read the one with the highest version, and everything
that they show follows from that one row, so that a batch is read from its hot file or from its group, never from both
and never from neither. Publishing is creating the next version's name: of two who try, one fails.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.errors import FencedError, InputError
from gnomon.store.batches import INSTANT
from gnomon.store.log.layout import Layout, durable, group_file, group_files, link_new, refused, sync_directory

__all__ = [
    "FORGET",
    "Footer",
    "Group",
    "Manifest",
    "Position",
    "Retired",
    "load_manifest",
    "manifest_bytes",
    "manifest_versions",
    "missing_files",
    "publish",
    "whole_manifest",
]

TRIES: Final = 20
FORGET: Final = "bring it back from a backup, or accept the loss with `gnomon compact --forget-missing`"
_MANIFEST: Final = re.compile(r"([0-9]{12})\.parquet")


class Position(msgspec.Struct, frozen=True):
    """The next offset to read after a crash: everything below it is landed or not needed."""

    topic: str
    partition: int
    offset: int


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch's file says of itself, and all that its writer needs after a restart.

    `series` is `KIND/NAME`, `seq` counts its batches from 1, `owner` names the process that wrote it.
    """

    series: str
    seq: int
    owner: str
    landed_at: datetime
    position: Position | None = None
    state: dict[str, Any] = {}  # JSON: msgspec reads no recursive alias


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Compacted rows: one file `sealed/TABLE/GID.parquet` for each table of `tables`, with its bytes.

    `first` and `last` bound when its rows landed, `earliest` and `latest` when its comparisons started, if it has any.
    """

    gid: int
    tables: dict[str, int]
    rows: int
    first: datetime
    last: datetime
    earliest: datetime | None = None
    latest: datetime | None = None


class Retired(msgspec.Struct, frozen=True):
    """A group that counts no more, and since when; its files go after the grace period."""

    gid: int
    tables: list[str]
    at: datetime


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What counts. `covered` has the footer of each series' last compacted batch; `published_at` is None for the first.

    `learned_at` is when endpoint names were last learned.
    """

    version: int = 0
    published_at: datetime | None = None
    groups: list[Group] = []
    covered: list[Footer] = []
    retired: list[Retired] = []
    learned_at: datetime | None = None


_SCHEMA: Final = pa.schema(
    [
        ("version", pa.int64()),
        ("groups", pa.list_(pa.struct([("gid", pa.int64()), ("earliest", INSTANT), ("latest", INSTANT)]))),
        ("covered", pa.list_(pa.struct([("series", pa.string()), ("upto", pa.int64())]))),
        ("document", pa.string()),
    ]
)


def manifest_bytes(manifest: Manifest) -> bytes:
    """Write a manifest as a Parquet file: what views need as columns, all of it as JSON."""
    row = {
        "version": manifest.version,
        "groups": [{"gid": group.gid, "earliest": group.earliest, "latest": group.latest} for group in manifest.groups],
        "covered": [{"series": footer.series, "upto": footer.seq} for footer in manifest.covered],
        "document": msgspec.json.encode(manifest).decode(),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([row], schema=_SCHEMA), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def load_manifest(layout: Layout, version: int | None = None) -> Manifest:
    """Read the manifest that holds, or one of another version.

    Raises:
        DependencyError: The directory cannot be read.
        InputError: The manifest is damaged.
    """
    with refused(layout.root):
        for _ in range(TRIES):
            newest = max(manifest_versions(layout), default=None) if version is None else version
            if newest is None:
                break
            file = manifest_file(layout, newest)
            try:
                text = pq.read_table(file, columns=["document"], partitioning=None).column(0)[0].as_py()
                return msgspec.json.decode(text, type=Manifest)
            except FileNotFoundError:
                continue  # it was the newest, and its grace has passed since
            except (OSError, pa.ArrowException, KeyError, IndexError, TypeError, msgspec.DecodeError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # one without is Arrow's, which says so that what it read makes no sense
                raise InputError(f"{file} is damaged: {error}", "bring it back from a backup") from error
        raise FileNotFoundError(2, "there is no manifest", str(layout.manifests))


def manifest_versions(layout: Layout) -> list[int]:
    """The versions of the manifests that are there, in order. Raises OSError."""
    with os.scandir(layout.manifests) as entries:
        found = [_MANIFEST.fullmatch(entry.name) for entry in entries if entry.is_file()]
    return sorted(int(name[1]) for name in found if name)


def whole_manifest(layout: Layout) -> Manifest:
    """Read the manifest that holds, and see that all files are there of which it says that they count.

    Views cannot tell: a file that is not there has no rows.

    Raises:
        DependencyError: The directory cannot be read.
        InputError: The manifest is damaged, or one of its files is missing.
    """
    manifest = load_manifest(layout)
    while missing := missing_files(layout, manifest):
        newer = load_manifest(layout)
        if newer.version == manifest.version:
            raise InputError(
                f"{missing[0]} is missing{f' with {len(missing) - 1} others' if missing[1:] else ''}, and with it "
                "results that landed",
                FORGET,
            )
        manifest = newer
    return manifest


def missing_files(layout: Layout, manifest: Manifest) -> list[Path]:
    """The compacted files that a manifest names and that are not there.

    Raises:
        DependencyError: The directory cannot be read.
    """
    named: dict[str, list[int]] = {}
    for group in manifest.groups:
        for table in group.tables:
            named.setdefault(table, []).append(group.gid)
    missing = []
    with refused(layout.root):
        for table, gids in named.items():
            there = group_files(layout, table)
            missing += [group_file(layout, table, gid) for gid in gids if gid not in there]
    return missing


def publish(layout: Layout, manifest: Manifest) -> None:
    """Make a manifest the one that holds.

    Raises:
        FencedError: Another process published this version first.
        DependencyError: The directory cannot be written.
    """
    with refused(layout.root):
        target = manifest_file(layout, manifest.version)
        temporary = layout.temporary(target.name)
        try:
            durable(temporary, manifest_bytes(manifest))
            if not link_new(temporary, target):
                raise FencedError(f"another process has compacted {layout.root}", "try again")
            sync_directory(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


def manifest_file(layout: Layout, version: int) -> Path:
    """The file of a manifest."""
    return layout.manifests / f"{version:012}.parquet"
