"""The only home of DuckDB: the schema, landing and queries.

A run collects in a `StagedRun` and lands in one portable database file; `open_store` and `run_query` read it.
"""

from __future__ import annotations

from gnomon.store.alerts import land_alerts
from gnomon.store.browsing import MOST_DIFFERENCES, DifferenceChoice, TargetRate
from gnomon.store.database import Bounds, refresh_views
from gnomon.store.describing import Relation, describe_tables
from gnomon.store.landing import Landed, RunRecord
from gnomon.store.query import QueryResult, run_query
from gnomon.store.reader import JudgedRequest, Opener, Store, open_store
from gnomon.store.stage import StagedRun
from gnomon.store.statistics import Cohort, Selection, Statistics, Totals
from gnomon.store.values import json_value, rfc3339
from gnomon.store.workdir import work_directory

__all__ = [
    "MOST_DIFFERENCES",
    "Bounds",
    "Cohort",
    "DifferenceChoice",
    "JudgedRequest",
    "Landed",
    "Opener",
    "QueryResult",
    "Relation",
    "RunRecord",
    "Selection",
    "StagedRun",
    "Statistics",
    "Store",
    "TargetRate",
    "Totals",
    "describe_tables",
    "json_value",
    "land_alerts",
    "open_store",
    "refresh_views",
    "rfc3339",
    "run_query",
    "work_directory",
]
