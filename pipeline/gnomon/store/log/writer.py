"""The log of a worker: one series for each topic and partition, whose batches land whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    revision_columns,
)
from gnomon.store.log.layout import StoreInfo
from gnomon.store.log.manifest import Position
from gnomon.store.log.recall import LandedRow, Recall
from gnomon.store.log.seen import Seen, seen_key
from gnomon.store.log.series import Clock, Series, utc_now
from gnomon.store.log.shapes import DIFFERENCES
from gnomon.store.log.views import prepare_store

__all__ = ["Batch", "Landed", "LogWriter"]

Compared: TypeAlias = tuple[Comparison, Sequence[Difference]]
_Key: TypeAlias = tuple[bytes, int]
_MICROSECOND: Final = timedelta(microseconds=1)
_SLACK_US: Final = 3_600_000_000
"""So much older than the stream may be what still comes to be joined."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What lands together.

    All comparisons of a request are in one batch, each once, beside each other. `replaced` names requests that have
    landed before, by their id and the `started_at` that they had: what landed of them gives way to what this batch has
    of them, which may be nothing. `live_duplicates` says by request id how many of the duplicates are of the live side,
    where there are any. `exchanges` are redacted, each with its endpoint's name and the `started_at` of the comparison
    that it belongs to. `populations` are of records that no batch before has counted. `position` is where to read on
    after a crash, and `state` what else its reader must know then; its `watermark_us`, if it has one, says how far
    event time has come.
    """

    comparisons: Sequence[Compared] = ()
    replaced: Sequence[tuple[str, datetime]] = ()
    live_duplicates: Mapping[str, int] = {}
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

    For one thread at a time, but for `landed`, which may be asked while a batch lands. Landing is idempotent: the
    comparisons of a request that has landed within the horizon are left out, unless the batch says that they take the
    place of what landed, and so are its exchanges, and a reject of a place that has one.

    Args:
        path: The store's directory; it is made where it is not there.
        topic: The topic that is read.
        partition: Its partition.
        info: What a new store is made with (`StoreInfo.of(settings)`).
        known: The id of the store that must be there; without it one is made where there is none.
        clock: What `landed_at` is read from.

    Raises:
        DependencyError: The store cannot be read or written.
        InputError: The store is of another version, or damaged.
    """

    def __init__(
        self,
        path: Path,
        topic: str,
        partition: int,
        *,
        info: StoreInfo | None = None,
        known: str | None = None,
        clock: Clock = utc_now,
    ) -> None:
        layout = prepare_store(path, info, known)
        self._horizon_us = layout.info().horizon_us
        self.horizon = timedelta(microseconds=self._horizon_us)
        self._series = Series(layout, "worker", f"{topic}-{partition}", clock)
        self._clock = clock
        self._source = (topic, partition)
        self._start = self.position.offset if self.position else 0
        self._recall = Recall(layout, self._series.footer.series)
        self._rejects: set[tuple[str, int, int]] = set()
        self._seen = Seen(self._horizon_us)
        if self._series.footer.seq > 1:
            self._remember_landed()

    @property
    def store(self) -> str:
        """The id of the store."""
        return self._series.store_id

    @property
    def position(self) -> Position | None:
        """Of the last batch that landed; None for a new series."""
        return self._series.footer.position

    @property
    def state(self) -> dict[str, JsonValue]:
        """Of the last batch that landed; empty for a new series."""
        return self._series.footer.state

    def landed(self, request_id: str, started_us: int) -> bool:
        """Whether any comparison of this request has landed within the horizon; from memory.

        Both are counted as started when they landed, or later, at the most: clocks that run ahead part no request.
        """
        return self._seen.has(seen_key(request_id), started_us)

    def find(self, asked: Mapping[str, datetime]) -> list[LandedRow]:
        """The landed comparisons of these requests, as views show them, if they are as near as `landed` asks for.

        Args:
            asked: By id, when the record started that asks.

        Raises:
            DependencyError: The store cannot be read.
        """
        since = max(min(asked.values(), default=EPOCH), EPOCH + self.horizon) - self.horizon
        rows = self._recall.find(list(asked), since)
        return [
            row
            for row in rows
            if abs(min(row.comparison.started_at, row.landed_at) - asked[row.comparison.request_id]) < self.horizon
        ]

    def land(self, batch: Batch) -> Landed:
        """Land what has not landed yet; durable when this returns.

        Raises:
            FencedError: Another process has taken over: stop. Nothing of this batch landed.
            DependencyError: No space, read-only or gone: try the same batch again, as often as it takes.
        """
        fresh, keys = self._fresh(batch)
        exchanges = self._exchanges(batch, fresh)
        rejects = [row for row in batch.rejects if not self._is_known(row)]
        parts = [_compared(fresh, batch.live_duplicates)] if fresh else []
        parts += [_exchanged(exchanges)] if exchanges else []
        parts += [_refused(rejects)] if rejects else []
        parts += [_revised(batch)] if batch.replaced else []
        parts += [_counted(batch.populations)] if batch.populations else []
        before = self._series.footer.seq
        try:
            size = self._series.commit(parts, batch.position, batch.state)
        finally:
            # Also when the name is there and only its durability is in doubt: tried again, these are replays.
            if self._series.footer.seq != before:
                self._remember(keys, rejects, batch.position)
        footer = self._series.footer
        return Landed(
            seq=footer.seq,
            comparisons=len(fresh),
            differences=sum(len(differences) for _, differences in fresh),
            exchanges=len(exchanges),
            rejects=len(rejects),
            replays=len(batch.comparisons) - len(fresh),
            size=size,
            landed_at=footer.landed_at,
        )

    def _remember_landed(self) -> None:
        """Read back what may come again."""
        footer = self._series.footer
        landed_us = (footer.landed_at - EPOCH) // _MICROSECOND
        # What follows is no older than where the stream had come to, if that is told
        come_to_us = min(footer.state.get("watermark_us") or 0, landed_us)
        for some in self._recall.landed(max(come_to_us - self._horizon_us - _SLACK_US, 0)):
            self._seen.load(*some)
        self._rejects.update(self._recall.rejects(self._start))

    def close(self) -> None:
        """Let go of what it has open; the series stays as it is."""
        self._recall.close()

    def _fresh(self, batch: Batch) -> tuple[list[Compared], list[_Key]]:
        """Rows of requests that have not landed, or that take the place of what has, and what those are known by."""
        replaced = {request_id for request_id, _ in batch.replaced}
        fresh: list[Compared] = []
        keys: list[_Key] = []
        here: dict[str, list[datetime]] = {}
        now = self._clock()
        last = ""
        started_at = EPOCH
        is_new = False
        for row in batch.comparisons:
            request_id, at = row[0].request_id, row[0].started_at
            # The rows of a request stand beside each other; without a live side each started at a time of its own
            if request_id != last or abs(at - started_at) >= self.horizon:
                last, started_at = request_id, at
                key = seen_key(request_id), (min(at, now) - EPOCH) // _MICROSECOND
                known = here.setdefault(request_id, [])
                is_new = (request_id in replaced or not self._seen.has(*key)) and all(
                    abs(at - other) >= self.horizon for other in known
                )
                if is_new:
                    known.append(at)
                    keys.append(key)
            if is_new:
                fresh.append(row)
        return fresh, keys

    def _is_known(self, reject: Reject) -> bool:
        """Whether a record was refused before: one below where an earlier owner stood, or one that landed since."""
        source, partition, offset = _place(reject)
        below = (source, partition) == self._source and 0 <= offset < self._start
        return below or (source, partition, offset) in self._rejects

    def _exchanges(self, batch: Batch, fresh: Sequence[Compared]) -> list[tuple[Exchange, str, datetime]]:
        """Leave out those of comparisons that are left out."""
        if len(fresh) == len(batch.comparisons):
            return list(batch.exchanges)
        offered = {comparison.request_id for comparison, _ in batch.comparisons}
        kept = {comparison.request_id for comparison, _ in fresh}
        return [row for row in batch.exchanges if row[0].request_id in kept or row[0].request_id not in offered]

    def _remember(self, keys: Sequence[_Key], rejects: Sequence[Reject], position: Position) -> None:
        for key, started_us in keys:
            self._seen.add(key, started_us)
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


