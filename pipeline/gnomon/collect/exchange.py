"""One entry of Envoy's access log to one exchange: pure, and robust against whatever traffic puts into it.

What the Lua filter in `deploy/envoy/capture.lua` hands over has the headers as the service saw them and the bodies.
Where it is not installed the entry's own fields give what they have, and bodies are null.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from codecs import utf_8_decode
from collections.abc import Iterable
from typing import Final, cast

import msgspec

from gnomon.collect.wire import Entry, Message
from gnomon.core.tags import read_tags
from gnomon.model import Body, ErrorKind, Exchange, Header, Request, Response, Role, TransportError

__all__ = ["Origin", "Skip", "read_entry", "read_log_name"]

NAMESPACE: Final = b"gnomon"
MAX_ID: Final = 256

_ROLES: Final = frozenset({"live", "shadow", "control"})
_METHODS: Final = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_CALLER_LEFT: Final = ("downstream_connection_termination", "downstream_remote_reset")
# In this order: the more telling first. Envoy's documentation names the flags under `response_flags`.
_KINDS: Final[tuple[tuple[str, ErrorKind], ...]] = (
    ("upstream_request_timeout", "timeout"),
    ("upstream_max_stream_duration_reached", "timeout"),
    ("duration_timeout", "timeout"),
    ("stream_idle_timeout", "timeout"),
    ("upstream_overflow", "overload"),
    ("overload_manager", "overload"),
    ("rate_limited", "overload"),
    ("upstream_protocol_error", "protocol"),
    ("downstream_protocol_error", "protocol"),
    ("invalid_envoy_request_headers", "protocol"),
    ("upstream_connection_failure", "connect"),
    ("no_healthy_upstream", "connect"),
    ("failed_local_healthcheck", "connect"),
    ("dns_resolution_failure", "connect"),
    ("no_cluster_found", "connect"),
    ("no_route_found", "connect"),
    ("upstream_remote_reset", "reset"),
    ("upstream_connection_termination", "reset"),
    ("local_reset", "reset"),
    ("upstream_retry_limit_exceeded", "reset"),
)
_VIA_UPSTREAM: Final = b"via_upstream"
_TORN: Final = b"upstream_reset_after_response_started"


class Origin(msgspec.Struct, frozen=True):
    """Whose log it is: the role and target that its name says, both empty where it says none."""

    role: Role | None = None
    target: str = ""


class Skip(msgspec.Struct, frozen=True):
    """An entry that becomes no exchange, and why: a word for a metric's label."""

    reason: str


UPGRADE: Final = Skip("upgrade")
INTERMEDIATE: Final = Skip("intermediate")
NO_ID: Final = Skip("no_id")


def read_log_name(name: bytes) -> Origin:
    """Read `live`, `shadow`, `control`, or one of them with a target: `shadow:cart@2.4.0-rc1`."""
    role, _, target = _text(name).partition(":")
    return Origin(cast("Role", role), target) if role in _ROLES else Origin()


def read_entry(
    entry: Entry, origin: Origin, *, body_bytes: int, service: str = "", emitter: str = ""
) -> Exchange | Skip:
    """Make the exchange of one entry.

    Args:
        entry: What Envoy sent.
        origin: From the log's name; where it gives no role, the request's `x-gnomon-role` does, else it is live.
        body_bytes: Longer bodies are cut to this.
        service: What the exchange's service is called, `""` for the request's host.
        emitter: Goes into the exchange.

    Returns:
        The exchange, or why there is none: what follows an upgrade is not HTTP, an entry of an exchange that is still
        going on says nothing yet, and without a request id nothing can be joined.
    """
    common = entry.common_properties
    if common.intermediate_log_entry:
        return INTERMEDIATE
    handed = _handed_over(common.metadata)
    request_head = _head(handed.get(b"request"), entry.request.request_headers)
    response_head = _head(handed.get(b"response"), entry.response.response_headers)
    status = entry.response.response_code.value
    method = request_head.get(":method") or _method(entry.request.request_method)
    if status == 101 or method == "CONNECT":
        return UPGRADE
    tags = read_tags(request_head.headers)
    request_id = tags.request_id or _text(entry.request.request_id) or tags.trace
    if not request_id or len(request_id) > MAX_ID:
        return NO_ID
    complete, error = _outcome(entry, bool(response_head.headers or handed.get(b"response")))
    recorded = b"request" in handed
    response = None
    if error is None:
        response = Response(
            status,
            response_head.headers,
            _body(handed, b"response", body_bytes, recorded=b"response" in handed, complete=complete),
            _head(handed.get(b"trailers"), entry.response.response_trailers).headers,
        )
    request = Request(
        method,
        request_head.get(":path") or _text(entry.request.original_path or entry.request.path),
        request_head.get(":authority") or _text(entry.request.authority),
        request_head.headers,
        _body(handed, b"request", body_bytes, recorded=recorded, complete=common.HasField("time_to_last_rx_byte")),
    )
    return Exchange(
        request_id=request_id,
        role=origin.role or tags.role or "live",
        target=origin.target,
        expect=_expect(handed, common),
        service=service or request.host,
        started_us=max(0, _microseconds(common.start_time)),
        duration_us=_duration(common),
        request=request,
        response=response,
        error=error,
        synthetic=tags.synthetic,
        flags=tags.flags,
        as_of=tags.as_of,
        emitter=emitter,
    )


