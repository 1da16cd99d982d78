from __future__ import annotations

import gzip
import io
import sys
import types
from pathlib import Path

import pytest
import zstandard

from gnomon.capture import Limits, RawRecord, Source, capture_size, read_captures
from gnomon.errors import InputError, UsageError
from gnomon.model import Reject

LINES = [b'{"request_id":"%d","n":"%s"}' % (number, b"x" * number) for number in range(50)]
PLAIN = b"\n".join(LINES) + b"\n"
ZST = zstandard.ZstdCompressor()
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


def texts(path: Path, limits: Limits | None = None) -> list[tuple[int, bytes]]:
    """Return (line, bytes) of all records of a file; for rejects (line, reason)."""
    out = []
    for item in read_captures([Source(str(path))], "ndjson", limits=limits):
        if isinstance(item, RawRecord):
            out.append((item.line, item.data))
        else:
            out.append((item.place.line or 0, item.reason.encode()))
    return out


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.ndjson", PLAIN),
        ("a.ndjson", PLAIN.rstrip()),
        ("a.ndjson", b"\xef\xbb\xbf" + PLAIN),
        ("a.ndjson.gz", gzip.compress(PLAIN)),
        ("named-wrongly", gzip.compress(PLAIN)),
        ("a.gz", gzip.compress(PLAIN[:777]) + gzip.compress(b"") + gzip.compress(PLAIN[777:]) + b"\0" * 512),
        ("a.ndjson.zst", ZST.compress(PLAIN)),
        ("named-wrongly", ZST.compress(PLAIN)),
        ("a.zst", ZST.compress(PLAIN[:777]) + SKIPPABLE + ZST.compress(PLAIN[777:])),
        ("a.zst", SKIPPABLE + ZST.compress(PLAIN)),
        ("not-compressed.gz", PLAIN),
    ],
)
def test_lines_come_out_as_they_are(tmp_path: Path, name: str, data: bytes) -> None:
    """Plain, gzip and zstd give the same lines, told by content and not by name, in any number of members."""
    path = tmp_path / name
    path.write_bytes(data)
    assert texts(path) == list(enumerate(LINES, 1))


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    """A blank line is no record, but the lines behind it keep their numbers."""
    path = tmp_path / "a"
    path.write_bytes(b'\n  \n{"a":1}\r\n\t\n{"b":2}')
    assert texts(path) == [(3, b'{"a":1}\r'), (5, b'{"b":2}')]


@pytest.mark.parametrize("ending", [b"", b"\n", b"\nlast"])
def test_a_line_over_the_limit_is_a_reject(tmp_path: Path, ending: bytes) -> None:
    """A line that is too long is refused with its size and its first 4 KiB; the others are read."""
    path = tmp_path / "a"
    path.write_bytes(b"first\n" + b"x" * 1_000_000 + ending)
    limits = Limits(record=10_000)
    items = list(read_captures([Source(str(path))], "ndjson", limits=limits))
    rejected = items[1]
    assert isinstance(rejected, Reject)
    assert rejected.reason == "a record of 1,000,000 bytes; at most 10,000 are read"
    assert rejected.excerpt == b"x" * 4096
    assert rejected.place.line == 2
    assert texts(path, limits)[2:] == ([(3, b"last")] if ending == b"\nlast" else [])


def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    """The limit itself is allowed."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100 + b"\n" + b"y" * 101 + b"\n" + b"z" * 100)
    assert [text[:1] for _, text in texts(path, Limits(record=100))] == [b"x", b"a", b"z"]


@pytest.mark.parametrize("data", [gzip.compress(PLAIN), ZST.compress(PLAIN * 400)])
def test_cut_off_compressed_data_gives_the_lines_before(tmp_path: Path, data: bytes) -> None:
    """Lines that can be read come out, then one reject says where the file broke off."""
    path = tmp_path / "a"
    path.write_bytes(data[: len(data) * 3 // 4])
    *lines, (place, reason) = texts(path)
    assert lines == list(enumerate((LINES * 400)[: len(lines)], 1))
    assert place == len(lines) + 1
    assert b"data ends in the middle: the file is cut off" in reason
    assert b"%s lines before" % f"{len(lines):,}".encode() in reason


@pytest.mark.parametrize("data", [gzip.compress(PLAIN) + b"trailing", ZST.compress(PLAIN) + b"trailing"])
def test_garbage_behind_compressed_data_is_one_reject(tmp_path: Path, data: bytes) -> None:
    """What follows the last member is not silently dropped."""
    path = tmp_path / "a"
    path.write_bytes(data)
    *lines, (_, reason) = texts(path)
    assert lines == list(enumerate(LINES, 1))
    assert b"data is damaged" in reason


def test_a_gzip_bomb_is_not_held(tmp_path: Path) -> None:
    """A line that expands to a hundred times the limit is skipped in pieces."""
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"0" * 30_000_000) + ZST.compress(b""))
    assert texts(path, Limits(record=300_000))[0] == (1, b"a record of 30,000,000 bytes; at most 300,000 are read")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads standard input, compressed or not, and leaves it open."""
    stdin = io.BytesIO(gzip.compress(PLAIN))
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=stdin))
    items = list(read_captures([Source("-", "shadow")]))
    assert [item.data for item in items if isinstance(item, RawRecord)] == LINES
    assert {str(item.place) for item in items} >= {"-:1", "-:50"}
    assert {item.role for item in items if isinstance(item, RawRecord)} == {"shadow"}
    assert not stdin.closed


def test_standard_input_can_be_named_once() -> None:
    """Two captures cannot both be standard input."""
    with pytest.raises(UsageError, match="twice"):
        read_captures([Source("-"), Source("-")])


def test_a_missing_file_is_an_input_error_before_anything_is_read(tmp_path: Path) -> None:
    """The last of many sources is looked for first, not after hours."""
    with pytest.raises(InputError, match="No such file"):
        read_captures([Source("-"), Source(str(tmp_path / "no"))])
    with pytest.raises(InputError, match="No such file"):
        capture_size([Source(str(tmp_path / "no"))])
    with pytest.raises(InputError, match="null"):
        read_captures([Source("a\0b")])


def test_progress_adds_up_to_the_size_on_disk(tmp_path: Path) -> None:
    """Progress counts compressed bytes, in steps of megabytes, to the very end."""
    first, second = tmp_path / "a.gz", tmp_path / "b"
    first.write_bytes(gzip.compress(PLAIN))
    second.write_bytes((b"x" * 999_999 + b"\n") * 9)
    sources = [Source(str(first)), Source(str(second))]
    steps: list[int] = []
    list(read_captures(sources, "ndjson", progress=steps.append))
    assert sum(steps) == capture_size(sources) == first.stat().st_size + 9_000_000
    assert len(steps) == 4


def test_the_size_of_standard_input_is_unknown(tmp_path: Path) -> None:
    """A progress bar over a pipe has no end."""
    (tmp_path / "a").write_bytes(b"12345")
    assert capture_size([Source(str(tmp_path / "a")), Source("-")]) is None
    assert capture_size([Source(str(tmp_path))]) == 5
