"""Building exchanges from what foreign captures hold: bodies, headers, times, ids, and where all else fails a reason.

Readers raise `BadEntryError` for one entry; `Reading.attempt` turns that into a `Reject` with its place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from gnomon.capture.raw import EXCERPT_BYTES, Limits, RawRecord
from gnomon.capture.split import Damaged
from gnomon.core.encoding import bytes_body
from gnomon.model import EPOCH, MAX_INSTANT_US, Body, ErrorKind, Exchange, Header, Place, Reject, Role

__all__ = [
    "BadEntryError",
    "Reading",
    "RequestIds",
    "bytes_body",
    "clean",
    "content_length",
    "date_us",
    "decode_base64",
    "duration",
    "error_kind",
    "find_header",
    "header_list",
    "instant_us",
    "parse_json",
    "split_url",
    "without_header",
]

MAX_ID: Final = 256
BOM: Final = b"\xef\xbb\xbf"
_ENCODER: Final = msgspec.json.Encoder()


class BadEntryError(Exception):
    """One entry of a capture that is not what the format says; never leaves the capture package."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class RequestIds:
    """Join keys for captures without request ids, the same for the same requests in the same order.

    One of these serves all sources of a run, so that a live capture in several files counts on. It holds 8 bytes
    and a count for each distinct request, 16 bytes for each trace.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], int] = {}
        self._traces: set[tuple[str, int]] = set()

    def derive(self, prefix: str, role: Role, request: tuple[str, str, Body | None]) -> str:
        """Return `PREFIX:<hash16>:<n>`: of method, path with query and body; `n` is the order of appearance."""
        return self._counted(prefix, role, request, b"")

    def of_trace(self, trace: str, role: Role, request: tuple[str, str, Body | None]) -> str:
        """Return the trace id for the first request of a trace, and `TRACE:<hash16>:<n>` for each later one.

        A browser gives all calls of a page one trace, a proxy all calls of a transaction: they are not duplicates.
        """
        index = (role, int(trace, 16))
        if index not in self._traces:
            self._traces.add(index)
            return trace
        return self._counted(trace, role, request, trace.encode())

    def _counted(self, prefix: str, role: Role, request: tuple[str, str, Body | None], scope: bytes) -> str:
        method, path, body = request
        digest = hashlib.sha256(scope + f"{method.upper()}\0{path}\0".encode("utf-8", "replace"))
        digest.update((body.data if body else "").encode("utf-8", "replace"))
        key = digest.hexdigest()[:16]
        index = (role, int(key, 16))
        count = self._seen[index] = self._seen.get(index, 0) + 1
        return f"{prefix}:{key}:{count}"


class Reading(msgspec.Struct, frozen=True):
    """What a reader is given beside the bytes: the file's name, the role it plays, the limits, the id maker."""

    name: str
    role: Role | None
    limits: Limits
    ids: RequestIds

    def role_of(self, tagged: Role | None) -> Role:
        """Return the role that was asked for, else the one on the wire, else live."""
        return self.role or tagged or "live"

    def attempt(self, line: int, entry: bytes, build: Callable[[], Exchange]) -> RawRecord | Reject:
        """Build one exchange; a `Reject` with the reason where that cannot be done."""
        try:
            return self.record(line, build())
        except BadEntryError as bad:
            return self.reject(line, bad.reason, entry)

    def record(self, line: int, exchange: Exchange) -> RawRecord:
        """Encode one exchange.

        Raises:
            BadEntryError: Its request id is too long, or a text cannot be UTF-8.
        """
        if not 1 <= len(exchange.request_id) <= MAX_ID:
            raise BadEntryError(f"the request id has {len(exchange.request_id)} characters; 1 to {MAX_ID} are allowed")
        try:
            data = _ENCODER.encode(exchange)
        except UnicodeEncodeError as error:
            raise BadEntryError(f"text that cannot be UTF-8: {error.reason}") from error
        return RawRecord(source=self.name, line=line, data=data, role=self.role)

    def reject(self, line: int, reason: str, excerpt: bytes = b"") -> Reject:
        """Return a `Reject` at a line or entry of this file."""
        return Reject(place=Place(source=self.name, line=line), reason=reason, excerpt=excerpt[:EXCERPT_BYTES])

    def damaged(self, line: int, damage: Damaged) -> Reject:
        """Return the `Reject` for a stretch that is no record."""
        return self.reject(line, damage.reason, damage.excerpt)


