"""Two documents side by side, as rows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.diff import diff_documents
from gnomon.core.rules import parse_rules
from gnomon.model import JsonValue
from gnomon.report.brief import brief
from gnomon.report.side import MAX_DEPTH, MAX_ROWS, Cell, Finding, Row, lay_out, lay_out_members

Line = tuple[str, str, str]


def side_by_side(live: Any, shadow: Any, rules: str = "") -> tuple[list[Row], bool]:
    """Lay two bodies out with the differences that the comparison finds between them."""
    root = parse_rules(rules).for_endpoint("", "").root.child("body")
    differences = diff_documents(live, shadow, root, at=("body",))
    return lay_out(live, shadow, "/body", [Finding(d.path, d.shadow_path, d.kind, d.noise) for d in differences])


def text(cell: Cell | None) -> str:
    """A cell as it is read, the differing part in brackets."""
    if cell is None:
        return ""
    return cell.label + cell.before + (f"«{cell.differing}»" if cell.differing else "") + cell.after


def lines(rows: list[Row]) -> list[Line]:
    """Rows as kind, live text, shadow text."""
    return [(row.kind or row.folded, text(row.live), text(row.shadow)) for row in rows]


def test_a_changed_member_is_marked_and_its_siblings_are_not() -> None:
    """The row of the difference has its kind; the part that differs stands apart."""
    rows, cut = side_by_side({"a": 1, "b": "x1"}, {"b": "x2", "a": 1})
    assert lines(rows) == [
        ("", "{", "{"),
        ("", '"a": 1', '"a": 1'),
        ("changed", '"b": "x«1»"', '"b": "x«2»"'),
        ("", "}", "}"),
    ]
    assert not cut


def test_added_and_removed_members_stand_alone() -> None:
    """The side that has nothing is empty; live's members come first."""
    rows, _ = side_by_side({"a": 1}, {"b": {"c": []}})
    assert lines(rows)[1:-1] == [("removed", '"a": 1', ""), ("added", "", '"b": {"c": []}')]


def test_an_inserted_element_does_not_shift_the_others() -> None:
    """Elements stand beside those they were compared with, each with its own position."""
    items = [{"id": i, "note": "n" * 80} for i in range(3)]
    rows, _ = side_by_side(items, [{"id": 9}, *items[:2], {**items[2], "note": "m"}])
    shown = lines(rows)
    assert ("added", "", '[0] {"id": 9}') in shown
    assert ("", "[0] { 2 members } …", "[1] { 2 members } …") in shown
    assert ("", "[2] {", "[3] {") in shown
    assert [row.kind for row in rows if row.kind] == ["added", "changed"]


def test_an_added_element_does_not_mark_live_s_element_at_the_same_position() -> None:
    """The path of an added element names a place in the shadow; what live has there is another element."""
    rows, _ = side_by_side([1, 2], [0, 1, 2])
    assert lines(rows)[1:-1] == [("added", "", "[0] 0"), ("", "[0] 1", "[1] 1"), ("", "[1] 2", "[2] 2")]


def test_equal_elements_of_an_unordered_array_stand_side_by_side() -> None:
    """Where order does not matter, a reordered array shows only what differs."""
    rules = '[[rule]]\npath = "/body"\nunordered = true\n'
    rows, _ = side_by_side(["a", "b", "c"], ["c", "a", "b", "d"], rules)
    assert [row.kind for row in rows if row.kind] == ["added"]
    assert not any(row.passed for row in rows)


def test_a_moved_element_is_marked_beside_itself() -> None:
    """A move has both positions in one row."""
    live = [{"id": i} for i in (1, 2, 3)]
    rows, _ = side_by_side(live, [live[2], live[0], live[1]])
    assert ("moved", '[2] {"id": 3}', '[0] {"id": 3}') in lines(rows)


def test_what_has_no_difference_is_folded() -> None:
    """One difference among a hundred thousand elements takes a handful of rows."""
    live = list(range(100_000))
    rows, cut = side_by_side(live, [*live[:50_000], -1, *live[50_001:]])
    assert lines(rows) == [
        ("", "[", "["),
        ("49,997 more without a difference", "", ""),
        *[("", f"[{i}] {i}", f"[{i}] {i}") for i in (49_997, 49_998, 49_999)],
        ("changed", "[50000] «50000»", "[50000] «-1»"),
        *[("", f"[{i}] {i}", f"[{i}] {i}") for i in (50_001, 50_002, 50_003)],
        ("49,996 more without a difference", "", ""),
        ("", "]", "]"),
    ]
    assert not cut


