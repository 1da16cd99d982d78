"""The store that a stream lands in: a log of Parquet files, written by many and read by anybody at any time."""

from __future__ import annotations

from gnomon.store.log.layout import StoreInfo, is_store
from gnomon.store.log.manifest import Position
from gnomon.store.log.writer import Batch, Landed, LogWriter

__all__ = ["Batch", "Landed", "LogWriter", "Position", "StoreInfo", "is_store"]
