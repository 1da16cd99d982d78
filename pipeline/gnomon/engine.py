"""The engine: joined requests in, comparisons out. It knows no files, no Kafka, no database and no clock.

The way of a record: `core.decode` makes it an exchange, `core.join` finds the other sides of its request, and here
the request's endpoint is named, each side is compared with live under the endpoint's rules, the control says what is
noise, and what is to be stored is redacted and bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gnomon.core.body import BodyOptions
from gnomon.core.compare import Comparer, Findings, mark_noise, outcome_of
from gnomon.core.endpoint import TemplateMatcher, name_endpoint
from gnomon.core.join import LIVE, Joined, Member, Slot
from gnomon.core.json import dumps
from gnomon.core.population import PopulationBounds, Populations
from gnomon.model import Comparison, Difference, ErrorKind, Exchange, Outcome, Reject, Request, Severity, instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gnomon.core.beside import Beside
    from gnomon.core.redact import Redactor
    from gnomon.core.rules import EndpointRules, RuleSet

__all__ = ["Compared", "ComparedRequest", "Engine", "EngineOptions"]

_SEVERITIES: Final[dict[Severity, int]] = {"low": 0, "medium": 1, "high": 2}
_MAX_MATCHERS: Final = 1024
_KEPT_OF_CUT_VALUE: Final = 1024
_LOOKED_INTO: Final = 2 << 20  # characters of values, in all differences of a comparison


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds and guides the comparisons.

    `templates` name endpoints where no `[[endpoint]]` rule does (from OpenAPI documents). At most `differences` are
    kept of one comparison; all are counted that `core.diff.ROOM` has room for. A value longer than `value_bytes` of
    JSON text is cut. `populations` bound what is counted of live answers.
    """

    body: BodyOptions = BodyOptions()
    expect: tuple[str, ...] = ("shadow",)
    templates: tuple[str, ...] = ()
    differences: int = 1000
    value_bytes: int = 64 * 1024
    populations: PopulationBounds = PopulationBounds()


class Compared(msgspec.Struct, frozen=True, gc=False):
    """One comparison as it is to be stored: redacted and bounded.

    `patterns` are the (pattern, kind) of all its differences that are not noise; `unread` says why bodies could not
    be compared.
    """

    comparison: Comparison
    differences: list[Difference]
    patterns: frozenset[tuple[str, str]] = frozenset()
    unread: str | None = None


class ComparedRequest(msgspec.Struct, frozen=True):
    """One request compared: its endpoint, its comparisons, and what is needed to give out its evidence."""

    joined: Joined
    service: str
    endpoint: str
    rules: EndpointRules
    compared: list[Compared]


