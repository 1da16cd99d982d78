"""What happens to the records of one partition until they are joined: no I/O, no clock.

Records come in by `take`; what is to be compared, rejected or looked up comes out by `collect` and `recalls`. Between
`collect` and `has_landed` a request is on its way, and what still comes of it is joined to it from memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol

import msgspec

from gnomon.core.alone import Alone
from gnomon.core.decode import EXCERPT_BYTES, decode_exchange
from gnomon.core.join import Member
from gnomon.core.offsets import Offsets
from gnomon.core.population import Populations
from gnomon.core.watermark import Watermark
from gnomon.core.window import Event, Found, Given, Joiner, Recall, TooLate, Unneeded, offset_of
from gnomon.model import Exchange, JsonValue, Place, PopulationCount, Reject

__all__ = ["TOO_LATE", "Collected", "Counts", "Intake", "IntakeOptions", "Record"]

logger = logging.getLogger(__name__)

TOO_LATE: Final = "too_late"
SYNTHETIC_HEADER: Final = "x-synthetic"
_OBJECT_BYTES: Final = 1500
"""What a decoded record takes beyond its text, roughly: strings, lists and structs have headers."""
_BYTES_RECENT: Final = 16 * 1024
"""One request that has landed stays at hand for as much memory."""
_BYTES_ALONE: Final = 2048
"""One request that was sent to nobody else is remembered for as much memory: a tenth of it is used."""


class Record(Protocol):
    """A record as aiokafka gives it; `timestamp` is in epoch milliseconds."""

    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class IntakeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How records are joined; times are microseconds, `memory` is bytes for waiting records.

    An id that comes again `horizon_us` later is another request.
    """

    window_us: int
    lateness_us: int
    skew_us: int
    horizon_us: int
    expect: tuple[str, ...]
    memory: int


class Counts(msgspec.Struct):
    """What an operator wants to know of a partition; `ahead` are records whose clocks are not to be trusted."""

    records: int = 0
    rejects: int = 0
    too_late: int = 0
    unneeded: int = 0
    evicted: int = 0
    ahead: int = 0


