"""What a worker lands its results in, as it sees it: an append-only log with one series per partition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from gnomon.model import ComparedRole, Comparison, Difference, Exchange, JsonValue, Outcome, Reject

__all__ = ["Batch", "FencedError", "Log", "LogWriter", "Position", "Row"]


class FencedError(Exception):
    """Another owner has taken the series over."""


class Position(msgspec.Struct, frozen=True):
    """From where a successor has to read: everything below `offset` has landed or is not needed."""

    topic: str
    partition: int
    offset: int


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What lands at once or not at all.

    `revised` has requests that have landed before: their rows take the place of all rows of the same request id.
    `exchanges` are redacted, each with its endpoint and when its request was started. `state` is what a successor
    must know beside the position.
    """

    comparisons: Sequence[tuple[Comparison, Sequence[Difference]]]
    revised: Sequence[tuple[Comparison, Sequence[Difference]]] = ()
    exchanges: Sequence[tuple[Exchange, str, datetime]] = ()
    rejects: Sequence[Reject] = ()
    position: Position
    state: dict[str, JsonValue]


class Row(msgspec.Struct, frozen=True):
    """What a worker has to know of a comparison that has landed."""

    request_id: str
    role: ComparedRole
    target: str
    outcome: Outcome
    live_offset: int | None
    shadow_offset: int | None
    duplicates: int
    late: bool


class LogWriter(Protocol):
    """The writer of one series."""

    @property
    def position(self) -> Position | None:
        """That of the last batch that landed; None in a new series."""

    @property
    def state(self) -> dict[str, JsonValue]:
        """That of the last batch that landed."""

    def landed(self, request_id: str, started_us: int) -> bool:
        """Whether something of a request has landed within the horizon of `started_us`; quick, from memory."""

    def find(self, request_ids: Iterable[str]) -> Sequence[Row]:
        """Give the rows of these requests as they hold now."""

    def land(self, batch: Batch) -> None:
        """Land a batch; it is durable when this returns.

        Raises:
            FencedError: Another owner has taken over; nothing landed.
            DependencyError: The store cannot be written; nothing landed, try again.
        """

    def close(self) -> None:
        """Let go of the series."""


class Log(Protocol):
    """A store's log."""

    def open(self, topic: str, partition: int) -> LogWriter:
        """Take a partition's series over from whoever had it.

        Raises:
            DependencyError: The store cannot be read or written.
        """
