"""Record bytes to an `Exchange`, or to a `Reject` that says in a sentence what is wrong with them.

Nothing here raises for what is in the bytes. The way of a good record is one typed decode; only a refused record is
looked at again, to name the field and its value.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from gnomon.core.json import BOM, nesting
from gnomon.core.refusal import explain, shown
from gnomon.model import Exchange, Place, Reject, Request, Role

__all__ = ["EXCERPT_BYTES", "decode_exchange", "peek_request_id"]

EXCERPT_BYTES = 4096
"""How much of a refused record is kept."""

MAX_NESTING = 5000
"""How deep an unknown field may be nested. Less is refused where the interpreter's own stack is smaller."""

_STARTS_WITH_VERSION: Final = (b'{"v":1,', b'{"v": 1,')
_STARTS_WITH_ID: Final = re.compile(rb'\{"v": ?1, ?"request_id": ?"([ !#-\[\]-~]{1,256})"')
"""As most emitters write a record; the id is of plain ASCII, without an escape."""

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PADDINGS: Final = (b"=", b"==")

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class _Id(msgspec.Struct, gc=False):
    """What a join needs to know of a record before it reads the rest."""

    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class _Version(msgspec.Struct, gc=False):
    """The one member that has no default on the wire: without it nobody knows what the others mean."""

    v: Literal[1]


_EXCHANGE = msgspec.json.Decoder(Exchange)
_ID = msgspec.json.Decoder(_Id)
_VERSION = msgspec.json.Decoder(_Version)


class _Refused(Exception):  # noqa: N818 - control flow of this module: it becomes a Reject
    """Why a record that decodes is refused all the same."""


def decode_exchange(data: bytes, place: Place, *, role: Role | None = None) -> Exchange | Reject:
    """Decode one version 1 exchange record, a JSON object in UTF-8; a byte order mark is tolerated.

    Unknown fields are left out. A record without a `service` gets the request's host.

    Args:
        data: The record as read, without its line end.
        place: Where it was read; goes into the reject.
        role: Overrides the record's, which may then be missing.

    Returns:
        The exchange, or a reject with the reason and the first `EXCERPT_BYTES` of `data`.
    """
    try:
        return _decode(data, role)
    except _Refused as refusal:
        reason = str(refusal)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if role is not None and str(error) == "Object missing required field `role`":
            start = data.index(b"{") + 1
            named = decode_exchange(b'{"role":"%b",%b' % (role.encode(), data[start:]), place, role=role)
            return named if isinstance(named, Exchange) else Reject(place, named.reason, bytes(data[:EXCERPT_BYTES]))
        reason = explain(error, data)
    return Reject(place, reason, bytes(data[:EXCERPT_BYTES]))


def peek_request_id(data: bytes) -> str | None:
    """Read no more of a record than its request id, much faster than `decode_exchange`.

    Returns:
        The id, or None where it cannot be had: `decode_exchange` tells the reason. A record with an id may still be
        refused by `decode_exchange`; one that names its id twice may get another id there.
    """
    start = _STARTS_WITH_ID.match(data)
    if start is not None:
        return start[1].decode()
    try:
        return _ID.decode(data.removeprefix(BOM)).request_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _decode(data: bytes, role: Role | None) -> Exchange:
    """Decode and check what the types cannot say.

    Raises:
        _Refused, msgspec.MsgspecError, UnicodeDecodeError, RecursionError: The record is not to be had.
    """
    data = data.removeprefix(BOM)
    if not data.isascii():
        data.decode()  # msgspec does not look inside fields that it skips
    if len(data) > MAX_NESTING and data.count(b"[") + data.count(b"{") > MAX_NESTING and nesting(data) > MAX_NESTING:
        raise RecursionError
    exchange = _EXCHANGE.decode(data)
    if not data.startswith(_STARTS_WITH_VERSION):
        _VERSION.decode(data)
    if (exchange.response is None) is (exchange.error is None):
        state = "missing or null" if exchange.error is None else "set"
        raise _Refused(f"`response` and `error` are both {state}, expected exactly one of them")
    if exchange.as_of is not None and not _is_rfc3339(exchange.as_of):
        raise _Refused(f"`as_of` is {shown(exchange.as_of)}, expected an RFC 3339 time such as 2027-07-12T00:00:00Z")
    body = exchange.request.body
    if body is not None and body.encoding != "text" and not _is_base64(body.data):
        raise _Refused("`request.body.data` is not base64, which its `encoding` says it is")
    body = None if exchange.response is None else exchange.response.body
    if body is not None and body.encoding != "text" and not _is_base64(body.data):
        raise _Refused("`response.body.data` is not base64, which its `encoding` says it is")
    # The struct is frozen for all who get it; nobody has got it yet
    if role is not None:
        msgspec.structs.force_setattr(exchange, "role", role)
    if not exchange.service:
        msgspec.structs.force_setattr(exchange, "service", _host(exchange.request))
    return exchange


def _is_base64(data: str) -> bool:
    """Tell base64 (RFC 4648, section 4) by its letters and its length: a fifth of what decoding it would cost."""
    rest = data.encode().translate(None, _BASE64)
    return len(data) % 4 == 0 and (not rest or (rest in _PADDINGS and data.endswith(rest.decode())))


def _host(request: Request) -> str:
    """Tell which host was asked: the record's field, else the header."""
    if request.host:
        return request.host
    return next((value for name, value in request.headers if name.lower() in {"host", ":authority"}), "")


def _is_rfc3339(text: str) -> bool:
    """Tell whether this is a date and time with an offset as in RFC 3339, section 5.6."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return False
    try:
        # A leap second, :60, is a time; datetime knows none. Of the fraction it reads no more than six digits
        datetime.fromisoformat(text[:17].upper() + ("59" if match[1] == "60" else match[1]) + match[3].upper())
    except ValueError:
        return False
    return True
