"""Which requests keep their exchanges, for side-by-side views: the first few of each finding, and the slowest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, Final, TypeAlias

from gnomon.model import DIVERGENT

if TYPE_CHECKING:
    from gnomon.engine import ComparedRequest

__all__ = ["EVIDENCE_BYTES", "EvidenceBudget"]

EVIDENCE_BYTES: Final = 1 << 20
"""How large a body of a kept exchange may be, expanded; of a larger one only size and hash are kept."""

SLOWEST: Final = 5
"""Of each endpoint and target: as many as a verdict names."""

SLOWER: Final = 0.5
"""A pair is slow whose shadow takes as much longer, relative to live ..."""

SLOWER_MS: Final = 10.0
"""... and as much in milliseconds; less is the jitter of any service."""

_MAX_BUDGETS: Final = 200_000
_MAX_REQUESTS: Final = 20_000
_SLOW_BUDGETS: Final = 10
"""How many times `each` pairs of one endpoint and target are kept for being slow. Where N pairs come in any order, they
are among the slowest so far some SLOWEST * ln(N) times; where they become ever slower, this ends it."""


_About: TypeAlias = tuple[str, str, str]


class EvidenceBudget:
    """Gives out the exchanges kept of each endpoint, target, pattern and kind, and of the slowest pairs.

    Args:
        each: How many requests of each; 0 keeps none.
        period: For how much time of requests that holds, before there is as much again; None: for good.
    """

    def __init__(self, each: int, period: timedelta | None = None) -> None:
        self._each = each
        self._period = period
        self._until: datetime | None = None
        self._kept: Counter[tuple[str, str, str, str, str]] = Counter()
        self._slowest: dict[_About, _Slowest] = {}
        self._requests: dict[str, None] = {}

    def wants(self, request: ComparedRequest, *, again: bool = False) -> bool:
        """Whether a request shows something that has not been kept often enough; counts it if so.

        `again` says that the request was compared before: if its exchanges were kept then, they are kept once more.
        """
        if not self._each:
            return False
        shown, slow = set(_shown(request)), list(_slow(request))
        if not shown and not slow:
            return False
        request_id = request.joined.request_id
        if again and request_id in self._requests:
            return True
        if self._period is not None:
            self._renew(request.compared[0].comparison.started_at, self._period)
        is_new = any(self._kept[key] < self._each for key in shown)
        if len(self._kept) >= _MAX_BUDGETS and not shown <= self._kept.keys():
            is_new = False
        # All of them are asked, so that each takes its place
        is_slow = sum(self._is_among_slowest(about, delta_ms) for about, delta_ms in slow) > 0
        if not is_new and not is_slow:
            return False
        if is_new:
            self._kept.update(shown)
        if len(self._requests) >= _MAX_REQUESTS:
            del self._requests[next(iter(self._requests))]
        self._requests[request_id] = None
        return True

    def _is_among_slowest(self, about: _About, delta_ms: float) -> bool:
        """Whether a pair is one of the slowest so far; takes note of it if so."""
        found = self._slowest.get(about)
        if found is None:
            if len(self._slowest) >= _MAX_BUDGETS:
                return False
            found = self._slowest[about] = _Slowest()
        if found.kept >= self._each * _SLOW_BUDGETS:
            return False
        if len(found.heap) < min(SLOWEST, self._each):
            heappush(found.heap, delta_ms)
        elif heappushpop(found.heap, delta_ms) == delta_ms:
            return False
        found.kept += 1
        return True

    def _renew(self, now: datetime, period: timedelta) -> None:
        """Begin a new period where the last one is over."""
        if self._until is None:
            self._until = now + period
        elif now >= self._until:
            self._until = now + period
            self._kept.clear()
            self._slowest.clear()


class _Slowest:
    """The slowest pairs of one endpoint and target: by how much, the least on top; and how many were kept of it."""

    __slots__ = ("heap", "kept")

    def __init__(self) -> None:
        self.heap: list[float] = []
        self.kept = 0


def _shown(request: ComparedRequest) -> Iterator[tuple[str, str, str, str, str]]:
    """Endpoint, target, pattern and kind of what diverges; of what has no difference the outcome."""
    for compared in request.compared:
        comparison = compared.comparison
        if comparison.role == "shadow" and comparison.outcome in DIVERGENT:
            about = (request.service, request.endpoint, comparison.target)
            if compared.patterns:
                yield from ((*about, pattern, kind) for pattern, kind in compared.patterns)
            else:
                yield (*about, "", comparison.outcome)


def _slow(request: ComparedRequest) -> Iterator[tuple[_About, float]]:
    """Endpoint and target of slow pairs of real traffic, and by how many milliseconds."""
    for compared in request.compared:
        comparison = compared.comparison
        live_ms, delta_ms = comparison.live_ms, comparison.delta_ms
        if live_ms is None or delta_ms is None or delta_ms < SLOWER_MS or delta_ms < live_ms * SLOWER:
            continue
        if comparison.role == "shadow" and comparison.synthetic is None:
            yield (request.service, request.endpoint, comparison.target), delta_ms
