"""Maintenance: batches become groups, groups of a period become one, what is too old or too much goes.

A pass is safe to end at any point: groups count when a manifest names them, files go a grace period after the manifest
that does without them, and what a killed pass left behind is swept by a later one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final, Self

import msgspec

from gnomon.config import Settings
from gnomon.errors import InputError
from gnomon.model import EPOCH
from gnomon.store.database import translated
from gnomon.store.learning import learned_names, learned_table
from gnomon.store.log.compaction import Compactor, Span, family
from gnomon.store.log.layout import KINDS, SEALED, SENTINEL, Layout, group_file, refused
from gnomon.store.log.lease import lease
from gnomon.store.log.manifest import (
    Footer,
    Group,
    Manifest,
    Retired,
    load_manifest,
    manifest_file,
    manifest_versions,
    missing_files,
    publish,
)
from gnomon.store.log.reading import connect_log
from gnomon.store.log.series import Clock, file_footer, has_footer, seq_of, series_files, utc_now

__all__ = ["Maintained", "Maintainer", "Retention"]

GRACE: Final = timedelta(minutes=2)
PERIODS: Final = {"worker": timedelta(hours=1), "alerts": timedelta(days=1), "routed": timedelta(days=1)}
KEPT: Final = frozenset({"rule_versions", "runs", "learned_endpoints"})
"""Small, and needed as long as anything is: no retention."""

SETTLED: Final = timedelta(minutes=15)
"""So long after a period its groups are merged: most of what still comes to something else has done so by then, and
what holds it is written anew."""

BATCHES: Final = 64
AGE: Final = timedelta(seconds=30)
MAX_BATCHES: Final = 2_000
MAX_ROWS: Final = 10_000_000
LEARN_EVERY: Final = timedelta(minutes=10)
LEFTOVER: Final = timedelta(hours=1)


class Retention(msgspec.Struct, frozen=True):
    """What is kept: results that landed within `age`, and at most `size` bytes of them (None: no bound).

    Batches that are not compacted count, and go only after that.
    """

    age: timedelta
    size: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(settings.store.retention, settings.store.retention_bytes)


class Maintained(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass did: batches and groups that became other groups, groups that expired, files that went.

    `damaged` are files that cannot be read, or are missing: what depends on them was left as it is.
    """

    batches: int = 0
    merged: int = 0
    expired: int = 0
    files_removed: int = 0
    damaged: list[Path] = []