class Engine:
    """Compares joined requests under one set of rules.

    Args:
        rules: What is equal, noise, or hidden; its version is in every comparison.
        options: Bounds and guides.
        redactor: Takes secrets out of what is to be stored.
    """

    def __init__(self, rules: RuleSet, options: EngineOptions, redactor: Redactor) -> None:
        self.rules = rules
        self.options = options
        self._redactor = redactor
        self._matchers: dict[str, TemplateMatcher] = {}

    def compare(self, joined: Joined) -> ComparedRequest:
        """Compare all sides of one request; one comparison per side that answered or was expected to."""
        first = joined.live or next(iter(joined.others.values()))
        service = first.exchange.service
        endpoint = self.name(first.exchange)
        rules = self.rules.for_endpoint(service, endpoint)
        request = ComparedRequest(joined, self._redactor.label(service), endpoint, rules, [])
        if joined.live is None:
            for slot in joined.others:
                request.compared.append(self._build(request, slot, "live_missing", [], None))
            return request
        self._compare_sides(request, joined.live)
        for slot in joined.missing:
            request.compared.append(self._build(request, slot, "shadow_missing", [], None))
        return request

    def evidence(self, request: ComparedRequest) -> list[Exchange]:
        """Give the redacted exchanges of one request, live first."""
        members = [*([request.joined.live] if request.joined.live else []), *request.joined.others.values()]
        return [self._redactor.exchange(member.exchange, request.rules) for member in members]

    def name(self, exchange: Exchange) -> str:
        """Name an exchange's endpoint."""
        return self._redactor.endpoint(name_endpoint(exchange.request, self._matcher(exchange.service)))

    def populations(self) -> Populations:
        """Make what counts live answers under these rules."""
        return Populations(self, self._redactor.text, self.options.body, self.options.populations)

    def redacted(self, exchange: Exchange, endpoint: str) -> Exchange:
        """Redact a stored exchange under these rules."""
        return self._redactor.exchange(exchange, self.rules.for_endpoint(exchange.service, endpoint))

    def redacted_differences(self, owner: Comparison, differences: list[Difference]) -> list[Difference]:
        """Redact the stored differences of a comparison under these rules."""
        rules = self.rules.for_endpoint(owner.service, owner.endpoint)
        return [self._redactor.difference(d, rules) for d in differences]

    def renamed(self, old: Comparison, before: RuleSet) -> str:
        """Name the endpoint of a stored comparison whose request is gone but for method and path.

        A template that matches wins; a name that a template of the rules `before` gave is inferred anew; any other
        name stays.
        """
        matcher = self._matcher(old.service)
        found = matcher.match(old.method, old.path) if matcher else None
        if found is not None:
            return found
        if TemplateMatcher(before.templates_for(old.service)).match(old.method, old.path) == old.endpoint:
            return name_endpoint(Request(method=old.method, path=old.path))
        return old.endpoint

    def rebuilt(self, old: Comparison, differences: list[Difference], outcome: Outcome) -> Comparison:
        """Give a stored comparison as these rules judge its stored differences, all of which are given."""
        counting = [d for d in differences if not d.noise]
        return msgspec.structs.replace(
            old,
            outcome=outcome,
            differences=len(differences),
            noise_differences=len(differences) - len(counting),
            severity=_severity(outcome, counting),
            rules=self.rules.version,
        )

    def redact_reject(self, reject: Reject) -> Reject:
        """Take secrets out of what is kept of a refused record."""
        return msgspec.structs.replace(
            reject,
            reason=self._redactor.excerpt(reject.reason.encode()).decode(errors="replace"),
            excerpt=self._redactor.excerpt(reject.excerpt),
        )

    def _compare_sides(self, request: ComparedRequest, live: Member) -> None:
        comparer = Comparer(live.exchange, request.rules, self.options.body)
        found: dict[Slot, Findings] = {
            slot: comparer.compare(member.exchange) for slot, member in request.joined.others.items()
        }
        control = [d for slot, findings in found.items() if slot[0] == "control" for d in findings.differences]
        for slot, findings in found.items():
            differences = findings.differences
            if control and slot[0] == "shadow" and differences:
                differences = mark_noise(differences, control)
            outcome = outcome_of(findings, differences)
            request.compared.append(self._build(request, slot, outcome, differences, findings.unread))

    def _build(
        self, request: ComparedRequest, slot: Slot, outcome: Outcome, differences: list[Difference], unread: str | None
    ) -> Compared:
        joined, redactor = request.joined, self._redactor
        live, other = joined.live, joined.others.get(slot)
        first = live or other
        if first is None:  # a comparison has at least one side
            message = f"request {joined.request_id} has no sides"
            raise ValueError(message)
        mine, theirs = _Figures.of(live), _Figures.of(other)
        asked, place = first.exchange, first.place
        synthetic = asked.synthetic or (other.exchange.synthetic if other else None) or None
        counting = [d for d in differences if not d.noise] if differences else differences
        duplicates = joined.duplicates
        comparison = Comparison(
            request_id=joined.request_id,
            target=redactor.label(slot[1]),
            role="control" if slot[0] == "control" else "shadow",
            service=request.service,
            endpoint=request.endpoint,
            method=redactor.label(asked.request.method),
            path=redactor.target(asked.request.path),
            started_at=instant(asked.started_us),
            live_target=redactor.label(live.exchange.target) if live else None,
            live_status=mine.status,
            shadow_status=theirs.status,
            live_error=mine.error,
            shadow_error=theirs.error,
            live_ms=mine.ms,
            shadow_ms=theirs.ms,
            delta_ms=None if mine.ms is None or theirs.ms is None else round(theirs.ms - mine.ms, 3),
            outcome=outcome,
            differences=len(differences),
            noise_differences=len(differences) - len(counting),
            severity=_severity(outcome, counting),
            late=bool(joined.late) and (slot in joined.late or LIVE in joined.late),
            duplicates=(duplicates.get(slot, 0) + duplicates.get(LIVE, 0)) if duplicates else 0,
            synthetic=None if synthetic is None else redactor.text(synthetic),
            flags=redactor.flags(asked.flags),
            as_of=asked.as_of,
            rules=self.rules.version,
            topic=place.source if place and place.partition is not None else None,
            partition=place.partition if place else None,
            live_offset=mine.offset,
            shadow_offset=theirs.offset,
        )
        if not differences:
            return Compared(comparison, [], unread=unread)
        return Compared(
            comparison,
            self._storable(request, differences, redactor.beside(live, other)),
            frozenset([(d.pattern, d.kind) for d in counting]),
            unread,
        )

    def _storable(self, request: ComparedRequest, differences: list[Difference], beside: Beside) -> list[Difference]:
        """Redact and bound; of too many differences those that count are kept first."""
        kept: Sequence[Difference] = differences
        if len(differences) > self.options.differences:
            kept = sorted(differences, key=lambda d: (d.noise, -_SEVERITIES[d.severity]))[: self.options.differences]
        room = _LOOKED_INTO
        storable = []
        for difference in kept:
            # Values are redacted as wholes and cut after that: secrets cannot be found in what is cut
            size = len(difference.live_value or "") + len(difference.shadow_value or "")
            shown = difference if size <= room else _without_values(difference)
            room -= size if size <= room else 0
            storable.append(self._cut(self._redactor.difference(shown, request.rules, beside)))
        return storable

    def _cut(self, difference: Difference) -> Difference:
        limit = self.options.value_bytes
        live, shadow = difference.live_value, difference.shadow_value
        if (live is None or len(live) <= limit) and (shadow is None or len(shadow) <= limit):
            return difference
        return msgspec.structs.replace(
            difference, live_value=_shorten(live, limit), shadow_value=_shorten(shadow, limit)
        )

    def _matcher(self, service: str) -> TemplateMatcher | None:
        if not self.rules.endpoints and not self.options.templates:
            return None
        matcher = self._matchers.get(service)
        if matcher is None:
            if len(self._matchers) >= _MAX_MATCHERS:  # service names come from traffic: the cache is bounded
                self._matchers.clear()
            matcher = self._matchers[service] = TemplateMatcher(
                [*self.rules.templates_for(service), *self.options.templates]
            )
        return matcher


