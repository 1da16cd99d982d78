"""The structural difference: documents in, differences out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from gnomon.core import arrays as arrays_module
from gnomon.core import diff as diff_module
from gnomon.core.align import Budget
from gnomon.core.arrays import GAVE_UP, GAVE_UP_NEARNESS
from gnomon.core.diff import CUT, diff_documents, severity_of
from gnomon.core.equality import identical
from gnomon.core.patch import apply_differences
from gnomon.core.rules import PathRules, parse_rules
from gnomon.model import Difference

Row = tuple[str, str | None, str, str, str, str | None, str | None]
"""(path, shadow_path, pattern, kind, severity, live_value, shadow_value); `=` for a path stands for the one before."""


def compiled(text: str) -> PathRules | None:
    """Compile rules for the whole document; none from an empty text."""
    return parse_rules(text).for_endpoint("", "").root if text else None


def rows(live: Any, shadow: Any, rules: str = "") -> list[Row]:
    """Compare two bodies and give the differences' columns, without what they say of noise."""
    found = diff_documents({"body": live}, {"body": shadow}, compiled(rules))
    return [
        (d.path, d.shadow_path, d.pattern, d.kind, d.severity, d.live_value, d.shadow_value)  # as a table shows them
        for d in found
    ]


def table(expected: list[Row]) -> list[Row]:
    """Put in what `=` stands for."""
    full: list[Row] = []
    for path, shadow_path, pattern, *rest in expected:
        there = path if shadow_path == "=" else shadow_path
        full.append((path, there, path if pattern == "=" else pattern, *rest))  # type: ignore[arg-type]
    return full


def kinds(found: list[Difference]) -> dict[str, int]:
    """Count differences by kind."""
    return {kind: sum(d.kind == kind for d in found) for kind in sorted({d.kind for d in found})}


VALUES: dict[str, tuple[Any, Any, list[Row]]] = {
    "equal numbers": ({"a": 1}, {"a": 1.0}, []),
    "equal big numbers": ({"a": 10**23}, {"a": 1e23}, []),
    "member order": ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
    "changed text": ({"a": "x"}, {"a": "y"}, [("/body/a", "=", "=", "changed", "medium", '"x"', '"y"')]),
    "changed number": ({"a": 1}, {"a": 1.5}, [("/body/a", "=", "=", "changed", "medium", "1", "1.5")]),
    "changed truth": ({"a": True}, {"a": False}, [("/body/a", "=", "=", "changed", "medium", "true", "false")]),
    "number to text": ({"a": 1}, {"a": "1"}, [("/body/a", "=", "=", "type_changed", "high", "1", '"1"')]),
    "number to truth": ({"a": 1}, {"a": True}, [("/body/a", "=", "=", "type_changed", "high", "1", "true")]),
    "zero to false": ({"a": 0.0}, {"a": False}, [("/body/a", "=", "=", "type_changed", "high", "0.0", "false")]),
    "null to value": ({"a": None}, {"a": 0}, [("/body/a", "=", "=", "type_changed", "high", "null", "0")]),
    "value to null": ({"a": "x"}, {"a": None}, [("/body/a", "=", "=", "type_changed", "high", '"x"', "null")]),
    "null to missing": ({"a": None}, {}, [("/body/a", None, "=", "removed", "high", "null", None)]),
    "missing to null": ({}, {"a": None}, [("/body/a", "=", "=", "added", "low", None, "null")]),
    "object to array": ({"a": {}}, {"a": []}, [("/body/a", "=", "=", "type_changed", "high", "{}", "[]")]),
    "array to null": ({"a": [1]}, {"a": None}, [("/body/a", "=", "=", "type_changed", "high", "[1]", "null")]),
    "removed object": ({"a": {"b": [1]}}, {}, [("/body/a", None, "=", "removed", "high", '{"b":[1]}', None)]),
    "added object": ({}, {"a": {"b": 1}}, [("/body/a", "=", "=", "added", "low", None, '{"b":1}')]),
    "empty containers": ({"a": {}, "b": []}, {"a": {}, "b": []}, []),
    "emptied": (
        {"a": {"x": 1}, "b": [1]},
        {"a": {}, "b": []},
        [
            ("/body/a/x", None, "=", "removed", "high", "1", None),
            ("/body/b/0", None, "/body/b/*", "removed", "high", "1", None),
        ],
    ),
    "64 bits and beyond": (
        {"a": 2**64, "b": 2**63},
        {"a": 2**64 + 1, "b": 2**63},
        [("/body/a", "=", "=", "changed", "medium", "18446744073709551616", "18446744073709551617")],
    ),
    "beyond a double": (
        {"a": Decimal("1e400"), "b": Decimal("0.10000000000000000001")},
        {"a": Decimal("2e400"), "b": 0.1},
        [
            ("/body/a", "=", "=", "changed", "medium", "1E+400", "2E+400"),
            ("/body/b", "=", "=", "changed", "medium", "0.10000000000000000001", "0.1"),
        ],
    ),
    "integers a double confuses": (
        {"a": 2**53 + 1},
        {"a": float(2**53)},
        [("/body/a", "=", "=", "changed", "medium", "9007199254740993", "9007199254740992.0")],
    ),
    "the whole body": ([], {}, [("/body", "=", "=", "type_changed", "high", "[]", "{}")]),
    "live's order, then what is new": (
        {"b": 1, "a": 1, "c": 1},
        {"z": 0, "a": 2, "b": 2, "y": 0},
        [
            ("/body/b", "=", "=", "changed", "medium", "1", "2"),
            ("/body/a", "=", "=", "changed", "medium", "1", "2"),
            ("/body/c", None, "=", "removed", "high", "1", None),
            ("/body/z", "=", "=", "added", "low", None, "0"),
            ("/body/y", "=", "=", "added", "low", None, "0"),
        ],
    ),
    "names that need escapes": (
        {"a/b": 1, "m~n": 1, "*": 1, "": {"": 1}, "~2": 1},
        {"a/b": 2, "m~n": 2, "*": 2, "": {"": 2}, "~2": 2},
        [
            ("/body/a~1b", "=", "=", "changed", "medium", "1", "2"),
            ("/body/m~0n", "=", "=", "changed", "medium", "1", "2"),
            ("/body/*", "=", "/body/~2", "changed", "medium", "1", "2"),
            ("/body//", "=", "=", "changed", "medium", "1", "2"),
            ("/body/~02", "=", "=", "changed", "medium", "1", "2"),
        ],
    ),
    "a member named by a number": ({"0": 1}, {"0": 2}, [("/body/0", "=", "=", "changed", "medium", "1", "2")]),
}


