"""The join by request id: which records are the sides of one request, and who is missing.

`Group` collects the records of one request id; `Joiner` closes groups by an event-time window, for streams. What a
group comes to depends on its records alone, not on the order they came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Final, TypeAlias

import msgspec

from gnomon.model import Exchange, Place, Role

__all__ = ["LIVE", "Group", "Joined", "Joiner", "Late", "Member", "Slot", "TooLate", "split_by_horizon"]

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
        present = [role for role, _ in self.members]
        if all(entry in present for entry in expected):
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


class Late(msgspec.Struct, frozen=True):
    """A record whose request's window closed less than the lateness ago; `joined` supersedes what was said then."""

    joined: Joined


class TooLate(msgspec.Struct, frozen=True):
    """A record that came when nothing could be joined to it any more; it becomes a reject."""

    member: Member


class _Open(msgspec.Struct):
    """A group in its window, or closed and remembered for the lateness; `told` is how it was last given out."""

    group: Group
    told: Joined | None = None
    closed: bool = False


class Joiner:
    """Joins a stream by an event-time window; holds each request for `window` and remembers it for `lateness`.

    A request is given out as soon as everybody expected is here, again if somebody unexpected or late joins it, and
    with its missing sides when the watermark passes its window.

    Args:
        window_us: How long after its first completion a request waits for its sides, in microseconds of event time.
        lateness_us: How long after that a record still finds its request.
        expect: Who is expected where a live record does not say.
    """

    def __init__(self, window_us: int, lateness_us: int, expect: Sequence[str] = ("shadow",)) -> None:
        self._window_us = window_us
        self._lateness_us = lateness_us
        self._expect = tuple(expect)
        self._open: dict[str, _Open] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._watermark_us = 0

    def __len__(self) -> int:
        """Count the requests held, open or remembered."""
        return len(self._open)

    def feed(self, member: Member) -> list[Joined | Late | TooLate]:
        """Take one record; give what it completes."""
        request_id = member.exchange.request_id
        entry = self._open.get(request_id)
        if entry is None:
            deadline = member.exchange.completed_us + self._window_us
            if deadline + self._lateness_us <= self._watermark_us:
                return [TooLate(member)]
            entry = self._open[request_id] = _Open(Group(request_id))
            heappush(self._deadlines, (deadline, request_id))
        entry.group.add(member)
        if entry.closed:
            entry.group.late.add(member.slot)
            return [Late(entry.group.joined(self._expect))]
        if not entry.group.complete(self._expect):
            return []
        return self._tell(entry)

    def advance(self, watermark_us: int) -> list[Joined | Late | TooLate]:
        """Close the windows that end at or before the watermark, and forget what is older than the lateness."""
        self._watermark_us = max(self._watermark_us, watermark_us)
        events: list[Joined | Late | TooLate] = []
        while self._deadlines and self._deadlines[0][0] <= self._watermark_us:
            deadline, request_id = heappop(self._deadlines)
            entry = self._open[request_id]
            if entry.closed:
                del self._open[request_id]
                continue
            entry.closed = True
            events += self._tell(entry)
            heappush(self._deadlines, (deadline + self._lateness_us, request_id))
        return events

    def _tell(self, entry: _Open) -> list[Joined | Late | TooLate]:
        """Give a request out as it stands, unless it was told just so or nobody else has to do with it."""
        joined = entry.group.joined(self._expect)
        if joined == entry.told or not (joined.others or joined.missing):
            return []
        entry.told = joined
        return [joined]
