"""The store that a stream lands in: a log of Parquet files, written by many and read by anybody at any time.

A worker opens a `LogWriter` for each partition, others a `TableWriter`; one `Maintainer` at a time compacts. Readers
use `gnomon.store.open_store`, or any DuckDB client on the store's `catalog.duckdb`.
"""

from __future__ import annotations

from gnomon.store.log.layout import Layout, StoreInfo, adopt_settings, check_same, is_store, store_at
from gnomon.store.log.maintainer import Maintained, Maintainer, Retention
from gnomon.store.log.manifest import Position
from gnomon.store.log.recall import LandedRow
from gnomon.store.log.rewrite import RowsRead, rewrite_store
from gnomon.store.log.tables import TableWriter, land_rules
from gnomon.store.log.views import prepare_store, write_catalog
from gnomon.store.log.writer import Batch, Landed, LogWriter

__all__ = [
    "Batch",
    "Landed",
    "LandedRow",
    "Layout",
    "LogWriter",
    "Maintained",
    "Maintainer",
    "Position",
    "Retention",
    "RowsRead",
    "StoreInfo",
    "TableWriter",
    "adopt_settings",
    "check_same",
    "is_store",
    "land_rules",
    "prepare_store",
    "rewrite_store",
    "store_at",
    "write_catalog",
]
