"""Envoy's HTTP tap filter, JSON formats: buffered traces and streamed segments.

Keys may be snake_case (what Envoy writes) or camelCase. Bodies are `as_bytes` (base64) or `as_string`; Envoy cuts
them at 1 KiB by default and says `truncated`, then `content-length` is taken for the size. A tap has times only
with `record_headers_received_time`: the exchange starts at the request's, and lasts until the response's headers.
Without them the response's `date` header serves, without that it is 1970.
The segments of a streamed trace are put together by trace id, in a bounded window.
"""

from __future__ import annotations

from collections import OrderedDict
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
    instant_us,
    parse_json,
)
from gnomon.capture.jsonstream import documents
from gnomon.capture.raw import RawRecord
from gnomon.capture.source import ByteStream
from gnomon.capture.split import Damaged
from gnomon.core.tags import read_tags
from gnomon.model import Body, Exchange, Header, Reject, Request, Response, TransportError

__all__ = ["read_envoy_tap"]

MAX_STATUS: Final = 999
NOT_A_TAP: Final = "not an HTTP tap: neither http_buffered_trace nor http_streamed_trace_segment"


class _Message(msgspec.Struct):
    """One direction of a trace. `body` is None where nothing is said about it; `received_us` may be unknown."""

    pseudo: dict[str, str] = {}
    headers: list[Header] = []
    trailers: list[Header] = []
    chunks: list[bytes] = []
    truncated: bool = False
    received_us: int | None = None

    def body(self) -> Body | None:
        """Return the body; one that was not tapped although there was one is None."""
        data = b"".join(self.chunks)
        length = content_length(self.headers)
        if not data and not self.truncated and length:
            return None
        return bytes_body(data, length if self.truncated else None, truncated=self.truncated)


class _Trace(msgspec.Struct):
    line: int
    request: _Message
    response: _Message
    first: bytes
    size: int = 0


def read_envoy_tap(stream: ByteStream, reading: Reading) -> Iterator[RawRecord | Reject]:
    """Yield one record per trace; the `line` of a streamed one is that of its first segment."""
    open_traces: OrderedDict[str, _Trace] = OrderedDict()
    held = 0
    limits = reading.limits
    for piece in documents(stream, limits.record):
        data = piece.data
        if isinstance(data, Damaged):
            yield reading.damaged(piece.line, data)
            continue
        try:
            wrapper = _wrapper(data)
            segment = _get(wrapper, "http_streamed_trace_segment")
            if segment is None:
                trace = _buffered(wrapper, piece.line, data)
                yield reading.attempt(trace.line, data, partial(_exchange, trace, reading))
                continue
            _add_segment(open_traces, segment, piece.line, data)
            held += len(data)
        except BadEntryError as bad:
            yield reading.reject(piece.line, bad.reason, data)
        while len(open_traces) > limits.pending or (held > limits.pending_bytes and len(open_traces) > 1):
            _, trace = open_traces.popitem(last=False)
            held -= trace.size
            yield reading.attempt(trace.line, trace.first, partial(_exchange, trace, reading))
    for trace in open_traces.values():
        yield reading.attempt(trace.line, trace.first, partial(_exchange, trace, reading))


def _wrapper(data: bytes) -> dict[str, Any]:
    wrapper = parse_json(data)
    if not isinstance(wrapper, dict):
        raise BadEntryError(NOT_A_TAP)
    # The admin stream wraps traces in the config id it was asked for.
    inner = wrapper.get("trace")
    return inner if isinstance(inner, dict) else wrapper


def _get(parent: dict[str, Any], name: str) -> Any:  # noqa: ANN401  (foreign JSON: checked where it is used)
    """Return a member by its snake_case or camelCase name."""
    first, *rest = name.split("_")
    value = parent.get(name)
    return parent.get(first + "".join(word.capitalize() for word in rest)) if value is None else value


def _buffered(wrapper: dict[str, Any], line: int, data: bytes) -> _Trace:
    trace = _get(wrapper, "http_buffered_trace")
    if not isinstance(trace, dict):
        raise BadEntryError(NOT_A_TAP)
    sides = []
    for name in ("request", "response"):
        message = _Message()
        value = _get(trace, name)
        if isinstance(value, dict):
            _take_headers(message, value)
            _take_chunk(message, _get(value, "body"))
            message.trailers = _headers(_get(value, "trailers"))
        sides.append(message)
    return _Trace(line=line, request=sides[0], response=sides[1], first=data)


