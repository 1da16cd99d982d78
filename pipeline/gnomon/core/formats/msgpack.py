"""MessagePack as its JSON mapping."""

from __future__ import annotations

import base64
import math
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gnomon.core.formats.msgpack_sizes import ARRAYS, BINARY, EXTENSIONS, FIXED, MAPS, STRINGS
from gnomon.core.json import Unreadable
from gnomon.core.quota import Quota
from gnomon.model import JsonValue

__all__ = ["read_msgpack"]


def read_msgpack(data: bytes, max_depth: int, quota: Quota) -> JsonValue:
    """Read one MessagePack value.

    Binary is base64 text, a timestamp RFC 3339 text, another extension `{type, data}` with base64 text; NaN and
    the infinities are their names; keys that are not strings are written as JSON would write them.

    Raises:
        Unreadable: Not MessagePack, nested deeper than `max_depth`, or more values, names of members among them,
            than the quota has.
    """
    if quota.must_count(len(data)):
        _count(data, quota)
    try:
        value = _DECODER.decode(data)
    except RecursionError:
        raise Unreadable(f"nested deeper than {max_depth} levels") from None
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise Unreadable(f"not MessagePack: {error}") from None
    return _mapped(value, max_depth)


def _count(data: bytes, quota: Quota) -> None:
    """Count the values of MessagePack before they take any memory."""
    at = 0
    while at < len(data):
        quota.take(1)
        first = data[at]
        at += 1
        if 0xA0 <= first <= 0xBF:
            at += first & 0x1F
        elif first in _LENGTHS:
            size = _LENGTHS[first]
            at += size + int.from_bytes(data[at : at + size])
        at += _REST.get(first, 0)


# Bytes that say how many follow; and bytes that follow beside those, lengths of arrays and maps among them
_LENGTHS: Final = STRINGS | BINARY | EXTENSIONS
_REST: Final = FIXED | ARRAYS | MAPS | dict.fromkeys(EXTENSIONS, 1)


def _extension(code: int, data: memoryview) -> dict[str, JsonValue]:
    return {"type": code, "data": base64.b64encode(data).decode()}


_DECODER = msgspec.msgpack.Decoder(ext_hook=_extension)


def _mapped(value: Any, levels: int) -> JsonValue:  # noqa: ANN401 - what MessagePack holds is any of its types
    if isinstance(value, dict | list | tuple):
        if not levels:
            raise Unreadable("nested too deep")
        if isinstance(value, dict):
            return {_key(key): _mapped(member, levels - 1) for key, member in value.items()}
        return [_mapped(element, levels - 1) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    scalar: str | float | bool | None = value
    return scalar


def _key(key: Any) -> str:  # noqa: ANN401 - a key is any value too
    mapped = _mapped(key, 8)
    return mapped if isinstance(mapped, str) else msgspec.json.encode(mapped).decode()
