"""Pairing what is left over in unordered arrays."""

from __future__ import annotations

from gnomon.core.align import Budget, align_multiset
from gnomon.core.diff import diff_documents
from gnomon.core.likeness import pair_by_likeness
from gnomon.core.rules import parse_rules
from gnomon.model import JsonValue

UNORDERED = parse_rules('[[rule]]\npath = "/body"\nunordered = true').for_endpoint("s", "e").root.child("body")


def cart(sku: str, price: int, name: str) -> dict[str, JsonValue]:
    """Make an element without an id."""
    return {"sku": sku, "price": price, "name": name, "stock": {"warehouse": "north", "left": 3}}


def differences(live: JsonValue, shadow: JsonValue) -> list[tuple[str, str]]:
    """Compare two unordered arrays."""
    return [(d.path, d.kind) for d in diff_documents(live, shadow, UNORDERED, at=("body",))]


def test_elements_are_paired_with_the_most_alike() -> None:
    """A changed element in a shuffled array is one difference inside it, not one in every field of two."""
    live: JsonValue = [cart("a", 1, "amber"), cart("b", 2, "birch"), cart("c", 3, "cedar")]
    shadow: JsonValue = [cart("c", 30, "cedar"), cart("b", 2, "birch"), cart("a", 10, "amber")]
    assert differences(live, shadow) == [("/body/0/price", "changed"), ("/body/2/price", "changed")]


def test_the_surplus_is_what_is_least_alike() -> None:
    """An element that is like no other is the one that was removed."""
    live: JsonValue = [cart("x", 9, "xylem"), cart("a", 1, "amber"), cart("b", 2, "birch")]
    shadow: JsonValue = [cart("b", 20, "birch"), cart("a", 10, "amber")]
    assert differences(live, shadow) == [
        ("/body/0", "removed"),
        ("/body/1/price", "changed"),
        ("/body/2/price", "changed"),
    ]


def test_what_is_too_much_or_too_large_is_paired_in_order() -> None:
    """The bounds are on work: the number of pairs, their size, their depth, and the budget."""
    many: list[JsonValue] = [{"n": n} for n in range(7)]
    others: list[JsonValue] = [{"n": n} for n in range(17, 10, -1)]
    few, fewer = many[:2], others[:2]
    large: list[JsonValue] = [{"n": "x" * 5000}, {"n": "y"}]
    nested: JsonValue = [1]
    for _ in range(22):
        nested = [nested]
    deep: list[JsonValue] = [nested, [2]]
    plenty = 10**9
    cases = ((many, others, plenty), (large, fewer, plenty), (deep, [[3], [4]], plenty), (few, fewer, 1))
    for live, shadow, units in cases:
        before = align_multiset([str(e) for e in live], [str(e) for e in shadow])
        assert pair_by_likeness(before, live, shadow, Budget(units)) == before


def test_scalars_are_paired_in_order() -> None:
    """There is nothing inside them to be alike."""
    assert differences([1, 2, 3], [9, 3, 8]) == [("/body/0", "changed"), ("/body/1", "changed")]
