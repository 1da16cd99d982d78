"""Telling the format of a capture from its first bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Final, Literal, TypeAlias

import msgspec

__all__ = ["FORMATS", "CaptureFormat", "detect_format"]

CaptureFormat: TypeAlias = Literal["ndjson", "har", "envoy-tap", "goreplay", "opensearch"]

FORMATS: tuple[CaptureFormat, ...] = ("ndjson", "har", "envoy-tap", "goreplay", "opensearch")

GOREPLAY_HEAD = re.compile(rb"([123]) ([!-~]{1,256}) (\d{1,19})(?: (-?\d{1,19}))?\r?(?:\n|\Z)")

_MARKS: Final[tuple[tuple[CaptureFormat, frozenset[str]], ...]] = (
    ("ndjson", frozenset({"request_id"})),
    (
        "envoy-tap",
        frozenset(
            {
                "http_buffered_trace",
                "httpBufferedTrace",
                "http_streamed_trace_segment",
                "httpStreamedTraceSegment",
                "socket_buffered_trace",
                "socketBufferedTrace",
                "socket_streamed_trace_segment",
                "socketStreamedTraceSegment",
            }
        ),
    ),
    ("opensearch", frozenset({"sourceRequest", "sourceResponse", "targetRequest", "targetResponses"})),
    ("har", frozenset({"log"})),
)
# A key is a string before a colon; inside another string its quotes would be escaped.
_KEY: Final = re.compile(rb'(?<!\\)"([A-Za-z_]{1,40})"\s*:')
_NAMES: Final[dict[str, CaptureFormat]] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".har": "har",
    ".gor": "goreplay",
}
_FIRST_LINES: Final = 20


def detect_format(head: bytes, name: str = "") -> CaptureFormat | None:
    """Tell the format from the first bytes (decompressed), and where they do not say from the name.

    Args:
        head: The first few KiB.
        name: The path; endings `.gz` and `.zst` do not count.

    Returns:
        None where neither says. An empty file is NDJSON without records.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        return _by_name(name) or "ndjson"
    if GOREPLAY_HEAD.match(text):
        return "goreplay"
    lines = [line.strip() for line in text.split(b"\n", _FIRST_LINES)[:_FIRST_LINES]]
    objects = [line for line in lines if line.startswith(b"{")]
    for line in objects:
        keys = _keys(line)
        found = _by_keys(keys) if keys else None
        if found:
            return found
    if text[:1] in b"{[":
        found = _by_keys(key.decode() for key in _KEY.findall(text))
        if found:
            return found
    return _by_name(name) or ("ndjson" if objects else None)


def _keys(line: bytes) -> list[str]:
    try:
        return list(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return []


def _by_keys(keys: Iterable[str]) -> CaptureFormat | None:
    """Return the format of the first key that marks one."""
    return next((name for key in keys for name, marks in _MARKS if key in marks), None)


def _by_name(name: str) -> CaptureFormat | None:
    path = PurePath(name)
    suffix = PurePath(path.stem).suffix if path.suffix in {".gz", ".zst"} else path.suffix
    return _NAMES.get(suffix.lower())