@pytest.mark.parametrize(("live", "shadow", "expected"), VALUES.values(), ids=VALUES)
def test_values_and_objects(live: Any, shadow: Any, expected: list[Row]) -> None:
    """Kinds, severities, paths, patterns and values, one difference per place."""
    assert rows(live, shadow) == table(expected)


def star(path: str, index: int, kind: str, live: str | None, shadow: str | None, at: int | None = None) -> Row:
    """Give the row of a difference at an element of an array, `at` its index in the shadow if that is another."""
    severity = {"changed": "medium", "added": "low", "moved": "low"}.get(kind, "high")
    there = None if kind == "removed" else f"{path}/{index if at is None else at}"
    return (f"{path}/{index}", there, f"{path}/*", kind, severity, live, shadow)


NEW, A, B, C = {"n": "new"}, {"n": "a"}, {"n": "b"}, {"n": "c"}
ID_1, ID_2, ID_3, ID_4 = ({"id": n, "v": n * 10} for n in (1, 2, 3, 4))

BY_CONTENT: dict[str, tuple[list[Any], list[Any], list[Row]]] = {
    "one changed": ([1, 2, 3], [1, 2, 9], [star("/body", 2, "changed", "3", "9")]),
    "all changed": ([1, 2], [3, 4], [star("/body", 0, "changed", "1", "3"), star("/body", 1, "changed", "2", "4")]),
    "inserted at the head": ([1, 2, 3], [0, 1, 2, 3], [star("/body", 0, "added", None, "0")]),
    "removed at the head": ([0, 1, 2, 3], [1, 2, 3], [star("/body", 0, "removed", "0", None)]),
    "appended": ([1], [1, 2], [star("/body", 1, "added", None, "2")]),
    "from empty": ([], [1, 2], [star("/body", 0, "added", None, "1"), star("/body", 1, "added", None, "2")]),
    "objects inserted at the head": ([A, B, C], [NEW, A, B, C], [star("/body", 0, "added", None, '{"n":"new"}')]),
    "objects removed in between": ([A, B, C], [A, C], [star("/body", 1, "removed", '{"n":"b"}', None)]),
    "object changed inside": (
        [A, B, C],
        [A, {"n": "x"}, C],
        [("/body/1/n", "=", "/body/*/n", "changed", "medium", '"b"', '"x"')],
    ),
    "shifted and changed inside": (
        [A, B, C],
        [NEW, A, {"n": "x"}, C],
        [
            ("/body/1/n", "/body/2/n", "/body/*/n", "changed", "medium", '"b"', '"x"'),
            star("/body", 0, "added", None, '{"n":"new"}'),
        ],
    ),
    "member added inside a shifted element": (
        [A, B],
        [NEW, A, {"n": "b", "m": 1}, B],
        [star("/body", 0, "added", None, '{"n":"new"}'), star("/body", 2, "added", None, '{"n":"b","m":1}')],
    ),
    "added below a shifted element": (
        [[A], [B, C]],
        [[NEW], [A], [B, NEW, C]],
        [
            ("/body/1/1", "/body/2/1", "/body/*/*", "added", "low", None, '{"n":"new"}'),
            star("/body", 0, "added", None, '[{"n":"new"}]'),
        ],
    ),
    "a gap with surplus in the shadow": (
        [1, 2, 3],
        [1, 7, 8, 3],
        [star("/body", 1, "changed", "2", "7"), star("/body", 2, "added", None, "8")],
    ),
    "a gap with surplus in live": (
        [1, 7, 8, 3],
        [1, 2, 3],
        [star("/body", 1, "changed", "7", "2"), star("/body", 2, "removed", "8", None)],
    ),
    "two gaps": (
        [7, 1, 2, 8],
        [9, 1, 2, 6, 5],
        [
            star("/body", 0, "changed", "7", "9"),
            star("/body", 3, "changed", "8", "6"),
            star("/body", 4, "added", None, "5"),
        ],
    ),
    "moved to the end": (["a", "b", "c", "d"], ["b", "c", "d", "a"], [star("/body", 0, "moved", '"a"', '"a"', 3)]),
    "moved out of a gap that pairs": (
        ["m", "x", "a", "b"],
        ["y", "a", "b", "m"],
        [star("/body", 0, "moved", '"m"', '"m"', 3), star("/body", 1, "changed", '"x"', '"y"', 0)],
    ),
    "one of two alike moved, one is gone": (
        ["m", "m", "a", "b"],
        ["a", "b", "m"],
        [star("/body", 0, "moved", '"m"', '"m"', 2), star("/body", 1, "removed", '"m"', None)],
    ),
    "types within": (
        [1, None, "a"],
        ["1", None, "a"],
        [star("/body", 0, "type_changed", "1", '"1"')],
    ),
    "one is not true": ([1, 2], [True, 2], [star("/body", 0, "type_changed", "1", "true")]),
    "one is 1.0": ([[1, 2], [3]], [[0], [1.0, 2.0], [3.0]], [star("/body", 0, "added", None, "[0]")]),
    "nested arrays": ([[1, 2], [3]], [[1, 2], [3, 4]], [("/body/1/1", "=", "/body/*/*", "added", "low", None, "4")]),
}


