from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gnomon.model import Comparison, Place, Reject
from gnomon.operations import METRICS, PartitionState, ProcessMetrics, Readiness, WorkerMetrics

DOCS = Path(__file__).parents[3] / "docs" / "operations.md"


def comparison(**fields: Any) -> Comparison:
    """A comparison that landed."""
    return Comparison(
        **{
            "request_id": "r-1",
            "target": "",
            "role": "shadow",
            "service": "shop",
            "endpoint": "GET /",
            "method": "GET",
            "path": "/",
            "started_at": datetime(2027, 1, 15, tzinfo=UTC),
            "outcome": "match",
            "rules": "r",
            **fields,
        }
    )


def samples(metrics: ProcessMetrics) -> dict[tuple[str, ...], float]:
    """What Prometheus would read: values by name and label values, in the order of the labels' names."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (s.name, *(s.labels[label] for label in sorted(s.labels))): s.value
        for family in families
        for s in family.samples
    }


def test_a_landed_batch_is_counted_by_outcome_and_role() -> None:
    """Pairs are comparisons of role shadow with both sides; missing ones and the control's are comparisons alone."""
    metrics = WorkerMetrics(Readiness([]), list)
    metrics.count_landed(
        [
            comparison(),
            comparison(outcome="diff", differences=3, noise_differences=1, duplicates=2, late=True),
            comparison(outcome="shadow_missing"),
            comparison(role="control"),
        ],
        [Reject(Place("t"), "too_late"), Reject(Place("t"), "`status` is 'x\n', expected `int`")],
    )
    seen = samples(metrics)
    assert seen["gnomon_pairs_total",] == 2
    assert seen["gnomon_comparisons_total", "diff", "shadow"] == 1
    assert seen["gnomon_comparisons_total", "shadow_missing", "shadow"] == 1
    assert seen["gnomon_comparisons_total", "match", "control"] == 1
    assert seen["gnomon_differences_total", "shadow"] == 2
    assert seen["gnomon_duplicates_total",] == 2
    assert seen["gnomon_late_comparisons_total",] == 1
    assert seen["gnomon_rejects_total", "too_late"] == 1
    assert seen["gnomon_rejects_total", "malformed"] == 1, "a sentence that quotes traffic is no label"


def test_partitions_are_read_when_asked() -> None:
    """A partition that went to another worker leaves no number behind."""
    state = PartitionState(
        topic="t", partition=3, lag_records=7, watermark_age_seconds=None, pending_requests=2, pending_bytes=100
    )
    partitions = [state]
    metrics = WorkerMetrics(Readiness([]), lambda: partitions)
    seen = samples(metrics)
    assert seen["gnomon_consumer_lag_records", "3", "t"] == 7
    assert ("gnomon_watermark_age_seconds", "3", "t") not in seen
    partitions.clear()
    assert not any(name == "gnomon_consumer_lag_records" for name, *_ in samples(metrics))


def test_parts_are_a_metric() -> None:
    """Alerts can tell which part is not ready."""
    readiness = Readiness(["kafka", "store"])
    metrics = ProcessMetrics("worker", readiness)
    readiness.ready("kafka")
    seen = samples(metrics)
    assert (seen["gnomon_ready", "kafka"], seen["gnomon_ready", "store"]) == (1, 0)
    assert seen["process_cpu_seconds_total",] > 0


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_keeps_to_prometheus_conventions(metric: Any) -> None:
    """Counters end in `_total`, others do not; units are base units and said in the help."""
    assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert not re.search(r"_(ms|us|milliseconds|kb|mb|minutes)\b", metric.name)
    for unit in ("seconds", "bytes"):
        if metric.name.endswith(f"_{unit}"):
            assert f"in {unit}" in metric.help
    assert metric.help[0].isupper()
    assert not metric.help.endswith(".")


def test_the_worker_exposes_what_is_documented() -> None:
    """docs/operations.md lists every metric with its kind, labels and help, and no other; the worker has all of its."""
    rows = re.findall(
        r"^\| `(gnomon_\w+)` \| (\w+) \|(.*?)\| .*? \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE
    )
    documented = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows}
    assert documented == {metric.name: (metric.kind, metric.labels, metric.help) for metric in METRICS}
    exposition = WorkerMetrics(Readiness([]), list).exposition().decode()
    exposed = set(re.findall(r"^# HELP (gnomon_\w+)", exposition, re.MULTILINE))
    assert exposed == {metric.name for metric in METRICS if "worker" in metric.commands}
