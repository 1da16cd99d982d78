"""One diverging pair as the page shows it: what was asked, what both sides answered, and where they differ."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from gnomon.core.body import BodyOptions
from gnomon.core.document import Side, header_value
from gnomon.core.json import Unreadable
from gnomon.core.rules import IGNORED_HEADERS, parse_rules
from gnomon.model import Body, Exchange, Header, JsonValue
from gnomon.report.side import Cell, Finding, Row, lay_out, lay_out_members
from gnomon.report.text import Parts, contrast_or_one, count, delta_ms, legible, milliseconds, plural
from gnomon.summary import Sample

__all__ = ["DifferenceView", "PairView", "Part", "anchor", "view_pair"]

MAX_DIFFERENCES = 40
"""Differences of one pair that are listed."""

MAX_BODY = 1 << 20
"""Bytes, on the wire and expanded, up to which a body is laid out."""

MAX_HEADERS = 40
"""Request headers of one pair that are listed."""

PREVIEW = 1200
"""Characters of a request body, or of a body that cannot be read, that are shown."""

_OPTIONS = BodyOptions(max_bytes=MAX_BODY)

# Headers that differ by nature are shown too, unmarked: a reader looks for the date and the content length.
_ALL_HEADERS = parse_rules(
    "".join(f'[[rule]]\npath = "/headers/{name}"\nignore = false\n' for name in sorted(IGNORED_HEADERS))
).for_endpoint("", "")


class DifferenceView(msgspec.Struct, frozen=True):
    """A line of a pair's list of differences; a value is (before, differing, after), None where there is none."""

    path: str
    shadow_path: str
    kind: str
    severity: str
    live: Parts | None
    shadow: Parts | None
    noise: bool
    reason: str


class Part(msgspec.Struct, frozen=True):
    """A part of the answers side by side: headers, trailers or body."""

    title: str
    rows: list[Row]
    cut: bool = False
    notes: list[str] = []


class PairView(msgspec.Struct, frozen=True, kw_only=True):
    """A sample, ready to be drawn. Every text is legible, none is escaped."""

    anchor: str
    endpoint: str
    outcome: str
    severity: str
    request_line: str
    live_answer: str
    shadow_answer: str
    findings: str
    facts: list[tuple[str, str]]
    differences: list[DifferenceView]
    differences_left_out: int
    parts: list[Part]
    notes: list[str]
    request_headers: list[tuple[str, str]]
    request_body: str


def anchor(prefix: str, *parts: object) -> str:
    """Name a place in the page: a hash, as what it is made from is hostile."""
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode("utf-8", "surrogatepass"))
    return f"{prefix}-{digest.hexdigest()[:16]}"


def view_pair(sample: Sample) -> PairView:
    """Turn a sample into what the page draws. Nothing in a record makes this fail."""
    row = sample.comparison
    live, shadow = _exchange(sample.live), _exchange(sample.shadow)
    listed = [_difference(difference) for difference in sorted(sample.differences, key=_rank)[:MAX_DIFFERENCES]]
    request = live.request if live else shadow.request if shadow else None
    parts, notes = _parts(live, shadow, [_finding(difference) for difference in sample.differences])
    total = max(_whole_number(row, "differences"), len(sample.differences))
    if total > len(sample.differences):
        notes.append(f"Of {plural(total, 'difference')} only {count(len(sample.differences))} are marked below.")
    return PairView(
        anchor=anchor("pair", row.get("request_id"), row.get("target"), row.get("started_at")),
        endpoint=legible(_text(row, "endpoint")),
        outcome=legible(_text(row, "outcome"), 20),
        severity=_known_severity(row),
        request_line=f"{legible(_text(row, 'method'), 20)} {legible(_text(row, 'path'), 400)}",
        live_answer=_answer(row, "live"),
        shadow_answer=_answer(row, "shadow"),
        findings=_how_many(total, _whole_number(row, "noise_differences")),
        facts=_facts(row, request.host if request else ""),
        differences=listed,
        differences_left_out=total - len(listed),
        parts=parts,
        notes=notes,
        request_headers=[(legible(name, 80), legible(value)) for name, value in request.headers[:MAX_HEADERS]]
        if request
        else [],
        request_body=_preview(request.body, request.headers) if request else "",
    )


def _exchange(record: Mapping[str, JsonValue] | None) -> Exchange | None:
    """The record as an exchange; None where none is stored or what is stored has another shape."""
    if record is None:
        return None
    try:
        return msgspec.convert(record, Exchange)
    except msgspec.ValidationError:
        return None


def _text(row: Mapping[str, JsonValue], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)


