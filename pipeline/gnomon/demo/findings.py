"""What was planted beside what the judge found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from gnomon.demo.planted import PLANTED, Planted
from gnomon.summary import VerdictReason

__all__ = ["Findings", "Row", "compare_findings"]

LATENCY = "max_latency_shift."


class Row(msgspec.Struct, frozen=True):
    """One regression, and by which requests it was found; none: not found (yet)."""

    planted: Planted
    found: bool = False
    request_ids: Sequence[str] = ()


class Findings(msgspec.Struct, frozen=True):
    """All that was planted, and what was found beside it."""

    rows: list[Row]
    unexpected: list[str]

    @property
    def found(self) -> int:
        """How many regressions were found."""
        return sum(row.found for row in self.rows)

    @property
    def line(self) -> str:
        """The last line of the demo."""
        return f"planted {len(self.rows)}, found {self.found}, unexpected {len(self.unexpected)}"


def compare_findings(reasons: Iterable[VerdictReason], planted: Sequence[Planted] = PLANTED) -> Findings:
    """Hold the reasons of a verdict against what was planted.

    What an endpoint's divergence rate says is expected where a field was planted; whatever is undecided is no finding.
    """
    told = [reason for reason in reasons if reason.endpoint is not None and not reason.code.startswith("undecided_")]
    rows = []
    for one in planted:
        by = [reason for reason in told if _shows(one, reason)]
        rows.append(Row(one, bool(by), by[0].request_ids if by else ()))
    diverging = {one.endpoint for one in planted if one.kind is not None}
    unexpected = []
    for reason in told:
        expected = any(_shows(one, reason) for one in planted)
        if not expected and not (reason.code == "max_endpoint_divergence" and reason.endpoint in diverging):
            unexpected.append(" ".join(filter(None, (reason.code, reason.endpoint, reason.pattern, reason.kind))))
    return Findings(rows, unexpected)


def _shows(planted: Planted, reason: VerdictReason) -> bool:
    if reason.endpoint != planted.endpoint:
        return False
    if planted.kind is None:
        return reason.code.startswith(LATENCY)
    return (reason.pattern, reason.kind) == (planted.pattern, planted.kind)
