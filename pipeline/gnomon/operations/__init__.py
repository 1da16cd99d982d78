"""What an operator sees of a long-running command: whether it lives, whether it is ready, metrics, and one log.

A command makes a `Readiness` with its parts and the metrics of its kind, and serves both by an `OperationsServer` in
its own event loop. Parts report to the readiness, and count.
"""

from __future__ import annotations

from gnomon.operations.logs import configure_logging
from gnomon.operations.metrics import (
    METRICS,
    AuditMetrics,
    Metric,
    PartitionState,
    ProcessMetrics,
    RouteMetrics,
    WatchMetrics,
    WebMetrics,
    WorkerMetrics,
)
from gnomon.operations.readiness import Readiness
from gnomon.operations.server import OperationsServer

__all__ = [
    "METRICS",
    "AuditMetrics",
    "Metric",
    "OperationsServer",
    "PartitionState",
    "ProcessMetrics",
    "Readiness",
    "RouteMetrics",
    "WatchMetrics",
    "WebMetrics",
    "WorkerMetrics",
    "configure_logging",
]
