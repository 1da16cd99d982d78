"""Which diverging requests keep their exchanges, for side-by-side views: the first few of each kind of finding."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from gnomon.model import DIVERGENT

if TYPE_CHECKING:
    from gnomon.engine import ComparedRequest

__all__ = ["EvidenceBudget"]

_MAX_BUDGETS: Final = 200_000
_MAX_REQUESTS: Final = 20_000


class EvidenceBudget:
    """Gives out the exchanges kept of each endpoint, target, pattern and kind.

    Args:
        each: How many requests of each; 0 keeps none.
        period: For how much time of requests that holds, before there is as much again; None: for good.
    """

    def __init__(self, each: int, period: timedelta | None = None) -> None:
        self._each = each
        self._period = period
        self._until: datetime | None = None
        self._kept: Counter[tuple[str, str, str, str, str]] = Counter()
        self._requests: dict[str, None] = {}

    def wants(self, request: ComparedRequest, *, again: bool = False) -> bool:
        """Whether a request shows something that has not been kept often enough; counts it if so.

        `again` says that the request was compared before: if its exchanges were kept then, they are kept once more.
        """
        if not self._each:
            return False
        shown: set[tuple[str, str, str, str, str]] = set()
        for compared in request.compared:
            comparison = compared.comparison
            if comparison.role == "shadow" and comparison.outcome in DIVERGENT:
                about = (request.service, request.endpoint, comparison.target)
                shown.update((*about, pattern, kind) for pattern, kind in compared.patterns)
                if not compared.patterns:
                    shown.add((*about, "", comparison.outcome))
        request_id = request.joined.request_id
        if again and request_id in self._requests:
            return bool(shown)
        if shown and self._period is not None:
            self._renew(request.compared[0].comparison.started_at, self._period)
        wanted = any(self._kept[key] < self._each for key in shown)
        if not wanted or (len(self._kept) >= _MAX_BUDGETS and not shown <= self._kept.keys()):
            return False
        self._kept.update(shown)
        if len(self._requests) >= _MAX_REQUESTS:
            del self._requests[next(iter(self._requests))]
        self._requests[request_id] = None
        return True

    def _renew(self, now: datetime, period: timedelta) -> None:
        """Begin a new period where the last one is over."""
        if self._until is None:
            self._until = now + period
        elif now >= self._until:
            self._until = now + period
            self._kept.clear()
