"""Whether a process can do its work, by part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["STARTING", "Readiness"]

STARTING: Final = "starting"


class Readiness:
    """What parts of a process have said of themselves; ready means that no part has a reason not to be.

    Args:
        parts: Names of the parts that have to come up first, such as `kafka` and `store`; each is starting until it
            says otherwise.
    """

    def __init__(self, parts: Iterable[str]) -> None:
        self._reasons: dict[str, str | None] = dict.fromkeys(parts, STARTING)

    def ready(self, part: str) -> None:
        """Note that a part can do its work."""
        self._reasons[part] = None

    def not_ready(self, part: str, reason: str) -> None:
        """Note why a part cannot do its work: one sentence for an operator, without secrets."""
        self._reasons[part] = reason

    def forget(self, part: str) -> None:
        """Drop a part that is no longer there, such as a partition that went to another worker."""
        self._reasons.pop(part, None)

    @property
    def is_ready(self) -> bool:
        """Whether every part can do its work."""
        return not self.reasons

    @property
    def reasons(self) -> dict[str, str]:
        """Why the process is not ready, by part; empty when it is."""
        return {part: reason for part, reason in self._reasons.items() if reason is not None}

    @property
    def parts(self) -> Mapping[str, bool]:
        """Every part, and whether it can do its work."""
        return {part: reason is None for part, reason in self._reasons.items()}
