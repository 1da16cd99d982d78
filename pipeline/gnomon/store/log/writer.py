"""The log of a worker: one series for each topic and partition, whose batches land whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import pyarrow as pa

from gnomon.model import EPOCH, Comparison, Difference, Exchange, JsonValue, PopulationCount, Reject
from gnomon.store.batches import (
    Columns,
    comparison_columns,
    difference_columns,
    exchange_columns,
    population_columns,
    reject_columns,
)
from gnomon.store.log.layout import StoreInfo
from gnomon.store.log.manifest import Position
from gnomon.store.log.recall import Recall
from gnomon.store.log.seen import Seen, seen_key
from gnomon.store.log.series import Clock, Series, utc_now
from gnomon.store.log.shapes import DIFFERENCES
from gnomon.store.log.views import prepare_store

__all__ = ["Batch", "Landed", "LogWriter"]

Compared: TypeAlias = tuple[Comparison, Sequence[Difference]]
_Fresh: TypeAlias = tuple[bytes, int, Comparison, Sequence[Difference]]
MISSING: Final = frozenset({"shadow_missing", "live_missing"})
_MICROSECOND: Final = timedelta(microseconds=1)


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What lands together.

    `exchanges` are redacted, each with its endpoint's name and the `started_at` of the comparison that it belongs to.
    `populations` are of records that no batch before has counted. `position` is where to read on after a crash, and
    `state` what else its reader must know then.
    """

    comparisons: Sequence[Compared] = ()
    exchanges: Sequence[tuple[Exchange, str, datetime]] = ()
    rejects: Sequence[Reject] = ()
    populations: Sequence[PopulationCount] = ()
    position: Position
    state: dict[str, JsonValue] = {}


class Landed(msgspec.Struct, frozen=True, kw_only=True):
    """What of a batch landed: rows by table, rows that had landed before, and the size of the file in bytes."""

    seq: int
    comparisons: int
    differences: int
    exchanges: int
    rejects: int
    replays: int
    size: int
    landed_at: datetime