def _add_segment(traces: OrderedDict[str, _Trace], segment: object, line: int, data: bytes) -> None:
    if not isinstance(segment, dict):
        raise BadEntryError(NOT_A_TAP)
    number = _get(segment, "trace_id")
    if isinstance(number, bool) or not isinstance(number, int | str):
        raise BadEntryError("a streamed trace segment without a trace_id")
    trace = traces.get(str(number))
    if trace is None:
        trace = traces[str(number)] = _Trace(line=line, request=_Message(), response=_Message(), first=data)
    trace.size += len(data)
    for side, message in (("request", trace.request), ("response", trace.response)):
        headers = _get(segment, f"{side}_headers")
        if isinstance(headers, dict):
            _take_headers(message, headers)
        _take_chunk(message, _get(segment, f"{side}_body_chunk"))
        trailers = _get(segment, f"{side}_trailers")
        if isinstance(trailers, dict):
            message.trailers = _headers(_get(trailers, "headers"))


def _take_headers(message: _Message, value: dict[str, Any]) -> None:
    for name, content in _headers(_get(value, "headers")):
        if name.startswith(":"):
            message.pseudo.setdefault(name, content)
        else:
            message.headers.append((name, content))
    received = _get(value, "headers_received_time")
    if received is not None:
        message.received_us = instant_us(received)


def _headers(value: object) -> list[Header]:
    """Read `[{key, value | raw_value}]`; raw values are base64 of any bytes."""
    headers: list[Header] = []
    for item in value if isinstance(value, list) else ():
        if not isinstance(item, dict):
            continue
        name, content = item.get("key"), item.get("value")
        raw = item.get("raw_value") or item.get("rawValue")
        if isinstance(raw, str) and not content:
            content = decode_base64(raw).decode("utf-8", "replace")
        if isinstance(name, str) and name:
            headers.append((clean(name), clean(content) if isinstance(content, str) else ""))
    return headers


def _take_chunk(message: _Message, body: object) -> None:
    if not isinstance(body, dict):
        return
    coded, text = _get(body, "as_bytes"), _get(body, "as_string")
    if isinstance(coded, str) and coded:
        message.chunks.append(decode_base64(coded))
    elif isinstance(text, str) and text:
        message.chunks.append(clean(text).encode())
    message.truncated = message.truncated or body.get("truncated") is True


def _exchange(trace: _Trace, reading: Reading) -> Exchange:
    sent, answered = trace.request, trace.response
    path, method = sent.pseudo.get(":path", ""), sent.pseudo.get(":method", "")
    if not method:
        raise BadEntryError("a tap without the request's :method")
    tags = read_tags(sent.headers)
    role = reading.role_of(tags.role)
    host = next((value for name, value in sent.headers if name.lower() == "host"), "")
    request = Request(
        method=method,
        path=path,
        host=sent.pseudo.get(":authority", host),
        headers=sent.headers,
        body=sent.body(),
    )
    response = _response(answered)
    started, took = _times(sent, answered)
    return Exchange(
        request_id=tags.id or reading.ids.derive("envoy", role, (method, path, request.body)),
        role=role,
        started_us=started,
        duration_us=took,
        request=request,
        response=response,
        error=None if response else TransportError(kind="reset", message="no response in the tap"),
        synthetic=tags.synthetic,
        flags=tags.flags,
        as_of=tags.as_of,
        emitter="envoy-tap",
    )


def _response(message: _Message) -> Response | None:
    status = message.pseudo.get(":status")
    if status is None:
        return None
    if not (status.isascii() and status.isdigit() and len(status) <= len(str(MAX_STATUS))):
        raise BadEntryError(f"a :status that is no HTTP status: {status[:20]!r}")
    return Response(status=int(status), headers=message.headers, body=message.body(), trailers=message.trailers)


def _times(sent: _Message, answered: _Message) -> tuple[int, int | None]:
    """Return (start in epoch microseconds, duration in microseconds or None)."""
    if sent.received_us is None:
        return date_us(answered.headers) or 0, None
    if answered.received_us is None or answered.received_us < sent.received_us:
        return sent.received_us, None
    return sent.received_us, answered.received_us - sent.received_us
