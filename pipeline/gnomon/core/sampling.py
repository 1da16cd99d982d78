"""Which requests are kept, decided by their ids: both sides of a request are kept or dropped together.

`place` gives an id its place between 0 and 1; a share keeps what lies below it. So the same requests are kept
everywhere without a word between processes, and a smaller share keeps a part of what a larger one keeps. `share_left`
is the share that a queue still takes when it fills: so what several overloaded queues keep are pairs.

`Sampler` adds a floor: of an endpoint with few requests all are kept. What it keeps beside the share depends on what
came before, so it remembers each such decision for the other sides of the request.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

__all__ = ["EASY", "OTHERS", "Sampler", "place", "share_left"]

EASY: Final = 0.5
"""How full a queue may be before anything is shed."""

OTHERS: Final = "(other)"
"""What endpoints beyond the bound are counted as, together."""

_KNUTH: Final = 2_654_435_761
_SPACE: Final = 2**32


def place(request_id: str) -> float:
    """Give an id its place: at least 0, below 1.

    CRC-32 of its bytes, spread by a multiplication with 2^32 divided by the golden ratio (Knuth, The Art of Computer
    Programming, volume 3, section 6.4); `deploy/envoy/edge.lua` computes the same.
    """
    return (crc32(request_id.encode("utf-8", "surrogatepass")) * _KNUTH % _SPACE) / _SPACE


def share_left(fill: float, full: float = 1.0) -> float:
    """Give the share of ids that a queue still takes: 1 while at ease, from there on less and less, 0 when full.

    Args:
        fill: How full it is; 1 where nothing more fits.
        full: Where the share is 0.
    """
    return 1.0 if fill <= EASY else max(0.0, (full - fill) / (full - EASY))


class Sampler:
    """Decides which exchanges are kept.

    Args:
        share: The share of request ids that is kept, 0 to 1.
        floor: How many requests an endpoint may have in a period that are all kept, whatever their ids.
        period_us: That period, in microseconds.
        memory: How many requests beside the share are remembered; the oldest are forgotten first.
        endpoints: How many endpoints are told apart in one period; the rest share one floor.
    """

    def __init__(
        self,
        share: float,
        floor: int = 0,
        period_us: int = 60_000_000,
        *,
        memory: int = 200_000,
        endpoints: int = 5_000,
    ) -> None:
        self.share = share
        self.floor = floor
        self._period_us = period_us
        self._memory = memory
        self._endpoints = endpoints
        self._until_us = 0
        self._seen: dict[str, int] = {}
        self._decided: dict[str, bool] = {}

    @property
    def needs_endpoint(self) -> bool:
        """Whether `keeps` looks at the endpoint at all."""
        return self.floor > 0 and self.share < 1

    def keeps(self, request_id: str, endpoint: str, now_us: int) -> bool:
        """Say whether an exchange is kept; every exchange of a request gets the same answer.

        Args:
            request_id: Its id.
            endpoint: What the floor counts it as; `""` where `needs_endpoint` says no.
            now_us: The time, in epoch microseconds; periods follow it.
        """
        if self.share >= 1 or place(request_id) < self.share:
            return True
        if not self.needs_endpoint:
            return False
        known = self._decided.get(request_id)
        if known is None:
            known = self._decided[request_id] = self._below_floor(endpoint, now_us)
            if len(self._decided) > self._memory:
                del self._decided[next(iter(self._decided))]
        return known

    def _below_floor(self, endpoint: str, now_us: int) -> bool:
        if now_us >= self._until_us:
            self._seen.clear()
            self._until_us = now_us + self._period_us
        if endpoint not in self._seen and len(self._seen) >= self._endpoints:
            endpoint = OTHERS
        seen = self._seen[endpoint] = self._seen.get(endpoint, 0) + 1
        return seen <= self.floor