@pytest.mark.parametrize("before", range(7))
def test_a_fold_never_stands_for_a_single_row(before: int) -> None:
    """Folding one row would take a row."""
    live = [*range(before), 100]
    rows, _ = side_by_side(live, [*range(before), 200])
    folds = [row.folded for row in rows if row.folded]
    assert folds == ([] if before <= 4 else [f"{before - 3} more without a difference"])


def test_rows_are_bounded() -> None:
    """A pair that differs everywhere is cut, and says so."""
    rows, cut = side_by_side([f"a{i}" for i in range(1000)], [f"b{i}" for i in range(1000)])
    assert len(rows) == MAX_ROWS
    assert cut


def test_a_large_added_value_is_bounded_too() -> None:
    """What only one side has is written out, as far as there are rows."""
    rows, cut = side_by_side({}, {"all": [{"id": i, "name": "x" * 100} for i in range(1000)]})
    assert len(rows) == MAX_ROWS
    assert cut
    assert all(row.kind == "added" and row.live is None for row in rows[1:])


def test_a_difference_deeper_than_the_walk_still_marks_a_row() -> None:
    """Below the bound a container is one row, marked as it leads to a difference."""
    live: JsonValue = 1
    shadow: JsonValue = 2
    for _ in range(MAX_DEPTH + 20):
        live, shadow = {"a": live}, {"a": shadow}
    rows, _ = side_by_side(live, shadow)
    assert max(row.depth for row in rows) == MAX_DEPTH
    assert [row.kind for row in rows if row.kind] == ["changed"]


def test_a_type_change_of_a_container_is_one_row() -> None:
    """An object against a list is a row with what both are."""
    rows, _ = side_by_side({"a": {"b": 1}}, {"a": [1]})
    assert lines(rows)[1] == ("type_changed", '"a": «{"b": 1}»', '"a": «[1]»')


def test_what_was_let_pass_is_told_from_what_is_equal() -> None:
    """A value that a rule ignores is shown on both sides, and not marked as a difference."""
    rows, _ = side_by_side({"at": 1, "b": 1}, {"at": 2, "b": 2}, '[[rule]]\npath = "/body/at"\nignore = true\n')
    by_text = {text(row.live): row for row in rows}
    assert by_text['"at": 1'].passed
    assert not by_text['"at": 1'].same
    assert by_text["{"].same
    assert not by_text['"b": «1»'].passed


def test_members_without_braces() -> None:
    """Headers are listed as members, equal ones too."""
    findings = [Finding("/headers/etag", None, "removed", noise=False)]
    rows, _ = lay_out_members({"a": "1", "etag": "x"}, {"a": "1"}, "/headers", findings)
    assert lines(rows) == [("", '"a": "1"', '"a": "1"'), ("removed", '"etag": "x"', "")]


def test_noise_is_passed_on() -> None:
    """A row of noise knows that it is."""
    rows, _ = lay_out(1, 2, "/body", [Finding("/body", "/body", "changed", noise=True)])
    assert rows[0].noise


def test_names_are_escaped_as_in_pointers() -> None:
    """A member called `a/b~c` is found by its difference."""
    rows, _ = side_by_side({"a/b~c": 1}, {"a/b~c": 2})
    assert rows[1].kind == "changed"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("0.1000000000000000055"), "0.1000000000000000055"),
        (2**64, "18446744073709551616"),
        ("Ó", '"Ó"'),
        ({}, "{}"),
        ([[], 1], "[[], 1]"),
        ([{"a": [[1]]}], '[{"a": [[1]]}]'),
        ([[[[[1]]]]], "[ 1 element ] …"),
        ([["x" * 100]], "[ 1 element ] …"),
        ({"a": "x" * 100}, "{ 1 member } …"),
        (list(range(100)), "[ 100 elements ] …"),
    ],
)
def test_brief(value: JsonValue, shown: str) -> None:
    """A value on one line: in full where it fits, else its size; numbers are exact."""
    assert brief(value) == shown


documents = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab/~*", max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab/~*", max_size=2), inner, max_size=4),
    max_leaves=20,
)


@given(documents, documents)
def test_a_row_is_marked_exactly_when_the_documents_differ(live: JsonValue, shadow: JsonValue) -> None:
    """No difference is lost between comparison and page, and none is invented."""
    rows, _ = side_by_side(live, shadow)
    root = parse_rules("").for_endpoint("", "").root.child("body")
    differences = diff_documents(live, shadow, root, at=("body",))
    assert {row.kind for row in rows if row.kind} == {difference.kind for difference in differences}