@pytest.mark.parametrize(("live", "shadow", "expected"), BY_CONTENT.values(), ids=BY_CONTENT)
def test_arrays_without_keys(live: list[Any], shadow: list[Any], expected: list[Row]) -> None:
    """Equal elements align, what is elsewhere moved, gaps pair in order, and only the surplus is added or removed."""
    assert rows(live, shadow) == table(expected)


def ids(*numbers: Any, **members: Any) -> list[dict[str, Any]]:
    """Make elements with these ids."""
    return [{"id": n, **members} for n in numbers]


BY_KEY: dict[str, tuple[list[Any], list[Any], list[Row]]] = {
    "inserted at the head": ([ID_1, ID_2], [ID_3, ID_1, ID_2], [star("/body", 0, "added", None, '{"id":3,"v":30}')]),
    "removed": ([ID_1, ID_2, ID_3], [ID_1, ID_3], [star("/body", 1, "removed", '{"id":2,"v":20}', None)]),
    "replaced, not paired": (
        [ID_1, ID_2, ID_3],
        [ID_1, ID_4, ID_3],
        [star("/body", 1, "removed", '{"id":2,"v":20}', None), star("/body", 1, "added", None, '{"id":4,"v":40}')],
    ),
    "changed inside": (
        [ID_1, ID_2],
        [ID_1, {"id": 2, "v": 21}],
        [("/body/1/v", "=", "/body/*/v", "changed", "medium", "20", "21")],
    ),
    "shifted and changed inside": (
        [ID_1, ID_2],
        [ID_3, ID_1, {"id": 2, "v": "20"}],
        [
            ("/body/1/v", "/body/2/v", "/body/*/v", "type_changed", "high", "20", '"20"'),
            star("/body", 0, "added", None, '{"id":3,"v":30}'),
        ],
    ),
    "moved and changed inside": (
        [ID_1, ID_2, ID_3],
        [ID_2, ID_3, {"id": 1, "v": 11}],
        [
            star("/body", 0, "moved", '{"id":1,"v":10}', '{"id":1,"v":11}', 2),
            ("/body/0/v", "/body/2/v", "/body/*/v", "changed", "medium", "10", "11"),
        ],
    ),
    "texts as ids": (
        ids("a", "b", v=1),
        ids("b", "a", v=1)[:1] + ids("a", "c", v=1),
        [
            star("/body", 0, "moved", '{"id":"a","v":1}', '{"id":"a","v":1}', 1),
            star("/body", 2, "added", None, '{"id":"c","v":1}'),
        ],
    ),
    "1 and 1.0 are one id": (ids(1, 2, v=1), ids(1.0, 2.0, v=1), []),
    "an id's type changed": (
        ids(1, 2),
        ids("1", "2"),
        [
            ("/body/0/id", "=", "/body/*/id", "type_changed", "high", "1", '"1"'),
            ("/body/1/id", "=", "/body/*/id", "type_changed", "high", "2", '"2"'),
        ],
    ),
    "ids not shared": (
        [ID_1],
        [{"id": 2, "v": 10}],
        [("/body/0/id", "=", "/body/*/id", "changed", "medium", "1", "2")],
    ),
    "ids not mostly shared": (
        [ID_1, ID_2],
        [ID_1, {"id": 3, "v": 20}],
        [("/body/1/id", "=", "/body/*/id", "changed", "medium", "2", "3")],
    ),
    "ids not unique": (
        ids(1, 1, 2),
        ids(1, 2),
        [star("/body", 1, "removed", '{"id":1}', None)],
    ),
    "an element without id": (
        [{"id": 1}, {"x": 1}],
        [{"x": 1}, {"id": 1}],
        [star("/body", 0, "moved", '{"id":1}', '{"id":1}', 1)],
    ),
    "null is no id": (ids(None, 2), ids(None, 3), [("/body/1/id", "=", "/body/*/id", "changed", "medium", "2", "3")]),
    "true is no id": (ids(True, 2), ids(True, 3), [("/body/1/id", "=", "/body/*/id", "changed", "medium", "2", "3")]),
    "not only objects": ([{"id": 1}, 5], [{"id": 1}, 6], [star("/body", 1, "changed", "5", "6")]),
    "a shorter shadow": (
        [ID_1, ID_2, ID_3, ID_4],
        [{"id": 4, "v": 0}],
        [
            star("/body", 0, "removed", '{"id":1,"v":10}', None),
            star("/body", 1, "removed", '{"id":2,"v":20}', None),
            star("/body", 2, "removed", '{"id":3,"v":30}', None),
            ("/body/3/v", "/body/0/v", "/body/*/v", "changed", "medium", "40", "0"),
        ],
    ),
}


