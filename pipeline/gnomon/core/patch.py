"""Apply differences to the live document: what comes out is the shadow document.

That this holds for every pair of documents is the law that `core.diff` is tested by; it is also what makes a list of
differences a complete answer and not a sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from gnomon.core.json import loads
from gnomon.core.pointer import parse_pointer
from gnomon.model import Difference, JsonValue

__all__ = ["apply_differences"]

_ABSENT: Final[Any] = object()


class _Node:
    """What happens at one place of the live document and below it."""

    __slots__ = ("added", "below", "moved", "removed", "value")

    def __init__(self) -> None:
        self.value: Any = _ABSENT
        self.below: dict[str, _Node] = {}
        self.added: dict[str, JsonValue] = {}
        self.moved: dict[int, int] = {}
        self.removed: set[str] = set()

    def at(self, names: Iterable[str]) -> _Node:
        node = self
        for name in names:
            node = node.below.setdefault(name, _Node())
        return node


def apply_differences(live: JsonValue, differences: Iterable[Difference]) -> JsonValue:
    """Give the shadow document.

    Args:
        live: The live document; it is not changed.
        differences: All that `diff_documents` found without rules.
    """
    root = _Node()
    for difference in differences:
        names = parse_pointer(difference.path)
        value = _ABSENT if difference.shadow_value is None else loads(difference.shadow_value.encode())
        if difference.kind == "added":
            root.at(names[:-1]).added[names[-1]] = value
        elif difference.kind == "removed":
            root.at(names[:-1]).removed.add(names[-1])
        elif difference.kind == "moved":
            there = parse_pointer(difference.shadow_path or "")
            root.at(names[:-1]).moved[int(names[-1])] = int(there[-1])
        else:
            root.at(names).value = value
    return _apply(live, root)


def _apply(live: JsonValue, node: _Node) -> JsonValue:
    if node.value is not _ABSENT:
        return node.value  # type: ignore[no-any-return]
    if isinstance(live, dict):
        kept = {
            name: _apply(value, node.below[name]) if name in node.below else value
            for name, value in live.items()
            if name not in node.removed
        }
        return kept | node.added
    if isinstance(live, list):
        return _apply_to_array(live, node)
    return live


def _apply_to_array(live: list[JsonValue], node: _Node) -> JsonValue:
    """Place what was added and moved at its position; all else fills the rest in live's order."""
    shadow: list[Any] = [_ABSENT] * (len(live) - len(node.removed) + len(node.added))
    for position, value in node.added.items():
        shadow[int(position)] = value
    in_order: list[JsonValue] = []
    for i, value in enumerate(live):
        if str(i) in node.removed:
            continue
        changed = _apply(value, node.below[str(i)]) if str(i) in node.below else value
        if i in node.moved:
            shadow[node.moved[i]] = changed
        else:
            in_order.append(changed)
    rest = iter(in_order)
    return [next(rest) if value is _ABSENT else value for value in shadow]
