"""GoReplay's raw files: `TYPE ID TIME [LATENCY]`, then an HTTP/1 message, separated by three monkeys.

Type 1 is a request, 2 the live response, 3 a replayed response; times are nanoseconds. Records are paired by id
within a bounded window; a file with all three types gives live and shadow exchanges. The request's `x-request-id`
is the join key where there is one, then the trace id, then GoReplay's id: that one is shared by a recording and its
replay, not by two recordings of two services. Ids have repeated: the n-th request of an id becomes `ID:n`.

A live exchange lasts from the first packet of the request to the last of the response (the latency of type 2 is
last packet minus first of the response alone); a replayed one as long as GoReplay says.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from gnomon.capture.build import Reading
from gnomon.capture.detect import GOREPLAY_HEAD
from gnomon.capture.http1 import parse_request, parse_response
from gnomon.capture.raw import Limits, RawRecord
from gnomon.capture.source import BrokenStreamError, ByteStream
from gnomon.capture.split import Damaged, Splitter
from gnomon.core.tags import read_tags
from gnomon.model import Exchange, Reject, Role

__all__ = ["read_goreplay"]

SEPARATOR: Final = "\n🐵🙈🙉\n".encode()
LIVE: Final = b"2"
REPLAYED: Final = b"3"
REMEMBERED_IDS: Final = 100_000
NO_RESPONSE: Final = (
    "a request whose response is not in the capture; record responses too "
    "(--input-raw-track-response, --output-http-track-response)"
)
NO_REQUEST: Final = "a response whose request is not in the capture"


class _Part(msgspec.Struct, frozen=True, gc=False):
    """One record of the file; `started` and `latency` in nanoseconds."""

    line: int
    kind: bytes
    id: str
    started: int
    latency: int | None
    payload: bytes


class _Waiting(msgspec.Struct):
    """What is there so far of one request."""

    nth: int = 1
    size: int = 0
    request: _Part | None = None
    responses: dict[bytes, _Part] = {}


class _Window:
    """Groups that wait, oldest first, within a number and an amount of bytes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._groups: OrderedDict[str, _Waiting] = OrderedDict()
        self._held = 0

    def get(self, part_id: str) -> _Waiting | None:
        """Return the group of an id, if it waits here."""
        return self._groups.get(part_id)

    def put(self, part_id: str, group: _Waiting, grown: int) -> Iterator[_Waiting]:
        """Add a group, or bytes to one; yields what has to go for it."""
        self._groups[part_id] = group
        group.size += grown
        self._held += grown
        limits = self._limits
        while len(self._groups) > limits.pending or (self._held > limits.pending_bytes and len(self._groups) > 1):
            yield self.take(next(iter(self._groups)))

    def take(self, part_id: str) -> _Waiting:
        """Remove and return the group of an id."""
        group = self._groups.pop(part_id)
        self._held -= group.size
        return group

    def rest(self) -> Iterator[_Waiting]:
        """Yield all that is left."""
        while self._groups:
            yield self.take(next(iter(self._groups)))


