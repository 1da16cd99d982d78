"""Records grouped by id, in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.capture.raw import RawRecord
from gnomon.capture.spill import Spill
from gnomon.errors import DependencyError

Groups = dict[str, list[RawRecord]]


def grouped(records: list[tuple[str, RawRecord]], directory: Path, memory_bytes: int) -> tuple[Groups, bool]:
    """Put records through a spill; give the groups and whether anything went to disk."""
    with Spill(directory, memory_bytes) as spill:
        for request_id, record in records:
            spill.add(request_id, record)
        spilled = spill.spilled
        groups: Groups = {}
        for request_id, group in spill.groups():
            assert request_id not in groups
            groups[request_id] = group
    assert list(directory.iterdir()) == []
    return groups, spilled


records = st.tuples(
    st.text(min_size=1, max_size=5),
    st.builds(
        RawRecord,
        st.sampled_from(["a.ndjson", "b.ndjson"]),
        st.integers(1, 10**9),
        st.binary(max_size=50),
        st.sampled_from([None, "live", "shadow", "control"]),
    ),
)


@given(st.lists(records, max_size=60), st.integers(0, 2000))
def test_spilled_or_not_the_groups_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, given_records: list[tuple[str, RawRecord]], memory_bytes: int
) -> None:
    """What memory allows changes neither what is grouped nor the order inside a group."""
    expected: Groups = {}
    for request_id, record in given_records:
        expected.setdefault(request_id, []).append(record)
    groups, _ = grouped(given_records, tmp_path_factory.mktemp("spill"), memory_bytes)
    assert groups == expected


def test_a_large_capture_goes_to_disk_more_than_once(tmp_path: Path) -> None:
    """A partition that is itself too large is partitioned again, by other bits of the hash."""
    many = [(f"id-{n % 5000}", RawRecord("a", n + 1, b"x" * 10)) for n in range(10_000)]
    groups, spilled = grouped(many, tmp_path, 5_000)
    assert spilled
    assert len(groups) == 5000
    assert all([r.line for r in group] == [int(i[3:]) + 1, int(i[3:]) + 5001] for i, group in groups.items())


def test_one_id_that_fills_a_partition_does_not_recurse_for_ever(tmp_path: Path) -> None:
    """An id used over and over stays one group."""
    groups, _ = grouped([("same", RawRecord("a", n + 1, b"x" * 100)) for n in range(1000)], tmp_path, 1_000)
    assert [len(group) for group in groups.values()] == [1000]


def test_a_directory_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    """A full or missing disk is a sentence with a remedy."""
    spill = Spill(tmp_path / "gone", 0)
    spill.add("a", RawRecord("a", 1, b"x"))
    with pytest.raises(DependencyError, match="cannot be written to .*gone.*; free disk space"):
        spill.add("b", RawRecord("a", 2, b"x"))
