"""From a `[[route]]` as it is written to what judges events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from gnomon.config import Route, RouteTag
from gnomon.core.formats.registered import ValueReader, unframed
from gnomon.core.json import dumps
from gnomon.core.members import loads_unambiguous
from gnomon.core.patterns import Pattern
from gnomon.core.pointer import parse_pointer
from gnomon.core.routing import EventRouter, Tag, scalar_text
from gnomon.core.taint import TaintedIds
from gnomon.errors import ConfigError
from gnomon.stream.route.judging import ReadBack, RouteJudge
from gnomon.stream.route.registry import RegistryClient, Schemas
from gnomon.stream.route.users import Users

__all__ = ["make_judge", "no_route", "open_users"]


def no_route() -> ConfigError:
    """Give the error of settings that split no topic."""
    return ConfigError("there is no [[route]] in the settings", 'write [[route]] with from = "TOPIC"')


def open_users(route: Route) -> Users | None:
    """Read a route's file of users, if it has one.

    Raises:
        ConfigError: The file cannot be read.
    """
    return None if route.users_file is None else Users(route.users_file)


def make_judge(
    route: Route, users: Users | None, registry: RegistryClient | None = None, read_back: ReadBack | None = None
) -> RouteJudge:
    """Make what judges the events of a route; the order of the tags is that of the file, users come first.

    Args:
        route: The route.
        users: Its users, if it has a file of them.
        registry: Whom schemas are asked of, if there is one.
        read_back: How memory of taint is read back.
    """
    tags = [] if users is None else [Tag(path=path, among=users, name=f"users {path}") for path in route.users_paths]
    tags += [_make_tag(tag) for tag in route.tags]
    schemas: Schemas | None = None
    read: ValueReader | None = None
    if route.value == "json":
        read = loads_unambiguous(_names(tags, route))
        read = read if registry is None else unframed(read)
    elif route.value != "bytes" and registry is not None:
        schemas = Schemas(registry, route.value)
        read = schemas.read
    tainted = None
    if route.taint is not None:
        tainted = TaintedIds(route.taint.path, route.taint.span // timedelta(milliseconds=1))
    return RouteJudge(EventRouter(tags, read), schemas, tainted=tainted, synthetic=route.synthetic, read_back=read_back)


def _names(tags: Sequence[Tag], route: Route) -> frozenset[str] | None:
    """Names of the members that are looked at; None where a `*` looks at all."""
    paths = [tag.path for tag in tags if tag.path is not None]
    paths += [] if route.taint is None else [route.taint.path]
    names = frozenset(step for path in paths for step in parse_pointer(path))
    return None if "*" in names else names


def _make_tag(tag: RouteTag) -> Tag:
    conditions: dict[str, Any] = {
        "equals": tag.equals,
        "in": None if tag.among is None else list(tag.among),
        "prefix": tag.prefix,
        "regex": tag.regex,
        "contains": tag.contains,
    }
    said = [f"{name} {dumps(value)}" for name, value in conditions.items() if value is not None]
    return Tag(
        path=tag.path,
        header=tag.header,
        equals=tag.equals,
        among=None
        if tag.among is None
        else frozenset(text for text in map(scalar_text, tag.among) if text is not None),
        prefix=tag.prefix,
        regex=None if tag.regex is None else Pattern(tag.regex),
        contains=tag.contains,
        name=" ".join([f"path {tag.path}" if tag.path is not None else f"header {tag.header}", *said])[:200],
    )
