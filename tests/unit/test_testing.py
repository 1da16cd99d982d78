"""The test doubles that ship with Gnomon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from gnomon.model import Exchange, TransportError
from gnomon.testing import STARTED_US, ListSource, ManualClock, exchange, pair


def test_the_clock_moves_only_when_told() -> None:
    """A manual clock starts at a known moment and advances by what it is told."""
    clock = ManualClock()
    assert clock() == datetime(2027, 1, 15, 8, tzinfo=UTC)
    assert clock.us == STARTED_US
    clock.advance(timedelta(seconds=30))
    assert clock.us == STARTED_US + 30_000_000


def test_a_list_is_a_source_that_can_be_read_again() -> None:
    """Records come with their place, exchanges encoded and bytes as they are."""
    source = ListSource([exchange("a"), b"broken"], "x.ndjson")
    assert len(source) == 2
    first, second = source
    assert msgspec.json.decode(first.data, type=Exchange).request_id == "a"
    assert (second.data, str(second.place)) == (b"broken", "x.ndjson:2")
    assert list(source) == [first, second]


def test_exchanges_have_what_was_asked_for() -> None:
    """Factories fill in the rest; an error leaves no response."""
    made = exchange("a", "shadow", {"n": 1}, status=201, method="POST", path="/x", target="v2")
    assert (made.request.method, made.request.path, made.target) == ("POST", "/x", "v2")
    assert made.response is not None
    assert made.response.status == 201
    assert made.response.body is not None
    assert made.response.body.data == '{"n":1}'
    assert exchange(error=TransportError("reset")).response is None


def test_a_pair_differs_only_in_its_answers() -> None:
    """Both sides have the same request."""
    live, shadow = pair("a", b"\x00", "text")
    assert (live.role, shadow.role) == ("live", "shadow")
    assert live.request == shadow.request
