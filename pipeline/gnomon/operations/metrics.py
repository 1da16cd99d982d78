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
    "WatchMetrics",
    "WebMetrics",
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


_RATED: Final = ("service", "target")
_OF_WATCH: Final = (
    Metric("gnomon_alerts_firing", "gauge", "Alerts that fire now, by rule", ("alert",), ("watch",)),
    Metric("gnomon_alerts_unlanded", "gauge", "Alerts that are not in the store's table yet", (), ("watch",)),
    Metric("gnomon_alerts_waiting", "gauge", "Alerts that a hook was not told of yet", ("hook",), ("watch",)),
    Metric("gnomon_evaluation_seconds", "histogram", "Time to evaluate all alert rules, in seconds", (), ("watch",)),
    Metric("gnomon_evaluations_total", "counter", "Evaluations of alert rules: done, failed", ("outcome",), ("watch",)),
    Metric(
        "gnomon_hook_attempts_total",
        "counter",
        "Attempts at a hook: delivered, failed",
        ("hook", "outcome"),
        ("watch",),
    ),
    Metric("gnomon_hook_failing", "gauge", "Whether the last attempt at a hook failed, 1 or 0", ("hook",), ("watch",)),
    Metric("gnomon_watch_leader", "gauge", "Whether this is the evaluator that works, 1 or 0", (), ("watch",)),
)
_OF_WEB: Final = (
    Metric("gnomon_divergence_rate", "gauge", "Divergence rate of the last hour, net of the control", _RATED, ("web",)),
    Metric("gnomon_divergence_rate_high", "gauge", "Upper end of its 95 % interval", _RATED, ("web",)),
    Metric("gnomon_divergence_rate_low", "gauge", "Lower end of its 95 % interval", _RATED, ("web",)),
    Metric("gnomon_divergence_rate_pairs", "gauge", "Pairs of the last hour", _RATED, ("web",)),
    Metric("gnomon_web_request_seconds", "histogram", "Time to answer a request, in seconds", ("route",), ("web",)),
    Metric("gnomon_web_requests_total", "counter", "Requests answered", ("route", "status"), ("web",)),
)
_ALL: Final = ("worker", "collect", "route", "watch", "web")
METRICS: Final = tuple(
    sorted(
        (
            Metric("gnomon_build_info", "gauge", "Always 1; the labels tell the version", ("version", "command"), _ALL),
            Metric("gnomon_ready", "gauge", "Whether a part of the process can do its work, 1 or 0", ("part",), _ALL),
            *_OF_WATCH,
            *_OF_WEB,
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
                "gnomon_collect_received_total", "counter", "Entries of Envoy's access log received", (), ("collect",)
            ),
            Metric(
                "gnomon_collect_entries_total",
                "counter",
                "Entries by what became of them: written, shed (no room), sampled_out, lost (not in time)",
                ("fate",),
                ("collect",),
            ),
            Metric(
                "gnomon_collect_skipped_total",
                "counter",
                "Entries that became no record: upgrade, intermediate, no_id, too_large, fault",
                ("reason",),
                ("collect",),
            ),
            Metric("gnomon_collect_unreadable_total", "counter", "Messages that are no access log", (), ("collect",)),
            Metric("gnomon_collect_waiting_bytes", "gauge", "Entries that wait, in bytes", (), ("collect",)),
            Metric(
                "gnomon_routed_events_total",
                "counter",
                "Events sent on: clean, synthetic, both (tombstones), quarantine; correction: their tag came too late",
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
            Metric("gnomon_route_tainted_ids", "gauge", "Ids that a route's taint remembers", ("topic",), ("route",)),
            Metric(
                "gnomon_route_taint_forgotten_total",
                "counter",
                "Ids that a route's taint forgot before their time, for lack of memory",
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
            Metric(
                "gnomon_store_damaged_files",
                "gauge",
                "Files of the store that are damaged or missing, as this worker's last maintenance found",
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
        self.damaged_files = self._gauge("gnomon_store_damaged_files")
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


class WatchMetrics(ProcessMetrics):
    """The metrics of `gnomon watch`.

    Args:
        readiness: What the evaluator reports to, as the part `rules`.
    """

    def __init__(self, readiness: Readiness) -> None:
        super().__init__("watch", readiness)
        self._readiness = readiness
        self._leader = self._gauge("gnomon_watch_leader")
        self._firing = self._gauge("gnomon_alerts_firing")
        self._unlanded = self._gauge("gnomon_alerts_unlanded")
        self._waiting = self._gauge("gnomon_alerts_waiting")
        self._seconds = self._histogram("gnomon_evaluation_seconds")
        self._evaluations = self._counter("gnomon_evaluations_total")
        self._attempts = self._counter("gnomon_hook_attempts_total")
        self._failing = self._gauge("gnomon_hook_failing")

    def leading(self, *, leads: bool) -> None:
        """Note whether this evaluator works; one that waits for its turn is ready too."""
        self._leader.set(float(leads))
        if not leads:
            self._firing.clear()
            self._readiness.ready("rules")

    def evaluated(self, seconds: float, firing: Mapping[str, int]) -> None:
        """Count an evaluation: how long it took, and how many alerts fire by rule."""
        self._evaluations.labels("done").inc()
        self._seconds.observe(seconds)
        for rule, count in firing.items():
            self._firing.labels(rule).set(count)
        self._readiness.ready("rules")

    def not_evaluated(self, problem: str) -> None:
        """Count an evaluation that failed, and say why."""
        self._evaluations.labels("failed").inc()
        self._readiness.not_ready("rules", problem)

    def attempted(self, hook: str, outcome: Literal["delivered", "failed"]) -> None:
        """Count an attempt at a hook."""
        self._attempts.labels(hook, outcome).inc()
        self._failing.labels(hook).set(float(outcome == "failed"))

    def queued(self, waiting: Mapping[str, int], unlanded: int) -> None:
        """Note what still waits: alerts by hook, and for the table."""
        self._waiting.clear()
        for hook, count in waiting.items():
            self._waiting.labels(hook).set(count)
        self._unlanded.set(unlanded)


class WebMetrics(ProcessMetrics):
    """The metrics of `gnomon web`.

    Args:
        readiness: What the store's reader reports to, as the part `store`.
    """

    def __init__(self, readiness: Readiness) -> None:
        super().__init__("web", readiness)
        self.requests = self._counter("gnomon_web_requests_total")
        """Labelled by route and status."""
        self.seconds = self._histogram("gnomon_web_request_seconds")
        """Labelled by route."""
        self._rates = {
            field: self._gauge(name)
            for field, name in (
                ("pairs", "gnomon_divergence_rate_pairs"),
                ("divergence_rate", "gnomon_divergence_rate"),
                ("rate_lo", "gnomon_divergence_rate_low"),
                ("rate_hi", "gnomon_divergence_rate_high"),
            )
        }

    def rates(self, rates: Mapping[tuple[str, str], Mapping[str, object]]) -> None:
        """Show these rates, by service and target, and no others.

        Each has `pairs`, `divergence_rate`, `rate_lo` and `rate_hi`; what is no number is left out.
        """
        for field, gauge in self._rates.items():
            gauge.clear()
            for labels, rate in rates.items():
                value = rate[field]
                if isinstance(value, int | float):
                    gauge.labels(*labels).set(value)


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
