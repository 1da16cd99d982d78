"""`[[route]]` of `gnomon.toml` as frozen structs: which business topics are split, and what makes an event synthetic.

What could let a synthetic event reach a clean topic by a slip of the pen is refused here: outputs that are inputs,
clean topics that something else is sent to, tags that can never hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from gnomon.config.tables import closest, read_table
from gnomon.config.values import in_words
from gnomon.core.patterns import Pattern, PatternError
from gnomon.core.pointer import parse_pointer
from gnomon.errors import ConfigError

__all__ = ["USERS_PATHS", "Route", "RouteTag", "Scalar", "Taint", "read_routes"]

Scalar: TypeAlias = str | int | float | bool

USERS_PATHS: Final = ("/user/id", "/user_id", "/userId")
"""Where a user's id is looked for in a value, unless `users_paths` says otherwise."""

_REGISTERED: Final = frozenset({"avro", "protobuf"})
_LONGEST_TAINT: Final = timedelta(days=7)
_CONDITIONS: Final = ("equals", "in", "prefix", "regex", "contains")

Topic = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$",
        extra={"expected": "a topic's name: up to 249 letters, digits, dots, dashes and underscores"},
    ),
]


class RouteTag(msgspec.Struct, frozen=True, kw_only=True):
    """One of `tags`: a place, and what makes an event synthetic there; all conditions that are given have to hold.

    Without a condition it is enough that there is such a path or header. `among` is written `in`.
    """

    path: str | None = None
    header: str | None = None
    equals: Scalar | None = None
    among: tuple[Scalar, ...] | None = msgspec.field(default=None, name="in")
    prefix: str | None = None
    regex: str | None = None
    contains: Scalar | None = None