class _Head(msgspec.Struct, frozen=True, gc=False):
    """The headers of a message, and the pseudo-headers apart."""

    headers: list[Header]
    pseudo: dict[str, str] = {}

    def get(self, name: str) -> str:
        return self.pseudo.get(name, "")


def _handed_over(metadata: Message) -> dict[bytes, Message]:
    for entry in metadata.filter_metadata:
        if entry.key == NAMESPACE:
            return {field.key: field.value for field in entry.value.fields}
    return {}


def _head(block: Message | None, logged: Iterable[Message]) -> _Head:
    """Read the headers that the Lua filter wrote, lines of name and value in turn, else those that Envoy logged."""
    if block is None:
        return _Head([(_text(header.key), _text(header.value)) for header in logged])
    lines = _text(_decoded(block.string_value)).split("\n")
    headers: list[Header] = []
    pseudo: dict[str, str] = {}
    for name, value in zip(lines[::2], lines[1::2], strict=False):
        if name.startswith(":"):
            pseudo[name] = value
        else:
            headers.append((name, value))
    return _Head(headers, pseudo)


def _body(handed: dict[bytes, Message], side: bytes, most: int, *, recorded: bool, complete: bool) -> Body | None:
    """Read one body: null where nobody recorded it, `""` where it was empty."""
    if not recorded:
        return None
    value = handed.get(side + b"_body")
    if value is None:
        return Body("", "text", 0, None, truncated=not complete)
    data = _decoded(value.string_value)
    size, digest, truncated = len(data), None, not complete
    if side + b"_size" in handed:
        size = int(handed[side + b"_size"].number_value)
        digest = "xxh64:" + _text(handed[side + b"_hash"].string_value)
        truncated = True
    elif size > most:
        digest = None if truncated else f"sha256:{hashlib.sha256(data).hexdigest()}"
        truncated = True
    if len(data) > most:
        data = data[:most]
    try:
        # What a cut leaves of a last character goes
        text, _ = utf_8_decode(data, "strict", not truncated)
    except UnicodeDecodeError:
        whole = len(data) == size
        return Body(
            value.string_value.decode() if whole else b64encode(data).decode(), "base64", size, digest, truncated
        )
    return Body(text, "text", size, digest, truncated)


def _outcome(entry: Entry, has_response: bool) -> tuple[bool, TransportError | None]:  # noqa: FBT001 - private
    """Tell whether the exchange came to its end, and the error where the service gave no answer."""
    common = entry.common_properties
    flags = common.response_flags
    details = entry.response.response_code_details
    if details == _VIA_UPSTREAM and not flags.ByteSize():
        return True, None
    if any(getattr(flags, flag) for flag in _CALLER_LEFT):
        if has_response and entry.response.response_code.value:
            return False, None
        return False, TransportError("reset", "the caller closed the connection before there was an answer")
    if details == _VIA_UPSTREAM or (not details and entry.response.response_code.value and not flags.ByteSize()):
        return True, None
    kind = next((kind for flag, kind in _KINDS if getattr(flags, flag)), None)
    if details.startswith(_TORN):
        # A chunked body that ends in the middle is a broken protocol to Envoy, one with a length a lost connection
        kind = "reset"
    elif kind is None:
        kind = "overload" if details == b"request_payload_too_large" else "protocol"
    message = _text(details) or "the proxy answered in place of the service"
    reason = _text(common.upstream_transport_failure_reason)
    return False, TransportError(kind, f"{message}: {reason}" if reason else message)


def _expect(handed: dict[bytes, Message], common: Message) -> list[str] | None:
    """Read who else was sent the request; nobody was where the proxy answered before it asked any service."""
    value = handed.get(b"expect")
    if value is None:
        return None
    if not common.upstream_request_attempt_count:
        return []
    return [name for name in _text(value.string_value).split(",") if name]


def _duration(common: Message) -> int | None:
    """Give the time to the last byte of the service's answer, else to the end of the exchange."""
    for name in ("time_to_last_upstream_rx_byte", "time_to_last_downstream_tx_byte", "duration"):
        if common.HasField(name):
            return max(0, _microseconds(getattr(common, name)))
    return None


def _microseconds(interval: Message) -> int:
    return int(interval.seconds * 1_000_000 + interval.nanos // 1_000)


def _method(number: int) -> str:
    return _METHODS[number] if 0 < number < len(_METHODS) else "GET"


def _decoded(data: bytes) -> bytes:
    try:
        return a2b_base64(data)
    except Base64Error:
        return b""


def _text(data: bytes) -> str:
    """Decode what should be UTF-8; where it is not, one character a byte, so that nothing is lost."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
