"""Test doubles that ship with Gnomon: a clock that stands still, a source and a transport that are lists, factories."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from gnomon.capture.raw import RawRecord
from gnomon.core.decode import decode_exchange
from gnomon.emit.record import Record
from gnomon.emit.transport import Sent
from gnomon.model import EPOCH, Body, Exchange, JsonValue, Place, Reject, Request, Response, Role

__all__ = ["STARTED_US", "ListSource", "ListTransport", "ManualClock", "body", "exchange", "pair"]

STARTED_US: Final = 1_800_000_000_000_000
"""When the factories' exchanges start, in epoch microseconds: 2027-01-15T08:00:00Z."""


class ManualClock:
    """A clock that moves when it is told to.

    Args:
        now: What it shows first; aware.
    """

    def __init__(self, now: datetime = datetime(2027, 1, 15, 8, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Give the time that the clock shows."""
        return self.now

    @property
    def us(self) -> int:
        """The same in epoch microseconds."""
        return (self.now - EPOCH) // timedelta(microseconds=1)

    def advance(self, by: timedelta) -> None:
        """Move the clock forward."""
        self.now += by


class ListSource:
    """A capture that is a list: exchanges, or bytes as they could stand in a file.

    Iterating gives `RawRecord` values whose lines start at 1, as often as wanted.
    """

    def __init__(self, records: Iterable[Exchange | bytes], name: str = "list.ndjson") -> None:
        self.name = name
        self._records = [r if isinstance(r, bytes) else msgspec.json.encode(r) for r in records]

    def __iter__(self) -> Iterator[RawRecord]:
        """Yield the records in their order."""
        for line, data in enumerate(self._records, start=1):
            yield RawRecord(self.name, line, data)

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._records)


def body(value: JsonValue | bytes) -> Body:
    """Make a body: bytes as they are, text as it is, anything else as JSON."""
    if isinstance(value, bytes):
        return Body(base64.b64encode(value).decode(), "base64", len(value))
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return Body(text, "text", len(text.encode()))


def exchange(
    request_id: str = "r-1",
    role: Role = "live",
    answer: JsonValue | bytes = None,
    *,
    path: str = "/items/7",
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),),
    **fields: Any,  # noqa: ANN401 - any field of Exchange
) -> Exchange:
    """Make an exchange: `GET path` of service shop, answered 200 with `answer` as its body (None: no body recorded).

    `fields` are those of `Exchange`; `status` and `method` are taken too. With an `error` there is no response.
    """
    status = fields.pop("status", 200)
    request = Request(fields.pop("method", "GET"), path, host="shop.example")
    response = Response(status, list(headers), None if answer is None else body(answer))
    fields = {"service": "shop", "started_us": STARTED_US, "duration_us": 5_000, "emitter": "test", **fields}
    if fields.get("error") is None:
        fields.setdefault("response", response)
    return Exchange(**{"request": request, **fields}, request_id=request_id, role=role)


def pair(
    request_id: str = "r-1",
    live: JsonValue | bytes = None,
    shadow: JsonValue | bytes = None,
    **fields: Any,  # noqa: ANN401 - see `exchange`
) -> tuple[Exchange, Exchange]:
    """Make the two sides of one request: the same in all but the answer."""
    return exchange(request_id, "live", live, **fields), exchange(request_id, "shadow", shadow, **fields)


class ListTransport:
    """A transport for `gnomon.emit.Emitter` that is a list, and can be slow, down or picky.

    While `gate` is not set it waits; the next `refusals` sends fail; records of more than `largest` bytes are too
    large. `entered` is set by the first send.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.refusals = 0
        self.largest = 10**9
        self.closed = False
        self.forgot = 0

    def send(self, records: Sequence[Record], timeout: float) -> Sent:
        """Take all records that are not too large, unless told otherwise."""
        self.entered.set()
        if not self.gate.wait(timeout):
            return Sent(0, again=records, problem="the broker is slow")
        if self.refusals:
            self.refusals -= 1
            return Sent(0, again=records, problem="the broker is down")
        fitting = [record for record in records if len(record.value) <= self.largest]
        self.records += fitting
        return Sent(len(fitting), too_large=[record for record in records if len(record.value) > self.largest])

    def close(self, timeout: float) -> None:  # noqa: ARG002 - the protocol has it
        """Take note of it."""
        self.closed = True

    def forget(self) -> None:
        """Take note of it."""
        self.forgot += 1

    @property
    def exchanges(self) -> list[Exchange]:
        """The records as a reader decodes them. Raises ValueError where one would be a reject."""
        found = [decode_exchange(record.value, Place("list")) for record in self.records]
        rejects = [reject for reject in found if isinstance(reject, Reject)]
        if rejects:
            raise ValueError(rejects[0].reason)
        return [exchange for exchange in found if isinstance(exchange, Exchange)]
