"""The shapes of answers that have no struct elsewhere. `more` says that there are more lines than the limit."""

from __future__ import annotations

from typing import Any

import msgspec

from gnomon.model import Alert
from gnomon.summary import EndpointStat, FieldStat

__all__ = [
    "Alerts",
    "Differences",
    "Endpoints",
    "Fields",
    "Health",
    "Problem",
    "Ready",
    "StoredComparison",
    "StoredRequest",
]


class Endpoints(msgspec.Struct, frozen=True):
    """Endpoints by divergence rate, the worst first."""

    endpoints: list[EndpointStat]
    more: bool


class Fields(msgspec.Struct, frozen=True):
    """Field patterns, the most severe and most frequent first."""

    fields: list[FieldStat]
    more: bool


class Differences(msgspec.Struct, frozen=True):
    """Differences with the names of the table's columns, the newest first; values are cut to 4,096 characters."""

    differences: list[dict[str, Any]]
    more: bool


class Alerts(msgspec.Struct, frozen=True):
    """The last state change of each alert, the newest first."""

    alerts: list[Alert]
    more: bool


class StoredComparison(msgspec.Struct, frozen=True):
    """One comparison with its differences, and the redacted exchanges by role, with the tables' names."""

    comparison: dict[str, Any]
    differences: list[dict[str, Any]]
    live: dict[str, Any] | None
    shadow: dict[str, Any] | None
    control: dict[str, Any] | None


class StoredRequest(msgspec.Struct, frozen=True):
    """What is stored of one request: its comparisons with differences and redacted exchanges.

    `more` says that some is left out, to keep the answer small: differences beyond the first 1,000, exchanges, then
    comparisons.
    """

    request_id: str
    comparisons: list[StoredComparison]
    more: bool = False


class Health(msgspec.Struct, frozen=True):
    """The process lives."""

    status: str


class Ready(msgspec.Struct, frozen=True):
    """Whether the store can be read."""

    ready: bool
    reasons: dict[str, str]


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why there is no answer: one sentence, and the parameter that is wrong where it is one."""

    error: str
    parameter: str | None = None
