"""Settings: `gnomon.toml` and `GNOMON_*` variables become frozen structs. Every setting has a default that works."""

from __future__ import annotations

from gnomon.config.alerts import METRICS, Alerting, AlertRule, Hook, Metric, Secret
from gnomon.config.load import Loaded, find_database, find_rules, load_settings, secrets_of
from gnomon.config.routes import Route, RouteTag, Taint, read_routes
from gnomon.config.settings import (
    Collect,
    Decode,
    Emit,
    Endpoints,
    Join,
    Kafka,
    KafkaSecurity,
    LatencyShift,
    Limits,
    Log,
    Operations,
    Redact,
    Registry,
    Settings,
    Store,
    Verdict,
    Watch,
    Web,
)
from gnomon.config.show import MASK, render_settings

__all__ = [
    "MASK",
    "METRICS",
    "AlertRule",
    "Alerting",
    "Collect",
    "Decode",
    "Emit",
    "Endpoints",
    "Hook",
    "Join",
    "Kafka",
    "KafkaSecurity",
    "LatencyShift",
    "Limits",
    "Loaded",
    "Log",
    "Metric",
    "Operations",
    "Redact",
    "Registry",
    "Route",
    "RouteTag",
    "Secret",
    "Settings",
    "Store",
    "Taint",
    "Verdict",
    "Watch",
    "Web",
    "find_database",
    "find_rules",
    "load_settings",
    "read_routes",
    "render_settings",
    "secrets_of",
]
