"""`gnomon verdict` as a function: what has landed beside the limits of `[verdict]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from gnomon.config import Verdict as Thresholds
from gnomon.core.judge import Judgement, Limits, give_verdict, judge_populations
from gnomon.summary import ReportVerdict, VerdictLine, VerdictReason

if TYPE_CHECKING:
    from gnomon.store import Cohort, Selection, Statistics, Store

__all__ = ["explain_absence", "judge_canary", "judge_store", "limits_of", "report_verdict"]

MOST_LINES: Final = 8
MOST_NAMED: Final = 5


def judge_store(
    store: Store | Statistics,
    selection: Selection,
    thresholds: Thresholds,
    cohort: Cohort | None = None,
    pulse: Callable[[], object] = lambda: None,
) -> Judgement:
    """Judge what is selected of a store, and of one cohort's requests where one is given.

    `pulse` is called now and then; what it raises ends the judging.

    Raises:
        InputError: The store is damaged.
        DependencyError: There is not enough memory or disk.
    """
    evidence = store.evidence(selection, warmup=thresholds.warmup, cohort=cohort)
    return give_verdict(evidence, limits_of(thresholds), pulse)


def judge_canary(
    store: Store,
    selection: Selection,
    thresholds: Thresholds,
    targets: tuple[str, str],
    pulse: Callable[[], object] = lambda: None,
) -> Judgement:
    """Judge a canary by its own share of live traffic, beside the build that answers the rest.

    Args:
        store: Where both were counted.
        selection: The service and the time.
        thresholds: The limits.
        targets: The canary and the baseline.
        pulse: Called now and then; what it raises ends the judging.

    Raises:
        InputError: The store is damaged.
        DependencyError: There is not enough memory or disk.
    """
    return judge_populations(store.populations(selection, *targets), limits_of(thresholds), pulse)


def explain_absence(
    store: Store, selection: Selection, judgement: Judgement, cohort: Cohort, live: Sequence[str] = ()
) -> Judgement:
    """Say in a verdict without pairs why there are none, where waiting for more may not help.

    A service, a target or a flag that nothing that landed has is a reason of its own: a typo, or a build that is yet to
    come. What else is known becomes the message of `min_pairs`.

    Raises:
        InputError: The store is damaged.
        DependencyError: There is not enough memory or disk.
    """
    if judgement.verdict.pairs:
        return judgement
    reasons = judgement.verdict.reasons
    absence = store.absence(selection, cohort, live)
    if absence is None:
        return judgement
    if absence.is_unknown:
        reason = VerdictReason(
            code="unknown_name",
            service=selection.service or "",
            target=selection.target or "".join(live[:1]),
            message=absence.message,
        )
        reasons = [*reasons, reason]
    else:
        reasons = [
            msgspec.structs.replace(reason, message=absence.message) if reason.code == "min_pairs" else reason
            for reason in reasons
        ]
    verdict = msgspec.structs.replace(judgement.verdict, reasons=reasons)
    return msgspec.structs.replace(judgement, verdict=verdict)


def report_verdict(judgement: Judgement) -> ReportVerdict | None:
    """Give what a report shows of a verdict; None where nothing was seen."""
    parts = judgement.parts
    if not parts:
        return None
    lines = [
        VerdictLine(
            code=check.code,
            service=check.service,
            target=check.target,
            endpoint=check.endpoint,
            rate=check.rate,
            interval=check.interval,
            limit=check.limit,
            state=check.state,
        )
        for part in parts
        for check in part.seen.checks
        if check.pattern is None and (check.endpoint is None or check.state == "exceeded")
    ]
    # Limits of everything, then those of endpoints that are exceeded; the order of parts stays: the worst first.
    lines.sort(key=lambda line: line.endpoint is not None)
    exceeded = [check for part in parts for check in part.seen.checks if check.state == "exceeded"]
    covered = judgement.coverage
    return ReportVerdict(
        verdict=judgement.verdict.verdict,
        needed=parts[0].needed,
        fewest=min(part.enough for part in parts),
        lines=lines[:MOST_LINES],
        lines_left_out=max(len(lines) - MOST_LINES, 0),
        exceeded=len(exceeded),
        endpoints=covered.endpoints,
        covered=covered.covered,
        share_of_pairs=covered.share_of_pairs,
        uncovered=[name for part in parts for name in part.uncovered][:MOST_NAMED],
    )


def limits_of(thresholds: Thresholds) -> Limits:
    """Give the limits that the settings say."""
    return Limits(
        max_divergence=thresholds.max_divergence,
        max_endpoint_divergence=thresholds.max_endpoint_divergence,
        max_error_increase=thresholds.max_error_increase,
        max_p50_shift=thresholds.max_latency_shift.p50,
        max_p99_shift=thresholds.max_latency_shift.p99,
        min_pairs=thresholds.min_pairs,
        min_effect=thresholds.min_effect,
        min_control=thresholds.min_control,
        confidence=thresholds.confidence,
    )
