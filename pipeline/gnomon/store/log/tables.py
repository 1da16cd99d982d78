"""Series of one table: alerts, the audit of routing, runs, rule sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from gnomon.model import JsonValue
from gnomon.store.log.layout import StoreInfo
from gnomon.store.log.manifest import Position
from gnomon.store.log.series import Clock, Series, newest_footer, utc_now
from gnomon.store.log.shapes import table_schema
from gnomon.store.log.views import prepare_store

__all__ = ["TableWriter", "land_rules"]


class TableWriter:
    """The one writer of one series of a table; opening it takes over from whoever wrote before.

    Args:
        path: The store's directory; it is made where it is not there.
        table: `alerts`, `routed`, `rule_versions` or `runs`.
        name: Of the series: letters, digits, dots, dashes and underscores; `watch`, or a topic and partition.
        info: What the store's readers must know, where that changes.
        clock: What the footer's time is read from.

    Raises:
        DependencyError: The store cannot be read or written.
        InputError: The store is of another version, or damaged.
    """

    def __init__(
        self, path: Path, table: str, name: str, *, info: StoreInfo | None = None, clock: Clock = utc_now
    ) -> None:
        self._series = Series(prepare_store(path, info), table, name, clock)
        self._schema = table_schema(table)

    @property
    def position(self) -> Position | None:
        """Of the last batch that landed; None for a new series."""
        return self._series.footer.position

    @property
    def state(self) -> dict[str, JsonValue]:
        """Of the last batch that landed; empty for a new series."""
        return self._series.footer.state

    def land(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        position: Position | None = None,
        state: dict[str, JsonValue] | None = None,
    ) -> None:
        """Land rows, as the table's columns by name, with what to know after a restart; durable when this returns.

        What has landed before is not looked for: `position` and `state` say how far the series is.

        Raises:
            FencedError: Another process has taken over: stop. Nothing of this batch landed.
            DependencyError: No space, read-only or gone: try again.
        """
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=self._schema)
        columns = dict(zip(table.column_names, table.columns, strict=True))
        self._series.commit([(len(rows), columns)] if rows else [], position, state or {})


def land_rules(path: Path, version: str, text: str, now: datetime, *, info: StoreInfo | None = None) -> None:
    """Land the text of a rule set, once in the store's life: whoever is first says when it was first used.

    Raises:
        DependencyError: The store cannot be read or written.
    """
    layout = prepare_store(path, info)
    known = newest_footer(layout, "rule_versions", version)
    if known is None or not known.state:
        writer = TableWriter(path, "rule_versions", version, info=info, clock=lambda: now)
        if not writer.state:
            row = {"version": version, "rules": text, "first_used": now}
            writer.land([row], state={"landed": True})
