"""The words of Gnomon as values: exchanges, comparisons, differences, rejects, alerts.

All are frozen msgspec structs. Published shapes (`schemas/*.json`) are generated from here. Times are UTC;
fields that end in `_us` are integer microseconds, in `_ms` floating-point milliseconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, TypeAlias

import msgspec

__all__ = [
    "DIVERGENT",
    "EPOCH",
    "OUTCOMES",
    "Alert",
    "Body",
    "Comparison",
    "Difference",
    "DifferenceKind",
    "ErrorKind",
    "Exchange",
    "Header",
    "JsonValue",
    "Measure",
    "Outcome",
    "Place",
    "PopulationCount",
    "Reject",
    "Request",
    "Response",
    "Role",
    "Severity",
    "TransportError",
    "instant",
]

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
"""A decoded JSON document. Numbers a double cannot hold exactly are `decimal.Decimal` (see `core.json`)."""

Role: TypeAlias = Literal["live", "shadow", "control"]
ComparedRole: TypeAlias = Literal["shadow", "control"]
ErrorKind: TypeAlias = Literal["timeout", "connect", "reset", "protocol", "overload"]
Measure: TypeAlias = Literal["requests", "failed", "latency", "shaped", "cut", "type", "value"]
DifferenceKind: TypeAlias = Literal["added", "removed", "changed", "type_changed", "moved"]
Severity: TypeAlias = Literal["high", "medium", "low"]
Outcome: TypeAlias = Literal[
    "match",
    "noise",
    "diff",
    "live_error",
    "shadow_error",
    "shadow_missing",
    "live_missing",
    "incomparable",
]

OUTCOMES: tuple[Outcome, ...] = (
    "match",
    "noise",
    "diff",
    "live_error",
    "shadow_error",
    "shadow_missing",
    "live_missing",
    "incomparable",
)

DIVERGENT: frozenset[Outcome] = frozenset({"diff", "live_error", "shadow_error", "shadow_missing"})
"""Outcomes that make a comparison of role shadow a divergence."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_INSTANT_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999, the latest instant a store can hold."""

MAX_EXPECTED = 100
"""How many others one request can be sent to: each of them is a row."""

Header: TypeAlias = tuple[str, str]
Text: TypeAlias = str
Expected: TypeAlias = Annotated[str, msgspec.Meta(pattern="^(shadow(:.*)?|control)$")]
BodyHash: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z._-]+:[0-9A-Fa-f]+$")]


def instant(us: int) -> datetime:
    """Turn epoch microseconds into an aware UTC datetime, without a float in between."""
    return EPOCH + timedelta(microseconds=us)