@pytest.mark.parametrize(("live", "shadow", "expected"), BY_KEY.values(), ids=BY_KEY)
def test_arrays_with_ids(live: list[Any], shadow: list[Any], expected: list[Row]) -> None:
    """Elements of one id are one element if ids are unique and mostly shared; else the content decides."""
    found = rows(live, shadow)
    if "moved" not in {row[3] for row in expected} or len(expected) > 1:
        assert found == table(expected)
    else:  # which one of two that changed places has moved is a matter of taste
        assert [row[3] for row in found] == ["moved"]


def test_reversed_arrays_have_moved() -> None:
    """Nothing changed in them, by content or by key."""
    for elements in ([1, 2, 3, 4, 5], ids(1, 2, 3, 4, 5), [A, B, C, NEW, []]):
        found = diff_documents(elements, elements[::-1])
        assert kinds(found) == {"moved": len(elements) - 1}
        assert all(d.live_value == d.shadow_value for d in found)


@pytest.mark.parametrize(
    ("part", "kind", "severity"),
    [
        ("status", "changed", "high"),
        ("error", "changed", "high"),
        ("body", "type_changed", "high"),
        ("body", "removed", "high"),
        ("body", "changed", "medium"),
        ("body", "added", "low"),
        ("body", "moved", "low"),
        ("headers", "removed", "low"),
        ("headers", "changed", "low"),
        ("headers", "type_changed", "low"),
        ("trailers", "added", "low"),
    ],
)
def test_severity_goes_by_part_and_kind(part: str, kind: Any, severity: str) -> None:
    """A status and an error weigh most, headers least; in the body the kind decides."""
    assert severity_of(part, kind) == severity


def test_a_whole_document() -> None:
    """Each part has its own paths and severities."""
    live = {"status": 200, "headers": {"etag": "a", "set-cookie": {"s": {"path": "/"}}}, "trailers": {}, "body": None}
    shadow = {"status": 500, "headers": {"etag": "b", "set-cookie": {}}, "trailers": {"grpc-status": "0"}, "body": None}
    assert [(d.path, d.kind, d.severity) for d in diff_documents(live, shadow)] == [
        ("/status", "changed", "high"),
        ("/headers/etag", "changed", "low"),
        ("/headers/set-cookie/s", "removed", "low"),
        ("/trailers/grpc-status", "added", "low"),
    ]


def test_parts_can_be_compared_at_their_place() -> None:
    """Paths and severities are those of the whole document; the document itself has the empty path."""
    assert diff_documents("timeout", "reset", at=("error", "kind")) == [
        Difference("/error/kind", "/error/kind", "/error/kind", "changed", "high", '"timeout"', '"reset"')
    ]
    assert diff_documents(1, "1") == [Difference("", "", "", "type_changed", "high", "1", '"1"')]


# Rules


def test_unordered_arrays_are_multisets() -> None:
    """Permutations are equal; what is left over pairs in order and only the surplus is added or removed."""
    rules = '[[rule]]\npath = "/body/tags"\nunordered = true'
    assert rows({"tags": ["a", "b", "b"]}, {"tags": ["b", "a", "b"]}, rules) == []
    assert rows({"tags": ["a", "b"]}, {"tags": ["b", "c", "d"]}, rules) == [
        star("/body/tags", 0, "changed", '"a"', '"c"', 1),
        star("/body/tags", 2, "added", None, '"d"'),
    ]
    assert rows({"other": ["a", "b"]}, {"other": ["b", "a"]}, rules)[0][3] == "moved"


def test_unordered_arrays_inside_elements_count_for_their_equality() -> None:
    """An element is the same when what is unordered in it is."""
    rules = '[[rule]]\npath = "/body/*/tags"\nunordered = true'
    live = [{"tags": ["a", "b"]}, {"tags": ["c"]}]
    shadow = [{"tags": ["z"]}, {"tags": ["b", "a"]}, {"tags": ["c"]}]
    assert rows(live, shadow, rules) == [star("/body", 0, "added", None, '{"tags":["z"]}')]


def test_unordered_arrays_inside_elements_count_as_multisets() -> None:
    """Two of one and one of two are unlike."""
    rules = '[[rule]]\npath = "/body/*"\nunordered = true'
    found = rows([["a", "b", "b"], ["a", "a", "b"]], [["b", "a", "a"], ["b", "b", "a"]], rules)
    assert [row[3] for row in found] == ["moved"]


