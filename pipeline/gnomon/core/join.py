"""The join by request id: which records are the sides of one request, and who is missing.

`Group` collects the records of one request id. What a group comes to depends on its records alone, not on the order
they came in. `core.window` closes groups by an event-time window, for streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from gnomon.model import Exchange, Place, Role

__all__ = ["LIVE", "Group", "Joined", "Member", "Slot", "split_by_horizon"]

Slot: TypeAlias = tuple[Role, str]
"""(role, target): who answered. Live's target is not part of it: there is one live side."""

LIVE: Final[Slot] = ("live", "")
"""Live's slot."""

_NOBODY: Final[frozenset[Slot]] = frozenset()


class Member(msgspec.Struct, frozen=True, gc=False):
    """An exchange and where it was read."""

    exchange: Exchange
    place: Place | None = None

    @property
    def slot(self) -> Slot:
        """Which side of the request this is."""
        exchange = self.exchange
        role = exchange.role
        return LIVE if role == "live" else (role, exchange.target)

    def precedes(self, other: Member) -> bool:
        """Whether this one is kept when both claim the same slot: the earlier start, then the smaller bytes."""
        if self.exchange.started_us != other.exchange.started_us:
            return self.exchange.started_us < other.exchange.started_us
        return msgspec.json.encode(self.exchange) < msgspec.json.encode(other.exchange)


class Joined(msgspec.Struct, frozen=True):
    """One request with all its sides.

    `others` are shadows and controls that answered, `missing` those that were expected and did not, `duplicates`
    how many records beyond the first claimed a slot, `late` the slots that came after the window had closed.
    """

    request_id: str
    live: Member | None
    others: dict[Slot, Member]
    missing: tuple[Slot, ...]
    duplicates: dict[Slot, int]
    late: frozenset[Slot] = frozenset()


class Group:
    """The records of one request id."""

    __slots__ = ("duplicates", "late", "members", "request_id")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.members: dict[Slot, Member] = {}
        self.duplicates: dict[Slot, int] = {}
        self.late: set[Slot] = set()

    def add(self, member: Member) -> None:
        """Take a record in; of several for one slot the one that precedes is kept, the others are counted."""
        slot = member.slot
        known = self.members.get(slot)
        if known is None:
            self.members[slot] = member
            return
        self.duplicates[slot] = self.duplicates.get(slot, 0) + 1
        if member.precedes(known):
            self.members[slot] = member

    def missing(self, expect: Sequence[str]) -> list[Slot]:
        """Give the slots that live's record (or `expect`, where it says nothing) expects and that are empty."""
        live = self.members.get(LIVE)
        if live is None:
            return []
        expected = expect if live.exchange.expect is None else live.exchange.expect
        present = {role for role, _ in self.members}
        if present.issuperset(expected):
            return []
        named = {entry.partition(":")[0] for entry in expected if ":" in entry}
        found: list[Slot] = []
        for entry in expected:
            role, colon, target = entry.partition(":")
            known = (role, target) in self.members if colon else role in present or role in named
            if not known and role in ("shadow", "control"):
                slot: Slot = ("shadow" if role == "shadow" else "control", target)
                if slot not in found:
                    found.append(slot)
        return found

    def complete(self, expect: Sequence[str]) -> bool:
        """Whether live, somebody else, and everybody expected are here."""
        return LIVE in self.members and len(self.members) > 1 and not self.missing(expect)

    def joined(self, expect: Sequence[str]) -> Joined:
        """Give the request as it stands."""
        others = self.members.copy()
        live = others.pop(LIVE, None)
        if len(others) > 1:
            others = dict(sorted(others.items(), key=lambda item: item[0]))
        return Joined(
            self.request_id,
            live,
            others,
            tuple(self.missing(expect)),
            self.duplicates.copy(),
            frozenset(self.late) if self.late else _NOBODY,
        )


def split_by_horizon(members: Iterable[Member], horizon_us: int) -> list[list[Member]]:
    """Split the records of one id into requests: an id that live uses again after the horizon is another request.

    Shadows and controls go to the live record that is nearest in time; without a live record they are split by
    their own times.
    """
    in_time = sorted(members, key=lambda m: m.exchange.completed_us)
    anchors = [m for m in in_time if m.slot == LIVE] or in_time
    starts: list[int] = []
    for member in anchors:
        if not starts or member.exchange.completed_us - starts[-1] >= horizon_us:
            starts.append(member.exchange.completed_us)
    if len(starts) <= 1:
        return [in_time]
    requests: list[list[Member]] = [[] for _ in starts]
    for member in in_time:
        at = member.exchange.completed_us
        if member.slot == LIVE:
            nearest = max(n for n, start in enumerate(starts) if start <= at)
        else:
            nearest = min(range(len(starts)), key=lambda n: abs(starts[n] - at))
        requests[nearest].append(member)
    return [request for request in requests if request]
