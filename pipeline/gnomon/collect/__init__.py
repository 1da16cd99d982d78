"""The collector: Envoy's gRPC access log in, exchange records onto Kafka or into a file."""

from __future__ import annotations

from gnomon.collect.collector import Collector, CollectorOptions
from gnomon.collect.counts import Counts
from gnomon.collect.setup import make_collector, run_collector
from gnomon.collect.sinks import StreamTransport

__all__ = ["Collector", "CollectorOptions", "Counts", "StreamTransport", "make_collector", "run_collector"]
