"""What a request may ask: query parameters and the body of a gate, checked, with an answer that says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from gnomon.core.moments import read_moment
from gnomon.model import DifferenceKind, Severity
from gnomon.store import Cohort, DifferenceChoice, Selection

__all__ = [
    "AlertsAsked",
    "BadRequestError",
    "DifferencesAsked",
    "FlaggerCall",
    "ListAsked",
    "NothingAsked",
    "PeriodAsked",
    "VerdictAsked",
    "canary_of",
    "cohort_of",
    "period_of",
    "read_flagger",
    "read_query",
    "select",
]

T = TypeVar("T", bound=msgspec.Struct)

MOST_CHARACTERS: Final = 1024
"""Of one parameter: no name that is stored is longer than it is useful."""

Name = Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS)]
Time = Annotated[
    str,
    msgspec.Meta(
        max_length=64,
        description="RFC 3339, a date, or a duration before now such as `24h`",
        examples=["2027-07-12T08:00:00Z", "24h"],
    ),
]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000, description="How many at most")]


class BadRequestError(Exception):
    """A request that cannot be answered; `parameter` is what is wrong with it, where that is one."""

    def __init__(self, sentence: str, parameter: str | None = None) -> None:
        self.sentence = sentence
        self.parameter = parameter
        super().__init__(sentence)


class NothingAsked(msgspec.Struct, frozen=True, kw_only=True):
    """No parameters."""


class PeriodAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Which comparisons; without a parameter, or with an empty one, all of real traffic.

    `since` is included, `until` is not.
    """

    since: Time | None = None
    until: Time | None = None
    service: Name | None = None
    target: Name | None = None
    synthetic: Literal["include", "exclude", "only"] = "exclude"


class VerdictAsked(PeriodAsked, frozen=True, kw_only=True):
    """Which comparisons, and whose: of requests with this flag, or to be served as of this moment.

    With `canary` and `baseline` the live answers of those two targets instead, without pairs.
    """

    flag: (
        Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS, description="NAME=VALUE", examples=["new-cart=on"])]
        | None
    ) = None
    as_of: Time | None = None
    canary: Name | None = None
    baseline: Name | None = None


class ListAsked(PeriodAsked, frozen=True, kw_only=True):
    """Which comparisons, and how many lines."""

    limit: Limit = 100


class DifferencesAsked(ListAsked, frozen=True, kw_only=True):
    """Which differences."""

    endpoint: Name | None = None
    pattern: Name | None = None
    kind: DifferenceKind | None = None
    severity: Severity | None = None

    def choice(self) -> DifferenceChoice:
        """What of it chooses among differences."""
        return DifferenceChoice(
            endpoint=self.endpoint, pattern=self.pattern, kind=self.kind, severity=self.severity, limit=self.limit
        )


class AlertsAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Which alerts: those whose last change was in the period."""

    since: Time | None = None
    until: Time | None = None
    service: Name | None = None
    target: Name | None = None
    state: Literal["firing", "resolved"] | None = None
    limit: Limit = 100


class FlaggerCall(msgspec.Struct, frozen=True, kw_only=True):
    """What Flagger posts. `metadata` is what the canary's webhook says: see docs/http-api.md."""

    name: Name
    namespace: Name = ""
    phase: str = ""
    checksum: str = ""
    metadata: dict[str, str] | None = None

    @property
    def asked(self) -> dict[str, str]:
        """The metadata; none is as good as empty."""
        return self.metadata or {}


def read_query(pairs: Sequence[tuple[str, str]], kind: type[T]) -> T:
    """Read query parameters as a struct.

    Raises:
        BadRequestError: A parameter that there is not, that is given twice, or whose value means nothing.
    """
    known = kind.__struct_fields__
    given: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in pairs:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            parameters = f"there are {', '.join(known)}" if known else "there are none here"
            raise BadRequestError(
                f"no such parameter: {_shown(name)}; {f'did you mean {near[0]!r}?' if near else parameters}", name[:64]
            )
        if name in seen:
            raise BadRequestError(f"the parameter {name!r} is given twice; keep one", name)
        if "\x00" in value:
            raise BadRequestError(f"{name}: has a NUL character", name)
        seen.add(name)
        if value:
            given[name] = value
    return _convert(given, kind)


