"""Settings: `gnomon.toml` and `GNOMON_*` variables become frozen structs. Every setting has a default that works."""

from __future__ import annotations

from gnomon.config.load import Loaded, find_database, find_rules, load_settings, secrets_of
from gnomon.config.routes import Route, RouteTag, read_routes
from gnomon.config.settings import (
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
    Settings,
    Store,
    Verdict,
    Web,
)
from gnomon.config.show import MASK, render_settings

__all__ = [
    "MASK",
    "Decode",
    "Emit",
    "Endpoints",
    "Join",
    "Kafka",
    "KafkaSecurity",
    "LatencyShift",
    "Limits",
    "Loaded",
    "Log",
    "Operations",
    "Redact",
    "Route",
    "RouteTag",
    "Settings",
    "Store",
    "Verdict",
    "Web",
    "find_database",
    "find_rules",
    "load_settings",
    "read_routes",
    "render_settings",
    "secrets_of",
]