class _Pairing:
    """Holds requests until their responses are there; gives them out in order, oldest first.

    Responses without a request wait apart, so that they never push out a request whose response is still to come.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._asked = _Window(reading.limits)
        self._early = _Window(reading.limits)
        self._counts: OrderedDict[str, int] = OrderedDict()

    def add(self, part: _Part) -> Iterator[RawRecord | Reject]:
        """Take one record; yields what has waited long enough."""
        if part.kind == b"1":
            yield from self._add_request(part)
            return
        window = self._early if self._asked.get(part.id) is None else self._asked
        group = window.get(part.id)
        if group is not None and part.kind in group.responses:
            yield from self._settle(window.take(part.id))
            window, group = self._early, None
        group = group or _Waiting()
        group.responses[part.kind] = part
        for gone in window.put(part.id, group, len(part.payload)):
            yield from self._settle(gone)

    def rest(self) -> Iterator[RawRecord | Reject]:
        """Yield all that is left."""
        for window in (self._asked, self._early):
            for group in window.rest():
                yield from self._settle(group)

    def _add_request(self, part: _Part) -> Iterator[RawRecord | Reject]:
        if self._asked.get(part.id) is not None:
            yield from self._settle(self._asked.take(part.id))
        group = _Waiting() if self._early.get(part.id) is None else self._early.take(part.id)
        group.request = part
        group.nth = self._count(part.id)
        size, group.size = group.size, 0
        for gone in self._asked.put(part.id, group, size + len(part.payload)):
            yield from self._settle(gone)

    def _count(self, part_id: str) -> int:
        count = self._counts.pop(part_id, 0) + 1
        self._counts[part_id] = count
        if len(self._counts) > REMEMBERED_IDS:
            self._counts.popitem(last=False)
        return count

    def _settle(self, group: _Waiting) -> Iterator[RawRecord | Reject]:
        request = group.request
        if request is None:
            for part in group.responses.values():
                yield self._reading.reject(part.line, NO_REQUEST, part.payload)
            return
        if not group.responses:
            yield self._reading.reject(request.line, NO_RESPONSE, request.payload)
            return
        for role, part in self._sides(group.responses):
            build = partial(_exchange, request, part, role, group.nth)
            yield self._reading.attempt(part.line, part.payload, build)

    def _sides(self, responses: dict[bytes, _Part]) -> list[tuple[Role | None, _Part]]:
        """Return the responses with their roles; where one role was asked for, one response."""
        asked = self._reading.role
        if asked is None:
            return [("shadow" if kind == REPLAYED else None, responses[kind]) for kind in sorted(responses)]
        first, second = (LIVE, REPLAYED) if asked == "live" else (REPLAYED, LIVE)
        return [(asked, responses.get(first) or responses[second])]


def read_goreplay(stream: ByteStream, reading: Reading) -> Iterator[RawRecord | Reject]:
    """Yield one record per response, with its request; `line` is that of the response's first line.

    A request without a response, a response without a request and what is neither are `Reject`s.
    """
    splitter = Splitter(iter(stream), SEPARATOR, reading.limits.record)
    pairing = _Pairing(reading)
    line = 1
    broken_by: Reject | None = None
    try:
        for batch in splitter:
            if isinstance(batch, Damaged):
                yield reading.damaged(line, batch)
                line += SEPARATOR.count(b"\n")
                continue
            for record in batch:
                if record.strip():
                    part = _part(record, line)
                    if part is None:
                        yield reading.reject(line, "not a GoReplay record: expected 'TYPE ID TIME'", record)
                    else:
                        yield from pairing.add(part)
                line += record.count(b"\n") + SEPARATOR.count(b"\n")
    except BrokenStreamError as broken:
        broken_by = reading.reject(line, broken.reason, broken.tail)
    yield from pairing.rest()
    if broken_by is not None:
        yield broken_by


def _part(record: bytes, line: int) -> _Part | None:
    head = GOREPLAY_HEAD.match(record)
    if head is None:
        return None
    kind, name, started, latency = head.groups()
    return _Part(
        line=line,
        kind=kind,
        id=name.decode("ascii"),
        started=int(started),
        latency=None if latency is None else int(latency),
        payload=record[head.end() :],
    )


def _exchange(request_part: _Part, part: _Part, role: Role | None, nth: int) -> Exchange:
    request = parse_request(request_part.payload)
    response = parse_response(part.payload, request.method)
    tags = read_tags(request.headers)
    name = request_part.id if nth == 1 else f"{request_part.id}:{nth}"
    replayed = part.kind == REPLAYED
    started = part.started if replayed else request_part.started
    ended = part.started + (part.latency or 0)
    if replayed and part.latency is None:
        ended = -1
    return Exchange(
        request_id=tags.id or name,
        role=role or tags.role or "live",
        started_us=started // 1000,
        duration_us=(ended - started) // 1000 if ended >= started else None,
        request=request,
        response=response,
        synthetic=tags.synthetic,
        flags=tags.flags,
        as_of=tags.as_of,
        emitter="goreplay",
    )
