"""Live answers as populations: counts by service, endpoint, target and minute, which add up.

Two builds that share live traffic never answer the same request, so their answers are compared as populations: how many
failed, how long they took, and what shape they have. Everything is counted in small rows that can be summed over
minutes, workers and endpoints. Latencies are counted in buckets of equal ratio (as DDSketch does: Masson, Rim and Lee,
VLDB 2019), so a quantile read from them is off by 1 % at most.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from typing import Final, NamedTuple, Protocol, TypeAlias

from gnomon.core.body import BodyOptions, expand, read_body, wire_bytes
from gnomon.core.document import header_value
from gnomon.core.json import Unreadable
from gnomon.core.pointer import escape_pattern
from gnomon.core.rules import EndpointRules, PathRules, RuleSet
from gnomon.core.secret_names import is_secret_name
from gnomon.model import Exchange, JsonValue, Measure, PopulationCount, Response, instant

__all__ = ["MANY", "MOST_VALUES", "OTHER", "Naming", "PopulationBounds", "Populations", "bucket_of", "bucket_top"]

RATIO: Final = 1.02
"""Between the ends of a bucket of latencies; its middle is within 1 % of all that is in it."""

MOST_BYTES: Final = 256 * 1024
MOST_NODES: Final = 2_000
MOST_ELEMENTS: Final = 100
MOST_FIELDS: Final = 1_000
MOST_PATTERN: Final = 512
MOST_VALUES: Final = 32
"""A field with more values is no enumeration."""

MANY: Final = "(many)"
"""The value of a field that is no enumeration."""

OTHER: Final = "(other)"
"""The name of the endpoints of a service that are too many to be told apart."""

_LOG_RATIO: Final = math.log(RATIO)
_MOST_KEYS: Final = 10_000
_MINUTE_US: Final = 60_000_000
_MINUTES_KEPT: Final = 10
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")

_TYPES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    str: "string",
    list: "array",
}

_Key: TypeAlias = tuple[str, str, str, int]
_Unit: TypeAlias = tuple[Measure, str, str]


class Naming(Protocol):
    """What knows endpoints and their rules (`gnomon.engine.Engine`)."""

    rules: RuleSet

    def name(self, exchange: Exchange, /) -> str:
        """Name an exchange's endpoint."""
        ...


def bucket_of(milliseconds: float) -> int:
    """The bucket of a latency: bucket b holds what is above 1.02^(b - 1) ms and at most 1.02^b ms."""
    return math.ceil(math.log(max(milliseconds, 1e-3)) / _LOG_RATIO)


def bucket_top(bucket: int) -> float:
    """The upper end of a bucket in milliseconds, which belongs to it."""
    return float(RATIO**bucket)


class PopulationBounds(NamedTuple):
    """Of each endpoint, target and minute the first so many answers have their shape read; endpoints of a service."""

    shapes: int = 100
    endpoints: int = 1_000


