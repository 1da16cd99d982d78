"""`gnomon verdict` as a function: what has landed beside the limits of `[verdict]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gnomon.config import Verdict as Thresholds
from gnomon.core.judge import Judgement, Limits, give_verdict, judge_populations

if TYPE_CHECKING:
    from gnomon.store import Cohort, Selection, Store

__all__ = ["judge_canary", "judge_store", "limits_of"]


def judge_store(store: Store, selection: Selection, thresholds: Thresholds, cohort: Cohort | None = None) -> Judgement:
    """Judge what is selected of a store, and of one cohort's requests where one is given.

    Raises:
        InputError: The store is damaged.
        DependencyError: There is not enough memory or disk.
    """
    return give_verdict(store.evidence(selection, warmup=thresholds.warmup, cohort=cohort), limits_of(thresholds))


def judge_canary(store: Store, selection: Selection, thresholds: Thresholds, canary: str, baseline: str) -> Judgement:
    """Judge a canary by its own share of live traffic, beside the build that answers the rest.

    Raises:
        InputError: The store is damaged.
        DependencyError: There is not enough memory or disk.
    """
    return judge_populations(store.populations(selection, canary, baseline), limits_of(thresholds))


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