class Taint(msgspec.Struct, frozen=True, kw_only=True):
    """Which ids of a tagged event make later events with them synthetic, and for how long. `span` is written `for`."""

    path: str
    span: timedelta = msgspec.field(name="for")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[route]]`: a business topic, where its events go, and how their tags are found. `source` is `from`."""

    source: Topic = msgspec.field(name="from")
    clean: Topic
    synthetic: Topic
    quarantine: Topic
    value: Literal["json", "avro", "protobuf", "bytes"] = "json"
    users_file: Path | None = None
    users_paths: tuple[str, ...] = USERS_PATHS
    tags: tuple[RouteTag, ...] = ()
    taint: Taint | None = None

    @property
    def outputs(self) -> tuple[str, str, str]:
        """The topics that it sends to."""
        return (self.clean, self.synthetic, self.quarantine)


def read_routes(
    tables: tuple[dict[str, Any], ...], file: Path | None, *, has_registry: bool = False
) -> tuple[Route, ...]:
    """Read the tables of a settings file.

    Args:
        tables: The `[[route]]` tables as written.
        file: The settings file, to be named in errors; paths are relative to it.
        has_registry: Whether the settings name a Schema Registry.

    Raises:
        ConfigError: Something impossible; names the table, the key and the remedy.
    """
    place = file or Path("gnomon.toml")
    routes = tuple(
        _read_route(table, f"{place}: [[route]] number {number}", place.parent)
        for number, table in enumerate(tables, start=1)
    )
    for number, route in enumerate(routes, start=1):
        if route.value in _REGISTERED and not has_registry:
            what = f"{place}: [[route]] number {number}: value: {route.value!r} needs the schemas that values name"
            raise ConfigError(what, "set registry.url (GNOMON_REGISTRY_URL)")
    _check_topics(routes, place)
    return routes


def _read_route(table: dict[str, Any], where: str, base: Path) -> Route:
    given = dict(table)
    taint = _read_taint(given.pop("taint"), f"{where}: taint", base) if "taint" in given else None
    tags = given.pop("tags", [])
    if not isinstance(tags, list):
        raise ConfigError(f"{where}: tags: expected a list of tables, got {in_words(tags)}", "write tags = [{ ... }]")
    source = given.get("from")
    if isinstance(source, str):
        for name in ("clean", "synthetic", "quarantine"):
            given.setdefault(name, f"{source}.{name}")
    values = read_table(given, Route, where, base, elsewhere=("tags", "taint"))
    read = tuple(_read_tag(tag, f"{where}: tags: number {number}") for number, tag in enumerate(tags, start=1))
    route = Route(**values, tags=read, taint=taint)
    if route.value == "bytes":
        looked_into: list[str] = [name for name in ("users_file", "users_paths") if name in given]
        looked_into += [f"tags: path {tag.path}" for tag in read if tag.path is not None]
        looked_into += ["taint"] if taint is not None else []
        if looked_into:
            raise ConfigError(f'{where}: {looked_into[0]}: a value of kind "bytes" is not looked into', "use headers")
    if "users_paths" in given and route.users_file is None:
        raise ConfigError(f"{where}: users_paths without users_file", "add users_file, or use tags")
    for path in route.users_paths:
        _check_pointer(path, f"{where}: users_paths")
    return route


def _read_taint(table: object, where: str, base: Path) -> Taint:
    if not isinstance(table, dict):
        raise ConfigError(
            f"{where}: expected a table, got {in_words(table)}", 'write { path = "/session", for = "1h" }'
        )
    taint = Taint(**read_table(table, Taint, where, base))
    _check_pointer(taint.path, f"{where}: path")
    if not timedelta(milliseconds=1) <= taint.span <= _LONGEST_TAINT:
        raise ConfigError(f"{where}: for: expected at least 1ms and at most 7d", "correct it")
    return taint


def _read_tag(tag: object, where: str) -> RouteTag:
    if not isinstance(tag, dict):
        raise ConfigError(f"{where}: expected a table, got {in_words(tag)}", 'write { path = "/user/id", equals = 1 }')
    known = ("path", "header", *_CONDITIONS)
    values: dict[str, Any] = {}
    for key, value in tag.items():
        if key not in known:
            raise ConfigError(f"{where}: there is no key {key!r}", closest(key, list(known)))
        values["among" if key == "in" else key] = _read_condition(key, value, f"{where}: {key}")
    read = RouteTag(**values)
    if (read.path is None) == (read.header is None):
        raise ConfigError(f"{where}: a tag has either a path or a header", "name the one place that it is about")
    if read.path is not None:
        _check_pointer(read.path, f"{where}: path")
    if read.header is not None and not read.header.strip():
        raise ConfigError(f"{where}: header is empty", "name a header")
    return read


def _read_condition(key: str, value: object, where: str) -> object:
    if key in {"equals", "contains"}:
        if not isinstance(value, Scalar):
            raise ConfigError(f"{where}: expected text, a number, true or false, got {in_words(value)}", "correct it")
        return value
    if key == "in":
        if not isinstance(value, list) or not value or not all(isinstance(item, Scalar) for item in value):
            raise ConfigError(f"{where}: expected a list of text and numbers, got {in_words(value)}", "correct it")
        return tuple(value)
    if not isinstance(value, str):
        raise ConfigError(f"{where}: expected text, got {in_words(value)}", "write it in quotes")
    if key == "prefix" and not value:
        raise ConfigError(f"{where}: every text begins with nothing", "write what it begins with")
    if key == "regex":
        try:
            Pattern(value)
        except PatternError as error:
            raise ConfigError(f"{where}: {value!r} is not a regular expression: {error}", "correct it") from error
    return value


def _check_pointer(path: str, where: str) -> None:
    try:
        parse_pointer(path)
    except ValueError as error:
        raise ConfigError(f"{where}: {path!r} is not a JSON Pointer: {error}", 'write one such as "/user/id"') from None


def _check_topics(routes: tuple[Route, ...], place: Path) -> None:
    """Refuse routes that would bring an event back to where it came from, or something else into a clean topic."""
    sources: set[str] = set()
    for route in routes:
        if route.source in sources:
            raise ConfigError(f"{place}: two [[route]] have from = {route.source!r}", "keep one of them")
        sources.add(route.source)
        if route.source in route.outputs:
            name = ("clean", "synthetic", "quarantine")[route.outputs.index(route.source)]
            raise ConfigError(
                f"{place}: [[route]] from {route.source!r}: {name} is the same topic", "send to another topic"
            )
    clean = {route.clean: route for route in routes}
    for route in routes:
        for name, topic in (("synthetic", route.synthetic), ("quarantine", route.quarantine)):
            if topic in clean:
                raise ConfigError(
                    f"{place}: [[route]] from {route.source!r}: {name} = {topic!r} is the clean topic of "
                    f"[[route]] from {clean[topic].source!r}",
                    "send to another topic",
                )
    _check_taint(routes, place)
    circle = _find_circle(routes)
    if circle:
        raise ConfigError(f"{place}: [[route]] go in a circle: {' -> '.join(circle)}", "send to topics nobody routes")
    for route in routes:
        for name, topic in (("synthetic", route.synthetic), ("quarantine", route.quarantine)):
            if topic in sources:
                raise ConfigError(
                    f"{place}: [[route]] from {topic!r}: it is the {name} topic of [[route]] from {route.source!r}, "
                    "and what is there must not get clean again",
                    "route it by a program of your own that knows what it is",
                )


def _check_taint(routes: tuple[Route, ...], place: Path) -> None:
    """Refuse taint whose memory others would write to."""
    for route in routes:
        sharing = [other.source for other in routes if other is not route and route.synthetic in other.outputs]
        if route.taint is not None and sharing:
            raise ConfigError(
                f"{place}: [[route]] from {route.source!r}: taint is read back from {route.synthetic!r} after a "
                f"restart, and [[route]] from {sharing[0]!r} sends there too",
                "give it a synthetic topic of its own",
            )


def _find_circle(routes: Iterable[Route]) -> list[str]:
    """Give topics that lead back to the first of them; none where there is no such way."""
    leads = {route.source: route.outputs for route in routes}
    for start in leads:
        ways = [[start]]
        seen: set[str] = set()
        while ways:
            way = ways.pop()
            for topic in leads.get(way[-1], ()):
                if topic == start:
                    return [*way, topic]
                if topic not in seen:
                    seen.add(topic)
                    ways.append([*way, topic])
    return []
