"""`gnomon verdict` as a function: what has landed beside the limits of `[verdict]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from gnomon.config import Verdict as Thresholds
from gnomon.core.judge import Judgement, Limits, give_verdict, judge_populations
from gnomon.summary import VerdictReason

if TYPE_CHECKING:
    from gnomon.store import Cohort, Selection, Store

__all__ = ["judge_canary", "judge_store", "limits_of", "unknown_names"]


def judge_store(
    store: Store,
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


def unknown_names(store: Store, selection: Selection, judgement: Judgement, live: Sequence[str] = ()) -> Judgement:
    """Say in a verdict without traffic which name nothing that landed has: a typo, or a build that is yet to come.

    Raises:
        InputError: The store is damaged.
        DependencyError: There is not enough memory or disk.
    """
    if judgement.verdict.pairs:
        return judgement
    unknown = store.unknown_name(selection, live)
    if unknown is None:
        return judgement
    reason = VerdictReason(
        code="unknown_name",
        service=selection.service or "",
        target=selection.target or "".join(live[:1]),
        message=str(unknown),
    )
    verdict = msgspec.structs.replace(judgement.verdict, reasons=[*judgement.verdict.reasons, reason])
    return msgspec.structs.replace(judgement, verdict=verdict)


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
