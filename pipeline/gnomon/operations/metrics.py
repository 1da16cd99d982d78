"""The metrics of the long-running commands, in Prometheus' manner: base units, `_total` for what only grows.

Each process has a registry of its own, so that several can be made in one interpreter. What changes thousands of times
a second stays a plain number where it is counted, and is read when Prometheus asks (`observe`).
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import metadata
from typing import Final, Literal

import msgspec
import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from gnomon.model import Comparison, Reject
from gnomon.operations.readiness import Readiness

__all__ = [
    "METRICS",
    "AuditMetrics",
    "Metric",
    "PartitionState",
    "ProcessMetrics",
    "RouteMetrics",
    "WorkerMetrics",
]

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Bounds of the buckets of histograms of seconds."""
REASONS: Final = frozenset({"too_late"})
"""Reasons of rejects that have a label of their own; the others are sentences that quote traffic: `malformed`."""
_BOTH_SIDES: Final = frozenset({"match", "noise", "diff", "live_error", "shadow_error", "incomparable"})


class Metric(msgspec.Struct, frozen=True):
    """One metric: its name as it is exposed, its kind, its labels and what it says, with its unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    commands: tuple[str, ...] = ("worker",)


class PartitionState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a worker stands in one of its partitions.

    Attributes:
        topic: The topic.
        partition: The partition's number.
        lag_records: Records on Kafka that were not read yet.
        watermark_age_seconds: How far event time is behind the clock; None before the first record.
        pending_requests: Requests that wait for a counterpart.
        pending_bytes: Memory that those take, in bytes.
    """

    topic: str
    partition: int
    lag_records: int
    watermark_age_seconds: float | None
    pending_requests: int
    pending_bytes: int


_ALL: Final = ("worker", "collect", "route", "watch")
METRICS: Final = tuple(
    sorted(
        (
            Metric("gnomon_build_info", "gauge", "Always 1; the labels tell the version", ("version", "command"), _ALL),
            Metric("gnomon_ready", "gauge", "Whether a part of the process can do its work, 1 or 0", ("part",), _ALL),
            Metric("gnomon_records_total", "counter", "Records read from Kafka", ("topic",)),
            Metric(
                "gnomon_pairs_total",
                "counter",
                "Landed comparisons of role shadow of which both sides were there",
            ),
            Metric("gnomon_comparisons_total", "counter", "Landed comparisons, missing sides too", ("outcome", "role")),
            Metric("gnomon_differences_total", "counter", "Landed differences, noise left out", ("role",)),
            Metric("gnomon_late_comparisons_total", "counter", "Landed comparisons whose window had closed before"),
            Metric("gnomon_rejects_total", "counter", "Records that were refused: malformed or too_late", ("reason",)),
            Metric("gnomon_duplicates_total", "counter", "Records of the same id, role and target as another one's"),
            Metric("gnomon_evictions_total", "counter", "Waiting requests dropped from memory, to be read again"),
            Metric(
                "gnomon_clock_skew_records_total",
                "counter",
                "Records whose event time ran ahead of Kafka's by more than join.skew",
            ),
            Metric(
                "gnomon_consumer_lag_records",
                "gauge",
                "Records on Kafka that this worker has still to read",
                ("topic", "partition"),
                ("worker", "route"),
            ),
            Metric(
                "gnomon_watermark_age_seconds",
                "gauge",
                "How far event time is behind the clock, in seconds",
                ("topic", "partition"),
            ),
            Metric("gnomon_pending_requests", "gauge", "Requests that wait for a counterpart", ("topic", "partition")),
            Metric("gnomon_pending_bytes", "gauge", "Memory of waiting requests, in bytes", ("topic", "partition")),
            Metric(
                "gnomon_routed_events_total",
                "counter",
                "Events sent on: clean, synthetic, both (tombstones) or quarantine",
                ("topic", "destination"),
                ("route",),
            ),
            Metric(
                "gnomon_route_retries_total",
                "counter",
                "Transactions that were taken back, and whose events are read again",
                ("topic",),
                ("route",),
            ),
            Metric(
                "gnomon_route_transaction_seconds",
                "histogram",
                "Time from the first event of a transaction until it was committed, in seconds",
                (),
                ("route",),
            ),
            Metric("gnomon_route_users", "gauge", "Users in force of a route's users_file", ("topic",), ("route",)),
            Metric(
                "gnomon_route_users_problem",
                "gauge",
                "Whether the users_file is broken, 1 or 0; the users that were read before are in force",
                ("topic",),
                ("route",),
            ),
            Metric(
                "gnomon_synthetic_leaks_total",
                "counter",
                "Events on a clean topic that today's rules would not have let there",
                ("topic", "rule"),
                ("route",),
            ),
            Metric("gnomon_batch_seconds", "histogram", "Time to compare one batch, in seconds"),
            Metric("gnomon_landing_seconds", "histogram", "Time to land one batch durably, in seconds"),
        ),
        key=lambda metric: metric.name,
    )
)
_BY_NAME: Final = {metric.name: metric for metric in METRICS}


