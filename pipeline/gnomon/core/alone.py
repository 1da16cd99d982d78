"""Where the live records are that nobody else was sent: a counterpart that turns up all the same is compared.

Nothing of such a request lands, so no log knows it. Those of the last while are kept as two numbers each; the record
itself is read again when it is asked for.
"""

from __future__ import annotations

__all__ = ["Alone"]


class Alone:
    """Offsets and event times by request id, the last `most` to twice as many.

    Ids are known by their hash; whoever reads an offset looks whether that record is of the id.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._new: dict[int, tuple[int, int]] = {}
        self._old: dict[int, tuple[int, int]] = {}

    def add(self, request_id: str, offset: int, at_us: int) -> None:
        """Remember where a request's only record is, and its event time."""
        if len(self._new) >= self._most:
            self._old, self._new = self._new, {}
        self._new[hash(request_id)] = offset, at_us

    def get(self, request_id: str) -> tuple[int, int] | None:
        """Give the offset and the event time, if the request is known."""
        known = hash(request_id)
        found = self._new.get(known)
        return self._old.get(known) if found is None else found