def read_flagger(body: bytes) -> FlaggerCall:
    """Read the body of a gate.

    Raises:
        BadRequestError: It is not what Flagger posts, or its metadata has keys that there are not.
    """
    try:
        call = msgspec.json.decode(body, type=FlaggerCall)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"the body is not what Flagger posts: {error}") from error
    known = ("service", "target", "since", "until", "synthetic", "undecided")
    for key in call.asked:
        if key not in known and not key.startswith("event"):  # Flagger adds those itself
            near = get_close_matches(key, known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise BadRequestError(f"metadata has no key {_shown(key)}; {remedy}", "metadata")
    if call.asked.get("undecided", "halt") not in {"halt", "go"}:
        raise BadRequestError("metadata.undecided is 'halt' or 'go'", "metadata")
    return call


def period_of(call: FlaggerCall) -> PeriodAsked:
    """Say what a gate is about: the canary's own service where its metadata names no other."""
    given = {name: call.asked[name] for name in PeriodAsked.__struct_fields__ if call.asked.get(name)}
    return _convert({"service": call.name, **given}, PeriodAsked)


def select(asked: PeriodAsked | AlertsAsked, now: datetime) -> Selection:
    """Turn what was asked into a selection.

    Raises:
        BadRequestError: A time that is none, or a period that ends before it begins.
    """
    times: dict[str, datetime] = {}
    for name in ("since", "until"):
        text = getattr(asked, name)
        if text is not None:
            try:
                times[name] = read_moment(text, now)
            except ValueError as error:
                raise BadRequestError(f"{name}: {error}", name) from error
    if len(times) == len(("since", "until")) and times["since"] >= times["until"]:
        raise BadRequestError("since is not before until", "since")
    synthetic = asked.synthetic if isinstance(asked, PeriodAsked) else "exclude"
    return Selection(service=asked.service, target=asked.target, synthetic=synthetic, **times)


def canary_of(asked: VerdictAsked) -> tuple[str, str] | None:
    """Say which canary beside which baseline was asked for; None where pairs were.

    Raises:
        BadRequestError: One without the other, twice the same, or what chooses among pairs beside them.
    """
    if asked.canary is None and asked.baseline is None:
        return None
    if asked.canary is None or asked.baseline is None or asked.canary == asked.baseline:
        raise BadRequestError("canary and baseline are two targets of live traffic; name both", "canary")
    for name in ("target", "flag", "as_of"):
        if getattr(asked, name) is not None:
            raise BadRequestError(f"{name} chooses pairs, which a canary has not; leave it out", name)
    return asked.canary, asked.baseline


def cohort_of(asked: VerdictAsked, now: datetime) -> Cohort:
    """Say whose requests were asked for.

    Raises:
        BadRequestError: A flag without a value, or a time that is none.
    """
    flags: tuple[tuple[str, str], ...] = ()
    if asked.flag is not None:
        name, separator, value = asked.flag.partition("=")
        if not name or not separator:
            raise BadRequestError(f"flag: expected NAME=VALUE, got {_shown(asked.flag)}", "flag")
        flags = ((name, value),)
    try:
        as_of = None if asked.as_of is None else read_moment(asked.as_of, now)
    except ValueError as error:
        raise BadRequestError(f"as_of: {error}", "as_of") from error
    return Cohort(flags=flags, as_of=as_of)


def _convert(given: Mapping[str, str], kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        name = place.rstrip("`")
        expected = _expected(kind, name)
        raise BadRequestError(f"{name}: {expected or problem}, got {_shown(given.get(name, ''))}", name) from error


def _expected(kind: type[msgspec.Struct], name: str) -> str | None:
    schema: Any = msgspec.json.schema(kind)
    schema = schema["$defs"][kind.__name__]["properties"].get(name, {})
    options = [choice for part in (schema, *schema.get("anyOf", ())) for choice in part.get("enum", ())]
    if options:
        return f"expected one of {', '.join(map(repr, options))}"
    return "expected a whole number between 1 and 1000" if schema.get("type") == "integer" else None


def _shown(value: str) -> str:
    return repr(value[:60] + ("..." if len(value) > 60 else ""))
