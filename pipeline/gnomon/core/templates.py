"""Path templates, `GET /users/{id}`: which one a request matches.

A template is `METHOD /path`, `* /path` (any method) or just `/path`. In its path

- `{name}` stands for one segment that is not empty, or for a part of one: `/files/{name}.json`, `/jobs/{id}:cancel`,
- `{name+}` as the last segment stands for everything below: `/static/{path+}`,
- anything else stands for itself, percent-decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from urllib.parse import unquote

from gnomon.errors import ConfigError

__all__ = ["TemplateMatcher", "collapse", "path_of"]

ANY_METHOD = "*"

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_TEMPLATE = re.compile(r"(?:(\*|[A-Za-z][A-Za-z0-9_-]*)\s+)?(/\S*)")
_PARAMETER = re.compile(r"\{[^{}/]+\}")
_REMAINDER = re.compile(r"\{[^{}/]+\+\}")
_INTEGERS = re.compile(r"(?<=/)-?[0-9]+(?![^/])")
_UUIDS = re.compile(r"(?<=/)[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![^/])")
_LIKE_VALUES = re.compile(r"[0-9A-Fa-f-]*|.*[{}].*", re.DOTALL)
_CACHED = 4096
_LONGEST_SEGMENT = 1024


def collapse(path: str) -> str:
    """Replace segments that are an integer or a UUID by `{id}` and `{uuid}`: most of what varies, at little cost."""
    return _UUIDS.sub("{uuid}", _INTEGERS.sub("{id}", path))


def path_of(target: str) -> str:
    """Reduce a request target to its absolute path: no scheme, authority, query or fragment; `/` where it is empty."""
    if not target.startswith("/"):
        absolute = _ABSOLUTE.match(target)
        target = target[absolute.end() :] if absolute else target
    for end in "?#":
        if end in target:
            target = target[: target.index(end)]
    return target if target.startswith("/") else f"/{target}"


class _Node:
    """One segment's place in the tree of templates, and the names of the templates that end here by method."""

    __slots__ = ("literal", "names", "parameter", "partial", "remainder")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.partial: list[tuple[int, str, re.Pattern[str], _Node]] = []
        self.parameter: _Node | None = None
        self.remainder: dict[str, str] = {}
        self.names: dict[str, str] = {}


class TemplateMatcher:
    """Finds the most specific of many templates in a time that depends on the path, not on how many there are.

    More specific is, from left to right: a literal segment, one that is partly a parameter, a parameter, a remainder;
    and among templates of the same path its own method before any method. Of two templates that match the same
    requests the first one given wins.

    Args:
        templates: As the module says.

    Raises:
        ConfigError: A template is not of the form `METHOD /path`.
    """

    def __init__(self, templates: Sequence[str]) -> None:
        self.templates = tuple(templates)
        self._root = _Node()
        self._sees_values = False
        for template in self.templates:
            self._add(template)
        # Bounded, and unseen from outside: matching stays a pure function.
        self._match = lru_cache(maxsize=_CACHED)(self._find)

    def __bool__(self) -> bool:
        """Tell whether there is any template."""
        return bool(self.templates)

    def match(self, method: str, target: str) -> str | None:
        """Return the name of the endpoint, `METHOD /path/{parameter}`, or None when no template matches.

        A template of any method gets the method of the request, so calls that do different things keep apart.
        """
        if not self.templates:
            return None
        path = target.partition("?")[0]
        return self._match(method, path if self._sees_values else collapse(path))

    def _add(self, template: str) -> None:
        parsed = _TEMPLATE.fullmatch(template.strip())
        if parsed is None:
            raise ConfigError(
                f'endpoint template "{template}" is not a method and a path',
                'write it as "GET /users/{id}", or "* /users/{id}" for any method',
            )
        method, path = (parsed[1] or ANY_METHOD).upper(), parsed[2]
        node = self._root
        segments = path.split("/")[1:]
        for position, segment in enumerate(segments):
            if position == len(segments) - 1 and _REMAINDER.fullmatch(segment):
                node.remainder.setdefault(method, path)
                return
            # Unless a template asks for a number of its own, one `{id}` in the cache stands for all of them.
            self._sees_values = self._sees_values or _asks_for_value(segment)
            node = _descend(node, segment)
        node.names.setdefault(method, path)

    def _find(self, method: str, target: str) -> str | None:
        verb = method.upper()
        segments = [
            unquote(segment) if "%" in segment else segment
            for segment in (raw.partition(";")[0] for raw in path_of(target).split("/")[1:])
        ]
        # Collapse doubled slashes as inferred names do; the last segment may be empty, a trailing slash.
        segments = [segment for segment in segments[:-1] if segment] + segments[-1:]
        path = _search(self._root, segments, 0, verb)
        return None if path is None else f"{verb} {path}"


def _asks_for_value(segment: str) -> bool:
    """Tell whether a template's segment may match some integers or UUIDs and not others."""
    if not segment or _PARAMETER.fullmatch(segment):
        return False
    return _LIKE_VALUES.fullmatch("".join(_PARAMETER.split(unquote(segment)))) is not None


def _descend(node: _Node, segment: str) -> _Node:
    """Return the node for one more segment of a template, made if it is new."""
    if _PARAMETER.fullmatch(segment):
        if node.parameter is None:
            node.parameter = _Node()
        return node.parameter
    if not _PARAMETER.search(segment):
        return node.literal.setdefault(unquote(segment), _Node())
    literals = _PARAMETER.split(segment)
    pattern = "[^/]+?".join(re.escape(unquote(literal)) for literal in literals)
    for _, known, _, child in node.partial:
        if known == pattern:
            return child
    child = _Node()
    node.partial.append((-sum(map(len, literals)), pattern, re.compile(pattern, re.DOTALL), child))
    node.partial.sort(key=lambda entry: entry[:2])
    return child


def _search(node: _Node, segments: Sequence[str], position: int, verb: str) -> str | None:
    """Walk the tree, most specific child first; no deeper than the longest template, each node at most once."""
    if position == len(segments):
        return node.names.get(verb) or node.names.get(ANY_METHOD)
    segment = segments[position]
    for child in _children(node, segment):
        path = _search(child, segments, position + 1, verb)
        if path is not None:
            return path
    if node.remainder and segment:
        return node.remainder.get(verb) or node.remainder.get(ANY_METHOD)
    return None


def _children(node: _Node, segment: str) -> Iterable[_Node]:
    literal = node.literal.get(segment)
    if literal is not None:
        yield literal
    for _, _, pattern, child in node.partial if len(segment) <= _LONGEST_SEGMENT else ():
        if pattern.fullmatch(segment):
            yield child
    if node.parameter is not None and segment:
        yield node.parameter
