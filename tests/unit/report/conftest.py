"""Reports, statistics and samples to draw; differences are those that the comparison itself makes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gnomon.core.body import BodyOptions
from gnomon.core.compare import Comparer
from gnomon.core.rules import parse_rules
from gnomon.model import Exchange
from gnomon.summary import EndpointStat, FieldStat, LatencyStat, OutcomeCounts, Quantiles, Report, Sample
from gnomon.testing import exchange

WHEN = datetime(2027, 1, 15, 8, tzinfo=UTC)


def _sample(live: Exchange, shadow: Exchange, rules: str = "", **columns: Any) -> Sample:
    found = Comparer(live, parse_rules(rules).for_endpoint("", ""), BodyOptions()).compare(shadow)
    row = {
        "request_id": live.request_id,
        "target": shadow.target,
        "role": "shadow",
        "service": live.service,
        "endpoint": "GET /items/{id}",
        "method": live.request.method,
        "path": live.request.path,
        "started_at": "2027-01-15T08:00:00Z",
        "live_status": live.response.status if live.response else None,
        "shadow_status": shadow.response.status if shadow.response else None,
        "outcome": found.error or ("diff" if found.differences else "match"),
        "severity": found.differences[0].severity if found.differences else None,
        "differences": len(found.differences),
        "noise_differences": 0,
    }
    return Sample(
        comparison={**row, **columns},
        differences=[msgspec.to_builtins(difference) for difference in found.differences],
        live=msgspec.to_builtins(live),
        shadow=msgspec.to_builtins(shadow),
    )


def _endpoint(endpoint: str = "GET /items/{id}", pairs: int = 100, diff: int = 0, **fields: Any) -> EndpointStat:
    rate = diff / pairs if pairs else None
    stat = {
        "service": "shop",
        "endpoint": endpoint,
        "target": "",
        "pairs": pairs,
        "outcomes": OutcomeCounts(match=pairs - diff, diff=diff),
        "divergence_rate": rate,
        "rate_lo": None if rate is None else rate * 0.9,
        "rate_hi": None if rate is None else min(rate * 1.1 + 0.01, 1.0),
        "first_seen": WHEN,
        "last_seen": WHEN,
    }
    return EndpointStat(**{**stat, **fields})


def _field(pattern: str = "/body/price", requests: int = 10, **fields: Any) -> FieldStat:
    stat = {
        "service": "shop",
        "endpoint": "GET /items/{id}",
        "target": "",
        "pattern": pattern,
        "kind": "changed",
        "severity": "medium",
        "pairs": 100,
        "requests": requests,
        "noise_requests": 0,
        "rate": requests / 100,
        "rate_lo": requests / 110,
        "rate_hi": min(requests / 90, 1.0),
        "control_pairs": 0,
        "control_requests": 0,
        "control_rate": None,
        "first_seen": WHEN,
        "last_seen": WHEN,
        "request_ids": ["r-1"],
        "live_value": "1",
        "shadow_value": "2",
    }
    return FieldStat(**{**stat, **fields})


def _latency(
    endpoint: str = "GET /items/{id}", live: float = 10.0, delta: float = 0.0, pairs: int = 100
) -> LatencyStat:
    return LatencyStat(
        service="shop",
        endpoint=endpoint,
        target="",
        pairs=pairs,
        live=Quantiles(live, live * 2, live * 4),
        shadow=Quantiles(live + delta, live * 2 + delta, live * 4 + delta),
        delta=Quantiles(delta, delta + 1, delta + 5),
    )


def _report(**fields: Any) -> Report:
    report = {
        "title": "Shadow traffic report",
        "source": "gnomon.duckdb",
        "created_at": WHEN,
        "since": None,
        "until": None,
        "rules": ["0123456789abcdef"],
        "comparisons": 100,
        "pairs": 100,
        "outcomes": OutcomeCounts(match=90, diff=10),
        "control_outcomes": None,
        "divergences": 10,
        "divergence_rate": 0.1,
        "interval": (0.055, 0.174),
        "endpoints": [_endpoint(diff=10)],
        "fields": [_field()],
        "latency": [_latency()],
        "rejects": [],
        "samples": [_sample(exchange("r-1", "live", {"price": 1}), exchange("r-1", "shadow", {"price": 2}))],
    }
    return Report(**{**report, **fields})


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    """A sample from two exchanges, as the comparison finds it; columns may be overridden."""
    return _sample


@pytest.fixture
def make_endpoint() -> Callable[..., EndpointStat]:
    """A row of the endpoints."""
    return _endpoint


@pytest.fixture
def make_field() -> Callable[..., FieldStat]:
    """A row of the fields."""
    return _field


@pytest.fixture
def make_latency() -> Callable[..., LatencyStat]:
    """A row of the latencies; `delta` moves all quantiles."""
    return _latency


@pytest.fixture
def make_report() -> Callable[..., Report]:
    """A small report of one endpoint, with one field and one pair."""
    return _report
