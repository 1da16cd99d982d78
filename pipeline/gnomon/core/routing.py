"""Which business events are synthetic: the tags that say so, and what becomes of an event.

Fails closed: an event goes to the clean stream only when it was read and nothing in it says synthetic. One that cannot
be read is quarantined, whatever its headers say. A tombstone (no value) deletes its key wherever it may be, so it
goes both ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from gnomon.core.equality import number_key
from gnomon.core.json import Unreadable, dumps
from gnomon.core.patterns import Pattern
from gnomon.core.pointer import parse_pointer
from gnomon.model import JsonValue

__all__ = ["Destination", "Event", "EventLike", "EventRouter", "Late", "Routing", "Tag", "scalar_text", "values_at"]

Destination: TypeAlias = Literal["clean", "synthetic", "quarantine", "both"]

MAX_HEADERS: Final = 1000
"""Headers of one event that are read; one with more is quarantined."""

_LONGEST_REMEMBERED: Final = 64
# What cannot be in a name (RFC 9110, section 5.6.2), at its ends: white space of any kind, line ends, quotes
_AROUND: Final = re.compile(r"^[^\w!#$%&'*+\-.^`|~]++|(?<![^\w!#$%&'*+\-.^`|~])[^\w!#$%&'*+\-.^`|~]++$")
_MEMBERS: Final = re.compile(r"[,\r\n]")

_BOOLEANS: Final = {True: "true", False: "false"}


class Event(NamedTuple):
    """One record of a business topic: its value as bytes, and its headers as they came."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class EventLike(Protocol):
    """Whatever has a value and headers, as a client of Kafka gives them."""

    @property
    def value(self) -> bytes | None:
        """The value; None for a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Names and values, in order; what of a name is not UTF-8 is a lone surrogate there (`surrogateescape`)."""


class Late(NamedTuple):
    """Events that had been sent to the clean stream when a tag came that would have kept them out: their offsets."""

    events: int
    first: int
    last: int


class Routing(NamedTuple):
    """Where an event goes, and by which rule; `reason` is a sentence where it is quarantined.

    `late` has what this event's tag came too late for.
    """

    to: Destination
    rule: str = ""
    reason: str = ""
    late: Sequence[Late] = ()


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A configured tag: at one place, what makes an event synthetic. Several conditions all have to hold.

    `path` is a JSON Pointer in which a step `*` stands for every element or member. Numbers and booleans are compared
    as their JSON text too, so that the id 42 is the same whether a producer wrote it as a number or as text.
    """

    path: str | None = None
    header: str | None = None
    equals: str | int | float | bool | None = None
    among: Collection[str] | None = None
    prefix: str | None = None
    regex: Pattern | None = None
    contains: str | int | float | bool | None = None
    name: str

    def holds(self, value: JsonValue) -> bool:
        """Whether a value at the tag's place makes the event synthetic."""
        if self.contains is not None and not _contains(value, self.contains):
            return False
        if self.equals is None and self.among is None and self.prefix is None and self.regex is None:
            return True
        text = scalar_text(value)
        return (
            text is not None
            and (self.equals is None or text == scalar_text(self.equals))
            and (self.among is None or text in self.among)
            and (self.prefix is None or text.startswith(self.prefix))
            and (self.regex is None or self.regex.found_in(text))
        )