class LogWriter:
    """The one writer of a topic's partition; opening it takes over from whoever wrote before.

    Not for several threads at once. Landing is idempotent: a comparison that has landed within the horizon is left
    out, and so are its exchanges, and a reject of a place that has one. A comparison of a request that has landed as
    missing lands as late, so that it takes that row's place in the views.

    Args:
        path: The store's directory; it is made where it is not there.
        topic: The topic that is read.
        partition: Its partition.
        info: What the store's readers must know (`StoreInfo.of(settings)`), where that changes.
        clock: What `landed_at` is read from.

    Raises:
        DependencyError: The store cannot be read or written.
        InputError: The store is of another version, or damaged.
    """

    def __init__(
        self, path: Path, topic: str, partition: int, *, info: StoreInfo | None = None, clock: Clock = utc_now
    ) -> None:
        layout = prepare_store(path, info)
        self._horizon_us = layout.info().horizon_us
        self._series = Series(layout, "worker", f"{topic}-{partition}", clock)
        self._source = (topic, partition)
        self._start = self.position.offset if self.position else 0
        self._recall = Recall(layout, self._series.footer.series)
        self._rejects: set[tuple[str, int, int]] = set()
        self._seen = Seen(self._horizon_us)
        self._slots: set[tuple[str, str]] = set()
        self._untargeted = False
        if self._series.footer.seq > 1:
            self._remember_landed()

    @property
    def position(self) -> Position | None:
        """Of the last batch that landed; None for a new series."""
        return self._series.footer.position

    @property
    def state(self) -> dict[str, JsonValue]:
        """Of the last batch that landed; empty for a new series."""
        return self._series.footer.state

    def knows(self, request_id: str, target: str, role: str, started_us: int) -> bool:
        """Whether this comparison has landed within the horizon, with an answer or as missing."""
        return self._seen.get(seen_key(request_id, target, role), started_us) is not None

    def landed(self, request_id: str, started_us: int) -> bool:
        """Whether any comparison of this request has landed within the horizon; from memory."""
        return any(self.knows(request_id, target, role, started_us) for target, role in self._slots)

    def find(self, request_ids: Iterable[str], since: datetime) -> list[Comparison]:
        """The landed comparisons of these requests, as views show them, started at or after `since`.

        Raises:
            DependencyError: The store cannot be read.
        """
        return self._recall.find(list(request_ids), since)

    def land(self, batch: Batch) -> Landed:
        """Land what has not landed yet; durable when this returns.

        Raises:
            FencedError: Another process has taken over: stop. Nothing of this batch landed.
            DependencyError: No space, read-only or gone: try the same batch again, as often as it takes.
        """
        fresh, replays = self._fresh(batch.comparisons)
        exchanges = self._exchanges(batch, fresh)
        rejects = [row for row in batch.rejects if not self._is_known(row)]
        parts = [_compared(fresh)] if fresh else []
        parts += [_exchanged(exchanges)] if exchanges else []
        parts += [_refused(rejects)] if rejects else []
        parts += [_counted(batch.populations)] if batch.populations else []
        before = self._series.footer.seq
        try:
            size = self._series.commit(parts, batch.position, batch.state)
        finally:
            # Also when the name is there and only its durability is in doubt: tried again, these are replays.
            if self._series.footer.seq != before:
                self._remember(fresh, rejects, batch.position)
        footer = self._series.footer
        return Landed(
            seq=footer.seq,
            comparisons=len(fresh),
            differences=sum(len(differences) for _, _, _, differences in fresh),
            exchanges=len(exchanges),
            rejects=len(rejects),
            replays=replays,
            size=size,
            landed_at=footer.landed_at,
        )

    def _remember_landed(self) -> None:
        """Read back what may come again."""
        for request_id, target, role, started_us, missing in self._recall.landed(self._horizon_us):
            self._seen.add(seen_key(request_id, target, role), started_us, missing=missing)
            self._slots.add((target, role))
            self._untargeted |= missing and not target
        self._rejects.update(self._recall.rejects(self._start))

    def close(self) -> None:
        """Let go of what it has open; the series stays as it is."""
        self._recall.close()

    def _fresh(self, rows: Sequence[Compared]) -> tuple[list[_Fresh], int]:
        """What has not landed, each once, and how many have."""
        fresh: list[_Fresh] = []
        here: dict[bytes, list[tuple[int, bool]]] = {}
        for comparison, differences in rows:
            started_us = (comparison.started_at - EPOCH) // _MICROSECOND
            missing = comparison.outcome in MISSING
            key = seen_key(comparison.request_id, comparison.target, comparison.role)
            known = self._known(key, started_us, here)
            if known is False or (known and missing):
                continue
            self._untargeted |= missing and not comparison.target
            if not missing and (known or self._was_missing(comparison, started_us, here)):
                comparison = msgspec.structs.replace(comparison, late=True)  # noqa: PLW2901 - the same, as it lands
            here.setdefault(key, []).append((started_us, missing))
            fresh.append((key, started_us, comparison, differences))
        return fresh, len(rows) - len(fresh)

    def _was_missing(self, comparison: Comparison, started_us: int, here: dict[bytes, list[tuple[int, bool]]]) -> bool:
        """Whether a row says that the other side of this request is missing and names no target."""
        if not (self._untargeted and comparison.target):
            return False
        return bool(self._known(seen_key(comparison.request_id, "", comparison.role), started_us, here))

    def _known(self, key: bytes, started_us: int, here: dict[bytes, list[tuple[int, bool]]]) -> bool | None:
        """As `Seen.get`, of what has landed and of what is in this batch."""
        known = self._seen.get(key, started_us)
        if known is not False and key in here:
            near = [missing for at, missing in here[key] if abs(at - started_us) < self._horizon_us]
            known = min([*near, *([] if known is None else [known])], default=None)
        return known

    def _is_known(self, reject: Reject) -> bool:
        """Whether a record was refused before: one below where an earlier owner stood, or one that landed since."""
        source, partition, offset = _place(reject)
        below = (source, partition) == self._source and 0 <= offset < self._start
        return below or (source, partition, offset) in self._rejects

    def _exchanges(self, batch: Batch, fresh: Sequence[_Fresh]) -> list[tuple[Exchange, str, datetime]]:
        """Leave out those of comparisons that are left out."""
        if len(fresh) == len(batch.comparisons):
            return list(batch.exchanges)
        offered = {comparison.request_id for comparison, _ in batch.comparisons}
        kept = {comparison.request_id for _, _, comparison, _ in fresh}
        return [row for row in batch.exchanges if row[0].request_id in kept or row[0].request_id not in offered]

    def _remember(self, fresh: Sequence[_Fresh], rejects: Sequence[Reject], position: Position) -> None:
        for key, started_us, comparison, _ in fresh:
            self._seen.add(key, started_us, missing=comparison.outcome in MISSING)
            self._slots.add((comparison.target, comparison.role))
        # Nothing below the position is read again.
        self._rejects.update(_place(row) for row in rejects if row.place.offset is not None)
        self._rejects = {place for place in self._rejects if place[2] >= position.offset}


def _place(reject: Reject) -> tuple[str, int, int]:
    """Of a record on Kafka; what has no offset is nobody's equal (see `_remember`)."""
    place = reject.place
    return (
        place.source,
        -1 if place.partition is None else place.partition,
        -1 if place.offset is None else place.offset,
    )


def _compared(rows: Sequence[_Fresh]) -> tuple[int, Columns]:
    """Comparisons with their differences nested, as a row group."""
    columns = comparison_columns([row[2] for row in rows])
    offsets = [0]
    flat: list[Difference] = []
    for _, _, _, differences in rows:
        flat.extend(differences)
        offsets.append(len(flat))
    nested = difference_columns(flat)
    fields = DIFFERENCES.value_type
    structs = pa.StructArray.from_arrays([nested[field.name] for field in fields], fields=list(fields))
    columns["differing"] = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs)
    columns["kind"] = pa.repeat("comparison", len(rows))
    return len(rows), columns


def _exchanged(rows: Sequence[tuple[Exchange, str, datetime]]) -> tuple[int, Columns]:
    """Exchanges as a row group."""
    columns = exchange_columns(
        [
            (one.request_id, one.role, one.target, one.service, endpoint, started_at, msgspec.json.encode(one).decode())
            for one, endpoint, started_at in rows
        ]
    )
    return len(rows), columns | {"kind": pa.repeat("exchange", len(rows))}


def _refused(rows: Sequence[Reject]) -> tuple[int, Columns]:
    """Rejects as a row group."""
    return len(rows), reject_columns(rows) | {"kind": pa.repeat("reject", len(rows))}


def _counted(rows: Sequence[PopulationCount]) -> tuple[int, Columns]:
    """Counts of live answers as a row group."""
    return len(rows), population_columns(rows) | {"kind": pa.repeat("population", len(rows))}