def test_unordered_arrays_with_keys_do_not_move() -> None:
    """They are aligned by key and compared inside."""
    assert rows(ids(1, 2), [{"id": 2}, {"id": 1, "v": 1}], "[[rule]]\nunordered = true") == [
        ("/body/0/v", "/body/1/v", "/body/*/v", "added", "low", None, "1")
    ]


def test_a_rule_names_the_key() -> None:
    """Elements of one sku are one element; `id` serves where there is no sku."""
    rules = '[[rule]]\npath = "/body"\nkey = "sku"'
    live = [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}, {"sku": "c", "n": 3}]
    shadow = [{"sku": "z", "n": 0}, {"sku": "b", "n": 5}, {"sku": "a", "n": 1}, {"sku": "c", "n": 3}]
    found = rows(live, shadow, rules)
    assert ("/body/1/n", "/body/1/n", "/body/*/n", "changed", "medium", "2", "5") in found
    assert sorted(row[3] for row in found) == ["added", "changed", "moved"]
    changed = rows([ID_1, ID_2], [{"id": 2, "v": 0}, ID_1], rules)
    assert sorted(row[3] for row in changed) == ["changed", "moved"]


def test_an_object_used_as_a_map_has_stars_in_patterns() -> None:
    """Its keys are data: they stay in paths and are `*` in patterns."""
    rules = '[[rule]]\npath = "/body/prices"\nmap = true'
    live = {"prices": {"EUR": {"net": 1}, "USD": {"net": 2}}}
    shadow = {"prices": {"EUR": {"net": 3}, "GBP": {"net": 4}}}
    assert rows(live, shadow, rules) == [
        ("/body/prices/EUR/net", "/body/prices/EUR/net", "/body/prices/*/net", "changed", "medium", "1", "3"),
        ("/body/prices/USD", None, "/body/prices/*", "removed", "high", '{"net":2}', None),
        ("/body/prices/GBP", "/body/prices/GBP", "/body/prices/*", "added", "low", None, '{"net":4}'),
    ]


def test_null_may_count_as_missing() -> None:
    """Null and missing are equal then, and null against a value is an addition or a removal."""
    rules = '[[rule]]\npath = "/body/*"\nnull_is_missing = true'
    assert rows({"a": None, "b": None}, {"a": None, "c": None}, rules) == []
    assert rows({"a": None, "b": 1}, {"a": 1, "b": None}, rules) == [
        ("/body/a", "/body/a", "/body/a", "added", "low", None, "1"),
        ("/body/b", None, "/body/b", "removed", "high", "1", None),
    ]
    deeper = '[[rule]]\npath = "/body/*/n"\nnull_is_missing = true'
    live, shadow = [{"k": 1}, {"k": 2}], [{"k": 9}, {"k": 1, "n": None}, {"k": 2, "n": None}]
    assert rows(live, shadow, deeper) == [star("/body", 0, "added", None, '{"k":9}')]


def test_ignored_parts_make_no_difference_and_do_not_disturb_alignment() -> None:
    """Elements that differ only there are the same element."""
    rules = '[[rule]]\npath = "/body/*/at"\nignore = true'
    live = [{"at": 1, "n": "a"}, {"at": 2, "n": "b"}]
    for shadow in (
        [{"at": 3, "n": "new"}, {"at": 4, "n": "a"}, {"at": 5, "n": "b"}],
        [{"at": 3, "n": "new"}, {"n": "a"}, {"n": "b"}],
    ):
        assert rows(live, shadow, rules) == [star("/body", 0, "added", None, '{"at":3,"n":"new"}')]


def test_ignored_elements_are_all_alike() -> None:
    """Whatever they are, and however many there are."""
    rules = '[[rule]]\npath = "/body/*"\nignore = true'
    assert rows([1, {"a": 1}], [[], 3, 4], rules) == []
    assert [row[3] for row in rows([1], {}, rules)] == ["type_changed"]


LIFTED = """
[[rule]]
path = "/body/meta/**/keep"
ignore = false
[[rule]]
path = "/body/meta"
ignore = true
"""


@pytest.mark.parametrize(
    ("live", "shadow", "paths"),
    [
        ({"meta": {"x": 1, "keep": 1}}, {"meta": {"x": 2, "keep": 2}}, [("/body/meta/keep", "changed")]),
        ({"meta": {"x": 1}}, {"meta": 5}, []),
        ({"meta": {"a": {"keep": 1}}}, {}, [("/body/meta/a/keep", "removed")]),
        ({}, {"meta": [{"keep": 1}, {"x": 1}]}, [("/body/meta/0/keep", "added")]),
        ({"meta": {"keep": 1}}, {"meta": [1]}, [("/body/meta/keep", "removed")]),
        ({"meta": [{"keep": 1, "x": 1}]}, {"meta": [{"keep": 1, "x": 2}]}, []),
        ({"meta": [{"keep": 1}, {"keep": 2}]}, {"meta": [{"keep": 2}, {"keep": 1}]}, []),
    ],
)
def test_what_is_lifted_out_of_an_ignored_subtree_is_seen(live: Any, shadow: Any, paths: list[tuple[str, str]]) -> None:
    """Also where all around it is gone, new, or of another type; that the ignored part itself is gone is ignored."""
    assert [(row[0], row[3]) for row in rows(live, shadow, LIFTED)] == paths


