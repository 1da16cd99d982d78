"""Whether a live record may say who else has to turn up.

A record that says so and whose other side never comes counts against the shadow. Where this process falls behind or
sheds, those of the other sides may do so too, most of all when it is Kafka that is away; and they need not keep the
same requests. So it says nothing then, and for a time after: what turns up is compared all the same, and nobody is
missed.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BEHIND", "HOLD", "Doubt"]

BEHIND: Final = 2.0
"""How long, in seconds, a record may have waited before it is a sign of trouble."""
HOLD: Final = 60.0
"""How long, in seconds, a sign of trouble counts: the other sides may need longer to catch up."""


class Doubt:
    """Remembers the last sign of trouble, by a monotonic clock in seconds."""

    def __init__(self) -> None:
        self._until = float("-inf")

    def note(self, now: float, *, waited: float = 0.0, shed: bool = False) -> None:
        """Take note of how long a record has waited, and of whether others were shed."""
        if shed or waited > BEHIND:
            self._until = now + HOLD

    def holds(self, now: float) -> bool:
        """Whether other sides of what is recorded now may not have been written."""
        return now < self._until
