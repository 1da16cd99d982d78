from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.unit.collect.entries import message

from gnomon.collect.backlog import Backlog
from gnomon.collect.counts import Counts
from gnomon.collect.exchange import Origin
from gnomon.collect.server import AccessLogServer
from gnomon.collect.wire import StreamAccessLogsMessage
from gnomon.errors import DependencyError


def named(name: str, ids: Sequence[str]) -> bytes:
    """A message of a log with entries of these requests."""
    sent = message({})
    (template,) = sent.http_logs.log_entry
    for request_id in ids:
        entry = sent.http_logs.log_entry.add()
        entry.CopyFrom(template)
        entry.request.request_id = request_id
    del sent.http_logs.log_entry[0]
    if name:
        sent.identifier.log_name = name
    return bytes(sent.SerializeToString())


def _varint(number: int) -> bytes:
    """A length as protobuf writes it."""
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def take(server: AccessLogServer, *messages: bytes) -> None:
    """Have the server read a stream of these."""

    async def stream() -> AsyncIterator[bytes]:
        for one in messages:
            yield one

    asyncio.run(server._stream(stream(), None))


def waiting(backlog: Backlog) -> list[tuple[Origin, str]]:
    """Whose log the waiting entries are from, and their ids."""
    return [(b.origin, e.request.request_id.decode()) for b in backlog._batches for e in b.entries]


def test_the_first_message_of_a_stream_names_its_log() -> None:
    """Later ones of the stream are of the same log."""
    backlog, counts = Backlog(10_000_000), Counts()
    take(AccessLogServer("", backlog, counts), named("shadow:a", ["1"]), named("", ["2"]))
    assert waiting(backlog) == [(Origin("shadow", "a"), "1"), (Origin("shadow", "a"), "2")]
    assert counts.received == 2


def test_a_message_that_is_none_is_counted_and_the_stream_goes_on() -> None:
    """Garbage costs itself alone."""
    backlog, counts = Backlog(10_000_000), Counts()
    take(AccessLogServer("", backlog, counts), named("live", ["1"]), b"\xff\xff\xff", named("", ["2"]))
    assert (counts.undecodable, [request_id for _, request_id in waiting(backlog)]) == (1, ["1", "2"])


def test_an_entry_that_is_none_costs_itself_alone() -> None:
    """The others of its message are kept, and it is counted by its reason."""
    good = StreamAccessLogsMessage.FromString(named("live", ["1"])).http_logs.log_entry[0]
    body = b"".join(b"\x0a" + _varint(len(entry)) + entry for entry in (b"\x0a\x7fx", good, b"\xff"))
    backlog, counts = Backlog(10_000_000), Counts()
    take(AccessLogServer("", backlog, counts), b"\x12" + _varint(len(body)) + body)
    assert [request_id for _, request_id in waiting(backlog)] == ["1"]
    assert (counts.received, counts.skipped) == (3, {"undecodable": 2})


def test_a_message_of_very_many_entries_takes_no_more_than_there_is_room_for() -> None:
    """An entry takes memory however short it was on the wire; the loop goes on meanwhile."""
    body = b"\x0a\x00" * 100_000
    backlog, counts = Backlog(1_000_000), Counts()
    take(AccessLogServer("", backlog, counts), b"\x12" + _varint(len(body)) + body)
    kept = sum(len(batch.entries) for batch in backlog._batches)
    assert 0 < kept <= 1_000
    assert (counts.received, counts.shed) == (100_000, 100_000 - kept)


def test_what_is_shed_in_an_overload_is_shed_on_both_sides() -> None:
    """Live's log and the shadow's lose the same requests, though they come one after the other."""
    backlog, counts = Backlog(400_000), Counts()
    ids = [f"r-{number}" for number in range(2000)]
    server = AccessLogServer("", backlog, counts)
    for start in range(0, len(ids), 20):
        for name in ("live", "shadow"):
            take(server, named(name, ids[start : start + 20]))
    assert backlog.waiting_bytes <= 0.85 * 400_000
    assert counts.received == 4000
    assert counts.shed == 4000 - len(waiting(backlog)) > 1000
    sides: dict[str, set[Any]] = {}
    for origin, request_id in waiting(backlog):
        sides.setdefault(request_id, set()).add(origin.role)
    assert [request_id for request_id, roles in sides.items() if len(roles) == 1] == []
    assert backlog.torn == 0


def test_a_taken_address_is_said() -> None:
    """The sentence names the address and the setting."""

    async def twice() -> None:
        first = AccessLogServer("127.0.0.1:0", Backlog(1), Counts())
        await first.start()
        try:
            second = AccessLogServer(f"127.0.0.1:{first.port}", Backlog(1), Counts())
            with pytest.raises(DependencyError, match=rf"127\.0\.0\.1:{first.port}.*collect\.bind"):
                await second.start()
        finally:
            await first.stop()

    asyncio.run(twice())