class Body(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What was on the wire after transfer-encoding and before content-decoding.

    `size` and `hash` (`sha256:<hex>`) are of the whole body, in bytes, so two truncated bodies can still be told equal.
    """

    data: str
    encoding: Literal["text", "base64"]
    size: Annotated[int, msgspec.Meta(ge=0)]
    hash: BodyHash | None = None
    # Not a plain default: with `omit_defaults` that would be left out, and only the hash may be
    truncated: bool = msgspec.field(default_factory=bool)


class Request(msgspec.Struct, frozen=True, gc=False):
    """The request as the emitter saw it; `path` includes the query string."""

    method: str
    path: str
    host: str = ""
    headers: list[Header] = []
    body: Body | None = None


class Response(msgspec.Struct, frozen=True, gc=False):
    """The response as the emitter saw it; gRPC's status is in `trailers`."""

    status: Annotated[int, msgspec.Meta(ge=0, le=999)]
    headers: list[Header] = []
    body: Body | None = None
    trailers: list[Header] = []


class TransportError(msgspec.Struct, frozen=True, gc=False):
    """Why there is no response."""

    kind: ErrorKind
    message: str = ""


class Exchange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request and its response, or its transport error, as one side saw it.

    Exactly one of `response` and `error` is set. `expect` is None where the record has none (the setting
    `join.expect` applies); an empty list says that nobody else was sent this request.
    """

    v: Literal[1] = 1
    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    role: Role
    target: str = ""
    expect: Annotated[list[Expected], msgspec.Meta(max_length=MAX_EXPECTED)] | None = None
    service: str = ""
    started_us: Annotated[int, msgspec.Meta(ge=0, le=MAX_INSTANT_US)]
    duration_us: Annotated[int, msgspec.Meta(ge=0, le=MAX_INSTANT_US)] | None = None
    request: Request
    response: Response | None = None
    error: TransportError | None = None
    synthetic: str | None = None
    flags: dict[str, str] = {}
    as_of: str | None = None
    emitter: str = ""

    @property
    def completed_us(self) -> int:
        """Event time: when the last byte was seen, in epoch microseconds."""
        return self.started_us + (self.duration_us or 0)


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a record was read: a file and a line (both start at 1), or a topic, partition and offset."""

    source: str
    line: int | None = None
    partition: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        """`FILE:LINE`, `TOPIC[PARTITION]@OFFSET` or just the source."""
        if self.partition is not None:
            return f"{self.source}[{self.partition}]@{self.offset}"
        return self.source if self.line is None else f"{self.source}:{self.line}"


class Reject(msgspec.Struct, frozen=True, gc=False):
    """A record that cannot be decoded or breaks the shape; `excerpt` is its first 4 KiB as read."""

    place: Place
    reason: str
    excerpt: bytes = b""


class Difference(msgspec.Struct, frozen=True, gc=False):
    """One place where two documents are not the same.

    `path` is a JSON Pointer in the live document (for `added`: live's parents and the shadow's last step),
    `shadow_path` the same place in the shadow document, None for `removed`. `live_value` and
    `shadow_value` are JSON text, None where the side has no value. `reason` says why it is noise, or
    repeats the reason of the rule that made it so.
    """

    path: str
    shadow_path: str | None
    pattern: str
    kind: DifferenceKind
    severity: Severity
    live_value: str | None = None
    shadow_value: str | None = None
    noise: bool = False
    reason: str | None = None


class PopulationCount(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many live answers of one service, endpoint, target and minute are alike in something.

    `measure` says in what: `requests` (all), `failed` (no answer, or a status of 500 or more), `latency` (`value` is
    the bucket: up to 1.02^bucket ms), `shaped` (a JSON body whose shape was read), and of those `type` (`field` is a
    pattern, `value` the JSON type that is there) and `value` (a word that is there, or `(many)` where the field is no
    enumeration).
    """

    service: str
    endpoint: str
    target: str
    minute: datetime
    measure: Measure
    field: str
    value: str
    responses: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Live against one target for one request id. The `shadow_*` fields are the control's where role is control."""

    request_id: str
    target: str
    role: ComparedRole
    service: str
    endpoint: str
    method: str
    path: str
    started_at: datetime
    live_target: str | None = None
    live_status: int | None = None
    shadow_status: int | None = None
    live_error: ErrorKind | None = None
    shadow_error: ErrorKind | None = None
    live_ms: float | None = None
    shadow_ms: float | None = None
    delta_ms: float | None = None
    outcome: Outcome
    differences: int = 0
    noise_differences: int = 0
    severity: Severity | None = None
    late: bool = False
    duplicates: int = 0
    synthetic: str | None = None
    flags: dict[str, str] = {}
    as_of: str | None = None
    rules: str
    topic: str | None = None
    partition: int | None = None
    live_offset: int | None = None
    shadow_offset: int | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One state change of one alert rule for one service, endpoint and target."""

    name: str
    key: str
    state: Literal["firing", "resolved"]
    severity: Literal["critical", "warning", "info"]
    service: str
    endpoint: str
    target: str
    metric: str
    value: float
    threshold: float
    interval: tuple[float, float] | None = None
    since: datetime
    at: datetime
    summary: str
    patterns: list[str] = []
    request_ids: list[str] = []
    link: str | None = None
