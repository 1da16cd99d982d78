"""A collector from the settings, and what runs it with its health and metrics."""

from __future__ import annotations

import asyncio
from importlib import metadata
from typing import Final

from gnomon.collect.collector import Collector, CollectorOptions
from gnomon.config import Settings
from gnomon.core.rules import RuleSet
from gnomon.core.sampling import Sampler
from gnomon.emit.record import RecordWriter
from gnomon.emit.transport import Transport
from gnomon.operations import OperationsServer, ProcessMetrics
from gnomon.redaction import make_redactor

__all__ = ["make_collector", "run_collector"]

_EXPANDS: Final = 16
"""How many times the bound on bodies a compressed one may grow to be looked into for secrets; a larger is withheld."""


def make_collector(settings: Settings, rules: RuleSet, transport: Transport) -> Collector:
    """Make the collector that the settings describe.

    Raises:
        ConfigError: The file that holds the redaction key cannot be read.
    """
    collect = settings.collect
    redactor = make_redactor(settings.redact, _EXPANDS * collect.body_bytes)
    options = CollectorOptions(
        bind=collect.bind,
        body_bytes=collect.body_bytes,
        queue_bytes=collect.queue_bytes,
        service=collect.service,
        emitter=f"gnomon collect {metadata.version('gnomon')}",
    )
    writer = RecordWriter(redactor, rules, collect.record_bytes)
    return Collector(options, Sampler(collect.sample, collect.floor), writer, transport)


async def run_collector(collector: Collector, settings: Settings, stop: asyncio.Event) -> None:
    """Run a collector, and the endpoint that tells how it is, until `stop` is set.

    Raises:
        DependencyError: An address that was chosen is taken.
        ConfigError: An address is not this machine's.
        BrokenPipeError: Whoever read the records has gone.
    """
    metrics = ProcessMetrics("collect", collector.readiness)
    counts = collector.counts
    metrics.observe("gnomon_collect_received_total", lambda: {(): counts.received})
    metrics.observe(
        "gnomon_collect_entries_total",
        lambda: {(name,): getattr(counts, name) for name in ("written", "shed", "sampled_out", "lost")},
    )
    metrics.observe("gnomon_collect_skipped_total", lambda: {(reason,): n for reason, n in counts.skipped.items()})
    metrics.observe("gnomon_collect_unreadable_total", lambda: {(): counts.undecodable})
    metrics.observe("gnomon_collect_waiting_bytes", lambda: {(): collector.backlog.waiting_bytes})
    async with OperationsServer(settings.operations, collector.readiness, metrics):
        await collector.run(stop, settings.collect.drain.total_seconds())