def _compared(rows: Sequence[Compared], live_duplicates: Mapping[str, int]) -> tuple[int, Columns]:
    """Comparisons with their differences nested, as a row group."""
    columns = comparison_columns([comparison for comparison, _ in rows])
    offsets = [0]
    flat: list[Difference] = []
    for _, differences in rows:
        flat.extend(differences)
        offsets.append(len(flat))
    nested = difference_columns(flat)
    fields = DIFFERENCES.value_type
    structs = pa.StructArray.from_arrays([nested[field.name] for field in fields], fields=list(fields))
    columns["differing"] = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs)
    columns["kind"] = pa.repeat("comparison", len(rows))
    if live_duplicates:
        doubled = [live_duplicates.get(comparison.request_id) for comparison, _ in rows]
        columns["live_duplicates"] = pa.array(doubled, pa.int64())
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


def _revised(batch: Batch) -> tuple[int, Columns]:
    """What gives way, as a row group; also the batch's own rows, should it have to land twice."""
    ids = {request_id for request_id, _ in batch.replaced}
    here = [(row.request_id, row.started_at) for row, _ in batch.comparisons if row.request_id in ids]
    rows = list(dict.fromkeys([*batch.replaced, *here]))
    columns = revision_columns([request_id for request_id, _ in rows], [started_at for _, started_at in rows])
    return len(rows), columns | {"kind": pa.repeat("revision", len(rows))}


def _refused(rows: Sequence[Reject]) -> tuple[int, Columns]:
    """Rejects as a row group."""
    return len(rows), reject_columns(rows) | {"kind": pa.repeat("reject", len(rows))}


def _counted(rows: Sequence[PopulationCount]) -> tuple[int, Columns]:
    """Counts of live answers as a row group."""
    return len(rows), population_columns(rows) | {"kind": pa.repeat("population", len(rows))}
