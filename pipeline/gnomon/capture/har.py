"""HAR 1.2, as browsers, proxies and load tools write it.

http://www.softwareishard.com/blog/har-12-spec/: `log.entries[]` with `request`, `response`, `time` in milliseconds
and `timings` where -1 means "does not apply". Entries are read one at a time, so the size of the file does not
matter, and a file that was cut off gives the entries before that.

A HAR has no request ids. The request's `x-request-id` is taken where there is one, then the trace id of its
`traceparent` (with a suffix from the second call of a trace on: a browser gives all calls of one page the same); else
the id is made of method, path with query, request body and order of appearance, so that a live and a shadow HAR of
the same calls pair, whatever their hosts are.
Bodies in a HAR are already content-decoded, therefore `content-encoding` is left out where there is a body.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlencode

from gnomon.capture.build import (
    BadEntryError,
    Reading,
    bytes_body,
    clean,
    decode_base64,
    duration,
    error_kind,
    header_list,
    instant_us,
    parse_json,
    split_url,
    without_header,
)
from gnomon.capture.jsonstream import JsonScanner
from gnomon.capture.raw import RawRecord
from gnomon.capture.source import BrokenStreamError, ByteStream
from gnomon.capture.split import Damaged
from gnomon.core.tags import read_tags
from gnomon.errors import InputError
from gnomon.model import Body, Exchange, Header, Reject, Request, Response, TransportError

__all__ = ["read_har"]

MAX_STATUS = 999


def read_har(stream: ByteStream, reading: Reading) -> Iterator[RawRecord | Reject]:
    """Yield one record per entry; the `line` of a record is the number of its entry, from 1.

    Raises:
        InputError: The file has no `log.entries`.
    """
    scanner = JsonScanner(iter(stream), "entries", reading.limits.record)
    number = 0
    try:
        for entry in scanner:
            number += 1
            if isinstance(entry, Damaged):
                yield reading.damaged(number, entry)
            else:
                yield reading.attempt(number, entry, partial(_exchange, entry, reading))
    except BrokenStreamError as broken:
        yield reading.reject(number + 1, broken.reason, scanner.unfinished())
        return
    if not scanner.found:
        raise InputError(
            f"{reading.name} is not a HAR: it has no log.entries",
            "check the file, or name its format with --format",
        )


def _exchange(data: bytes, reading: Reading) -> Exchange:
    entry = parse_json(data)
    if not isinstance(entry, dict):
        raise BadEntryError("an entry that is not an object")
    request = _request(_object(entry, "request"))
    response = _object(entry, "response")
    tags = read_tags(request.headers)
    role = reading.role_of(tags.role)
    status = _status(response)
    key = (request.method, request.path, request.body)
    request_id = tags.request_id
    if not request_id:
        request_id = reading.ids.of_trace(tags.trace, role, key) if tags.trace else reading.ids.derive("har", role, key)
    return Exchange(
        request_id=request_id,
        role=role,
        started_us=instant_us(entry.get("startedDateTime")),
        duration_us=_duration(entry),
        request=request,
        response=_response(response, status) if status else None,
        error=None if status else _error(entry, response),
        synthetic=tags.synthetic,
        flags=tags.flags,
        as_of=tags.as_of,
        emitter="har",
    )


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise BadEntryError(f"an entry without an object {name!r}")
    return value


def _text(parent: dict[str, Any], name: str) -> str:
    value = parent.get(name)
    return clean(value) if isinstance(value, str) else ""


def _duration(entry: dict[str, Any]) -> int | None:
    """Return `time`, else the sum of the timings that apply, in microseconds (`ssl` is part of `connect`)."""
    whole = duration(entry.get("time"))
    if whole is not None:
        return whole
    timings = entry.get("timings")
    if not isinstance(timings, dict):
        return None
    steps = ("blocked", "dns", "connect", "send", "wait", "receive")
    parts = [part for part in (duration(timings.get(step)) for step in steps) if part is not None]
    return sum(parts) if parts else None


def _status(response: dict[str, Any]) -> int:
    """Return the status, 0 where there was no response (writers say 0 or -1)."""
    status = response.get("status", 0)
    if isinstance(status, float) and status.is_integer():
        status = int(status)
    if isinstance(status, str) and status.isascii() and status.isdigit() and len(status) <= len(str(MAX_STATUS)):
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or status > MAX_STATUS:
        raise BadEntryError("a response whose status is no HTTP status")
    return max(status, 0)


def _error(entry: dict[str, Any], response: dict[str, Any]) -> TransportError:
    places = ((response, "_error"), (entry, "_error"), (response, "statusText"), (response, "comment"))
    message = next(filter(None, (_text(*place) for place in places)), "no response in the HAR")
    return TransportError(kind=error_kind(message, "connect"), message=message)


def _request(request: dict[str, Any]) -> Request:
    method = _text(request, "method").strip()
    if not method:
        raise BadEntryError("a request without a method")
    path, host = split_url(_text(request, "url"))
    headers = _headers(request)
    body = _request_body(request)
    return Request(
        method=method,
        path=path,
        host=host,
        headers=without_header(headers, "content-encoding") if body and body.data else headers,
        body=body,
    )


def _headers(message: dict[str, Any]) -> list[Header]:
    return [header for header in header_list(message.get("headers")) if not header[0].startswith(":")]


def _request_body(request: dict[str, Any]) -> Body | None:
    posted = request.get("postData")
    if isinstance(posted, dict):
        text = posted.get("text")
        if isinstance(text, str) and text:
            return _content(text, posted.get("encoding", posted.get("_encoding")))
        params = posted.get("params")
        pairs = [
            (clean(item["name"]), _text(item, "value"))
            for item in (params if isinstance(params, list) else ())
            if isinstance(item, dict) and isinstance(item.get("name"), str)
        ]
        if pairs and "multipart" not in _text(posted, "mimeType"):
            return bytes_body(urlencode(pairs).encode())
    return bytes_body(b"") if request.get("bodySize") == 0 else None


def _response(response: dict[str, Any], status: int) -> Response:
    headers = _headers(response)
    content = response.get("content")
    body = None
    if isinstance(content, dict):
        text = content.get("text")
        if isinstance(text, str) and (text or content.get("size") in {0, None}):
            body = _content(text, content.get("encoding"))
        elif text is None and content.get("size") == 0:
            body = bytes_body(b"")
    if body is not None and body.data:
        headers = without_header(headers, "content-encoding")
    return Response(status=status, headers=headers, body=body)


def _content(text: str, encoding: object) -> Body:
    if isinstance(encoding, str) and encoding.strip().lower() == "base64":
        return bytes_body(decode_base64(text))
    return bytes_body(clean(text).encode())