def test_noise_marks_and_hides_nothing() -> None:
    """The differences are the same, with the rule's reason; below the place too."""
    rules = '[[rule]]\npath = "/body/n"\nnoise = true\nreason = "a clock"'
    live, shadow = {"body": {"n": {"t": 1, "u": []}, "v": 1}}, {"body": {"n": {"t": 2, "u": [1]}, "v": 2}}
    found = diff_documents(live, shadow, compiled(rules))
    assert [(d.path, d.noise, d.reason) for d in found] == [
        ("/body/n/t", True, "a clock"),
        ("/body/n/u/0", True, "a clock"),
        ("/body/v", False, None),
    ]


def test_noise_without_a_reason_names_the_rule() -> None:
    """So that a reader finds it."""
    found = diff_documents({"body": 1}, {"body": 2}, compiled('[[rule]]\npath = "/body"\nnoise = true'))
    assert [(d.noise, d.reason) for d in found] == [(True, "rule: /body")]
    found = diff_documents({"body": 1}, {"body": 2}, compiled("[[rule]]\nnoise = true"))
    assert [(d.noise, d.reason) for d in found] == [(True, "rule: everything")]


def test_noise_does_not_disturb_alignment() -> None:
    """A rule that only marks differences must not change which there are."""
    live = {"body": [{"t": 1, "v": "a"}, {"t": 2, "v": "b"}]}
    shadow = {"body": [{"t": 3, "v": "b"}]}
    marked = diff_documents(live, shadow, compiled('[[rule]]\npath = "/body/*/t"\nnoise = true'))
    plain = diff_documents(live, shadow)
    assert [(d.path, d.kind) for d in marked] == [(d.path, d.kind) for d in plain]


@pytest.mark.parametrize(
    ("rule", "live", "shadow"),
    [
        ("number_tolerance = { absolute = 0.01 }", 1.0, 1.01),
        ("number_tolerance = { relative = 0.001 }", 1000, 1001),
        ('time_tolerance = "2s"', "2026-07-12T10:00:00Z", "2026-07-12T10:00:01Z"),
        ('treat_as = "uuid"', "123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000000"),
        ('treat_as = "timestamp"', "2026-07-12T10:00:00Z", "2020-01-01"),
        ('treat_as = "presence"', {"a": 1}, None),
        ('treat_as = "type"', [1], ["2"]),
        (r"match = '^v\d+$'", "v1", "v23"),
        ("case_insensitive = true", "ABC", "abc"),
    ],
)
def test_values_a_rule_makes_equal(rule: str, live: Any, shadow: Any) -> None:
    """At the rule's place only, and in arrays they do not disturb alignment."""
    here = f'[[rule]]\npath = "/body/x"\n{rule}'
    assert rows({"x": live}, {"x": shadow}, here) == []
    assert len(rows({"y": live}, {"y": shadow}, here)) >= 1
    in_array = f'[[rule]]\npath = "/body/*/x"\n{rule}'
    new = {"x": live, "n": "new"}
    found = rows(
        [{"x": live, "n": 1}, {"x": live, "n": 2}], [new, {"x": shadow, "n": 1}, {"x": shadow, "n": 2}], in_array
    )
    assert [(row[0], row[3]) for row in found] == [("/body/0", "added")]


def test_a_tolerance_does_not_hide_a_type_change() -> None:
    """A price that became a text is a finding, however near it is."""
    rules = '[[rule]]\npath = "/body/price"\nnumber_tolerance = { absolute = 0.01 }'
    assert rows({"price": 9.99}, {"price": "9.99"}, rules)[0][3] == "type_changed"


def test_treating_everything_below_compares_shapes() -> None:
    """A path that ends in `**` leads into objects and arrays: types and members must agree, values need not."""
    rules = '[[rule]]\npath = "/body/**"\ntreat_as = "type"'
    assert rows({"a": [1, {"b": "x"}]}, {"a": [2, {"b": "y"}]}, rules) == []
    assert [(row[0], row[3]) for row in rows({"a": {"b": 1, "c": 2}}, {"a": {"b": "1"}}, rules)] == [
        ("/body/a/b", "type_changed"),
        ("/body/a/c", "removed"),
    ]
    assert rows({"a": [1, 2]}, {"a": [3]}, rules) == [star("/body/a", 1, "removed", "2", None)]


def test_near_elements_of_an_unordered_array_meet() -> None:
    """Whatever their order, each is paired with one that it is near."""
    rules = (
        '[[rule]]\npath = "/body"\nunordered = true\n[[rule]]\npath = "/body/*"\nnumber_tolerance = { absolute = 0.01 }'
    )
    assert rows([1.001, 7.001, 5], [5, 7.0, 1.0], rules) == []
    assert rows([1.001, 9], [7, 1.0], rules) == [star("/body", 1, "changed", "9", "7", 0)]
    assert rows([1.0, 1.005, 9.0], [9.5, 1.006, 1.001], rules) == [star("/body", 2, "changed", "9.0", "9.5", 0)]