class _Figures(NamedTuple):
    """What a comparison shows of one side; nothing of a side that is missing."""

    status: int | None = None
    error: ErrorKind | None = None
    ms: float | None = None
    offset: int | None = None

    @classmethod
    def of(cls, member: Member | None) -> _Figures:
        if member is None:
            return _NO_FIGURES
        exchange, place = member.exchange, member.place
        response, error, duration_us = exchange.response, exchange.error, exchange.duration_us
        return cls(
            None if response is None else response.status,
            None if error is None else error.kind,
            None if duration_us is None else duration_us / 1000,
            None if place is None else place.offset,
        )


_NO_FIGURES: Final = _Figures()


def _severity(outcome: Outcome, counting: list[Difference]) -> Severity | None:
    """Give the highest severity of what counts; a transport error on one side only is as bad as it gets."""
    if outcome in ("live_error", "shadow_error"):
        return "high"
    return max((d.severity for d in counting), key=_SEVERITIES.__getitem__, default=None)


def _without_values(difference: Difference) -> Difference:
    """Leave out values that there is no time to redact, but how long they were."""
    live, shadow = difference.live_value, difference.shadow_value
    return msgspec.structs.replace(
        difference,
        live_value=None if live is None else _cut_to("", live),
        shadow_value=None if shadow is None else _cut_to("", shadow),
    )


def _cut_to(kept: str, text: str) -> str:
    return dumps(f"{kept}… (cut: {len(text):,} characters of JSON)")


def _shorten(text: str | None, limit: int) -> str | None:
    """Cut a JSON text so that it stays JSON: a string that begins like it and says how long it was."""
    if text is None or len(text) <= limit:
        return text
    kept = max(min(limit, _KEPT_OF_CUT_VALUE), 1)
    return _cut_to(text[:kept], text)
