"""Volatile fields learned from live traffic: values made anew for each response, so that no two builds agree on them.

What is learned is a proposal that a person reads: a rule that lets through values of one kind at one place of one
endpoint, and the evidence. Whatever else could explain the difference is a reason to refuse.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, Literal, TypeAlias

import msgspec

from gnomon.core.equality import type_name
from gnomon.core.json import Unreadable, loads
from gnomon.core.moments import parse_time_us
from gnomon.model import JsonValue

__all__ = ["FieldSample", "Observation", "Refusal", "VolatileField", "learn_volatile"]

VolatileKind: TypeAlias = Literal["uuid", "timestamp", "counter", "signature", "secret", "instance", "unique"]

MIN_REQUESTS: Final = 20
NEARLY_ALL: Final = 0.95
NEAR_US: Final = 60_000_000
MIN_REPEATS: Final = 5
MOST_INSTANCES: Final = 100

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")
_SIGNATURES: Final = (r"[0-9a-f]", r"[0-9A-F]", r"[0-9A-Za-z_-]", r"[0-9A-Za-z+/=]")
_INSTANCE: Final = re.compile(
    r"(?=.*[0-9])(?=.*[-._:])[A-Za-z0-9][A-Za-z0-9._-]{2,80}(:[0-9]{1,5})?|[0-9a-fA-F:]{6,40}"
)
_REDACTED: Final = "redacted:hmac-sha256:"
_LONGEST: Final = 256
_LONGEST_VALUE: Final = 4_096

_MEANING: Final[dict[VolatileKind, str]] = {
    "uuid": "a UUID made anew for each response",
    "timestamp": "the time of the response",
    "counter": "a counter that each response moves on",
    "signature": "a token made anew for each response",
    "secret": "a secret made anew for each response",
    "instance": "the name of the instance that answered",
    "unique": "a value made anew for each response",
}


class Observation(msgspec.Struct, frozen=True):
    """One difference: of which request (`GET /items/7`), when, where, and both values as JSON text."""

    request_id: str
    request: str
    started_us: int
    path: str
    live: str
    shadow: str


class FieldSample(msgspec.Struct, frozen=True, kw_only=True):
    """One pattern of one endpoint: in how many of its pairs values differ there, and some of the differences.

    `kinds` are all kinds of difference seen at the pattern.
    """

    service: str
    endpoint: str
    pattern: str
    pairs: int
    requests: int
    kinds: frozenset[str]
    observations: Sequence[Observation]


class VolatileField(msgspec.Struct, frozen=True, kw_only=True):
    """A field that is volatile: the aspect that a rule for it sets, its value, and what speaks for it.

    `distinct` counts live's values among those looked at, `repeats` the answers to requests that were seen before.
    """

    kind: VolatileKind
    aspect: Literal["treat_as", "match", "time_tolerance"]
    value: str
    meaning: str
    distinct: int
    repeats: int


class Refusal(msgspec.Struct, frozen=True):
    """Why no rule is proposed for a field."""

    reason: str


def learn_volatile(sample: FieldSample) -> VolatileField | Refusal:
    """Learn whether a field is volatile, or say why it is not proposed.

    Status codes, whole documents, fields that also come, go or change their type, and patterns that are wider than what
    was seen are refused, and so is what is equal elsewhere: in other pairs, or in answers to the same request.
    """
    refused = _not_a_value(sample)
    if refused is not None:
        return Refusal(refused)
    if not all(_is_scalar(observation) for observation in sample.observations):
        return Refusal("whole objects, arrays or long texts differ there")
    try:
        values = [(loads(o.live.encode()), loads(o.shadow.encode())) for o in sample.observations]
    except Unreadable:
        return Refusal("its values were too long to be kept whole")
    changed, kept = _repeats(sample.observations)
    if _follow_the_clock(sample.observations, values):
        # A clock of seconds gives many answers the same time, so that it may be equal is no argument.
        return _field("timestamp", values, changed, ("time_tolerance", f"{2 * NEAR_US // 60_000_000}m"))
    if changed >= MIN_REPEATS and _are_instances(values):
        return _field("instance", values, changed)
    stable = _equal_elsewhere(sample, kept)
    return Refusal(stable) if stable else _classify(sample.observations, values, changed)


def _equal_elsewhere(sample: FieldSample, kept: int) -> str | None:
    """Say where values are the same that a volatile field would make anew, None if nowhere."""
    if sample.requests < NEARLY_ALL * sample.pairs:
        return f"it is equal in {sample.pairs - sample.requests} of {sample.pairs} pairs"
    if kept:
        return f"live answered the same request with the same value {kept} times"
    return "the value comes from the request" if _from_request(sample.observations) else None


def _not_a_value(sample: FieldSample) -> str | None:
    """Say why a field is not one that could hold a volatile value."""
    if sample.pattern == "/status" or sample.pattern.startswith(("/error", "/trailers/grpc-status")):
        return "it says how the request ended"
    if sample.pattern in ("", "/body", "/headers", "/trailers"):
        return "it is a whole document"
    others = sorted(sample.kinds - {"changed"})
    if others:
        return f"its structure differs too ({', '.join(others)})"
    if sample.requests < MIN_REQUESTS:
        return f"it differs in {sample.requests} requests, and {MIN_REQUESTS} are needed"
    if "*" in sample.pattern and len({o.path for o in sample.observations}) == 1:
        return f"the pattern is wider than the evidence, all of which is at {sample.observations[0].path}"
    if any(sign in sample.endpoint + sample.service for sign in "*?"):
        return "a rule for this name would hold for others too"
    return None


def _is_scalar(observation: Observation) -> bool:
    sides = (observation.live, observation.shadow)
    return all(len(text) <= _LONGEST_VALUE and not text.startswith(("{", "[")) for text in sides)


def _repeats(observations: Sequence[Observation]) -> tuple[int, int]:
    """How often live answered a request that it had answered before: with another value, and with the same.

    Requests with a body are not known to be the same, so that they are answered with other values says nothing.
    """
    seen: dict[tuple[str, str], list[str]] = defaultdict(list)
    for observation in observations:
        seen[observation.request, observation.path].append(observation.live)
    changed = sum(len(set(v)) - 1 for (request, _), v in seen.items() if request.startswith(("GET ", "HEAD ")))
    return changed, sum(len(values) - len(set(values)) for values in seen.values())


def _from_request(observations: Sequence[Observation]) -> bool:
    """Whether live's values are those that the requests ask for: `/items/7` answered with 7."""
    named = sum(o.live.strip('"') in re.split(r"[/?&=]", o.request) for o in observations)
    return named > (1 - NEARLY_ALL) * len(observations)