class Maintainer:
    """Keeps one store in order; any number of processes may have one, and one of them works at a time.

    Args:
        layout: The store.
        retention: What is kept.
        grace: How long files stay that no manifest needs any more: longer than any query runs.
        clock: The time.
    """

    def __init__(
        self, layout: Layout, retention: Retention, *, grace: timedelta = GRACE, clock: Clock = utc_now
    ) -> None:
        self._layout = layout
        self._retention = retention
        self._grace = grace
        self._clock = clock
        self._damaged: set[Path] = set()

    def run(self, *, everything: bool = False, wait: bool = False) -> Maintained | None:
        """Do what there is to do; None when another process is at it.

        Args:
            everything: Compact all there is, however little it is.
            wait: Wait for the other process, and then do it.

        Raises:
            DependencyError: The store cannot be read or written.
            InputError: There is no store, its manifest is damaged, or a group that has to be written anew.
        """
        self._layout.info()
        with lease(self._layout, wait=wait) as held:
            return self.run_leased(everything=everything) if held else None

    def run_leased(self, *, everything: bool = False) -> Maintained:
        """As `run`, for who holds the lease already."""
        self._damaged = set(missing_files(self._layout, load_manifest(self._layout)))
        try:
            done = self._compact(everything=everything)
        finally:
            # Also where there was no space for more: this makes some
            try:
                expired = self._expire()
            finally:
                removed = self._clean()
        return msgspec.structs.replace(done, expired=expired, files_removed=removed, damaged=sorted(self._damaged))

    def _compact(self, *, everything: bool) -> Maintained:
        """Make groups of batches, and of groups, and learn endpoint names."""
        done = Maintained()
        # Each step publishes on its own, so that a killed pass loses one step.
        for _ in range(MAX_BATCHES):
            sealed = self._seal(everything=everything)
            done = msgspec.structs.replace(done, batches=done.batches + sealed)
            if not sealed:
                break
        for _ in range(MAX_BATCHES):
            merged = self._merge(everything=everything)
            done = msgspec.structs.replace(done, merged=done.merged + merged)
            if not merged:
                break
        try:
            self._learn(everything=everything)
        except InputError:
            if not self._damaged:
                raise
        return done

    def forget_missing(self) -> list[Path]:
        """Publish that compacted files count no more that are not there: what they held is lost. Give them.

        Raises:
            DependencyError: The store cannot be read or written.
            InputError: There is no store, or its manifest is damaged.
        """
        self._layout.info()
        with lease(self._layout, wait=True):
            manifest = load_manifest(self._layout)
            missing = missing_files(self._layout, manifest)
            if missing:
                kept = [
                    msgspec.structs.replace(
                        group,
                        tables={
                            table: size
                            for table, size in group.tables.items()
                            if group_file(self._layout, table, group.gid) not in missing
                        },
                    )
                    for group in manifest.groups
                ]
                self._publish(manifest, self._clock(), groups=[group for group in kept if group.tables])
            return missing

    def _seal(self, *, everything: bool) -> int:
        """Make a group of the batches of each kind, some of them if there are many; how many."""
        manifest = load_manifest(self._layout)
        now = self._clock()
        covered = {footer.series: footer for footer in manifest.covered}
        groups = manifest.groups
        retired: list[Retired] = []
        count = 0
        with refused(self._layout.root), Compactor(self._layout, manifest, now) as compactor:
            for kind in KINDS:
                files = list(islice(self._waiting(kind, covered, now), MAX_BATCHES))
                if not files or not (everything or len(files) >= BATCHES or _age(files, now) >= AGE):
                    continue
                mine = [group for group in groups if family(group) == "worker"] if kind == "worker" else []
                try:
                    made, revised, newest = _sealed(compactor, kind, files, mine)
                except InputError:
                    sound = self._sound(compactor, files)
                    if len(sound) == len(files):
                        raise
                    if not sound:
                        continue
                    files = sound
                    made, revised, newest = _sealed(compactor, kind, files, mine)
                if revised:
                    groups = _replacing(groups, revised)
                    retired += [Retired(group.gid, list(group.tables), now) for group, _ in revised]
                groups = [*groups, *([made] if made else [])]
                count += len(files)
                covered |= newest
        if count:
            self._publish(
                manifest, now, groups=groups, retired=[*manifest.retired, *retired], covered=list(covered.values())
            )
        return count

    def _sound(self, compactor: Compactor, files: Sequence[Path]) -> list[Path]:
        """Of some batches those that can be read, of each series up to the first that cannot; note the others."""
        sound, broken = [], set()
        for file in files:
            name = seq_of(file)[0]
            if name not in broken:
                if compactor.can_read(file) and has_footer(file):
                    sound.append(file)
                else:
                    broken.add(name)
                    self._damaged.add(file)
        return sound

    def _waiting(self, kind: str, covered: dict[str, Footer], now: datetime) -> Iterator[Path]:
        """Batches that no group holds, each series' in order and without a gap, up to one that is known to be damaged.

        A listing may miss a name that is made while it goes on, and show a later one.
        """
        expected: dict[str, int] = {}
        broken = set()
        for file in series_files(self._layout, kind):
            name, seq = seq_of(file)
            if file in self._damaged:
                broken.add(name)
            if name in broken:
                continue
            last = covered.get(f"{kind}/{name}")
            after = expected.setdefault(name, (last.seq if last else 0) + 1)
            if seq < after or (seq > after and _age([file], now) < AGE):
                continue
            expected[name] = seq + 1
            yield file

    def _merge(self, *, everything: bool) -> int:
        """Make one group of those of a period that is over; how many became one."""
        manifest = load_manifest(self._layout)
        now = self._clock()
        by_period: dict[tuple[str, int], list[Group]] = defaultdict(list)
        for group in manifest.groups:
            if any(group_file(self._layout, table, group.gid) in self._damaged for table in group.tables):
                continue
            name = family(group)
            length = PERIODS.get(name)
            number = (group.last - EPOCH) // length if length else 0
            if everything or length is None or (number + 1) * length + EPOCH + SETTLED <= now:
                by_period[name, number].append(group)
        for (name, _), groups in by_period.items():
            some = _bounded(groups)
            if (
                len(some) < 2
                or name == "learned_endpoints"
                or (name not in PERIODS and len(some) < BATCHES and not everything)
            ):
                continue
            with Compactor(self._layout, manifest, now) as compactor:
                try:
                    made = compactor.merge(some)
                except InputError:
                    files = [group_file(self._layout, table, group.gid) for group in some for table in group.tables]
                    broken = [file for file in files if not compactor.can_read(file)]
                    if not broken:
                        raise
                    self._damaged.update(broken)
                    return self._merge(everything=everything)
            self.replace(manifest, now, some, [made] if made else [])
            return len(some)
        return 0

    def replace(self, manifest: Manifest, now: datetime, old: Sequence[Group], new: Sequence[Group]) -> None:
        """Publish that groups took the place of others.

        Raises:
            FencedError: Another process published in the meantime.
        """
        gone = {group.gid for group in old}
        kept = [group for group in manifest.groups if group.gid not in gone]
        retired = [Retired(group.gid, list(group.tables), now) for group in old]
        self._publish(manifest, now, groups=[*kept, *new], retired=[*manifest.retired, *retired])

    def _learn(self, *, everything: bool) -> None:
        """Learn endpoint names from what has landed, now and then."""
        manifest = load_manifest(self._layout)
        now = self._clock()
        if not everything and manifest.learned_at is not None and now - manifest.learned_at < LEARN_EVERY:
            return
        config = {"memory_limit": "512MB", "threads": 2}
        with translated(self._layout.root), connect_log(self._layout, config) as connection:
            version, learned = learned_names(connection)
        if not learned:
            if manifest.groups:
                self._publish(manifest, now, learned_at=now)
            return
        with Compactor(self._layout, manifest, now) as compactor:
            compactor.connection.register("learned", learned_table(version, learned))
            made = compactor.write({"learned_endpoints": "FROM learned"}, Span(now, now))
        old = [group for group in manifest.groups if family(group) == "learned_endpoints"]
        self.replace(msgspec.structs.replace(manifest, learned_at=now), now, old, [made] if made else [])

    def _expire(self) -> int:
        """Retire what is too old, and the oldest of what is too much; how many groups."""
        manifest = load_manifest(self._layout)
        now = self._clock()
        bounded = sorted(
            (group for group in manifest.groups if family(group) not in KEPT), key=lambda group: group.last
        )
        gone = [group for group in bounded if group.last < now - self._retention.age]
        rest = bounded[len(gone) :]
        size = sum(_size(group) for group in manifest.groups) - sum(_size(group) for group in gone)
        if self._retention.size is not None:
            size += self._waiting_size(manifest)
        while self._retention.size is not None and size > self._retention.size and len(rest) > 1:
            size -= _size(rest[0])
            gone.append(rest.pop(0))
        if gone:
            self.replace(manifest, now, gone, [])
        return len(gone)

    def _waiting_size(self, manifest: Manifest) -> int:
        """The bytes of the batches that no group holds yet."""
        covered = {footer.series: footer.seq for footer in manifest.covered}
        size = 0
        with refused(self._layout.root):
            for kind in KINDS:
                for file in series_files(self._layout, kind):
                    name, seq = seq_of(file)
                    if seq > covered.get(f"{kind}/{name}", 0):
                        size += file.stat().st_size
        return size

    def _publish(self, manifest: Manifest, now: datetime, **changes: object) -> None:
        """Publish what follows a manifest, then let writers know what of theirs is compacted."""
        following = msgspec.structs.replace(manifest, version=manifest.version + 1, published_at=now, **changes)
        recent = [retired for retired in following.retired if retired.at > now - self._grace - LEFTOVER]
        following = msgspec.structs.replace(following, retired=recent)
        publish(self._layout, following)
        self._checkpoint(following)

    def _checkpoint(self, manifest: Manifest) -> None:
        """Write each series' checkpoint: a name goes only when it says so."""
        with refused(self._layout.root):
            for footer in manifest.covered:
                kind, _, name = footer.series.partition("/")
                file = self._layout.checkpoint(kind, name)
                text = msgspec.json.encode(footer)
                if not file.exists() or file.read_bytes() != text:
                    self._layout.write(file, text)

    def _clean(self) -> int:
        """Remove what nobody needs any more; how many files."""
        now = self._clock()
        manifest = load_manifest(self._layout)
        self._checkpoint(manifest)
        with refused(self._layout.root):
            gone = [*self._spent_batches(now), *self._spent_groups(manifest, now), *self._leftovers(manifest)]
            for file in gone:
                file.unlink(missing_ok=True)
        return len(gone)

    def _spent_batches(self, now: datetime) -> Iterator[Path]:
        """Batches, and manifests, that any query of the last grace period did without."""
        old: Manifest | None = None
        numbers = manifest_versions(self._layout)
        manifests = [load_manifest(self._layout, number) for number in numbers]
        for manifest in manifests:
            if manifest.published_at is not None and manifest.published_at <= now - self._grace:
                old = manifest
        if old is None:
            return
        yield from (manifest_file(self._layout, number) for number in numbers if number < old.version)
        covered = {footer.series: footer.seq for footer in old.covered}
        for kind in KINDS:
            for file in series_files(self._layout, kind):
                name, seq = seq_of(file)
                if seq <= covered.get(f"{kind}/{name}", 0):
                    yield file

    def _spent_groups(self, manifest: Manifest, now: datetime) -> Iterator[Path]:
        """Files of groups that have been retired for the grace period."""
        spent = [retired for retired in manifest.retired if retired.at <= now - self._grace]
        for retired in spent:
            for table in retired.tables:
                file = group_file(self._layout, table, retired.gid)
                if file.exists():
                    yield file

    def _leftovers(self, manifest: Manifest) -> Iterator[Path]:
        """Files of killed processes: none that lives takes this long between writing and naming a file."""
        known = {group.gid for group in manifest.groups} | {retired.gid for retired in manifest.retired}
        places = [*self._layout.tmp.glob("spill"), self._layout.tmp, *(self._layout.sealed(table) for table in SEALED)]
        for file in (file for place in places for file in place.iterdir() if file.is_file()):
            named = file.name == SENTINEL or (file.stem.isascii() and file.stem.isdecimal() and int(file.stem) in known)
            with suppress(FileNotFoundError):
                if not named and _modified(file) < self._clock() - LEFTOVER:
                    yield file


