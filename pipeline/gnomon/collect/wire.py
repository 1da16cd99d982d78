"""The part of Envoy's gRPC access log that is read, as protobuf messages with Envoy's field numbers.

Envoy's own definitions (`envoy.service.accesslog.v3`, `envoy.data.accesslog.v3`) say `string` where bytes from the
network stand: one header that is not UTF-8 would make a whole batch of entries unreadable. On the wire `string` and
`bytes` are the same, and so are a map and a list of its entries, so here they are `bytes` and lists. Fields that are
not listed are skipped.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["METHOD", "SERVICE", "Entry", "HTTPAccessLogEntry", "Message", "StreamAccessLogsMessage"]

SERVICE: Final = "envoy.service.accesslog.v3.AccessLogService"
METHOD: Final = "StreamAccessLogs"

Message: TypeAlias = Any
"""A protobuf message; its classes are made at run time, so there is no narrower type."""
Entry: TypeAlias = Any
"""One `HTTPAccessLogEntry`: one exchange."""

_PACKAGE: Final = "gnomon.envoy"
_MANY: Final = "*"
# Per message: its fields as name, number and type; a type with a star is a list.
_MESSAGES: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "StreamAccessLogsMessage": (("identifier", 1, "Identifier"), ("http_logs", 2, "HTTPAccessLogEntries")),
    "Identifier": (("log_name", 2, "bytes"),),
    # Each entry is read on its own: one that is broken costs itself, and those that are shed need no memory
    "HTTPAccessLogEntries": (("log_entry", 1, "bytes*"),),
    "HTTPAccessLogEntry": (
        ("common_properties", 1, "AccessLogCommon"),
        ("request", 3, "HTTPRequestProperties"),
        ("response", 4, "HTTPResponseProperties"),
    ),
    "AccessLogCommon": (
        ("start_time", 5, "Interval"),
        ("time_to_last_rx_byte", 6, "Interval"),
        ("time_to_last_upstream_rx_byte", 10, "Interval"),
        ("time_to_last_downstream_tx_byte", 12, "Interval"),
        ("response_flags", 16, "ResponseFlags"),
        ("metadata", 17, "Metadata"),
        ("upstream_transport_failure_reason", 18, "bytes"),
        ("upstream_request_attempt_count", 24, "uint32"),
        ("duration", 23, "Interval"),
        ("intermediate_log_entry", 27, "bool"),
    ),
    # google.protobuf.Timestamp and Duration have the same two fields
    "Interval": (("seconds", 1, "int64"), ("nanos", 2, "int32")),
    "ResponseFlags": (
        ("failed_local_healthcheck", 1, "bool"),
        ("no_healthy_upstream", 2, "bool"),
        ("upstream_request_timeout", 3, "bool"),
        ("local_reset", 4, "bool"),
        ("upstream_remote_reset", 5, "bool"),
        ("upstream_connection_failure", 6, "bool"),
        ("upstream_connection_termination", 7, "bool"),
        ("upstream_overflow", 8, "bool"),
        ("no_route_found", 9, "bool"),
        ("rate_limited", 12, "bool"),
        ("downstream_connection_termination", 15, "bool"),
        ("upstream_retry_limit_exceeded", 16, "bool"),
        ("stream_idle_timeout", 17, "bool"),
        ("invalid_envoy_request_headers", 18, "bool"),
        ("downstream_protocol_error", 19, "bool"),
        ("upstream_max_stream_duration_reached", 20, "bool"),
        ("duration_timeout", 23, "bool"),
        ("upstream_protocol_error", 24, "bool"),
        ("no_cluster_found", 25, "bool"),
        ("overload_manager", 26, "bool"),
        ("dns_resolution_failure", 27, "bool"),
        ("downstream_remote_reset", 28, "bool"),
    ),
    "Metadata": (("filter_metadata", 1, "MetadataEntry*"),),
    "MetadataEntry": (("key", 1, "bytes"), ("value", 2, "Struct")),
    "Struct": (("fields", 1, "Field*"),),
    "Field": (("key", 1, "bytes"), ("value", 2, "Value")),
    "Value": (("number_value", 2, "double"), ("string_value", 3, "bytes")),
    "HTTPRequestProperties": (
        ("request_method", 1, "int32"),
        ("authority", 3, "bytes"),
        ("path", 5, "bytes"),
        ("request_id", 9, "bytes"),
        ("original_path", 10, "bytes"),
        ("request_headers", 13, "Header*"),
    ),
    "HTTPResponseProperties": (
        ("response_code", 1, "UInt32Value"),
        ("response_headers", 4, "Header*"),
        ("response_trailers", 5, "Header*"),
        ("response_code_details", 6, "bytes"),
    ),
    "Header": (("key", 1, "bytes"), ("value", 2, "bytes")),
    "UInt32Value": (("value", 1, "uint32"),),
}


def _build() -> dict[str, Any]:
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {name: getattr(kinds, f"TYPE_{name.upper()}") for name in ("bool", "bytes", "double", "int32", "int64")}
    scalars["uint32"] = kinds.TYPE_UINT32
    file = descriptor_pb2.FileDescriptorProto(name="gnomon/envoy.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            plain = kind.rstrip(_MANY)
            label = kinds.LABEL_REPEATED if kind.endswith(_MANY) else kinds.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if plain in scalars:
                added.type = scalars[plain]
            else:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES: Final = _build()
StreamAccessLogsMessage: Final = _CLASSES["StreamAccessLogsMessage"]
HTTPAccessLogEntry: Final = _CLASSES["HTTPAccessLogEntry"]
