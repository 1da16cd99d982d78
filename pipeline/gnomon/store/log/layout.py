"""The directory of a store: what stands where, how it is made, and what an operating system's refusal means.

    store.json            what this is: its format, an id, and what readers must know (horizon, pattern bound)
    catalog.duckdb        views for analysts, made anew from the rest at any time
    hot/KIND/             one Parquet file per batch, `SERIES.SEQ.parquet`; a kind is `worker` or a table's name
    checkpoints/KIND/     per series the footer of the last batch that was compacted
    sealed/TABLE/         compacted rows, one file per group, `GROUP.parquet`
    manifests/            which groups and which batches count, `VERSION.parquet`; the highest number holds
    tmp/                  files before they get their name
    empty/                a store in which nothing lands: views are made over it, and then asked over the other

Whatever else stands there (copies, what other systems leave behind) is nobody's and is left alone: views read names
that match `BATCHES`, `GROUPS` and `MANIFESTS` only, and the rest of the program is stricter still.

Every directory that views read holds `SENTINEL`, without rows that count, so that a glob always binds.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

import msgspec

from gnomon.config import Settings
from gnomon.core.durations import format_duration
from gnomon.errors import DependencyError, InputError
from gnomon.store.database import Bounds

__all__ = [
    "BATCHES",
    "GROUPS",
    "KINDS",
    "LEAST_GROUP",
    "MANIFESTS",
    "SEALED",
    "SENTINEL",
    "Layout",
    "StoreInfo",
    "adopt_settings",
    "group_file",
    "group_files",
    "is_store",
    "link_new",
    "store_at",
    "sync_directory",
]

FORMAT: Final = 4
"""1 to 3 were of no release: late answers stood beside what they replaced, live answers were not counted, and foreign
files were read."""

_DIGIT: Final = "[0-9]"
SENTINEL: Final = "!empty.0000000000000000.parquet"
"""The first name of any listing; globs of batches and of groups match it."""
BATCHES: Final = f"[!.]*{_DIGIT * 12}.parquet"
GROUPS: Final = f"[0-9!]*{_DIGIT * 15}.parquet"
MANIFESTS: Final = f"{_DIGIT * 12}.parquet"

KINDS: Final = ("worker", "alerts", "routed", "rule_versions", "runs")
"""What series write: `worker` writes five tables at once, every other kind the table of its name."""

SEALED: Final = (
    "comparisons",
    "differences",
    "exchanges",
    "rejects",
    "populations",
    "alerts",
    "routed",
    "rule_versions",
    "runs",
    "learned_endpoints",
)
"""What is compacted."""


LEAST_GROUP: Final = 10**15
"""Groups are numbered by the microsecond, or from here on where a clock is decades behind: `GROUPS` tells them so."""

_GROUP: Final = re.compile(r"([1-9][0-9]{15,18})\.parquet")


class StoreInfo(msgspec.Struct, frozen=True):
    """The content of `store.json`: `horizon_us` is `store.horizon`, the next two are `limits` of these names.

    `views` tells which program's views the catalog has (`database.views_digest`).
    """

    format: int = FORMAT
    id: str = ""
    horizon_us: int = 86_400_000_000
    patterns: int = 1_000
    endpoints: int = 1_000
    views: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        limits = settings.limits
        return cls(
            horizon_us=settings.store.horizon // timedelta(microseconds=1),
            patterns=limits.patterns,
            endpoints=limits.endpoints,
        )

    @property
    def bounds(self) -> Bounds:
        """How many names views tell apart."""
        return Bounds(self.patterns, self.endpoints)

    def apart_from(self, known: StoreInfo) -> str:
        """Say how these settings differ from those that a store was made with; nothing where they do not."""
        return " and ".join(
            f"{name} is {there} there and {here} in the settings"
            for name, there, here in (
                ("store.horizon", format_duration(known.horizon_us), format_duration(self.horizon_us)),
                ("limits.patterns", str(known.patterns), str(self.patterns)),
                ("limits.endpoints", str(known.endpoints), str(self.endpoints)),
            )
            if there != here
        )


class Layout:
    """The places in one store; all paths are absolute.

    Args:
        root: The store's directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.info_file = self.root / "store.json"
        self.catalog = self.root / "catalog.duckdb"
        self.manifests = self.root / "manifests"
        self.tmp = self.root / "tmp"
        self.lock = self.root / "maintainer.lock"
        self.empty = self.root / "empty"

    def hot(self, kind: str) -> Path:
        """Where batches of a kind land."""
        return self.root / "hot" / kind

    def checkpoint(self, kind: str, series: str) -> Path:
        """Where the footer of a series' last compacted batch is."""
        return self.root / "checkpoints" / kind / f"{series}.json"

    def sealed(self, table: str) -> Path:
        """Where compacted rows of a table are."""
        return self.root / "sealed" / table

    def info(self) -> StoreInfo:
        """Read `store.json`.

        Raises:
            InputError: There is no store here, or one of another version.
            DependencyError: The directory cannot be read.
        """
        try:
            text = self.info_file.read_bytes()
        except FileNotFoundError:
            raise InputError(
                f"{self.root} is not a store of Gnomon's: it has no store.json",
                "give the directory that `gnomon worker` writes to, or a .duckdb file",
            ) from None
        except OSError as error:
            raise refusal(self.root, error) from error
        try:
            info = msgspec.json.decode(text, type=StoreInfo)
        except msgspec.DecodeError as error:
            raise InputError(f"{self.info_file} is damaged: {error}", "bring it back from a backup") from error
        if info.format != FORMAT:
            raise InputError(
                f"{self.root} has format {info.format} of the store and this program knows format {FORMAT}",
                f"{'upgrade gnomon, or ' if info.format > FORMAT else ''}use another store",
            )
        return info

    def directories(self) -> Iterator[Path]:
        """All directories of a store."""
        yield from (self.root, self.manifests, self.tmp)
        for kind in KINDS:
            yield from (self.hot(kind), self.checkpoint(kind, "x").parent)
        for table in SEALED:
            yield self.sealed(table)

    def write(self, target: Path, data: bytes) -> None:
        """Write a small file whole, in place of an older one. Raises OSError."""
        temporary = self.temporary(target.name)
        try:
            durable(temporary, data)
            temporary.replace(target)
            sync_directory(target.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def temporary(self, name: str) -> Path:
        """Name a file that is not there yet."""
        return self.tmp / f"{name}.{os.getpid()}-{secrets.token_hex(6)}"


def group_file(layout: Layout, table: str, gid: int) -> Path:
    """The compacted file of a group and a table."""
    return layout.sealed(table) / f"{gid}.parquet"


def group_files(layout: Layout, table: str) -> dict[int, Path]:
    """The compacted files of a table that are there, whether they count or not, by group. Raises OSError."""
    with os.scandir(layout.sealed(table)) as entries:
        found = [(_GROUP.fullmatch(entry.name), entry.path) for entry in entries]
    return {int(name[1]): Path(path) for name, path in found if name}


def is_store(path: Path) -> bool:
    """Whether `path` is to be read as a store: a directory, or the catalog inside one."""
    return path.is_dir() or (path.name == "catalog.duckdb" and (path.parent / "store.json").exists())


def store_at(path: Path) -> Layout:
    """The store that `path` means, see `is_store`."""
    return Layout(path if path.is_dir() else path.parent)


def adopt_settings(layout: Layout, info: StoreInfo) -> StoreInfo:
    """Give a store other settings than it was made with; its writers take them over when they open it again.

    Raises:
        DependencyError: The store cannot be written.
        InputError: There is none, or one of another version.
    """
    known = layout.info()
    wanted = msgspec.structs.replace(info, id=known.id, views=known.views)
    if wanted != known:
        with refused(layout.root):
            layout.write(layout.info_file, msgspec.json.encode(wanted))
    return wanted


def check_same(layout: Layout, known: str) -> None:
    """See that the store that is there is the one that was: an empty mount point is none.

    Raises:
        DependencyError: It is not.
    """
    try:
        same = layout.info().id == known
    except InputError as error:
        raise DependencyError(f"the store at {layout.root} is gone", "bring it back") from error
    if not same:
        raise DependencyError(f"another store is at {layout.root}", "bring back the one that was there")


@contextmanager
def refused(place: Path) -> Iterator[None]:
    """Turn the operating system's refusals into DependencyError: they pass when their cause does."""
    try:
        yield
    except OSError as error:
        raise refusal(place, error) from error


def refusal(place: Path, error: OSError) -> DependencyError:
    """What to say when the operating system refuses to read or write at `place`."""
    return DependencyError(
        f"the store at {place} cannot be used: {error.strerror or error}",
        "see that it is mounted, writable and has space; work goes on when it is",
    )


def durable(file: Path, data: bytes | memoryview) -> None:
    """Write a new file and wait until the disk has it. Raises OSError."""
    with file.open("xb", buffering=0) as stream:
        rest = memoryview(data)
        while rest:
            rest = rest[stream.write(rest) :]
        os.fsync(stream.fileno())


def link_new(temporary: Path, target: Path) -> bool:
    """Give a durable file its name, unless that name is taken; whether it has it now.

    Raises:
        OSError: The file system refuses.
    """
    try:
        os.link(temporary, target)
    except FileExistsError:
        # Network file systems may repeat a request whose answer was lost: then it is ours that is there.
        with suppress(OSError):
            return target.samefile(temporary)
        return False
    return True


def sync_directory(directory: Path) -> None:
    """Make new names in a directory survive a power cut. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
