"""Bodies that hold one document after another: NDJSON, JSON text sequences, server-sent events."""

from __future__ import annotations

import re

from gnomon.core.formats.media import decode_text
from gnomon.core.json import BOM, Unreadable, loads
from gnomon.core.quota import Quota
from gnomon.model import JsonValue

__all__ = ["read_event_stream", "read_json_lines", "read_json_sequence"]

_LINE_END = re.compile(r"\r\n|\n|\r")


def read_json_lines(data: bytes, max_depth: int, quota: Quota) -> JsonValue:
    """Read one JSON document a line, blank lines left out, as an array.

    Raises:
        Unreadable: A line is not JSON, the reason has its number, from 1; or more values than the quota has.
    """
    _count(data, b"\n", quota)
    return _documents(data.removeprefix(BOM).split(b"\n"), "line", max_depth)


def read_json_sequence(data: bytes, max_depth: int, quota: Quota) -> JsonValue:
    """Read a JSON text sequence (RFC 7464: a record separator before each document) as an array.

    Raises:
        Unreadable: A document is not JSON, the reason has its number, from 1; or more values than the quota has.
    """
    _count(data, b"\x1e", quota)
    return _documents(data.split(b"\x1e")[1:], "document", max_depth)


def _count(data: bytes, separator: bytes, quota: Quota) -> None:
    if quota.must_count(len(data)):
        quota.take(data.count(separator))
        quota.take_json(data)


def _documents(texts: list[bytes], unit: str, max_depth: int) -> JsonValue:
    documents: list[JsonValue] = []
    for number, text in enumerate(texts, 1):
        if text.strip():
            try:
                documents.append(loads(text, max_depth - 1))
            except Unreadable as fault:
                raise Unreadable(f"{unit} {number}: {fault.reason}") from None
    return documents


def read_event_stream(data: bytes, max_depth: int, quota: Quota) -> JsonValue:
    """Read server-sent events (WHATWG HTML, section 9.2.6) as an array of `{event, id, data}`.

    `event` is `message` where none is named, `id` null where the event has none of its own, `data` the document
    where it is JSON, else a string. Events that a browser would not deliver are kept: those without data, and a
    last one without its empty line.

    Raises:
        Unreadable: The data of an event are nested deeper than `max_depth`, or more values than the quota has.
    """
    if quota.must_count(len(data)):
        quota.take(data.count(b"\n") + data.count(b"\r"))
    events: list[JsonValue] = []
    fields: dict[str, list[str]] = {}
    for line in [*_LINE_END.split(decode_text(data.removeprefix(BOM), None)), ""]:
        if line:
            name, _, value = line.partition(":")
            if name in {"event", "id", "data"}:
                fields.setdefault(name, []).append(value.removeprefix(" "))
        elif fields:
            events.append(_event(fields, max_depth, quota))
            fields = {}
    return events


def _event(fields: dict[str, list[str]], max_depth: int, quota: Quota) -> JsonValue:
    text = "\n".join(fields.get("data", []))
    document: JsonValue = text
    encoded = text.encode()
    quota.take_json(encoded)
    try:
        document = loads(encoded, max_depth - 2)
    except Unreadable as fault:
        if fault.reason.startswith("nested"):
            raise
    return {"event": fields.get("event", ["message"])[-1], "id": fields.get("id", [None])[-1], "data": document}
