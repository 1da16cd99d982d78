from __future__ import annotations

import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf import struct_pb2
from tests.unit.collect.entries import message, read

from gnomon.collect.wire import METHOD, SERVICE, HTTPAccessLogEntry, StreamAccessLogsMessage

ENVOYS = {
    "StreamAccessLogsMessage": als_pb2.StreamAccessLogsMessage,
    "Identifier": als_pb2.StreamAccessLogsMessage.Identifier,
    "HTTPAccessLogEntries": als_pb2.StreamAccessLogsMessage.HTTPAccessLogEntries,
    "HTTPAccessLogEntry": accesslog_pb2.HTTPAccessLogEntry,
    "AccessLogCommon": accesslog_pb2.AccessLogCommon,
    "ResponseFlags": accesslog_pb2.ResponseFlags,
    "HTTPRequestProperties": accesslog_pb2.HTTPRequestProperties,
    "HTTPResponseProperties": accesslog_pb2.HTTPResponseProperties,
    "Struct": struct_pb2.Struct,
    "Value": struct_pb2.Value,
}


@pytest.mark.parametrize("name", ENVOYS)
def test_fields_have_envoy_s_numbers(name: str) -> None:
    """Each field that is read has the number that Envoy's own definitions give it."""
    ours = StreamAccessLogsMessage.DESCRIPTOR.file.message_types_by_name[name]
    theirs = ENVOYS[name].DESCRIPTOR.fields_by_name
    assert ours.fields
    assert {f.name: f.number for f in ours.fields} == {f.name: theirs[f.name].number for f in ours.fields}


def test_the_service_is_envoy_s() -> None:
    """The method is found by the name that Envoy calls."""
    service = als_pb2.DESCRIPTOR.services_by_name["AccessLogService"]
    assert (service.full_name, METHOD in service.methods_by_name) == (SERVICE, True)


def test_what_is_not_utf_8_spoils_nothing() -> None:
    """A path with bytes that are no text is read like any other; Envoy's own messages would refuse the batch."""
    sent = message({}).SerializeToString().replace(b"via_upstream", b"via_upstre\xff\xfe")
    entry = HTTPAccessLogEntry.FromString(StreamAccessLogsMessage.FromString(sent).http_logs.log_entry[0])
    assert entry.response.response_code_details == b"via_upstre\xff\xfe"


def test_what_is_not_listed_is_skipped() -> None:
    """Fields that are not read do no harm."""
    sent = message({})
    sent.http_logs.log_entry[0].common_properties.upstream_cluster = "live"
    assert read(sent).request.request_id == b"r-1"
