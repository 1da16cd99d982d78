"""Many things tested together: how much evidence refutes, so that the error over all of them is kept.

An e-value of one among k is significant at k / a (Bonferroni for e-values: Vovk and Wang 2021, section 6). Counted are
those that could reach that with the data they have (Tarone 1990): a pattern seen twice can prove nothing, so it costs
nothing. For paired counts, how often the two sides disagree says nothing about who disagrees more, so counting in this
way does not look at the answer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["log_threshold"]


def log_threshold(attainable: ArrayLike, confidence: float) -> float:
    """Natural logarithm of the evidence that refutes, at a confidence over everything tested together.

    Args:
        attainable: For each thing that may be tested, the largest log evidence its data could give.
        confidence: Of all of them together, between 0 and 1.
    """
    descending = np.sort(np.asarray(attainable, dtype=np.float64))[::-1]
    alone = -math.log1p(-confidence)
    thresholds = alone + np.log(np.arange(1, len(descending) + 1))
    reached = np.flatnonzero(descending >= thresholds)
    if not len(reached):
        return alone
    # The least k at which no more than k can reach what k ask for.
    size = int(reached[-1]) + 1
    able = int(np.sum(descending >= thresholds[size - 1]))
    return alone + math.log(size if able <= size else size + 1)
