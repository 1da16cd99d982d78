"""One pair: what live answered against what one other side answered, under the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gnomon.core.align import Budget
from gnomon.core.diff import ALIGNMENT_UNITS, diff_documents
from gnomon.core.document import Side, differing_documents
from gnomon.model import Difference, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gnomon.core.body import BodyOptions
    from gnomon.core.rules import EndpointRules
    from gnomon.model import Exchange

__all__ = ["CONTROL_NOISE", "Comparer", "Findings", "mark_noise", "outcome_of"]

CONTROL_NOISE: Final = "the control differs here too"


class Findings(msgspec.Struct, frozen=True, gc=False):
    """What comparing one pair gave, before the control is heard.

    `error` is the outcome where a transport error decided it; `unread` says why the bodies could not be compared.
    """

    differences: list[Difference]
    unread: str | None = None
    error: Outcome | None = None


class Comparer:
    """Compares one live exchange with any number of others; live's documents are built once."""

    __slots__ = ("_live", "_options", "_rules", "_side")

    def __init__(self, live: Exchange, rules: EndpointRules, options: BodyOptions) -> None:
        self._live = live
        self._rules = rules
        self._options = options
        self._side: Side | None = None

    def compare(self, other: Exchange) -> Findings:
        """Compare live with one other side's exchange."""
        live = self._live
        if live.error is not None or other.error is not None:
            return self._errors(other)
        if live.response is None or other.response is None:  # a decoded exchange has one of the two
            return Findings([], "there is neither a response nor an error")
        if self._side is None:
            self._side = Side(live, live.response, self._rules, self._options)
        theirs = Side(other, other.response, self._rules, self._options)
        one, two, unread = differing_documents(self._side, theirs)
        if not one and not two:
            return Findings([], unread)
        return Findings(diff_documents(one, two, self._rules.root, Budget(ALIGNMENT_UNITS)), unread)

    def _errors(self, other: Exchange) -> Findings:
        mine, theirs = self._live.error, other.error
        if mine is None:
            return Findings([], error="shadow_error")
        if theirs is None:
            return Findings([], error="live_error")
        kinds: tuple[Difference, ...] = ()
        if mine.kind != theirs.kind:
            below = self._rules.root.child("error").child("kind")
            kinds = tuple(diff_documents(mine.kind, theirs.kind, below, at=("error", "kind")))
        return Findings(list(kinds))


def mark_noise(differences: list[Difference], control: Iterable[Difference]) -> list[Difference]:
    """Mark as noise what the same request's control shows at the same pattern with the same kind."""
    seen = {(d.pattern, d.kind) for d in control}
    if not seen:
        return differences
    return [
        msgspec.structs.replace(d, noise=True, reason=CONTROL_NOISE)
        if not d.noise and (d.pattern, d.kind) in seen
        else d
        for d in differences
    ]


def outcome_of(findings: Findings, differences: list[Difference]) -> Outcome:
    """Decide the outcome; `differences` are the findings' with noise marked."""
    if findings.error is not None:
        return findings.error
    if any(not d.noise for d in differences):
        return "diff"
    if findings.unread is not None:
        return "incomparable"
    return "noise" if differences else "match"
