"""Event time of a stream: how far it has come, whatever single clocks say.

The watermark follows the completion times of the records read. A record whose completion is ahead of the Kafka
timestamp or of the clock by more than the skew has a clock that is not to be trusted: it counts for the time at which
Kafka got it, and so closes no window of others. Where no records come, event time flows with the clock, but only as
far as it takes to close the windows that are open.
"""

from __future__ import annotations

__all__ = ["Watermark"]


class Watermark:
    """The watermark of one partition, in epoch microseconds.

    Args:
        skew_us: How far event time may be ahead of the Kafka timestamp and of the clock.
        us: Where an earlier owner of the partition had come.
    """

    def __init__(self, skew_us: int, us: int = 0) -> None:
        self._skew_us = skew_us
        self._idle_since_us: int | None = None
        self.us = us
        self.offenders = 0

    def observe(self, completed_us: int, stamped_us: int, now_us: int) -> int:
        """Take note of a record; give the event time that it counts for.

        Args:
            completed_us: When the record says it was complete.
            stamped_us: Its Kafka timestamp.
            now_us: What the clock shows.
        """
        at_us = self.trusted(completed_us, stamped_us, now_us)
        if at_us != completed_us:
            self.offenders += 1
        if at_us > self.us and (at_us == completed_us or stamped_us <= now_us + self._skew_us):
            self.us = at_us
        self._idle_since_us = now_us
        return at_us

    def trusted(self, completed_us: int, stamped_us: int, now_us: int) -> int:
        """Give the event time that a record counts for, as `observe` does, and take no note of it."""
        known_us = min(stamped_us, now_us)
        return known_us if completed_us > known_us + self._skew_us else completed_us

    def idle(self, now_us: int) -> int:
        """Say where event time would be if nothing more came: it has flowed with the clock since the last record."""
        if self._idle_since_us is None:
            self._idle_since_us = now_us
        return self.us + max(now_us - self._idle_since_us, 0)

    def idle_for(self, now_us: int) -> int:
        """Say how long no record has come, by the clock."""
        return 0 if self._idle_since_us is None else max(now_us - self._idle_since_us, 0)

    def flow(self, to_us: int, now_us: int) -> None:
        """Let event time flow to where `idle` said, or less far."""
        self.us = max(self.us, to_us)
        self._idle_since_us = now_us