class ProcessMetrics:
    """What every long-running command exposes: its version, its parts, its CPU, memory and garbage collection.

    Args:
        command: The name of the command, such as `worker`.
        readiness: What the parts report to.
    """

    def __init__(self, command: str, readiness: Readiness) -> None:
        # Otherwise there is a second series for each counter, which nobody asks for
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        prometheus.ProcessCollector(registry=self.registry)
        prometheus.PlatformCollector(registry=self.registry)
        prometheus.GCCollector(registry=self.registry)
        self._gauge("gnomon_build_info").labels(metadata.version("gnomon"), command).set(1)
        self.observe("gnomon_ready", lambda: {(part,): float(is_ready) for part, is_ready in readiness.parts.items()})

    def observe(self, name: str, read: Callable[[], Mapping[tuple[str, ...], float]]) -> None:
        """Expose numbers that are counted elsewhere.

        Args:
            name: One of `METRICS`.
            read: Gives them when Prometheus asks, by the values of the metric's labels; what is no longer there is
                left out.
        """
        self.registry.register(_Observed(_BY_NAME[name], read))

    def exposition(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        return prometheus.generate_latest(self.registry)

    def _counter(self, name: str) -> prometheus.Counter:
        metric = _BY_NAME[name]
        return prometheus.Counter(name, metric.help, metric.labels, registry=self.registry)

    def _gauge(self, name: str) -> prometheus.Gauge:
        metric = _BY_NAME[name]
        return prometheus.Gauge(name, metric.help, metric.labels, registry=self.registry)

    def _histogram(self, name: str) -> prometheus.Histogram:
        metric = _BY_NAME[name]
        return prometheus.Histogram(name, metric.help, metric.labels, registry=self.registry, buckets=SECONDS)


class WorkerMetrics(ProcessMetrics):
    """The metrics of `gnomon worker`.

    Args:
        readiness: What the parts report to.
        partitions: Gives the partitions that this worker has, when Prometheus asks.
    """

    def __init__(self, readiness: Readiness, partitions: Callable[[], Iterable[PartitionState]]) -> None:
        super().__init__("worker", readiness)
        self.records = self._counter("gnomon_records_total")
        """Labelled by topic."""
        self.evictions = self._counter("gnomon_evictions_total")
        self.clock_skew_records = self._counter("gnomon_clock_skew_records_total")
        self.batch_seconds = self._histogram("gnomon_batch_seconds")
        self.landing_seconds = self._histogram("gnomon_landing_seconds")
        self._pairs = self._counter("gnomon_pairs_total")
        self._comparisons = self._counter("gnomon_comparisons_total")
        self._differences = self._counter("gnomon_differences_total")
        self._late = self._counter("gnomon_late_comparisons_total")
        self._rejects = self._counter("gnomon_rejects_total")
        self._duplicates = self._counter("gnomon_duplicates_total")
        for name, field in (
            ("gnomon_consumer_lag_records", "lag_records"),
            ("gnomon_watermark_age_seconds", "watermark_age_seconds"),
            ("gnomon_pending_requests", "pending_requests"),
            ("gnomon_pending_bytes", "pending_bytes"),
        ):
            self.observe(name, partial(_by_partition, partitions, field))

    def count_landed(self, comparisons: Iterable[Comparison], rejects: Iterable[Reject] = ()) -> None:
        """Count a batch once it is durable."""
        outcomes: Tally[tuple[str, str]] = Tally()
        differences: Tally[str] = Tally()
        for comparison in comparisons:
            outcomes[comparison.outcome, comparison.role] += 1
            differences[comparison.role] += comparison.differences - comparison.noise_differences
            if comparison.late:
                self._late.inc()
            if comparison.duplicates:
                self._duplicates.inc(comparison.duplicates)
        for (outcome, role), count in outcomes.items():
            self._comparisons.labels(outcome, role).inc(count)
            if role == "shadow" and outcome in _BOTH_SIDES:
                self._pairs.inc(count)
        for role, count in differences.items():
            self._differences.labels(role).inc(max(count, 0))
        for reject in rejects:
            self._rejects.labels(reject.reason if reject.reason in REASONS else "malformed").inc()


class RouteMetrics(ProcessMetrics):
    """The metrics of `gnomon route`.

    Args:
        readiness: What the parts report to.
        lags: Gives, by topic and partition, the records that are still to be read, when Prometheus asks.
    """

    def __init__(self, readiness: Readiness, lags: Callable[[], Mapping[tuple[str, ...], float]]) -> None:
        super().__init__("route", readiness)
        self.routed = self._counter("gnomon_routed_events_total")
        """Labelled by topic and destination."""
        self.retries = self._counter("gnomon_route_retries_total")
        """Labelled by topic."""
        self.transaction_seconds = self._histogram("gnomon_route_transaction_seconds")
        self.users = self._gauge("gnomon_route_users")
        """Labelled by topic."""
        self.users_problem = self._gauge("gnomon_route_users_problem")
        """Labelled by topic."""
        self.observe("gnomon_consumer_lag_records", lags)


class AuditMetrics(ProcessMetrics):
    """The metrics of `gnomon route audit --follow`.

    Args:
        readiness: What the parts report to.
    """

    def __init__(self, readiness: Readiness) -> None:
        super().__init__("route", readiness)
        self.leaks = self._counter("gnomon_synthetic_leaks_total")
        """Labelled by topic and rule."""


class _Observed(Collector):
    """Numbers that are read when Prometheus asks."""

    def __init__(self, metric: Metric, read: Callable[[], Mapping[tuple[str, ...], float]]) -> None:
        self._metric = metric
        self._read = read

    def describe(self) -> Iterator[Family]:
        """Give the family without its numbers."""
        yield self._family()

    def collect(self) -> Iterator[Family]:
        """Give the family with the numbers of now."""
        family = self._family()
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        yield family

    def _family(self) -> CounterMetricFamily | GaugeMetricFamily:
        kind = CounterMetricFamily if self._metric.kind == "counter" else GaugeMetricFamily
        return kind(self._metric.name, self._metric.help, labels=self._metric.labels)


def _by_partition(states: Callable[[], Iterable[PartitionState]], field: str) -> dict[tuple[str, ...], float]:
    values = {(state.topic, str(state.partition)): getattr(state, field) for state in states()}
    return {labels: value for labels, value in values.items() if value is not None}
