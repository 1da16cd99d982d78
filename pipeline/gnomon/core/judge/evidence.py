"""What the judge is given: counts by endpoint and by field, latencies, and the limits that hold."""

from __future__ import annotations

import msgspec
import numpy as np

from gnomon.core.judge.betting import Array, Tally
from gnomon.model import DifferenceKind

__all__ = ["EndpointEvidence", "Evidence", "FieldEvidence", "Limits", "Timings"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a new version may do and still pass: shares between 0 and 1, shifts relative to live.

    `min_effect` is the net rate above which a field diverges; `min_control` is the share of an endpoint's judged
    requests that a control must have answered, where one answers any; `confidence` is over everything tested together.
    """

    max_divergence: float
    max_endpoint_divergence: float
    max_error_increase: float
    max_p50_shift: float
    max_p99_shift: float
    min_pairs: int
    min_effect: float
    min_control: float = 0.9
    confidence: float


class Timings(msgspec.Struct, frozen=True, eq=False):
    """Latencies in milliseconds of the same requests in the same order."""

    live: Array
    shadow: Array

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.live)

    @classmethod
    def none(cls) -> Timings:
        """No pair with both latencies."""
        return cls(np.empty(0), np.empty(0))


class EndpointEvidence(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One endpoint of one service against one target.

    `judged` counts the requests that are judged. `divergence` scores them: +1 where the shadow shows what the control
    does not, -1 the other way round. Where a control answers any of the endpoint's requests, those without its answer
    are left out. `errors` scores pairs: +1 where only the shadow failed, -1 where only live did. Request ids are
    examples of either.
    """

    service: str
    endpoint: str
    target: str
    pairs: int
    judged: int
    divergence: Tally
    errors: Tally
    timings: Timings
    diverging: list[str] = []
    failing: list[str] = []
    slowest: list[str] = []


class FieldEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One (endpoint, pattern, kind) against one target; `tally` scores the same requests as the endpoint's.

    `controlled` says whether they have a control's answer, without which a difference is the shadow's.
    """

    service: str
    endpoint: str
    target: str
    pattern: str
    kind: DifferenceKind
    tally: Tally
    controlled: bool
    request_ids: list[str] = []


class Evidence(msgspec.Struct, frozen=True, eq=False):
    """All that a verdict is about."""

    endpoints: list[EndpointEvidence]
    fields: list[FieldEvidence]