Values: TypeAlias = Sequence[tuple[JsonValue, JsonValue]]


def _classify(observations: Sequence[Observation], values: Values, repeats: int) -> VolatileField | Refusal:
    types = {type_name(value) for pair in values for value in pair}
    if len(types) > 1 or not types <= {"string", "number"}:
        return Refusal("its values are of no one type that could be unique")
    distinct = min(len({str(live) for live, _ in values}), len({str(shadow) for _, shadow in values}))
    if distinct < NEARLY_ALL * len(values):
        return Refusal(f"values repeat: {distinct} different ones in {len(values)} answers")
    if _all(values, _is_uuid):
        return _field("uuid", values, repeats, ("treat_as", "uuid"))
    if _all(values, lambda value: isinstance(value, str) and value.startswith(_REDACTED)):
        return _field("secret", values, repeats)
    if _moves_on(observations, values):
        return _field("counter", values, repeats)
    form = _signature(values)
    if form is not None:
        return _field("signature", values, repeats, ("match", form))
    if repeats >= MIN_REPEATS:
        return _field("unique", values, repeats)
    return Refusal("its values are unique, but of no known kind, and too few requests were seen again")


def _field(
    kind: VolatileKind,
    values: Values,
    repeats: int,
    says: tuple[Literal["treat_as", "match", "time_tolerance"], str] = ("treat_as", "type"),
) -> VolatileField:
    return VolatileField(
        kind=kind,
        aspect=says[0],
        value=says[1],
        meaning=_MEANING[kind],
        distinct=len({str(live) for live, _ in values}),
        repeats=repeats,
    )


def _all(values: Values, holds: Callable[[JsonValue], bool]) -> bool:
    return all(holds(live) and holds(shadow) for live, shadow in values)


def _is_uuid(value: JsonValue) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def _follow_the_clock(observations: Sequence[Observation], values: Values) -> bool:
    """Whether all values are moments within a minute of their requests, and not one and the same moment."""
    for observation, pair in zip(observations, values, strict=True):
        for moment in map(parse_time_us, pair):
            if moment is None or abs(moment - observation.started_us) > NEAR_US:
                return False
    return len({str(live) for live, _ in values}) > 1


def _moves_on(observations: Sequence[Observation], values: Values) -> bool:
    """Whether both sides count up, or both down, as time goes on."""
    ordered = sorted(zip(observations, values, strict=True), key=lambda seen: (seen[0].started_us, seen[0].request_id))
    sides = [[_whole(pair[side]) for _, pair in ordered] for side in (0, 1)]
    directions = set()
    for side in sides:
        numbers = [number for number in side if number is not None]
        if len(numbers) < len(side):
            return False
        steps = [later - earlier for earlier, later in pairwise(numbers)]
        # Requests that overlap are answered in another order than they began.
        enough = 0.9 * len(steps)
        directions.add(next((sign for sign in (1, -1) if sum(sign * step > 0 for step in steps) >= enough), 0))
    return len(directions) == 1 and 0 not in directions


def _whole(value: JsonValue) -> int | None:
    if type(value) is int:
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value) else None


def _signature(values: Values) -> str | None:
    """The regular expression of random tokens of one length and one alphabet, None if they are not that."""
    texts = [value for pair in values for value in pair if isinstance(value, str)]
    lengths = {len(text) for text in texts}
    if len(texts) < 2 * len(values) or len(lengths) != 1 or not 16 <= (length := lengths.pop()) <= _LONGEST:
        return None
    for alphabet in _SIGNATURES:
        if all(re.fullmatch(f"{alphabet}{{{length}}}", text) for text in texts):
            return f"^{alphabet}{{{length}}}$" if _is_random(texts) else None
    return None


def _is_random(texts: Sequence[str]) -> bool:
    """Whether most places of a text vary: names and words share their beginnings, random tokens do not."""
    varied = sum(len(set(column)) >= min(8, math.isqrt(len(texts))) for column in zip(*texts, strict=True))
    return varied >= 0.8 * len(texts[0])


def _are_instances(values: Values) -> bool:
    """Whether live's values are few names that recur, in the form of hosts or addresses."""
    names = {live for live, _ in values if isinstance(live, str)}
    return 2 <= len(names) <= min(MOST_INSTANCES, len(values) // 4) and _all(
        values, lambda value: isinstance(value, str) and _INSTANCE.fullmatch(value) is not None
    )