def _figure(row: Mapping[str, JsonValue], name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None


def _whole_number(row: Mapping[str, JsonValue], name: str) -> int:
    value = row.get(name)
    return value if isinstance(value, int) else 0


def _how_many(differences: int, noise: int) -> str:
    if not differences:
        return "no differences"
    text = plural(differences, "difference")
    return f"{text}, {count(noise)} of them noise" if noise else text


def _answer(row: Mapping[str, JsonValue], side: str) -> str:
    """What a side answered, in a word: its status, its transport error, or nothing."""
    status, error = _text(row, f"{side}_status"), _text(row, f"{side}_error")
    return legible(status or error or "no answer", 20)


def _facts(row: Mapping[str, JsonValue], host: str) -> list[tuple[str, str]]:
    """What is known about the pair beside its answers, as labels and texts; what is empty is left out."""
    live_ms, shadow_ms, delta = (_figure(row, f"{name}_ms") for name in ("live", "shadow", "delta"))
    timing = ""
    if live_ms is not None and shadow_ms is not None:
        timing = f"{milliseconds(live_ms)} ms live, {milliseconds(shadow_ms)} ms shadow ({delta_ms(delta)} ms)"
    flags = row.get("flags")
    facts = [
        ("Request id", _text(row, "request_id")),
        ("Service", _text(row, "service")),
        ("Host", host),
        ("Live build", _text(row, "live_target")),
        ("Target", _text(row, "target")),
        ("Started", _text(row, "started_at")),
        ("Latency", timing),
        ("Flags", ", ".join(f"{name}={value}" for name, value in flags.items()) if isinstance(flags, dict) else ""),
        ("As of", _text(row, "as_of")),
        ("Synthetic", _text(row, "synthetic")),
        ("Late", "yes: its counterpart came after the window" if row.get("late") else ""),
        ("Duplicates", _text(row, "duplicates") if row.get("duplicates") else ""),
    ]
    return [(label, legible(text)) for label, text in facts if text]


def _rank(row: Mapping[str, JsonValue]) -> tuple[bool, int]:
    """Order differences: noise last, the most severe first; within that they stay in document order."""
    return bool(row.get("noise")), ("high", "medium", "low", "").index(_known_severity(row))


def _known_severity(row: Mapping[str, JsonValue]) -> str:
    severity = row.get("severity")
    return severity if isinstance(severity, str) and severity in {"high", "medium", "low"} else ""


def _difference(row: Mapping[str, JsonValue]) -> DifferenceView:
    live, shadow = contrast_or_one(row.get("live_value"), row.get("shadow_value"))
    path, shadow_path = _text(row, "path"), _text(row, "shadow_path")
    return DifferenceView(
        path=legible(path),
        shadow_path=legible(shadow_path) if shadow_path not in {"", path} else "",
        kind=legible(_text(row, "kind"), 20),
        severity=_known_severity(row),
        live=live,
        shadow=shadow,
        noise=bool(row.get("noise")),
        reason=legible(_text(row, "reason")),
    )


def _finding(row: Mapping[str, JsonValue]) -> Finding:
    shadow_path = row.get("shadow_path")
    return Finding(
        live_path=_text(row, "path"),
        shadow_path=None if shadow_path is None else str(shadow_path),
        kind=legible(_text(row, "kind"), 20),
        noise=bool(row.get("noise")),
    )


def _parts(live: Exchange | None, shadow: Exchange | None, findings: Sequence[Finding]) -> tuple[list[Part], list[str]]:
    """Headers, trailers and bodies side by side, and what there is to say where a side has none."""
    notes = [
        f"The {side} record was not kept (limits.evidence): a budget per endpoint and pattern bounds how many are."
        for side, exchange in (("live", live), ("shadow", shadow))
        if exchange is None
    ]
    for side, exchange in (("live", live), ("shadow", shadow)):
        if exchange and exchange.error:
            notes.append(
                f"The {side} side ended in a transport error: "
                f"{exchange.error.kind} {legible(exchange.error.message)}".rstrip()
                + "."
            )
    if not (live and live.response and shadow and shadow.response):
        return [], notes
    one = Side(live, live.response, _ALL_HEADERS, _OPTIONS)
    other = Side(shadow, shadow.response, _ALL_HEADERS, _OPTIONS)
    parts = [_members("Headers", one.headers(), other.headers(), findings)]
    if one.response.trailers or other.response.trailers:
        parts.append(_members("Trailers", one.trailers(), other.trailers(), findings))
    parts.append(_bodies(one, other, findings))
    return parts, notes


def _members(title: str, live: JsonValue, shadow: JsonValue, findings: Sequence[Finding]) -> Part:
    if not isinstance(live, dict) or not isinstance(shadow, dict):
        return Part(title, [])
    return Part(title, *lay_out_members(live, shadow, f"/{title.lower()}", findings))


def _bodies(live: Side, shadow: Side, findings: Sequence[Finding]) -> Part:
    """The bodies as compared; where one cannot be read, both as they were recorded, and why."""
    one, other = _document(live, "live"), _document(shadow, "shadow")
    if isinstance(one, dict) and isinstance(other, dict):
        if "body" in one and "body" in other:
            return Part("Body", *lay_out(one["body"], other["body"], "/body", findings))
        if "body" not in one and "body" not in other:
            return Part("Body", [], notes=["Both bodies are empty."])
        return Part("Body", *lay_out_members(one, other, "", findings))
    notes = [note for note in (one, other) if isinstance(note, str)]
    return Part("Body", [Row(0, Cell("", _raw(live)), Cell("", _raw(shadow)))], notes=notes)


def _document(side: Side, name: str) -> dict[str, JsonValue] | str:
    """The body's part of the compared document, without `body` where it is empty; or why there is none to show."""
    body = side.response.body
    document: dict[str, JsonValue] = {}
    if body is None:
        return f"The {name} body was not recorded."
    if body.truncated:
        return f"The {name} body was cut by the emitter: it has {count(body.size)} bytes in all."
    if max(body.size, len(body.data)) > MAX_BODY:
        return f"The {name} body is too large to lay out: {count(body.size)} bytes."
    try:
        side.put_body(document)
    except Unreadable as error:
        return f"The {name} body cannot be read: {legible(error.reason)}."
    return document


def _raw(side: Side) -> str:
    return _preview(side.response.body, side.response.headers)


def _preview(body: Body | None, headers: Sequence[Header]) -> str:
    """The start of a body as it was recorded: text as text, anything else by its size."""
    if body is None or not body.data:
        return ""
    if body.encoding == "text" and not header_value(headers, "content-encoding"):
        return legible(body.data, PREVIEW)
    kind = header_value(headers, "content-type") or "an unknown type"
    return f"({count(body.size)} bytes of {legible(kind, 80)})"