def parse_json(data: bytes) -> Any:  # noqa: ANN401  (foreign JSON: every reader checks what it takes)
    """Parse foreign JSON; unpaired surrogates, which browsers do write, are let through for `clean`.

    Raises:
        BadEntryError: It is not JSON, or nested too deeply.
    """
    data = data.removeprefix(BOM)
    try:
        return msgspec.json.decode(data)
    except RecursionError:
        raise BadEntryError("JSON that is nested too deeply") from None
    except (msgspec.DecodeError, ValueError) as error:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise BadEntryError(f"not valid JSON: {error}") from error


def clean(text: str) -> str:
    """Replace unpaired surrogates by `?`, so that the text can be UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def decode_base64(text: str) -> bytes:
    """Decode strict base64, line breaks allowed.

    Raises:
        BadEntryError: It is not base64.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadEntryError(f"a body that is not the base64 it says: {error}") from error


def header_list(value: object) -> list[Header]:
    """Read headers as a list of `{name, value}`, of pairs, or as one object.

    HTTP/2 pseudo-headers stay in. What is neither is left out.
    """
    headers: list[Header] = []
    if isinstance(value, dict):
        for name, content in value.items():
            for one in content if isinstance(content, list) else [content]:
                _add(headers, name, one)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                _add(headers, item.get("name"), item.get("value", ""))
            elif isinstance(item, list) and len(item) == 2:
                _add(headers, item[0], item[1])
    return headers


def _add(headers: list[Header], name: object, value: object) -> None:
    if not isinstance(name, str):
        return
    if isinstance(value, str):
        if name.isascii() and value.isascii():
            headers.append((name, value))
            return
        headers.append((clean(name), clean(value)))
    elif isinstance(value, int | float):
        headers.append((clean(name), json.dumps(value)))


def find_header(headers: Iterable[Header], name: str) -> str | None:
    """Return the first value of a header, by its lower-case name."""
    return next((value for key, value in headers if key.lower() == name), None)


def without_header(headers: Iterable[Header], name: str) -> list[Header]:
    """Return the headers but for those of one lower-case name."""
    return [header for header in headers if header[0].lower() != name]


def content_length(headers: Iterable[Header]) -> int | None:
    """Return `content-length` in bytes, None where it is missing or no number."""
    text = (find_header(headers, "content-length") or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < len(str(MAX_INSTANT_US)) else None


def split_url(url: str) -> tuple[str, str]:
    """Return (path with query, host) of an absolute URL or of a path.

    Raises:
        BadEntryError: Another scheme than http, https, ws or wss, or no URL at all.
    """
    if url.startswith("/"):
        return url, ""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadEntryError(f"not a URL: {error}") from error
    if parts.scheme not in {"http", "https", "ws", "wss"}:
        raise BadEntryError(f"a URL of scheme {parts.scheme[:20]!r}; only HTTP is compared")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return path, parts.netloc.rpartition("@")[2]


def instant_us(text: object) -> int:
    """Turn an ISO 8601 time into epoch microseconds; one without an offset is taken as UTC.

    Raises:
        BadEntryError: It is no time, or not between 1970 and 9999.
    """
    if not isinstance(text, str):
        raise BadEntryError("the time is missing")
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        us = (moment - EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise BadEntryError(f"not a time: {clean(text)[:60]!r}") from error
    if not 0 <= us <= MAX_INSTANT_US:
        raise BadEntryError(f"a time before 1970: {text[:60]!r}")
    return us


def date_us(headers: Iterable[Header]) -> int | None:
    """Return the `date` header in epoch microseconds: the last resort where a capture has no times."""
    text = find_header(headers, "date")
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
        us = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return max(0, us // timedelta(microseconds=1))


def duration(milliseconds: object) -> int | None:
    """Turn milliseconds into microseconds; None where it is no number, negative or longer than a year."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    return round(milliseconds * 1000) if 0 <= milliseconds < 366 * 86_400_000 else None


_KINDS: Final[tuple[tuple[ErrorKind, tuple[str, ...]], ...]] = (
    ("timeout", ("timeout", "timed out", "timed_out", "deadline")),
    ("reset", ("reset", "abort", "closed", "cancel", "empty_response", "broken pipe", "unexpected eof")),
    ("connect", ("refused", "connect", "resolve", "unreachable", "dns", "no route", "unknown host")),
    ("overload", ("overload", "overflow", "circuit")),
)


def error_kind(message: str, default: ErrorKind) -> ErrorKind:
    """Tell the kind of a transport error from what a foreign tool says about it."""
    lower = message.lower()
    return next((kind for kind, words in _KINDS if any(word in lower for word in words)), default)
