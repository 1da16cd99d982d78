"""Lands what was sent where in `routed`; an audit that cannot be written holds nothing up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from gnomon.errors import DependencyError, FencedError, InputError
from gnomon.store.log import Position, StoreInfo, TableWriter
from gnomon.stream.route.tally import Tally

__all__ = ["Journal"]


class Journal:
    """The audit of one partition: counts wait here until they land.

    Args:
        path: The store.
        info: What its readers must know.
        topic: The topic that is routed.
        partition: Its partition.
    """

    def __init__(self, path: Path, info: StoreInfo, topic: str, partition: int) -> None:
        self._path = path
        self._info = info
        self._topic = topic
        self._partition = partition
        self._writer: TableWriter | None = None
        self._fenced = False
        self._landing = asyncio.Lock()
        self._tally = Tally(topic, partition)
        self._following: int | None = None
        self._started_at: int | None = None

    def start(self, committed: int | None) -> None:
        """Take note of where routing begins: what was sent on before and never counted is said to be so."""
        self._started_at = self._following = committed

    def add(self, tally: Tally, following: int) -> None:
        """Count what a transaction has sent."""
        self._tally.merge(tally, _minute())
        self._following = following

    async def land(self) -> str:
        """Land what waits. Give why that failed, in a sentence; empty when it did not.

        What could not land waits on; once another process has taken the partition over, nothing more lands here.
        """
        async with self._landing:
            if self._fenced or self._following is None or (self._writer is not None and not self._tally):
                return ""
            tally, self._tally = self._tally, Tally(self._topic, self._partition)
            position = Position(self._topic, self._partition, self._following)
            try:
                await asyncio.to_thread(self._write, tally, position)
            except FencedError:
                self._fenced = True
            except (DependencyError, InputError) as error:
                if self._writer is None or self._writer.position != position:  # else it did land
                    tally.absorb(self._tally)
                    self._tally = tally
                return str(error)
            return ""

    def _write(self, tally: Tally, position: Position) -> None:
        if self._writer is None:
            name = f"{self._topic}-{self._partition}"
            self._writer = TableWriter(self._path, "routed", name, info=self._info)
            self._count_unseen(tally, self._writer.position)
        if tally:
            self._writer.land(tally.rows(), position=position)

    def _count_unseen(self, tally: Tally, position: Position | None) -> None:
        if position is not None and self._started_at is not None and position.offset < self._started_at:
            tally.count_unseen(_minute(), position.offset, self._started_at)


def _minute() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)
