"""The tags that travel with a request: its id, what makes it synthetic, its flags, its moment and its role.

Pure reading and writing of header lists; names are case-insensitive. Where a tag can come from several places the
first one that holds a usable value wins:

| tag        | read from                                                                       |
| ---------- | ------------------------------------------------------------------------------- |
| request id | `x-request-id`; trace id of `traceparent`                                       |
| synthetic  | `x-synthetic: <why>`; `baggage: synthetic=<why>`                                |
| flags      | `x-feature-flags: new-cart=on, theme=b`; `baggage: flag.<name>=<value>`, by name |
| as of      | `x-as-of: 2027-07-12T00:00:00Z`; `baggage: as-of=`                              |
| role       | `x-gnomon-role`                                                                 |

What callers send is hostile text: a tag that makes no sense is as good as none, it never spoils the record.
`write_tags` gives the headers that carry them on; what cannot stand in a header as it is goes as baggage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final, cast
from urllib.parse import quote, unquote

import msgspec

from gnomon.model import Header, Role

__all__ = ["MAX_ID", "Tags", "parse_baggage", "parse_flags", "read_tags", "trace_id", "write_tags"]

FLAG_PREFIX: Final = "flag."
MAX_ID: Final = 256
"""The longest request id of a record, in characters."""

MAX_FLAGS: Final = 8192
"""How many characters of flags are carried on; what a baggage may have (W3C Baggage, section 3.3.2)."""
_OWS: Final = " \t"
"""Optional white space of HTTP (RFC 9110, section 5.6.3): the edges strip tags that have no other around them."""

ROLES: Final = frozenset({"live", "shadow", "control"})

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Tags(msgspec.Struct, frozen=True, gc=False):
    """What the headers of one request say about it; None and `{}` where they say nothing."""

    request_id: str | None = None
    trace: str | None = None
    synthetic: str | None = None
    flags: dict[str, str] = {}
    as_of: str | None = None
    role: Role | None = None

    @property
    def id(self) -> str | None:
        """The join key: `x-request-id`, else the trace id."""
        return self.request_id or self.trace


def trace_id(traceparent: str) -> str | None:
    """Return the 32 hexadecimal digits of a W3C `traceparent`, None if it is not one.

    W3C Trace Context level 1, section 3.2: version `ff` and an id of zeros are invalid; version `00` has four
    parts, later versions may have more.
    """
    found = _TRACEPARENT.fullmatch(traceparent.strip().lower())
    if found is None:
        return None
    version, trace, more = found.groups()
    if version == "ff" or not trace.strip("0") or (version == "00" and more):
        return None
    return cast("str", trace)


def parse_baggage(value: str) -> list[tuple[str, str]]:
    """Return the members of a W3C `baggage` header as (name, value), in order.

    Spaces around names and values go, properties after `;` are left out, values are percent-decoded as UTF-8
    (bytes that are not become U+FFFD). Members without a name that is a token, or without `=`, are left out.
    """
    members = []
    for member in value.split(","):
        name, equals, rest = member.partition(";")[0].partition("=")
        name = name.strip(_OWS)
        if equals and _TOKEN.fullmatch(name):
            members.append((name, unquote(rest.strip(_OWS))))
    return members


def parse_flags(value: str) -> dict[str, str]:
    """Read `new-cart=on, theme=b`; a name without `=` is a flag that is `true`. The first of a name wins."""
    flags: dict[str, str] = {}
    for member in value.split(","):
        name, equals, rest = member.partition("=")
        if name.strip():
            flags.setdefault(name.strip(), rest.strip() if equals else "true")
    return flags


def read_tags(headers: Iterable[Header]) -> Tags:
    """Read all tags of one request's headers; see the table above."""
    seen: dict[str, list[str]] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _READ:
            seen.setdefault(lower, []).append(value)
    if len(seen) == 1 and "x-request-id" in seen:
        return Tags(request_id=_first(seen["x-request-id"]))
    if not seen:
        return _NONE
    baggage = [member for value in seen.get("baggage", ()) for member in parse_baggage(value)]
    flags = parse_flags(",".join(seen.get("x-feature-flags", ())))
    for name, value in baggage:
        if name.startswith(FLAG_PREFIX) and len(name) > len(FLAG_PREFIX):
            flags.setdefault(name.removeprefix(FLAG_PREFIX), value)
    return Tags(
        request_id=_first(seen.get("x-request-id", ())),
        trace=next(filter(None, map(trace_id, seen.get("traceparent", ()))), None),
        synthetic=_first([*seen.get("x-synthetic", ()), *(value for name, value in baggage if name == "synthetic")]),
        flags=flags,
        as_of=_first(
            value
            for value in [*seen.get("x-as-of", ()), *(value for name, value in baggage if name == "as-of")]
            if _is_instant(value.strip())
        ),
        role=_role(seen.get("x-gnomon-role", ())),
    )


_READ: Final = frozenset(
    {"x-request-id", "traceparent", "x-synthetic", "x-feature-flags", "x-as-of", "x-gnomon-role", "baggage"}
)
_NONE: Final = Tags()


def write_tags(tags: Tags) -> list[Header]:
    """Write the headers that carry tags on to another service, or in a Kafka message; `read_tags` reads them back.

    The id is written as `x-request-id`, also where it was a trace id. A role is each side's own and stays. Flags past
    `MAX_FLAGS` characters, or whose odd names no header can hold, are left out.
    """
    headers: list[Header] = []
    baggage: list[str] = []
    if tags.id and _is_plain(tags.id):
        headers.append(("x-request-id", tags.id))
    for name, member, value in (("x-synthetic", "synthetic", tags.synthetic), ("x-as-of", "as-of", tags.as_of)):
        if value and _is_plain(value):
            headers.append((name, value))
        elif value:
            baggage.append(_member(member, value))
    flags: list[str] = []
    room = MAX_FLAGS
    for name, value in tags.flags.items():
        if _is_plain(name) and _is_plain(value) and "," not in name + value and "=" not in name:
            text, into = f"{name}={value}", flags
        elif _TOKEN.fullmatch(name):
            text, into = _member(FLAG_PREFIX + name, value), baggage
        else:
            continue
        room -= len(text) + 2
        if room < 0:
            break
        into.append(text)
    if flags:
        headers.append(("x-feature-flags", ", ".join(flags)))
    if baggage:
        headers.append(("baggage", ",".join(baggage)))
    return headers


def _is_plain(text: str) -> bool:
    """Tell whether a text comes back from a header as it went in."""
    return text.isascii() and text.isprintable() and text == text.strip()


def _member(name: str, value: str) -> str:
    return f"{name}={quote(value, safe='', errors='replace')}"


def _first(values: Iterable[str]) -> str | None:
    return next((value.strip(_OWS) for value in values if value.strip(_OWS)), None)


def _role(values: Iterable[str]) -> Role | None:
    found = _first(value.lower() for value in values)
    return cast("Role", found) if found in ROLES else None


def _is_instant(text: str) -> bool:
    if not _RFC3339.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True