def _sealed(
    compactor: Compactor, kind: str, files: Sequence[Path], groups: Sequence[Group]
) -> tuple[Group | None, list[tuple[Group, Group | None]], dict[str, Footer]]:
    """A group of batches, groups that were written anew for them, and the newest footer of each series."""
    # Files are in the order of their numbers: the last of each series is its newest.
    newest = {f"{kind}/{seq_of(file)[0]}": file_footer(file) for file in {seq_of(f)[0]: f for f in files}.values()}
    return compactor.seal(kind, files), compactor.revise(groups), newest


def _replacing(groups: Sequence[Group], others: Sequence[tuple[Group, Group | None]]) -> list[Group]:
    """Groups with others in the place of some."""
    by_gid = {old.gid: new for old, new in others}
    taken = [by_gid.get(group.gid, group) for group in groups]
    return [group for group in taken if group is not None]


def _age(files: Iterable[Path], now: datetime) -> timedelta:
    """How old the oldest of some files is. Raises OSError."""
    return now - min(_modified(file) for file in files)


def _modified(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, EPOCH.tzinfo)


def _bounded(groups: Iterable[Group]) -> list[Group]:
    """As many of some groups, the oldest first, as may become one."""
    some: list[Group] = []
    rows = 0
    for group in sorted(groups, key=lambda group: (group.rows >= MAX_ROWS // 2, group.last)):
        rows += group.rows
        if rows > MAX_ROWS and some:
            break
        some.append(group)
    return some


def _size(group: Group) -> int:
    return sum(group.tables.values())