class EventRouter:
    """Judges the events of one topic.

    Args:
        tags: What makes an event synthetic, beside the header tags that always hold.
        read: Turns a value into a document and raises `Unreadable` where it cannot; None for values that are not
            looked into.
    """

    def __init__(self, tags: Iterable[Tag], read: Callable[[bytes], JsonValue] | None) -> None:
        self._read = read
        given = list(tags)
        self._headers = [(tag, _bare(tag.header)) for tag in given if tag.header is not None]
        # Where tags in a row are about one place it is looked at once
        paths = groupby((tag for tag in given if tag.path is not None), lambda tag: tag.path or "")
        self._paths = [(parse_pointer(path), list(alike)) for path, alike in paths]
        self._names = {"x-synthetic", "baggage", *(name for _, name in self._headers)}

    def judge(self, event: EventLike) -> Routing:
        """Say where an event goes. Never raises."""
        return self.look(event)[0]

    def look(self, event: EventLike) -> tuple[Routing, JsonValue]:
        """Say where an event goes, and give what was read of its value. Never raises."""
        value, headers = event.value, event.headers
        if value is None:
            return _TOMBSTONE, None
        if headers:
            refused = _refused_headers(headers)
            if refused:
                return Routing("quarantine", "headers", refused), None
        document: JsonValue = None
        if self._read is not None:
            try:
                document = self._read(value)
            except Unreadable as unreadable:
                return Routing("quarantine", "value", unreadable.reason), None
        rule = (self._header_rule(headers) if headers else None) or self._path_rule(document)
        return (_CLEAN if rule is None else Routing("synthetic", rule)), document

    def _header_rule(self, headers: Sequence[tuple[str, bytes | None]]) -> str | None:
        names = [_bare(name) for name, _ in headers]
        if self._names.isdisjoint(names):
            return None
        # That it is there is enough, whatever it says: better a real event held back than a synthetic one let through
        if "x-synthetic" in names:
            return "header x-synthetic"
        texts = [
            (name, (value or b"").decode("utf-8", "replace"))
            for name, (_, value) in zip(names, headers, strict=True)
            if name in self._names
        ]
        if any(name == "baggage" and _has_synthetic(value) for name, value in texts):
            return "baggage synthetic"
        for tag, wanted in self._headers:
            if any(name == wanted and tag.holds(value) for name, value in texts):
                return tag.name
        return None

    def _path_rule(self, document: JsonValue) -> str | None:
        for steps, tags in self._paths:
            for value in values_at(document, steps):
                for tag in tags:
                    if tag.holds(value):
                        return tag.name
        return None


_CLEAN: Final = Routing("clean")
_TOMBSTONE: Final = Routing("both", "tombstone")


def _bare(name: str) -> str:
    """Give a name as it is compared: without case, and without what can be no part of it at its ends."""
    return _remembered(name) if len(name) <= _LONGEST_REMEMBERED else _bared(name)


def _bared(name: str) -> str:
    return _AROUND.sub("", name).lower() or name


_remembered: Final = lru_cache(maxsize=1024)(_bared)


def _has_synthetic(baggage: str) -> bool:
    """Whether a baggage has a member `synthetic`, with a value or without."""
    members = _MEMBERS.split(baggage) if "synthetic" in baggage.lower() else ()
    return any(_bare(member.partition(";")[0].partition("=")[0]) == "synthetic" for member in members)


def _refused_headers(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """Give why headers are not looked into; empty where they are."""
    if len(headers) > MAX_HEADERS:
        return f"it has {len(headers):,} headers, at most {MAX_HEADERS:,}"
    names = "".join([name for name, _ in headers])
    if not names.isascii() and any("\ud800" <= character <= "\udfff" for character in names):
        return "the name of a header is not UTF-8"
    return ""


def values_at(document: JsonValue, steps: Sequence[str]) -> list[JsonValue]:
    """Give every value at a place; a step `*` stands for all elements or members, a missing place for none."""
    value = document
    for place, step in enumerate(steps):
        if not isinstance(value, dict) or step == "*":
            return _spread(value, steps[place:]) if isinstance(value, dict | list) else []
        if step not in value:
            return []
        value = value[step]
    return [value]


def _spread(document: JsonValue, steps: Sequence[str]) -> list[JsonValue]:
    """Do the same where arrays or `*` are on the way."""
    found: list[JsonValue] = [document]
    for step in steps:
        reached: list[JsonValue] = []
        for value in found:
            if isinstance(value, dict):
                if step == "*":
                    reached.extend(value.values())
                elif step in value:
                    reached.append(value[step])
            elif isinstance(value, list):
                if step == "*":
                    reached.extend(value)
                elif step.isdecimal() and step.isascii() and int(step) < len(value):
                    reached.append(value[int(step)])
        found = reached
    return found


def scalar_text(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Give the text by which a scalar is compared; None for objects, arrays and null."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return _BOOLEANS[value]
    if value is None or isinstance(value, dict | list):
        return None
    return dumps(number_key(value))  # type: ignore[arg-type]  # a Decimal is a number here, see `core.json`


def _contains(value: JsonValue, wanted: str | float | bool) -> bool:  # noqa: FBT001 - a JSON scalar
    """Whether an array has an element, an object a member of that name, or a text a part."""
    text = scalar_text(wanted) or ""
    if isinstance(value, list):
        return any(scalar_text(element) == text for element in value)
    if isinstance(value, dict):
        return text in value
    own = scalar_text(value)
    return own is not None and text in own
