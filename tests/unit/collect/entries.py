"""Entries as Envoy sends them, made with Envoy's own protobuf messages."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from envoy.service.accesslog.v3 import als_pb2

from gnomon.collect.wire import Entry, HTTPAccessLogEntry, StreamAccessLogsMessage

STARTED = 1_800_000_000


def encoded(data: bytes | str) -> str:
    """What the Lua filter makes of bytes."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def head(**fields: str) -> str:
    """Headers as the Lua filter writes them; underscores are dashes, a leading one is a colon."""
    names = [f":{name[1:]}" if name.startswith("_") else name.replace("_", "-") for name in fields]
    return encoded("\n".join(part for pair in zip(names, fields.values(), strict=True) for part in pair))


REQUEST = head(_method="GET", _path="/items/7?q=1", _authority="shop.example", x_request_id="r-1", accept="*/*")
RESPONSE = head(_status="200", content_type="application/json")


def message(
    handed: Mapping[str, str | float] | None = None, *, status: int = 200, details: str = "via_upstream", **flags: bool
) -> Any:
    """One message with one entry, with what the Lua filter handed over."""
    sent = als_pb2.StreamAccessLogsMessage()
    entry = sent.http_logs.log_entry.add()
    common = entry.common_properties
    common.start_time.seconds = STARTED
    common.duration.nanos = 9_000_000
    common.time_to_last_upstream_rx_byte.nanos = 5_000_000
    common.time_to_last_rx_byte.nanos = 1_000
    common.upstream_request_attempt_count = 1
    entry.request.request_id = "r-1"
    entry.response.response_code.value = status
    entry.response.response_code_details = details
    for flag, value in flags.items():
        setattr(common.response_flags, flag, value)
    if handed is not None:
        fields = common.metadata.filter_metadata["gnomon"].fields
        for name, value in {"request": REQUEST, "response": RESPONSE, **handed}.items():
            if isinstance(value, str):
                fields[name].string_value = value
            else:
                fields[name].number_value = value
    return sent


def read(sent: Any) -> Entry:
    """The entry as the collector gets it."""
    return HTTPAccessLogEntry.FromString(
        StreamAccessLogsMessage.FromString(sent.SerializeToString()).http_logs.log_entry[0]
    )
