"""Templates learned from cardinality: `/users/alice`, `/users/bob` and many more are `/users/{user}`.

A name inferred from one request keeps words. Only many names show that a position holds values. What is learned here
is a proposal by version; landed names stay as they are, views apply it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec

__all__ = ["LearnedTemplate", "learn_templates"]

_NAME = re.compile(r"(\S+) (/\S*)")
_KEPT = re.compile(r"v[0-9]+(?:[._-][0-9a-z]+)*|[0-9]+(?:\.[0-9]+)+|\{.*\}|", re.IGNORECASE | re.DOTALL)
_PREFIX = re.compile(r"v[0-9]+(?:[._-][0-9a-z]+)*|api|apis|rest|public|internal|[0-9]+(?:\.[0-9]+)+", re.IGNORECASE)
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_IES, _ES = re.compile(r"[^aeiou]ies"), re.compile(r"(?:ss|x|z|ch|sh|us)es")

MAX_DEPTH = 32
UNNAMED_FACTOR = 5
HEAVY_SHARE = 0.25
ALIKE_SHARE = 0.1


class LearnedTemplate(msgspec.Struct, frozen=True):
    """A template and the endpoint names, two or more, that it stands for, in order."""

    template: str
    endpoints: tuple[str, ...]


class _Node:
    """What was seen at one place of a path."""

    __slots__ = ("children", "ends")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        # Method to the endpoint names that end here, with how often each was seen.
        self.ends: dict[str, Counter[str]] = {}

    def count(self) -> int:
        """Return how many requests were seen here and below."""
        return sum(sum(names.values()) for node in self.walk() for names in node.ends.values())

    def walk(self) -> Iterator[_Node]:
        """Yield this node and all below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children.values())

    def shape(self) -> frozenset[str]:
        """Return what is here and just below: methods, and `/segment` for each child."""
        return frozenset(self.ends) | {f"/{name}" for name in self.children}

    def merge(self, other: _Node) -> None:
        """Take over all that the other node has; paths are at most `MAX_DEPTH` deep."""
        for method, names in other.ends.items():
            self.ends.setdefault(method, Counter()).update(names)
        for name, child in other.children.items():
            self.children.setdefault(name, _Node()).merge(child)


def learn_templates(endpoints: Iterable[str] | Mapping[str, int], *, min_distinct: int = 20) -> list[LearnedTemplate]:
    """Propose templates for positions of paths that hold values.

    A position is one where more than `min_distinct` words follow the same path and look alike in what is below them.
    Without a word before them to name them after (`/api/v1/...`, or right after a parameter) it takes five times as
    many: there, words are mostly the names of resources. Versions stay, and so does a word that a quarter of the
    requests at its position go to (`/users/me`).

    Args:
        endpoints: Names as `name_endpoint` gives them, with how often each was seen or as often as seen. Names that
            are not a method and a path are left out.
        min_distinct: How many different words may follow a path before they are taken for values.

    Returns:
        The templates that differ from all the names they stand for, sorted; the same whatever the order of the input.
    """
    counts = endpoints if isinstance(endpoints, Mapping) else Counter(endpoints)
    root = _Node()
    for endpoint in sorted(counts):
        parsed = _NAME.fullmatch(endpoint)
        segments = parsed[2].split("/")[1:] if parsed else []
        if parsed is None or len(segments) > MAX_DEPTH:
            continue
        node = root
        for segment in segments:
            node = node.children.setdefault(segment, _Node())
        node.ends.setdefault(parsed[1], Counter())[endpoint] += counts[endpoint]
    _collapse(root, (), min_distinct)
    return sorted(_templates(root, ""), key=lambda learned: learned.template)


def _collapse(node: _Node, path: tuple[str, ...], min_distinct: int) -> None:
    """Merge the children of a node that are values, then look below; no deeper than `MAX_DEPTH`."""
    parameter = _parameter_after(path)
    enough = min_distinct if parameter else min_distinct * UNNAMED_FACTOR
    values = _values(node, enough)
    if values:
        merged = node.children.setdefault(f"{{{parameter or 'name'}}}", _Node())
        for name in values:
            merged.merge(node.children.pop(name))
    for name in sorted(node.children):
        _collapse(node.children[name], (*path, name), min_distinct)


def _values(node: _Node, enough: int) -> list[str]:
    """Return the children that are values of one kind, sorted; none if there are no more than enough."""
    words = sorted(name for name in node.children if not _KEPT.fullmatch(name))
    if len(words) <= enough:
        return []
    shapes = {name: node.children[name].shape() for name in words}
    parts = Counter(part for shape in shapes.values() for part in shape)
    usual = {part for part, seen in parts.items() if seen >= max(2, ALIKE_SHARE * len(words))}
    # Not every user has been asked for everything: alike is to have most of what one has in common with many.
    alike = [name for name in words if 2 * len(shapes[name] & usual) > len(shapes[name])]
    seen = {name: node.children[name].count() for name in alike}
    heavy = HEAVY_SHARE * sum(seen.values())
    alike = [name for name in alike if seen[name] < heavy]
    return alike if len(alike) > enough else []


def _parameter_after(path: tuple[str, ...]) -> str:
    """Derive a parameter's name from the segment before it: `users` gives `user`; empty where that is not a word."""
    if not path or _KEPT.fullmatch(path[-1]) or _PREFIX.fullmatch(path[-1]):
        return ""
    word = _NOT_WORD.sub("_", path[-1].lower()).strip("_")
    if not word or word.isdigit():
        return ""
    if _IES.fullmatch(word[-4:]):
        return word[:-3] + "y"
    if _ES.search(word[-4:]):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _templates(node: _Node, path: str) -> Iterator[LearnedTemplate]:
    """Yield a template for every end of a path that took in a name other than its own."""
    for method, names in node.ends.items():
        template = f"{method} {path}"
        if set(names) != {template}:
            yield LearnedTemplate(template=template, endpoints=tuple(sorted(names)))
    for name, child in node.children.items():
        yield from _templates(child, f"{path}/{name}")
