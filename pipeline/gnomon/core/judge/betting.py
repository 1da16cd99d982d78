"""Shares and differences of paired shares, tested and bounded so that they may be looked at at any time.

Each request gives a score: +1 where only the shadow shows it, -1 where only the other side (the control, or live)
does, 0 where both or neither do. Without another side there is no -1, and the mean score is a plain share. To test
whether the mean is above m, one bets that it is: at each request the capital grows by the share bet (score - m). Where
the mean is at most m the capital is a nonnegative supermartingale, so with probability 1 - a it never reaches 1 / a
(Ville 1939; Howard, Ramdas, McAuliffe, Sekhon 2021, section 2): capital is evidence, valid at every look. Bets on
bounded scores and the confidence sequences that they give: Waudby-Smith and Ramdas 2024, sections 3 and 4.

The capital is spread over bets of several sizes in advance, a mixture (Howard et al. 2021, section 3.2). For m = 0 each
part is the likelihood ratio of the discordant requests, a chance of (1 + bet) / 2 against 1/2. The capital depends on
the counts alone, not on their order, so it can be computed from a table of counts.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Array", "Tally", "log_evidence", "lower_end", "mean_interval", "upper_end"]

Array: TypeAlias = NDArray[np.float64]

# Parts of the largest bet allowed. Small effects want small bets, a candidate that always differs the largest; sixteen
# in steps of 0.7 miss the best bet by little, and somewhat more weight on large ones finds what is plain at once.
_PARTS: Final[Array] = 0.9999 * np.concatenate(([1.0, 0.85], 0.7 ** np.arange(1.0, 15.0)))
_LOG_WEIGHTS: Final[Array] = 0.4 * np.log(_PARTS) - np.log(np.sum(_PARTS**0.4))

_HALVINGS: Final = 48


class Tally(msgspec.Struct, frozen=True):
    """How many of `total` requests scored +1 and -1."""

    plus: int = 0
    minus: int = 0
    total: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Count both together."""
        return Tally(self.plus + other.plus, self.minus + other.minus, self.total + other.total)

    @property
    def mean(self) -> float | None:
        """The mean score, None without requests."""
        return (self.plus - self.minus) / self.total if self.total else None


def log_evidence(plus: ArrayLike, minus: ArrayLike, total: ArrayLike, null: ArrayLike = 0.0) -> Array:
    """Natural logarithm of the evidence that the mean score is above `null`: an e-process in the counts.

    For bets of the parts c of the largest one, 1 / (1 + null), the capital after the counts is the weighted sum of
    (1 + bet (1 - null))^plus (1 - bet (1 + null))^minus (1 - bet null)^(total - plus - minus).

    Args:
        plus: Requests that scored +1; all arguments broadcast against each other.
        minus: Requests that scored -1.
        total: Requests, those that scored 0 included.
        null: The mean that is put to the test, above -1 and below 1.
    """
    up, down, count, mean = (
        np.asarray(value, dtype=np.float64)[..., np.newaxis] for value in (plus, minus, total, null)
    )
    bet = _PARTS / (1 + mean)
    capital = (
        _LOG_WEIGHTS
        + up * np.log1p(bet * (1 - mean))
        + down * np.log1p(-_PARTS)
        + (count - up - down) * np.log1p(-bet * mean)
    )
    evidence: Array = np.logaddexp.reduce(capital, axis=-1)
    return evidence


def lower_end(plus: ArrayLike, minus: ArrayLike, total: ArrayLike, threshold: float) -> Array:
    """The mean below which every mean is refuted: lower end of a confidence sequence.

    With probability at least 1 - exp(-threshold) the true mean is never below it, at any of the looks (the inversion of
    `log_evidence`, which falls as the null rises).

    Args:
        plus: As for `log_evidence`.
        minus: As for `log_evidence`.
        total: As for `log_evidence`; -1 is returned where it is 0.
        threshold: Natural logarithm of the evidence that refutes.
    """
    up, down, count = (np.asarray(value, dtype=np.float64) for value in (plus, minus, total))
    low = np.full(np.broadcast(up, down, count).shape, -1.0)
    high = np.where(count > 0, (up - down) / np.maximum(count, 1), -1.0) + np.zeros_like(low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        refuted = log_evidence(up, down, count, np.clip(middle, -1 + 1e-12, 1 - 1e-12)) >= threshold
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return low


def upper_end(plus: ArrayLike, minus: ArrayLike, total: ArrayLike, threshold: float) -> Array:
    """The mean above which every mean is refuted, as `lower_end` with the signs changed; 1 without requests."""
    return -lower_end(minus, plus, total, threshold)


def mean_interval(tally: Tally, threshold: float) -> tuple[float, float]:
    """Both ends for one tally; each holds with probability 1 - exp(-threshold)."""
    return (
        float(lower_end(tally.plus, tally.minus, tally.total, threshold)),
        float(upper_end(tally.plus, tally.minus, tally.total, threshold)),
    )