def test_near_elements_with_arrays_inside_meet() -> None:
    """Elements are compared under the rules of their place; arrays inside them are aligned by what they exactly are."""
    rules = '[[rule]]\npath = "/body/*/p/*"\nnumber_tolerance = { absolute = 0.01 }'
    live = [{"p": [1.0, 2.0], "n": "a"}, {"p": [3.0], "n": "b"}]
    shadow = [{"p": [9.0], "n": "new"}, {"p": [1.001, 2.001], "n": "a"}, {"p": [3.001], "n": "b"}]
    assert rows(live, shadow, rules) == [star("/body", 0, "added", None, '{"p":[9.0],"n":"new"}')]


def test_a_literal_index_is_a_position_in_live() -> None:
    """It does not disturb alignment, which knows no positions."""
    rules = '[[rule]]\npath = "/body/1/v"\nignore = true'
    assert rows([{"v": 1}, {"v": 2}], [{"v": 3}, {"v": 4}], rules) == [
        ("/body/0/v", "/body/0/v", "/body/*/v", "changed", "medium", "1", "3")
    ]
    assert rows([A, {"v": 2}], [NEW, A, {"v": 4}], rules) == [star("/body", 0, "added", None, '{"n":"new"}')]
    first = rules.replace("1", "0")
    assert [(row[0], row[3]) for row in rows([{"v": 1}, {"v": 2}, {"v": 3}], [{"v": 2}, {"v": 9}], first)] == [
        ("/body/0", "removed"),
        ("/body/2/v", "changed"),
    ]


def test_a_literal_index_is_asked_in_elements_that_are_equal_under_other_rules() -> None:
    """What it lifts is seen, though the elements were aligned without it."""
    rules = '[[rule]]\npath = "/body/1/v"\nignore = false\n[[rule]]\npath = "/body/*/v"\nignore = true'
    assert rows([{"v": 1}, {"v": 2}], [{"v": 3}, {"v": 4}], rules) == [
        ("/body/1/v", "/body/1/v", "/body/*/v", "changed", "medium", "2", "4")
    ]


# Bounds


def nested(depth: int, leaf: Any, wrap: Callable[[Any, int], Any]) -> Any:
    """Wrap a value so many times."""
    for level in range(depth):
        leaf = wrap(leaf, level)
    return leaf


WRAPS: dict[str, Callable[[Any, int], Any]] = {
    "objects": lambda inner, _: {"a": inner},
    "arrays": lambda inner, _: [inner],
    "arrays with neighbours": lambda inner, level: [level, inner, "x"],
    "arrays of objects": lambda inner, level: [inner, level] if level % 2 else {"id": level, "a": inner},
    "keyed": lambda inner, level: [{"id": 1, "a": inner}, {"id": 2}] if level % 2 else {"n": inner},
}
EVERYWHERE = """
[[rule]]
path = "/**/x"
ignore = true
[[rule]]
path = "/**/t"
number_tolerance = { absolute = 0.5 }
[[rule]]
path = "/**/m"
noise = true
"""


@pytest.mark.parametrize("rules", ["", EVERYWHERE], ids=["no rules", "rules"])
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_documents_two_hundred_levels_deep(wrap: Callable[[Any, int], Any], rules: str) -> None:
    """The deepest documents there are need no more stack than there is."""
    depth = 100 if "keyed" in {name for name, w in WRAPS.items() if w is wrap} else 199
    live, shadow = nested(depth, 1, wrap), nested(depth, 2, wrap)
    found = diff_documents({"body": live}, {"body": shadow}, compiled(rules))
    assert [(d.kind, d.live_value, d.shadow_value) for d in found] == [("changed", "1", "2")]
    assert found[0].path.count("/") >= depth
    shifted = diff_documents({"body": [0, live]}, {"body": [shadow, 0]}, compiled(rules))
    assert apply_differences({"body": [0, live]}, shifted) == {"body": [shadow, 0]}


