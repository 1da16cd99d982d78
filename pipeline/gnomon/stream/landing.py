"""What a worker lands its results in, as it sees it: a log with one series per partition (`gnomon.store.log`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from gnomon.config import Settings
from gnomon.model import Comparison, JsonValue
from gnomon.store.log import Batch, LogWriter, Maintainer, Retention, StoreInfo, land_rules, store_at

__all__ = ["Log", "StoreLog", "Writer"]


class Writer(Protocol):
    """The writer of one series."""

    @property
    def state(self) -> dict[str, JsonValue]:
        """That of the last batch that landed; empty in a new series."""

    def landed(self, request_id: str, started_us: int, /) -> bool:
        """Whether something of a request has landed within the horizon of `started_us`; quick, from memory."""

    def find(self, request_ids: Iterable[str], since: datetime, /) -> Sequence[Comparison]:
        """Give the comparisons of these requests as they hold now.

        Raises:
            DependencyError: The store cannot be read.
        """

    def land(self, batch: Batch, /) -> object:
        """Land a batch; it is durable when this returns.

        Raises:
            FencedError: Another owner has taken over; nothing landed.
            DependencyError: The store cannot be written; nothing landed, try again.
        """

    def close(self) -> None:
        """Let go of the series."""


class Log(Protocol):
    """A store's log."""

    def open(self, topic: str, partition: int, /) -> Writer:
        """Take a partition's series over from whoever had it.

        Raises:
            DependencyError: The store cannot be read or written.
            InputError: It is of another version, or damaged.
        """

    def land_rules(self, version: str, text: str, /) -> None:
        """Land what a version of the rules says, once.

        Raises:
            DependencyError: The store cannot be written.
        """

    def maintain(self) -> None:
        """Compact and expire what there is to, unless another process is at it.

        Raises:
            DependencyError: The store cannot be read or written.
        """


class StoreLog:
    """The log of the store that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.store.path
        self._info = StoreInfo.of(settings)
        self._retention = Retention.of(settings)

    def open(self, topic: str, partition: int, /) -> LogWriter:
        """Take a partition's series over (see `Log`)."""
        return LogWriter(self._path, topic, partition, info=self._info)

    def land_rules(self, version: str, text: str, /) -> None:
        """Land what a version of the rules says (see `Log`)."""
        land_rules(self._path, version, text, datetime.now(UTC), info=self._info)

    def maintain(self) -> None:
        """Compact and expire (see `Log`)."""
        Maintainer(store_at(self._path), self._retention).run()
