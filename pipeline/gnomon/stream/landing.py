"""What a worker lands its results in, as it sees it: a log with one series per partition (`gnomon.store.log`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Protocol

from gnomon.config import Settings
from gnomon.errors import DependencyError, InputError
from gnomon.model import JsonValue
from gnomon.store.log import (
    Batch,
    LandedRow,
    LogWriter,
    Maintainer,
    Retention,
    StoreInfo,
    check_same,
    land_rules,
    prepare_store,
    store_at,
)

__all__ = ["Log", "StoreLog", "Writer"]

logger = logging.getLogger(__name__)


class Writer(Protocol):
    """The writer of one series."""

    @property
    def state(self) -> dict[str, JsonValue]:
        """That of the last batch that landed; empty in a new series."""

    @property
    def horizon(self) -> timedelta:
        """For how much event time an id is one request, in this store."""

    def landed(self, request_id: str, started_us: int, /) -> bool:
        """Whether something of a request has landed within the horizon of `started_us`; quick, from memory."""

    def find(self, asked: Mapping[str, datetime], /) -> Sequence[LandedRow]:
        """Give the comparisons of requests as they hold now, by their ids and about when they started.

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
            DependencyError: The store cannot be read or written, or what this series needs of it is damaged.
            InputError: It is of another version.
        """

    def land_rules(self, version: str, text: str, /) -> None:
        """Land what a version of the rules says, once.

        Raises:
            DependencyError: The store cannot be written.
        """

    def maintain(self) -> Sequence[Path]:
        """Compact and expire what there is to, unless another process is at it; the files that are damaged or missing.

        Raises:
            DependencyError: The store cannot be read or written.
        """


class StoreLog:
    """The log of the store that the settings name; the first partition that is opened makes it where it is not there.

    After that it is never made again: where it is gone, another disk has taken its place or none, until it is back.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.store.path
        self._info = StoreInfo.of(settings)
        self._retention = Retention.of(settings)
        self._known: str | None = None
        self._damaged: Sequence[Path] = ()
        self._making = Lock()

    def open(self, topic: str, partition: int, /) -> LogWriter:
        """Take a partition's series over (see `Log`)."""
        if self._known is None:
            with self._making:
                if self._known is None:
                    self._known = self._prepare()
        try:
            return LogWriter(self._path, topic, partition, known=self._known)
        except InputError as error:
            # The store was sound when it was prepared: what is damaged now is this series, and the others go on.
            raise DependencyError(error.what, error.remedy) from error

    def _prepare(self) -> str:
        """Make the store, or take the one that is there; give its id."""
        info = prepare_store(self._path, self._info).info()
        if apart := self._info.apart_from(info):
            logger.warning(
                "the store at %s keeps what it was made with: %s; `gnomon catalog --adopt-settings` changes it",
                self._path,
                apart,
            )
        return info.id

    def land_rules(self, version: str, text: str, /) -> None:
        """Land what a version of the rules says (see `Log`)."""
        if self._known is not None:
            check_same(store_at(self._path), self._known)
        land_rules(self._path, version, text, datetime.now(UTC), info=self._info)

    def maintain(self) -> Sequence[Path]:
        """Compact and expire (see `Log`); what is damaged is said in the log once."""
        done = Maintainer(store_at(self._path), self._retention).run()
        if done is not None:
            for file in done.damaged:
                if file not in self._damaged:
                    logger.error("%s is damaged or missing; `gnomon compact` says what to do", file)
            self._damaged = done.damaged
        return self._damaged
