"""Test doubles that ship with Gnomon: a clock that stands still, a source that is a list, and factories."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from gnomon.capture.raw import RawRecord
from gnomon.model import EPOCH, Body, Exchange, JsonValue, Request, Response, Role

__all__ = ["STARTED_US", "ListSource", "ManualClock", "body", "exchange", "pair"]

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