def calls(function: Callable[[], object]) -> int:
    """Count the Python functions that are called: work, whatever the machine does beside."""
    count = 0

    def counting(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(counting)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("rules", ["", EVERYWHERE], ids=["no rules", "rules"])
def test_work_is_linear_in_a_deep_document(rules: str) -> None:
    """A difference at the bottom of a hundred arrays is not looked for again at each level."""
    big = [{"n": n, "t": [n]} for n in range(500)]
    root = compiled(rules)

    def work(depth: int) -> int:
        live = {"body": nested(depth, [*big, 1], WRAPS["arrays with neighbours"])}
        shadow = {"body": nested(depth, [0, *big, 2], WRAPS["arrays with neighbours"])}
        return calls(lambda: diff_documents(live, shadow, root))

    shallow = work(2)
    assert work(190) < 3 * shallow


def test_parts_are_compared_as_wholes_near_the_root_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is fast and not counted, so a deep document must not do it on each of its levels."""
    whole = 0

    def counting(one: Any, other: Any) -> bool:
        nonlocal whole
        whole += len(json.dumps(one))
        return identical(one, other)

    for module in (diff_module, arrays_module):
        monkeypatch.setattr(module, "identical", counting)
    live, shadow = (nested(190, ["x" * 1000, leaf], WRAPS["arrays of objects"]) for leaf in (1, 2))
    assert len(diff_documents({"body": live}, {"body": shadow})) == 1
    assert 0 < whole < 50 * len(json.dumps(live))


SIZE = 100_000


def count_spent(live: Any, shadow: Any, rules: str = "") -> tuple[list[Difference], int]:
    """Compare; give the differences and the units of work that alignments took."""
    budget = Budget(diff_module.ALIGNMENT_UNITS)
    found = diff_documents({"body": live}, {"body": shadow}, compiled(rules), budget)
    return found, diff_module.ALIGNMENT_UNITS - budget.left


def test_a_hundred_thousand_elements_inserted_before() -> None:
    """One is added, and nothing else is said."""
    live = [{"n": n % 10} for n in range(SIZE)]
    found, spent = count_spent(live, [{"n": -1}, *({"n": n % 10} for n in range(SIZE))])
    assert [(d.kind, d.path, d.reason) for d in found] == [("added", "/body/0", None)]
    assert spent == 0


def test_a_hundred_thousand_elements_in_another_order() -> None:
    """Nearly all moved; that is found within the budget."""
    shadow = [n * 7919 % SIZE for n in range(SIZE)]
    found, spent = count_spent(list(range(SIZE)), shadow)
    assert set(kinds(found)) == {"moved"}
    assert spent < 6 * SIZE
    assert {d.reason for d in found} == {None}


def test_a_hundred_thousand_elements_all_different() -> None:
    """Each pairs with the one in its place."""
    found, spent = count_spent(list(range(SIZE)), list(range(SIZE, 2 * SIZE)))
    assert kinds(found) == {"changed": SIZE}
    assert spent == 0
    assert {d.reason for d in found} == {None}


def test_a_hundred_thousand_elements_of_few_values_are_given_up() -> None:
    """They are paired by position, every difference says so, and live still becomes the shadow by them."""
    live = [n * n % 11 % 3 for n in range(SIZE)]
    shadow = [n * n % 13 % 3 for n in range(SIZE)]
    found, spent = count_spent(live, shadow)
    assert set(kinds(found)) == {"changed"}
    assert {d.reason for d in found} == {GAVE_UP}
    assert spent <= diff_module.ALIGNMENT_UNITS
    assert apply_differences({"body": live}, found) == {"body": shadow}


def test_the_budget_is_shared_over_one_comparison() -> None:
    """The array that comes when it is used up is paired by position; its neighbours do not say so."""
    one, other = list(range(300)), list(range(299, -1, -1))
    live, shadow = {"a": one, "b": one, "c": 1}, {"a": other, "b": other, "c": 2}
    found = diff_documents(live, shadow, budget=Budget(1600))
    reasons = {name: {d.reason for d in found if d.path.startswith(f"/{name}")} for name in "abc"}
    assert reasons == {"a": {None}, "b": {GAVE_UP}, "c": {None}}
    assert {d.kind for d in found if d.path.startswith("/a")} == {"moved"}
    assert {d.kind for d in found if d.path.startswith("/b")} == {"changed"}


def test_what_is_noise_in_an_array_that_was_given_up_says_both() -> None:
    """The rule's reason comes first."""
    rules = compiled('[[rule]]\nnoise = true\nreason = "why"')
    found = diff_documents([1, 2, 3], [3, 2, 1, 1], rules, Budget(0))
    assert {d.reason for d in found} == {f"why; {GAVE_UP}"}


def test_inside_an_array_that_was_given_up_differences_say_so() -> None:
    """An element compared with a wrong one has differences that are none."""
    live, shadow = [{"n": [n]} for n in range(3)], [{"n": [n]} for n in (2, 0, 1, 3)]
    found = diff_documents({"a": live, "b": 1}, {"a": shadow, "b": 2}, budget=Budget(0))
    assert {(d.path.split("/")[1], d.reason) for d in found} == {("a", GAVE_UP), ("b", None)}


def test_looking_for_near_elements_is_bounded_too() -> None:
    """It takes at most half of what is left, and differences say that the rest was aligned by exact values."""
    rules = '[[rule]]\npath = "/body/*"\nnumber_tolerance = { absolute = 0.01 }'
    found, spent = count_spent(list(range(5000)), [n + 0.5 for n in range(5000)], rules)
    assert kinds(found) == {"changed": 5000}
    assert {d.reason for d in found} == {GAVE_UP_NEARNESS}
    assert spent <= diff_module.ALIGNMENT_UNITS // 2


def test_differences_need_no_more_room_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more is left out, the last one says so, and noise takes no room from what is not noise."""
    monkeypatch.setattr(diff_module, "ROOM", 2000)
    live, shadow = {"noisy": [1] * 100, "b": [1] * 100}, {"noisy": [2] * 100, "b": [2] * 100}
    found = diff_documents(live, shadow, compiled('[[rule]]\npath = "/noisy"\nnoise = true\nreason = "why"'))
    assert 0 < sum(d.noise for d in found) < 20
    assert 0 < sum(not d.noise for d in found) < 20
    assert [d.reason for d in found if not d.noise] == [None] * (sum(not d.noise for d in found) - 1) + [CUT]


def test_one_value_larger_than_the_room_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single difference always fits."""
    monkeypatch.setattr(diff_module, "ROOM", 10)
    found = diff_documents({"a": "x" * 1000}, {})
    assert [(d.live_value, d.reason) for d in found] == [(json.dumps("x" * 1000), None)]