class Collected(msgspec.Struct, frozen=True):
    """What is to land next: requests to compare, rejects, and the offsets that are done with then."""

    given: list[Given]
    rejects: list[Reject]
    offsets: list[int]
    populations: list[PopulationCount]

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come of anything."""
        return not (self.given or self.rejects or self.offsets or self.populations)


class Intake:
    """The records of one partition on their way to being compared.

    Args:
        place: The topic and the partition, as a place without an offset.
        options: How records are joined.
        state: What `handed_on` of the last owner gave; empty for none.
        landed: Whether something of a request, by its id and start, has landed before.
        populations: Counts live answers; each record once in the life of the partition, whoever owns it.

    `last` is the last record that was read, its offset and its timestamp in epoch milliseconds: in a topic of the same
    name that was made anew there is another.
    """

    def __init__(
        self,
        place: Place,
        options: IntakeOptions,
        state: dict[str, JsonValue],
        landed: Callable[[str, int], bool],
        populations: Populations,
    ) -> None:
        known = msgspec.convert(state, _State)
        self._place = place
        self._options = options
        self._landed = landed
        self._populations = populations
        self._counted_below = known.counted
        self.offsets = Offsets(known.following, known.open)
        self.last = known.last
        self.watermark = Watermark(options.skew_us, known.watermark_us)
        self.joiner = Joiner(options.window_us, options.lateness_us, options.horizon_us, options.expect)
        self.joiner.advance(known.watermark_us)
        self.counts = Counts()
        self._ready: dict[str, Given] = {}
        self._displaced: list[Given] = []
        self._settled: dict[str, Given] = {}
        self.rejects: list[Reject] = []
        self.recalls: list[Recall] = []
        self._done: list[int] = []
        self._on_the_way: dict[str, Given] = {}
        self._recent: dict[str, Given] = {}
        self._recent_most = options.memory // _BYTES_RECENT
        self._alone = Alone(options.memory // _BYTES_ALONE)

    def take(self, record: Record, now_us: int) -> None:
        """Take one record in; `now_us` is what the clock shows."""
        if not self.offsets.read(record.offset):
            return
        self.last = (record.offset, record.timestamp)
        self.counts.records += 1
        place = Place(self._place.source, partition=self._place.partition, offset=record.offset)
        if record.value is None:
            self._reject(Reject(place, "the record has no value, expected an exchange as a JSON object"), record.offset)
            return
        exchange = read_record(record, place)
        if isinstance(exchange, Reject):
            self._reject(exchange, record.offset)
            return
        if record.offset >= self._counted_below:  # what is below was read by an owner before, and counted
            self._count(exchange, place)
        at_us = self.watermark.observe(exchange.completed_us, record.timestamp * 1000, now_us)
        self.counts.ahead = self.watermark.offenders
        member, request_id = Member(exchange, place), exchange.request_id
        for waiting in (self._ready, self._settled):
            given = waiting.get(request_id)
            if given is not None and self._is_near(at_us, given.at_us):
                waiting[request_id] = given.joined_by(member, self._options.expect)
                return
        self._feed(member, at_us, len(record.value) + _OBJECT_BYTES)
        self._advance()

    def _count(self, exchange: Exchange, place: Place) -> None:
        """Count a live answer; what is not counted must not hold up what is joined."""
        try:
            self._populations.add(exchange)
        except Exception:
            logger.exception("a bug of ours: the record at %s is not counted among live answers", place)

    def _feed(self, member: Member, at_us: int, size: int) -> None:
        """Join a record to those of its request that wait, or find those that wait no more."""
        exchange, joiner = member.exchange, self.joiner
        request_id = exchange.request_id
        if request_id in joiner:
            self._handle(joiner.feed(member, at_us, size))
            return
        known = self._at_hand(request_id)
        # A clock that runs ahead is no reason to take a record for another request's
        started_us = exchange.started_us - max(exchange.completed_us - at_us, 0)
        given = (known is not None and self._is_near(at_us, known.at_us)) or self._landed(request_id, started_us)
        parked: tuple[Place, ...] = ()
        alone = self._alone.get(request_id)
        if alone is not None and self._is_near(at_us, alone[1]):
            given, parked = True, (Place(self._place.source, partition=self._place.partition, offset=alone[0]),)
        self._handle(joiner.feed(member, at_us, size, given=given, parked=parked))

    def _at_hand(self, request_id: str) -> Given | None:
        """Give what was last given out of a request, if that was a moment ago."""
        return self._on_the_way.get(request_id) or self._recent.get(request_id)

    def _is_near(self, at_us: int, known_us: int) -> bool:
        """Whether a record is near enough to what is known of its id to be of the same request."""
        return at_us - known_us < self._options.horizon_us

    def shed(self) -> None:
        """Keep within memory."""
        self.counts.evicted += self.joiner.shed(self._options.memory)

    def idle(self, now_us: int) -> bool:
        """Whether windows would close if the partition is idle: ask the broker, and then `flow`."""
        deadline_us = self.joiner.next_deadline()
        return deadline_us is not None and deadline_us <= self._flows_to(now_us)

    def flow(self, now_us: int) -> None:
        """Let time pass in a partition that is idle, as far as its open windows go."""
        self.watermark.flow(min(self._flows_to(now_us), self.joiner.last_deadline()), now_us)
        self._advance()

    def _flows_to(self, now_us: int) -> int:
        """Say where event time would be; whatever clocks said, a window's length without a record ends all windows."""
        if self.watermark.idle_for(now_us) >= self._options.window_us:
            return max(self.watermark.idle(now_us), self.joiner.last_deadline())
        return self.watermark.idle(now_us)

    def time_of(self, record: Record, exchange: Exchange, now_us: int) -> int:
        """Give the event time that a record counts for; also of one that is read again."""
        return self.watermark.trusted(exchange.completed_us, record.timestamp * 1000, now_us)

    def answer(self, recall: Recall, found: Found) -> None:
        """Take the answer to one of `recalls`."""
        self._handle(self.joiner.recalled(recall.request_id, found))

    def settle(self) -> None:
        """Take it that a moment has passed: what is complete by now may land."""
        self._settled |= self._ready
        self._ready = {}

    def collect(self, *, everything: bool) -> Collected:
        """Give what is to land, and count it as on its way.

        That is what was complete when `settle` was last called, or everything that is: who comes a moment after its
        request was complete, a control that nobody announced or a duplicate, is still joined to it.
        """
        if everything:
            self.settle()
        chosen, self._settled = self._settled, {}
        chosen_all = [*self._displaced, *chosen.values()]
        collected = Collected(chosen_all, self.rejects, self._done, self._populations.drain())
        self._on_the_way.update(chosen)
        self._displaced, self.rejects, self._done = [], [], []
        for given in collected.given:
            collected.offsets.extend(given.offsets)
        self.offsets.done(collected.offsets)
        return collected

    def has_landed(self, collected: Collected) -> None:
        """Take note that something has landed; it stays at hand for a while."""
        for given in collected.given:
            request_id = given.joined.request_id
            if self._on_the_way.get(request_id) is given:
                del self._on_the_way[request_id]
            self._recent.pop(request_id, None)
        most = self._recent_most
        self._recent |= {given.joined.request_id: given for given in collected.given[-most:]}
        # Those that go are named at once: to find a dictionary's first key is slow where many went before it
        for request_id in list(islice(self._recent, max(len(self._recent) - most, 0))):
            del self._recent[request_id]

    def handed_on(self) -> dict[str, JsonValue]:
        """Give what a successor must know once all that was collected has landed."""
        following, ranges = self.offsets.handed_on()
        return {
            "following": following,
            "open": [[first, past] for first, past in ranges],
            "watermark_us": self.joiner.watermark_us,
            "counted": max(self._counted_below, self.offsets.following),
            "last": None if self.last is None else list(self.last),
        }

    @property
    def has_results(self) -> bool:
        """Whether there is something to land or to look up."""
        return bool(self._ready or self._settled or self._displaced or self.rejects or self.recalls)

    @property
    def ready(self) -> int:
        """How many requests wait to be collected."""
        return len(self._ready) + len(self._settled) + len(self._displaced)

    @property
    def has_work(self) -> bool:
        """The same, or only progress to write down."""
        return self.has_results or bool(self._done) or len(self._populations) > 0

    def _advance(self) -> None:
        """Close the windows that the watermark has passed; record by record, so that slices change nothing."""
        events = self.joiner.advance(self.watermark.us)
        if events:
            self._handle(events)

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Given():
                    joined = event.joined
                    if joined.others or joined.missing or event.replaces:
                        self._make_ready(event)
                    else:
                        self._done.extend(event.offsets)
                    if not (joined.others or joined.missing):  # nobody else was sent this request
                        offset = offset_of(joined.live) if joined.live else event.offsets[0]
                        self._alone.add(joined.request_id, offset, event.at_us)
                case Recall():
                    known = self._at_hand(event.request_id)
                    if event.given and known is not None and self._is_near(event.started_us, known.at_us):
                        self._handle(self.joiner.recalled(event.request_id, Found.of(known)))
                    else:
                        self.recalls.append(event)
                case TooLate():
                    self.counts.too_late += 1
                    self._reject_late(event.member)
                case Unneeded():
                    self.counts.unneeded += len(event.offsets)
                    self._done.extend(event.offsets)

    def _make_ready(self, given: Given) -> None:
        """Keep a request until it is collected; an earlier one of the same id is beyond the horizon, and complete."""
        request_id = given.joined.request_id
        for waiting in (self._ready, self._settled):
            if request_id in waiting:
                self._displaced.append(waiting.pop(request_id))
        self._ready[request_id] = given

    def _reject_late(self, member: Member) -> None:
        place = member.place or self._place
        excerpt = msgspec.json.encode(member.exchange)[:EXCERPT_BYTES]
        self._reject(Reject(place, TOO_LATE, excerpt), place.offset or 0)

    def _reject(self, reject: Reject, offset: int) -> None:
        self.counts.rejects += 1
        self.rejects.append(reject)
        self._done.append(offset)


class _State(msgspec.Struct):
    following: int = 0
    open: list[tuple[int, int]] = []
    watermark_us: int = 0
    counted: int = 0
    last: tuple[int, int] | None = None


def read_record(record: Record, place: Place) -> Exchange | Reject:
    """Decode the value of a record; a Kafka header can say that the request is synthetic."""
    exchange = decode_exchange(record.value or b"", place)
    if record.headers and isinstance(exchange, Exchange) and exchange.synthetic is None:
        for name, value in record.headers:
            why = (value or b"").decode(errors="replace").strip(" \t") if name.lower() == SYNTHETIC_HEADER else ""
            if why:
                return msgspec.structs.replace(exchange, synthetic=why)
    return exchange