class _Names:
    """The endpoints of each service that are counted under their own name: no more than `bound` at a time.

    Who came first keeps its name for as long as it is asked for: one that was not for ten minutes makes room. So what
    scans a service for paths that it does not have takes no name from an endpoint that is in use.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._last: dict[str, dict[str, int]] = {}
        self._swept: dict[str, int] = {}

    def shown(self, service: str, endpoint: str, minute: int) -> str:
        """The name under which an answer of this minute is counted."""
        last = self._last.setdefault(service, {})
        if endpoint not in last and len(last) >= self._bound and not self._sweep(service, last, minute):
            return OTHER
        last[endpoint] = minute
        return endpoint

    def tidy(self) -> None:
        """Forget all where there are too many services: their names come from traffic too."""
        if len(self._last) > _MOST_KEYS:
            self._last.clear()
            self._swept.clear()

    def _sweep(self, service: str, last: dict[str, int], minute: int) -> bool:
        """Make room, if this minute did not try before; whether there is some."""
        if self._swept.get(service) != minute:
            self._swept[service] = minute
            for name in [name for name, at in last.items() if abs(minute - at) > _MINUTES_KEPT]:
                del last[name]
        return len(last) < self._bound


class _Counted:
    """What is counted of one service, endpoint, target and minute."""

    __slots__ = ("cut", "failed", "latencies", "requests", "shaped", "units")

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0
        self.latencies: dict[int, int] = {}
        self.shaped = 0
        self.cut = {"type": 0, "value": 0}
        self.units: dict[str, Counter[_Unit]] = {"type": Counter(), "value": Counter()}

    def count_shape(self, units: Collection[_Unit], *, is_whole: bool) -> None:
        """Count what one answer has; or, where there is too much of a kind, that its kind was cut."""
        self.shaped += 1
        fits = {"type": is_whole, "value": is_whole}
        for unit in units:
            known = self.units[unit[0]]
            if unit in known or len(known) < MOST_FIELDS:
                known[unit] += 1
            else:
                fits[unit[0]] = False
        for measure, is_all in fits.items():
            self.cut[measure] += not is_all

    def rows(self) -> Iterator[tuple[Measure, str, str, int]]:
        """Measure, field, value and how many, without those that are none."""
        plain: tuple[tuple[Measure, int], ...] = (
            ("requests", self.requests),
            ("failed", self.failed),
            ("shaped", self.shaped),
        )
        yield from ((measure, "", "", count) for measure, count in plain if count)
        yield from (("latency", "", str(bucket), count) for bucket, count in self.latencies.items())
        yield from (("cut", "", kind, count) for kind, count in self.cut.items() if count)
        for known in self.units.values():
            yield from ((*unit, count) for unit, count in known.items())


class Populations:
    """Counts live answers until they are drained.

    Shapes are those of JSON bodies of up to 256 KiB: at which patterns there is a value of which type, and which words
    stand at those that are enumerations. What rules ignore is left out; values are left out where a rule treats them as
    equal or hides them, where a name is that of a secret, and where redaction would touch them. Types and words of a
    minute's answers are bounded; where there are more, it is counted that some were `cut`: the rest is no fair sample.
    Endpoints of a service are bounded too; what is beyond is counted as one, `(other)`.

    Args:
        naming: Names endpoints, and has their rules.
        redact: Takes secrets out of a text.
        body: How bodies are read.
        bounds: How many answers have their shape read, and how many endpoints are told apart.
    """

    def __init__(
        self, naming: Naming, redact: Callable[[str], str], body: BodyOptions, bounds: PopulationBounds
    ) -> None:
        self._naming = naming
        self._redact = redact
        self._body = body
        self._shapes = bounds.shapes
        self._names = _Names(bounds.endpoints)
        self._counts: dict[_Key, _Counted] = {}
        self._looked: Counter[_Key] = Counter()
        self._values: dict[tuple[str, str, str], set[str] | None] = {}

    def __len__(self) -> int:
        """How many services, endpoints, targets and minutes are counted."""
        return len(self._counts)

    def add(self, exchange: Exchange, endpoint: str | None = None) -> None:
        """Count an exchange, if it is a real caller's answer by live; `endpoint` is its name where that is known."""
        if exchange.role != "live" or exchange.synthetic is not None:
            return
        if endpoint is None:
            endpoint = self._naming.name(exchange)
        minute = exchange.started_us // _MINUTE_US
        key = (exchange.service, self._names.shown(exchange.service, endpoint, minute), exchange.target, minute)
        counted = self._counts.get(key)
        if counted is None:
            counted = self._counts[key] = _Counted()
        counted.requests += 1
        response = exchange.response
        if response is None:
            counted.failed += 1
            return
        if response.status >= 500:
            counted.failed += 1
        if exchange.duration_us is not None:
            bucket = bucket_of(exchange.duration_us / 1000)
            counted.latencies[bucket] = counted.latencies.get(bucket, 0) + 1
        if self._looked[key] < self._shapes:
            self._look(key, response, counted, self._naming.rules.for_endpoint(exchange.service, endpoint))

    def drain(self) -> list[PopulationCount]:
        """Give what was counted since the last time; what is known of fields stays."""
        rows = [
            PopulationCount(
                service=service,
                endpoint=endpoint,
                target=target,
                minute=instant(minute * _MINUTE_US),
                measure=measure,
                field=self._redact(field) if field else field,
                value=value,
                responses=responses,
            )
            for (service, endpoint, target, minute), counted in self._counts.items()
            for measure, field, value, responses in counted.rows()
        ]
        self._counts = {}
        if len(self._looked) > _MOST_KEYS:  # names come from traffic
            self._looked.clear()
        self._names.tidy()
        return rows

    def _look(self, key: _Key, response: Response, counted: _Counted, rules: EndpointRules) -> None:
        """Count the shape of an answer, if it has one that can be read."""
        document = self._document(response)
        if document is None:
            return
        self._looked[key] += 1
        units: set[_Unit] = set()
        found, is_whole = _walk(document[0], rules)
        for pattern, value, shown in found:
            units.add(("type", pattern, _TYPES.get(type(value), "object")))
            if shown and isinstance(value, str) and _WORD.fullmatch(value):
                units.add(("value", pattern, self._word(key, pattern, value)))
        counted.count_shape(units, is_whole=is_whole)

    def _document(self, response: Response) -> tuple[JsonValue] | None:
        body = response.body
        content_type = header_value(response.headers, "content-type")
        if body is None or body.truncated or len(body.data) > MOST_BYTES or "json" not in content_type:
            return None
        try:
            data = wire_bytes(body)
            encoding = header_value(response.headers, "content-encoding")
            data = expand(data, encoding, MOST_BYTES) if encoding else data
            if not data:
                return None
            return (
                read_body(data, content_type=content_type, content_encoding="", grpc_method="", options=self._body),
            )
        except Unreadable:
            return None

    def _word(self, key: _Key, pattern: str, value: str) -> str:
        """The value as it is counted: itself while the field may be an enumeration."""
        field = (key[0], key[1], pattern)
        known = self._values.get(field, set()) if len(self._values) < _MOST_KEYS else self._values.get(field)
        if known is None:
            return MANY
        if value not in known:
            if len(known) >= MOST_VALUES or self._redact(value) != value:
                self._values[field] = None
                return MANY
            known.add(value)
            self._values[field] = known
        return value


def _walk(document: JsonValue, rules: EndpointRules) -> tuple[list[tuple[str, JsonValue, bool]], bool]:
    """Give patterns with their values and whether a value may be shown; and whether that is all of them."""
    found: list[tuple[str, JsonValue, bool]] = []
    stack: list[tuple[str, JsonValue, PathRules, bool]] = [("/body", document, rules.root.child("body"), True)]
    nodes = 0
    while stack and nodes < MOST_NODES:
        pattern, value, here, shown = stack.pop()
        if here.skip or len(pattern) > MOST_PATTERN:
            continue
        nodes += 1
        shown = shown and here.redact is None
        if not here.aspects.ignore:
            found.append((pattern, value, shown and not here.equalises and not here.aspects.noise))
        if isinstance(value, dict):
            for name, member in value.items():
                step = "*" if here.aspects.map else escape_pattern(name)
                stack.append((f"{pattern}/{step}", member, here.child(name), shown and not is_secret_name(name)))
        elif isinstance(value, list):
            stack.extend(
                (f"{pattern}/*", element, here.item(index), shown)
                for index, element in enumerate(value[:MOST_ELEMENTS])
            )
    return found, not stack
