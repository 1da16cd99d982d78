"""OpenSearch Migrations: the traffic replayer's tuples, one JSON object a line.

`sourceRequest`, `sourceResponse`, `targetRequest`, `targetResponses` (older replayers: `targetResponse`) and
`connectionId`. Each message is one object in which headers are mixed with `Request-URI`, `Method`, `Status-Code`,
`response_time_ms` and the body: `body` is base64 (or, after `console tuples show`, decoded), `payload` holds
`inlinedJsonBody`, `inlinedJsonSequenceBodies`, `inlinedTextBody` or `inlinedBase64Body`.

One tuple gives two records: the source's exchange is live, the target's is shadow. The replayer tries again when the
target fails; the last attempt is the shadow's. The request id is `x-request-id` of the source request, else the trace
id of its `traceparent` (with a suffix from the second tuple of a trace on), else `connectionId`, which is unique.
Tuples have no time: the response's `date` header serves, without one it is 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import msgspec

from gnomon.capture.build import (
    BadEntryError,
    Reading,
    bytes_body,
    clean,
    content_length,
    date_us,
    decode_base64,
    duration,
    error_kind,
    find_header,
    header_list,
    parse_json,
    without_header,
)
from gnomon.capture.jsonstream import documents
from gnomon.capture.raw import RawRecord
from gnomon.capture.source import ByteStream
from gnomon.capture.split import Damaged
from gnomon.core.tags import read_tags
from gnomon.model import Body, Exchange, Header, Reject, Request, Response, Role, TransportError

__all__ = ["read_opensearch"]

_NOT_HEADERS: Final = frozenset(
    {
        "Request-URI",
        "Method",
        "HTTP-Version",
        "Status-Code",
        "Reason-Phrase",
        "response_time_ms",
        "body",
        "payload",
        "Exception",
    }
)
_INLINED: Final = ("inlinedJsonBody", "inlinedJsonSequenceBodies", "inlinedTextBody", "inlinedBase64Body")
MAX_STATUS: Final = 999
_GZIP: Final = b"\x1f\x8b"

_Fields = dict[str, msgspec.Raw]


class _Tuple(msgspec.Struct, frozen=True, rename="camel"):
    """A tuple as the replayer writes it; messages stay raw so that JSON bodies keep their numbers exactly."""

    source_request: _Fields | None = None
    source_response: _Fields | None = None
    target_request: _Fields | None = None
    target_responses: list[_Fields | None] | None = None
    target_response: _Fields | None = None
    connection_id: str | None = None
    error: str | None = None


class _Side(msgspec.Struct, frozen=True):
    """One side of a tuple, before it is an exchange."""

    role: Role
    request: _Fields
    response: _Fields | None
    failure: str | None


def read_opensearch(stream: ByteStream, reading: Reading) -> Iterator[RawRecord | Reject]:
    """Yield a live and a shadow record per tuple; where one role was asked for, that side only.

    A source without a response is a `Reject`; a target that was never asked gives no record at all.
    """
    for piece in documents(stream, reading.limits.record):
        if isinstance(piece.data, Damaged):
            yield reading.damaged(piece.line, piece.data)
            continue
        try:
            found = _parse(piece.data)
            request_id = _request_id(found, reading)
        except BadEntryError as bad:
            yield reading.reject(piece.line, bad.reason, piece.data)
            continue
        for side in _sides(found, reading.role):
            yield reading.attempt(piece.line, piece.data, partial(_exchange, found, side, request_id))


def _parse(data: bytes) -> _Tuple:
    try:
        return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=_Tuple)
    except RecursionError:
        raise BadEntryError("JSON that is nested too deeply") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise BadEntryError(f"not an OpenSearch replayer tuple: {error}") from error


def _request_id(found: _Tuple, reading: Reading) -> str:
    if found.source_request is None and found.target_request is None:
        raise BadEntryError("not an OpenSearch replayer tuple: neither sourceRequest nor targetRequest")
    message = found.source_request or found.target_request or {}
    tags = read_tags(_headers(message))
    if tags.request_id:
        return tags.request_id
    if tags.trace:
        request = _request(message)
        return reading.ids.of_trace(tags.trace, reading.role or "live", (request.method, request.path, request.body))
    if not found.connection_id:
        raise BadEntryError("a tuple without x-request-id, without traceparent and without connectionId")
    return clean(found.connection_id)


def _sides(found: _Tuple, asked: Role | None) -> Iterator[_Side]:
    if asked in {None, "live"}:
        request = found.source_request or found.target_request or {}
        yield _Side("live", request, found.source_response, None)
    if asked == "live":
        return
    attempts = found.target_responses or ([found.target_response] if found.target_response else [])
    last = attempts[-1] if attempts else None
    if last is not None or found.error:
        request = found.target_request or found.source_request or {}
        yield _Side(asked or "shadow", request, last, found.error)


def _exchange(found: _Tuple, side: _Side, request_id: str) -> Exchange:
    request = _request(side.request)
    tags = read_tags(_headers(found.source_request or side.request))
    response = error = None
    started = took = None
    if side.response is not None and "Status-Code" in side.response:
        response = _response(side.response)
        took = duration(_value(side.response, "response_time_ms"))
        answered = date_us(response.headers)
        started = None if answered is None else max(0, answered - (took or 0))
    elif side.failure:
        error = TransportError(kind=error_kind(side.failure, "protocol"), message=clean(side.failure))
    else:
        problem = _value(side.response or {}, "Exception")
        raise BadEntryError(
            f"the replayer could not read the {side.role} response: {clean(str(problem))[:200]}"
            if problem
            else f"a tuple without a {side.role} response"
        )
    return Exchange(
        request_id=request_id,
        role=side.role,
        started_us=started or 0,
        duration_us=took,
        request=request,
        response=response,
        error=error,
        synthetic=tags.synthetic,
        flags=tags.flags,
        as_of=tags.as_of,
        emitter="opensearch-replayer",
    )


def _value(message: _Fields, name: str) -> Any:  # noqa: ANN401  (foreign JSON: checked where it is used)
    return parse_json(bytes(message[name])) if name in message else None


def _headers(message: _Fields) -> list[Header]:
    return header_list({name: _value(message, name) for name in message if name not in _NOT_HEADERS})


def _request(message: _Fields) -> Request:
    method, path = _value(message, "Method"), _value(message, "Request-URI")
    if not (isinstance(method, str) and method and isinstance(path, str) and path):
        problem = _value(message, "Exception")
        raise BadEntryError(f"a request without Method and Request-URI{f': {problem}' if problem else ''}"[:300])
    headers = _headers(message)
    body, headers = _body(message, headers)
    host = find_header(headers, "host") or ""
    return Request(method=clean(method), path=clean(path), host=host, headers=headers, body=body)


def _response(message: _Fields) -> Response:
    status = _value(message, "Status-Code")
    if isinstance(status, str) and status.isascii() and status.isdigit() and len(status) <= len(str(MAX_STATUS)):
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 0 <= status <= MAX_STATUS:
        raise BadEntryError("a Status-Code that is no HTTP status")
    body, headers = _body(message, _headers(message))
    return Response(status=status, headers=headers, body=body)


def _body(message: _Fields, headers: list[Header]) -> tuple[Body | None, list[Header]]:
    """Return the body and the headers that fit it: without `content-encoding` where the body is decoded already."""
    decoded = without_header(headers, "content-encoding")
    if "payload" in message:
        data, encoded = _payload(bytes(message["payload"]))
    elif "body" in message:
        data, encoded = _plain(bytes(message["body"]), content_length(headers))
    else:
        return (None if content_length(headers) else bytes_body(b"")), headers
    if data is None:
        return None, headers
    if encoded and "gzip" in (find_header(headers, "content-encoding") or "") and not data.startswith(_GZIP):
        encoded = False
    return bytes_body(data), headers if encoded else decoded


def _payload(raw: bytes) -> tuple[bytes | None, bool]:
    """Return (bytes, whether content-encoding still holds) of a `payload` object."""
    try:
        payload = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadEntryError(f"a payload that is not an object: {error}") from error
    kind = next((name for name in _INLINED if name in payload), None)
    if kind is None:
        return (b"" if not payload else None), True
    inlined = bytes(payload[kind])
    if kind == "inlinedJsonBody":
        return inlined, False
    if kind == "inlinedJsonSequenceBodies":
        return _sequence(inlined), False
    text = parse_json(inlined)
    if not isinstance(text, str):
        raise BadEntryError(f"a payload whose {kind} is no text")
    return (clean(text).encode(), False) if kind == "inlinedTextBody" else (decode_base64(text), True)


def _sequence(raw: bytes) -> bytes:
    try:
        values = msgspec.json.decode(raw, type=list[msgspec.Raw])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadEntryError(f"a payload whose inlinedJsonSequenceBodies is no list: {error}") from error
    return b"".join(bytes(value) + b"\n" for value in values)


def _plain(raw: bytes, length: int | None) -> tuple[bytes | None, bool]:
    """Return (bytes, whether content-encoding still holds) of a `body`.

    Text can look like base64 by chance; then `content-length` decides, and without it base64 is assumed.
    """
    value = parse_json(raw)
    if value is None:
        return None, True
    if not isinstance(value, str):
        return raw, False
    text = clean(value).encode()
    try:
        data = decode_base64(value)
    except BadEntryError:
        return text, False
    return (text, False) if len(text) == length != len(data) else (data, True)
