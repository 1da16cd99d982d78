"""A collector from the settings."""

from __future__ import annotations

import secrets
from importlib import metadata

from gnomon.collect.collector import Collector, CollectorOptions
from gnomon.config import Settings
from gnomon.core.redact import Redactor
from gnomon.core.rules import RuleSet
from gnomon.core.sampling import Sampler
from gnomon.emit.record import RecordWriter
from gnomon.emit.transport import Transport

__all__ = ["make_collector"]


def make_collector(settings: Settings, rules: RuleSet, transport: Transport) -> Collector:
    """Make the collector that the settings describe.

    Raises:
        ConfigError: The file that holds the redaction key cannot be read.
    """
    collect = settings.collect
    key = settings.redact.read_key() if settings.redact.enabled else None
    redactor = Redactor(
        key.encode() if key is not None else secrets.token_bytes(32),
        enabled=settings.redact.enabled,
        max_expanded=settings.limits.body_bytes,
    )
    options = CollectorOptions(
        bind=collect.bind,
        body_bytes=collect.body_bytes,
        queue_bytes=collect.queue_bytes,
        service=collect.service,
        emitter=f"gnomon collect {metadata.version('gnomon')}",
    )
    writer = RecordWriter(redactor, rules, collect.record_bytes)
    return Collector(options, Sampler(collect.sample, collect.floor), writer, transport)
