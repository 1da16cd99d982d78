from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import pytest

from gnomon.capture import NdjsonWriter, RawRecord, Source, read_captures
from gnomon.core.decode import decode_exchange
from gnomon.errors import UsageError
from gnomon.model import Body, Exchange, Request, Response

EXCHANGES = [
    Exchange(
        request_id=f"r{number}",
        role="live",
        service="cart",
        started_us=number,
        request=Request("GET", f"/{number}", headers=[("a", "b")]),
        response=Response(200, body=Body("é" * 2000, "text", 4000)),
    )
    for number in range(200)
]


def test_a_record_has_the_members_of_its_shape() -> None:
    """Only the hash of a body may be left out; a reader need not know what stands for a member that is not there."""
    stream = io.BytesIO()
    with NdjsonWriter(stream) as writer:
        writer.write(EXCHANGES[0])
        writer.write(msgspec.structs.replace(EXCHANGES[0], response=Response(204)))
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["response"]["body"] == {"data": "é" * 2000, "encoding": "text", "size": 4000, "truncated": False}
    assert second["response"] == {"status": 204, "headers": [], "body": None, "trailers": []}


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz", "a.ndjson.zst"])
def test_what_is_written_reads_back(tmp_path: Path, name: str) -> None:
    """Exchanges survive writing and reading, compressed or not, and the bytes are the same every time."""
    paths = [tmp_path / "1" / name, tmp_path / "2" / name]
    for path in paths:
        path.parent.mkdir()
        with NdjsonWriter(path) as writer:
            for exchange in EXCHANGES:
                writer.write(exchange)
        assert writer.written == len(EXCHANGES)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    items = list(read_captures([Source(str(paths[0]))]))
    assert [decode_exchange(item.data, item.place) for item in items if isinstance(item, RawRecord)] == EXCHANGES


def test_a_stream_is_written_and_left_open() -> None:
    """A writer on a stream does not close what it did not open."""
    stream = io.BytesIO()
    with NdjsonWriter(stream) as writer:
        writer.write(EXCHANGES[0])
    writer.close()
    assert stream.getvalue().count(b"\n") == 1


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(UsageError, match=r"no/a\.ndjson"):
        NdjsonWriter(tmp_path / "no" / "a.ndjson")


def test_a_full_disk_is_a_usage_error() -> None:
    """An error while writing names the file too."""
    writer = NdjsonWriter("/dev/full")
    writer.write(EXCHANGES[0])
    with pytest.raises(UsageError, match="/dev/full"):
        writer.close()
