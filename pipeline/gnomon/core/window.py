"""The windowed join of a stream: only requests whose window is open are held, and only within a bound of memory.

A request is given out as soon as everybody expected is here, or with its missing sides when the watermark passes its
window; then it is forgotten. A record that belongs to a request that was given out before, or whose other records were
put out of memory, makes a `Recall`: whoever runs the join finds those records (a log holds their offsets) and answers
with `Joiner.recalled`. So what a request comes to is the same whatever the order of arrival; what memory could not
hold costs a look-up, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TypeAlias

import msgspec

from gnomon.core.join import LIVE, Group, Joined, Member, Slot
from gnomon.model import Place

__all__ = ["Event", "Found", "Given", "Joiner", "Recall", "TooLate", "Unneeded", "offset_of"]


class Given(msgspec.Struct, frozen=True):
    """A request as it stands: all that came of it, and who is missing.

    `offsets` are those of the records that are done with once this has landed. `replaces` is empty unless the request
    was given out before: then what this comes to takes the place of what that came to, which started at one of these
    times, in microseconds. There may be nothing to compare. `at_us` is the event time of the first record that came.
    """

    joined: Joined
    offsets: tuple[int, ...] = ()
    replaces: tuple[int, ...] = ()
    at_us: int = 0

    def joined_by(self, member: Member, expect: Sequence[str]) -> Given:
        """Give the request with one record more, before anything of it has landed."""
        group = Found.of(self).group(self.joined.request_id)
        group.add(member)
        return Given(group.joined(expect), (*self.offsets, offset_of(member)), self.replaces, self.at_us)


class Recall(msgspec.Struct, frozen=True):
    """The other records of a request are needed; answer with `Joiner.recalled`.

    `places` are records that are not in memory. `given` says that the request was given out before, and that what was
    read then is needed; `started_us` is when the record that asks was started, by a clock that is to be trusted.
    """

    request_id: str
    places: tuple[Place, ...]
    given: bool
    started_us: int = 0


class Found(msgspec.Struct, frozen=True):
    """The answer to a `Recall`.

    `members` are the records found, `duplicates` how many more had claimed a slot when the request was given out,
    `late` the slots that were late then; `gone` says that records were there once and cannot be read any more. `at_us`
    is the event time of the first record that came, which no wrong clock may tell.
    """

    members: Sequence[Member] = ()
    duplicates: dict[Slot, int] = {}
    late: frozenset[Slot] = frozenset()
    gone: bool = False
    at_us: int = 0

    @classmethod
    def of(cls, given: Given) -> Found:
        """Answer from what a request was given out as."""
        joined = given.joined
        live = [joined.live] if joined.live else []
        return cls([*live, *joined.others.values()], joined.duplicates, joined.late, at_us=given.at_us)

    def group(self, request_id: str) -> Group:
        """Put the records together again."""
        group = Group(request_id)
        for member in self.members:
            group.add(member)
        for slot, count in self.duplicates.items():
            group.duplicates[slot] = group.duplicates.get(slot, 0) + count
        group.late.update(self.late)
        return group


class TooLate(msgspec.Struct, frozen=True):
    """A record that came when nothing could be joined to it any more; it becomes a reject."""

    member: Member


class Unneeded(msgspec.Struct, frozen=True):
    """Records that change nothing: duplicates of a request whose window has closed, and replays."""

    offsets: tuple[int, ...]


Event: TypeAlias = Given | Recall | TooLate | Unneeded


class _Arrived(msgspec.Struct, frozen=True):
    """A record that waits for a recall; the watermark of then judges it, however long the answer takes."""

    member: Member
    at_us: int
    watermark_us: int


class _Open(msgspec.Struct):
    """A request in its window.

    `parked` are the places of records that are not in memory, `silent` says that nothing comes of it if nobody else
    turns up, `waiting` is a list while a recall is out; `replaces` as in `Given`.
    """

    group: Group
    deadline_us: int
    given: bool = False
    size: int = 0
    offsets: tuple[int, ...] = ()
    parked: tuple[Place, ...] = ()
    silent: bool = False
    waiting: list[_Arrived] | None = None
    replaces: tuple[int, ...] = ()


class Joiner:
    """Joins a stream by an event-time window.

    Args:
        window_us: How long after its completion a request's first record waits for the others, in microseconds of
            event time.
        lateness_us: How long after that a record still finds its request.
        horizon_us: An id that comes again this much later is another request.
        expect: Who is expected where a live record does not say.
    """

    def __init__(self, window_us: int, lateness_us: int, horizon_us: int, expect: Sequence[str] = ("shadow",)) -> None:
        self._window_us = window_us
        self._lateness_us = lateness_us
        self._horizon_us = horizon_us
        self._expect = tuple(expect)
        self._open: dict[str, _Open] = {}
        self._held: dict[str, None] = {}  # those of the open ones whose records are in memory, oldest first
        self._deadlines: list[tuple[int, str]] = []
        self.watermark_us = 0
        self.size = 0

    def __len__(self) -> int:
        """Count the requests that are open."""
        return len(self._open)

    def __contains__(self, request_id: str) -> bool:
        """Whether a request is open."""
        return request_id in self._open

    def next_deadline(self) -> int | None:
        """Say when the next of the open windows closes."""
        while self._deadlines:
            deadline_us, request_id = self._deadlines[0]
            entry = self._open.get(request_id)
            if entry is not None and entry.deadline_us == deadline_us and entry.waiting is None:
                return deadline_us
            heappop(self._deadlines)  # given out since, or waiting for a recall
        return None

    def last_deadline(self) -> int:
        """Say when the last of the open windows closes; 0 without one."""
        return max((entry.deadline_us for entry in self._open.values()), default=0)

    def feed(
        self, member: Member, at_us: int, size: int = 0, *, given: bool = False, parked: tuple[Place, ...] = ()
    ) -> list[Event]:
        """Take one record; give what comes of it.

        Args:
            member: The record; its place has an offset.
            at_us: Its event time: when it was complete, unless its clock is not to be trusted.
            size: What it takes in memory, in bytes.
            given: Whether its request has been given out before.
            parked: Where records of it are that were given out, and that nothing came of.
        """
        request_id = member.exchange.request_id
        entry = self._open.get(request_id)
        events: list[Event] = []
        if entry is not None and entry.waiting is None and self._is_another(at_us, entry.deadline_us - self._window_us):
            events.append(self._close(entry))
            entry = self._open.get(request_id)
        if entry is None:
            deadline_us = at_us + self._window_us
            if not given and deadline_us + self._lateness_us <= self.watermark_us:
                return [*events, TooLate(member)]
            entry = self._open[request_id] = _Open(Group(request_id), deadline_us, given, parked=parked)
            if not given:
                heappush(self._deadlines, (deadline_us, request_id))
        if entry.waiting is not None or entry.given or entry.parked:
            if entry.waiting is None:
                entry.waiting = []
                events.append(Recall(request_id, entry.parked, entry.given, _started_us(member, at_us)))
            entry.waiting.append(_Arrived(member, at_us, self.watermark_us))
            return events
        self._add(entry, member, size)
        if entry.group.complete(self._expect):
            events.append(self._give(entry))
        else:
            self._silence(entry)
        return events

    def advance(self, watermark_us: int) -> list[Event]:
        """Close the windows that end at or before the watermark; a lower one than before closes nothing."""
        self.watermark_us = max(self.watermark_us, watermark_us)
        events: list[Event] = []
        while (deadline_us := self.next_deadline()) is not None and deadline_us <= self.watermark_us:
            _, request_id = heappop(self._deadlines)
            events.append(self._close(self._open[request_id]))
        return events

    def recalled(self, request_id: str, found: Found) -> list[Event]:
        """Take the answer to a recall; give what comes of the request."""
        entry = self._open.pop(request_id)
        arrived, entry.waiting = entry.waiting or [], None
        if entry.given and not found.members and not found.gone:
            return self._join_nothing(request_id, arrived)
        if found.gone:
            unneeded = [Unneeded(entry.offsets)] if entry.offsets else []
            return [*(TooLate(one.member) for one in arrived), *unneeded]
        began_us = found.at_us if entry.given else entry.deadline_us - self._window_us
        others = [one for one in arrived if self._is_another(one.at_us, began_us)]
        if others:
            arrived = [one for one in arrived if one not in others]
        join = self._join_given if entry.given else self._join_parked
        return [*join(entry, arrived, found), *(e for one in others for e in self.feed(one.member, one.at_us))]

    def shed(self, limit: int) -> int:
        """Put the records that have waited longest out of memory until no more than `limit` bytes are held.

        Returns:
            How many requests had records put out.
        """
        victims: list[_Open] = []
        size = self.size
        for request_id in self._held if size > limit else ():
            victims.append(self._open[request_id])
            size -= victims[-1].size
            if size <= limit:
                break
        for entry in victims:
            self._park(entry)
        return len(victims)

    def _add(self, entry: _Open, member: Member, size: int) -> None:
        group = entry.group
        group.add(member)
        entry.size += size
        self.size += size
        entry.offsets += (offset_of(member),)
        self._held[group.request_id] = None

    def _silence(self, entry: _Open) -> None:
        """Hold nothing in memory of a request that nobody else was sent."""
        live = entry.group.members.get(LIVE)
        if live is not None and live.exchange.expect == [] and len(entry.group.members) == 1:
            self._park(entry)
            entry.silent = True

    def _is_another(self, at_us: int, began_us: int) -> bool:
        """Whether a record is too far from the first one of a request to be one of its own."""
        return at_us - began_us >= self._horizon_us

    def _join_parked(self, entry: _Open, arrived: list[_Arrived], found: Found) -> list[Event]:
        """Go on with a request whose records were put out of memory, and are there again."""
        request_id = entry.group.request_id
        entry.group.members.update((member.slot, member) for member in found.members)
        entry.parked, entry.silent = (), False
        self._open[request_id] = entry
        for one in arrived:
            self._add(entry, one.member, 0)
        if entry.deadline_us <= self.watermark_us or entry.group.complete(self._expect):
            return [self._give(entry)]
        heappush(self._deadlines, (entry.deadline_us, request_id))
        self._silence(entry)
        return []

    def _join_given(self, entry: _Open, arrived: list[_Arrived], found: Found) -> list[Event]:
        """Join records to a request that was given out before."""
        group, read = found.group(entry.group.request_id), {offset_of(member) for member in found.members}
        deadline_us = found.at_us + self._window_us
        events: list[Event] = []
        offsets: list[int] = []
        changed = False
        for one in arrived:
            member = one.member
            if offset_of(member) not in read:
                if deadline_us + self._lateness_us <= one.watermark_us:
                    events.append(TooLate(member))
                    continue
                late = deadline_us <= one.watermark_us
                group.add(member)
                kept = group.members[member.slot] is member
                changed = changed or kept or not late  # past the window a duplicate is not counted
                if late and kept:
                    group.late.add(member.slot)
            offsets.append(offset_of(member))
        if changed:
            replaces = tuple({member.exchange.started_us for member in found.members})
            events.append(Given(group.joined(self._expect), tuple(offsets), replaces, found.at_us))
        elif offsets:
            events.append(Unneeded(tuple(offsets)))
        return events

    def _join_nothing(self, request_id: str, arrived: list[_Arrived]) -> list[Event]:
        """Start anew with a request that was given out before, and of which nothing is left."""
        started = tuple({one.member.exchange.started_us for one in arrived})
        events = [event for one in arrived for event in self.feed(one.member, one.at_us)]
        if request_id in self._open:
            self._open[request_id].replaces = started
        return [msgspec.structs.replace(e, replaces=started) if isinstance(e, Given) else e for e in events]

    def _close(self, entry: _Open) -> Event:
        """End a request's window."""
        if entry.parked and not entry.silent:
            entry.waiting = []
            return Recall(entry.group.request_id, entry.parked, given=False)
        return self._give(entry)

    def _give(self, entry: _Open) -> Given:
        request_id = entry.group.request_id
        self._open.pop(request_id, None)
        self._held.pop(request_id, None)
        self.size -= entry.size
        at_us = entry.deadline_us - self._window_us
        return Given(entry.group.joined(self._expect), entry.offsets, entry.replaces, at_us)

    def _park(self, entry: _Open) -> None:
        """Keep of a request only where its records are."""
        entry.parked = tuple(member.place for member in entry.group.members.values() if member.place is not None)
        entry.group.members.clear()
        self._held.pop(entry.group.request_id, None)
        self.size -= entry.size
        entry.size = 0


def offset_of(member: Member) -> int:
    """Give the offset that a record was read at; records of a stream have one."""
    return member.place.offset if member.place is not None and member.place.offset is not None else -1


def _started_us(member: Member, at_us: int) -> int:
    """Say when a record was started, as far as its clock is to be trusted."""
    exchange = member.exchange
    return exchange.started_us - max(exchange.completed_us - at_us, 0)
