"""What a middleware saw becomes a record: decoded, redacted, and small enough for a Kafka message."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from gnomon.core.encoding import bytes_body, wire_bytes
from gnomon.core.endpoint import TemplateMatcher, name_endpoint
from gnomon.core.json import Unreadable
from gnomon.core.redact import Redactor
from gnomon.core.rules import EndpointRules, RuleSet
from gnomon.emit.observed import BodyCapture, Observed, RawHeaders, text
from gnomon.model import MAX_EXPECTED, Body, Exchange, Header, Request, Response, TransportError

__all__ = ["Record", "RecordWriter", "shrink"]

EXPECT_HEADER: Final = "x-gnomon-expect"
_EXPECTED: Final = re.compile(r"shadow(:.+)?|control")
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Exchange)
_PATH_SAFE: Final = "/:@!$&'()*+,;=~-._"
_BODYLESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "CONNECT"})
_MAX_MATCHERS: Final = 1024


class Record(NamedTuple):
    """One record to write: the request id, by which Kafka chooses the partition, and the JSON."""

    key: bytes
    value: bytes


class RecordWriter:
    """Makes records.

    Args:
        redactor: Takes secrets out, at this edge.
        rules: What else is to be redacted.
        limit: How many bytes a record may have.
    """

    def __init__(self, redactor: Redactor, rules: RuleSet, limit: int) -> None:
        self._redactor = redactor
        self._rules = rules
        self._limit = limit
        self._everywhere = None if rules.file.rule else rules.for_endpoint("", "")
        self._matchers: dict[str, TemplateMatcher] = {}

    def write(self, seen: Observed, *, doubt: bool = False) -> Record | None:
        """Give the record of what a middleware saw, None where even without its bodies it is too large.

        Args:
            seen: What was seen.
            doubt: It is live's, and records of other sides may be lost, so it does not say that they have to be there.
        """
        exchange = self._exchange(seen)
        return self.encode(msgspec.structs.replace(exchange, expect=[]) if doubt else exchange)

    def encode(self, exchange: Exchange) -> Record | None:
        """Give the record of an exchange, None where even without its bodies it is larger than a record may be."""
        redacted = self._redactor.exchange(exchange, self._rules_for(exchange))
        value: bytes | None = _ENCODER.encode(redacted)
        if value is not None and len(value) > self._limit:
            value = _fit(redacted, self._limit)
        return None if value is None else Record(exchange.request_id.encode(), value)

    def _exchange(self, seen: Observed) -> Exchange:
        headers = _headers(seen.request_headers)
        host = next((value for name, value in headers if name == "host"), "") or text(seen.host)
        return Exchange(
            request_id=seen.tags.request_id or "",
            role=seen.role,
            target=seen.identity.target,
            expect=_expect(headers),
            service=seen.identity.service or host,
            started_us=seen.started_us,
            duration_us=seen.duration_us,
            request=Request(seen.method, _target(seen), host, headers, _request_body(seen, headers)),
            response=None if seen.error else _response(seen),
            error=TransportError("reset", seen.error) if seen.error else None,
            synthetic=seen.tags.synthetic,
            flags=seen.tags.flags,
            as_of=seen.tags.as_of,
            emitter="gnomon.emit",
        )

    def endpoint(self, exchange: Exchange) -> str:
        """Name the endpoint of an exchange."""
        matcher = self._matchers.get(exchange.service)
        if matcher is None:
            if len(self._matchers) >= _MAX_MATCHERS:  # a host comes from traffic: the cache is bounded
                self._matchers.clear()
            matcher = self._matchers[exchange.service] = TemplateMatcher(self._rules.templates_for(exchange.service))
        return self._redactor.endpoint(name_endpoint(exchange.request, matcher))

    def _rules_for(self, exchange: Exchange) -> EndpointRules:
        if self._everywhere is not None:
            return self._everywhere
        return self._rules.for_endpoint(exchange.service, self.endpoint(exchange))


def _headers(raw: RawHeaders) -> list[Header]:
    try:
        return [(name.decode(), value.decode()) for name, value in raw]  # type: ignore[union-attr]
    except (AttributeError, UnicodeDecodeError):  # a character for each byte, or not UTF-8
        return [(text(name), text(value)) for name, value in raw]


def _expect(headers: Sequence[Header]) -> list[str] | None:
    """Read whom the proxy sent the request to as well, `shadow, control` or `none`; None where it does not say."""
    value = next((value for name, value in headers if name == EXPECT_HEADER), None)
    if value is None or value.strip() == "none":
        return None if value is None else []
    names = [name.strip() for name in value.split(",", MAX_EXPECTED)]
    # What makes no sense is as good as none: it must not spoil the record
    return names if len(names) <= MAX_EXPECTED and all(map(_EXPECTED.fullmatch, names)) else None


def _target(seen: Observed) -> str:
    path = text(seen.path) if seen.quoted else quote(text(seen.path), safe=_PATH_SAFE)
    return f"{path or '/'}?{text(seen.query)}" if seen.query else path or "/"


def _response(seen: Observed) -> Response:
    body = None if seen.response_body is None else _body(seen.response_body, seen.response_body.size)
    return Response(seen.status or 500, _headers(seen.response_headers), body, _headers(seen.trailers))


def _body(seen: BodyCapture, size: int) -> Body:
    cut = not seen.whole or seen.size > len(seen.data)
    return bytes_body(bytes(seen.data), size, digest=seen.hash, truncated=cut)


def _request_body(seen: Observed, headers: list[Header]) -> Body | None:
    """Give what the application read of the request; what it left is not known beyond its size."""
    body = seen.request_body
    declared = next((value for name, value in headers if name == "content-length"), "")
    expected = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 16 else None
    if body.size == expected:
        body.whole = True
    if not body.whole and not body.size and expected is None:
        # HTTP/1.1 announces a body that follows; with HTTP/2 only the last frame tells
        chunked = any(name == "transfer-encoding" for name, _ in headers)
        if not chunked and (seen.http_version.startswith("1") or seen.method in _BODYLESS):
            body.whole = True
        else:
            return None
    return _body(body, body.size if body.whole else max(body.size, expected or 0))


def shrink(value: bytes, limit: int) -> bytes | None:
    """Cut the bodies of an encoded record until it has at most `limit` bytes; None where that is not enough."""
    return _fit(_DECODER.decode(value), limit)


def _fit(exchange: Exchange, limit: int) -> bytes | None:
    value: bytes = _ENCODER.encode(exchange)
    while len(value) > limit:
        request, response = exchange.request, exchange.response
        sent = _encoded_size(request.body)
        answered = _encoded_size(response.body if response else None)
        if not sent and not answered:
            return None
        if response is not None and response.body is not None and answered >= sent:
            body = _cut(response.body, 1 - (len(value) - limit) / answered)
            response = msgspec.structs.replace(response, body=body)
        elif request.body is not None:
            request = msgspec.structs.replace(request, body=_cut(request.body, 1 - (len(value) - limit) / sent))
        exchange = msgspec.structs.replace(exchange, request=request, response=response)
        value = _ENCODER.encode(exchange)
    return value


def _encoded_size(body: Body | None) -> int:
    return len(_ENCODER.encode(body.data)) - 2 if body is not None else 0


def _cut(body: Body, share: float) -> Body:
    """Keep about a share of a body's data, always less than there was; its size and hash stay those of the whole."""
    kept = max(0, min(int(len(body.data) * share) - 64, len(body.data) - 1))
    if body.encoding == "base64":
        kept -= kept % 4
    return Body(body.data[:kept], body.encoding, body.size, body.hash or _hash(body), truncated=True)


def _hash(body: Body) -> str | None:
    """Hash a body that is all there, for it has no hash yet where nothing is redacted."""
    if body.truncated:
        return None
    try:
        return "sha256:" + hashlib.sha256(wire_bytes(body)).hexdigest()
    except Unreadable:
        return None
