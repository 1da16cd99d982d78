"""What a collector counts. Plain integers, since they change thousands of times a second; metrics read them."""

from __future__ import annotations

import msgspec

__all__ = ["Counts"]


class Counts(msgspec.Struct):
    """Entries by what became of them, since the start.

    Every entry that was `received` was `shed` (no room), `skipped` (no exchange to record, by reason), `sampled_out`,
    `written`, `lost` (the broker did not take it in time), or is still on its way. `undecodable` counts messages.
    """

    received: int = 0
    shed: int = 0
    sampled_out: int = 0
    written: int = 0
    lost: int = 0
    undecodable: int = 0
    skipped: dict[str, int] = msgspec.field(default_factory=dict)

    def skip(self, reason: str) -> None:
        """Count an entry that becomes no exchange."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    @property
    def under_way(self) -> int:
        """Entries whose fate is open."""
        known = self.shed + self.sampled_out + self.written + self.lost + sum(self.skipped.values())
        return self.received - known

    def __str__(self) -> str:
        """Say in a line what became of the entries."""
        parts = [f"{self.received} exchanges received", f"{self.written} written"]
        parts += [
            f"{count} {name}" for name, count in (("sampled out", self.sampled_out), ("shed", self.shed)) if count
        ]
        parts += [f"{count} left out ({reason})" for reason, count in sorted(self.skipped.items())]
        parts += [f"{self.lost} lost"] if self.lost else []
        return ", ".join(parts)
