from __future__ import annotations

import json
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from gnomon.capture.jsonstream import JsonScanner
from gnomon.capture.split import Damaged, Splitter, read_lines

VALUES = st.recursive(
    st.text(st.sampled_from('a"\\{}[],: é'), max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(st.sampled_from('a"\\{'), max_size=3), VALUES, max_size=3)
CUTS = st.lists(st.integers(1, 20), min_size=1, max_size=30)


def chunked(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Cut data into chunks of these sizes, over and over."""
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at += size
        turn += 1


@given(st.lists(OBJECTS, max_size=5), CUTS, st.sampled_from([None, 2]), st.sampled_from(["", " ", "\n", ",\n"]))
def test_documents_come_out_whatever_the_chunks(
    values: list[object], sizes: list[int], indent: int | None, between: str
) -> None:
    """Concatenated documents are told apart wherever the chunks end."""
    data = between.join(json.dumps(value, indent=indent) for value in values).encode()
    found = list(JsonScanner(chunked(data, sizes), "documents", 10_000))
    assert [json.loads(item) for item in found if isinstance(item, bytes)] == values
    assert len(found) == len(values)


@given(st.lists(OBJECTS, max_size=5), CUTS, st.sampled_from([None, 2]))
def test_entries_come_out_whatever_the_chunks(values: list[object], sizes: list[int], indent: int | None) -> None:
    """The elements of log.entries are found behind other members, and those of other arrays are not."""
    other = {"entries": [{"no": 1}], "pages": [{"entries": [{}]}], "creator": {"entries": [{}], "log": "entries"}}
    made = {"entries": [{}], "log": other | {"entries": values}, "z": {"entries": [{}]}}
    data = json.dumps(made, indent=indent).encode()
    scanner = JsonScanner(chunked(data, sizes), "entries", 10_000)
    assert [json.loads(item) for item in scanner if isinstance(item, bytes)] == values
    assert scanner.found


@given(st.lists(OBJECTS, max_size=5), CUTS, st.integers(0, 30))
def test_documents_over_the_limit_are_damaged(values: list[object], sizes: list[int], limit: int) -> None:
    """Each document is whole or damaged with its exact size, whatever the chunks."""
    texts = [json.dumps(value).encode() for value in values]
    found = list(JsonScanner(chunked(b"\n".join(texts), sizes), "documents", limit))
    assert len(found) == len(texts)
    for text, item in zip(texts, found, strict=True):
        if len(text) <= limit:
            assert item == text
        else:
            assert isinstance(item, Damaged)
            assert item.reason.startswith(f"a record of {len(text):,} bytes")
            assert text.startswith(item.excerpt)


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=8), CUTS, st.integers(1, 40))
def test_records_are_cut_at_the_separator(parts: list[bytes], sizes: list[int], limit: int) -> None:
    """Records come out whole or damaged with their size, whatever the chunks and the separator's length."""
    separator = b"\n<=>\n"
    parts = [part.replace(b"\n", b"") for part in parts]
    data = separator.join(parts)
    found: list[bytes | Damaged] = []
    for batch in Splitter(chunked(data, sizes), separator, limit):
        found.extend([batch] if isinstance(batch, Damaged) else batch)
    expected = parts if parts[-1] else parts[:-1]
    assert [item if isinstance(item, bytes) else item.reason for item in found] == [
        part if len(part) <= limit else f"a record of {len(part):,} bytes; at most {limit:,} are read"
        for part in expected
    ]


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=8), CUTS, st.integers(1, 40))
def test_lines_are_cut_at_line_feeds(parts: list[bytes], sizes: list[int], limit: int) -> None:
    """Lines come out whole or damaged with their size, whatever the chunks."""
    parts = [part.replace(b"\n", b"") for part in parts]
    found = list(read_lines(chunked(b"\n".join(parts), sizes), limit))
    expected = parts if parts[-1] else parts[:-1]
    assert [item if isinstance(item, bytes) else item.reason for item in found] == [
        part if len(part) <= limit else f"a record of {len(part):,} bytes; at most {limit:,} are read"
        for part in expected
    ]
