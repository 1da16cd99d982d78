"""Doubles around a worker's partition: a log in memory, a Kafka that is a list, somebody who listens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import pytest

from gnomon.errors import DependencyError, FencedError
from gnomon.model import Comparison, Difference, Exchange, JsonValue, Reject
from gnomon.store.log import Batch, LandedRow


class Sent(NamedTuple):
    """A record as it is in Kafka."""

    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    key: bytes | None = None


class MemoryLog:
    """Holds what has landed. While `failing` is set it refuses; who opened before the last one is fenced."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[tuple[str, str], tuple[Comparison, Sequence[Difference]]]] = {}
        self.live_duplicates: dict[str, int] = {}
        self.rejects: list[Reject] = []
        self.exchanges: list[Exchange] = []
        self.batches: list[Batch] = []
        self.failing = ""
        self.owner = 0

    def open(self, _topic: str, _partition: int) -> MemoryWriter:
        """Take over."""
        self.check()
        self.owner += 1
        return MemoryWriter(self, self.owner)

    def check(self) -> None:
        """Refuse while `failing`."""
        if self.failing:
            raise DependencyError(self.failing)

    def outcomes(self) -> dict[tuple[str, str], str]:
        """Give the outcome of each (request id, role)."""
        return {
            (request_id, role): comparison.outcome
            for request_id, rows in self.rows.items()
            for (role, _), (comparison, _) in rows.items()
        }


class MemoryWriter:
    """The writer of the one series that a `MemoryLog` has."""

    horizon = timedelta(days=1)

    def __init__(self, log: MemoryLog, owner: int) -> None:
        self.log = log
        self.owner = owner
        self.closed = False

    @property
    def state(self) -> dict[str, JsonValue]:
        """That of the last batch, as it comes back from a file."""
        state = self.log.batches[-1].state if self.log.batches else {}
        return dict(msgspec.json.decode(msgspec.json.encode(state)))

    def landed(self, request_id: str, _started_us: int) -> bool:
        """Whether it is there."""
        return request_id in self.log.rows

    def find(self, asked: Mapping[str, datetime]) -> list[LandedRow]:
        """Give the rows."""
        return [
            LandedRow(comparison, comparison.started_at, self.log.live_duplicates.get(request_id, 0))
            for request_id in asked
            for comparison, _ in self.log.rows.get(request_id, {}).values()
        ]

    def land(self, batch: Batch) -> None:
        """Land as the log does: what has landed is left out, unless the batch says that it takes its place."""
        if self.owner != self.log.owner:
            raise FencedError("another process has taken over")
        self.log.check()
        for request_id, _ in batch.replaced:
            self.log.rows.pop(request_id, None)
        self.log.live_duplicates.update(batch.live_duplicates)
        known = set(self.log.rows)
        for comparison, differences in batch.comparisons:
            if comparison.request_id not in known:
                rows = self.log.rows.setdefault(comparison.request_id, {})
                rows[comparison.role, comparison.target] = (comparison, differences)
        self.log.rejects += batch.rejects
        self.log.exchanges += [exchange for exchange, _, _ in batch.exchanges]
        self.log.batches.append(batch)

    def close(self) -> None:
        """Take note."""
        self.closed = True


class ListKafka:
    """A partition that is a list; `gone` offsets have been deleted."""

    def __init__(self) -> None:
        self.records: list[Sent] = []
        self.gone: set[int] = set()
        self.asked: list[int] = []

    def send(self, value: Exchange | bytes | None, timestamp_us: int, **more: object) -> Sent:
        """Append a record."""
        data = msgspec.json.encode(value) if isinstance(value, Exchange) else value
        record = Sent(len(self.records), timestamp_us // 1000, data, **more)  # type: ignore[arg-type]
        self.records.append(record)
        return record

    async def read(self, _topic: str, _partition: int, offsets: Iterable[int]) -> dict[int, Sent]:
        """Read again."""
        self.asked += offsets
        return {offset: self.records[offset] for offset in offsets if offset not in self.gone}

    async def close(self) -> None:
        """Nothing to let go of."""


class Listener:
    """Remembers what is sent."""

    def __init__(self) -> None:
        self.rejects: list[Reject] = []
        self.comparisons: list[Comparison] = []

    async def send(self, rejects: Sequence[Reject], comparisons: Sequence[Comparison]) -> None:
        """Remember."""
        self.rejects += rejects
        self.comparisons += comparisons


@pytest.fixture
def log() -> MemoryLog:
    """A log in memory."""
    return MemoryLog()


@pytest.fixture
def kafka_list() -> ListKafka:
    """A partition that is a list."""
    return ListKafka()


@pytest.fixture
def listener() -> Listener:
    """Somebody who listens."""
    return Listener()
