"""Values with a schema's id before them: JSON, Avro and Protocol Buffers."""

from __future__ import annotations

import base64

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.formats.framing import split_frame, split_indexes
from gnomon.core.formats.registered import RegisteredSchema, schema_reader, unframed
from gnomon.core.json import Unreadable, loads


def serialized(file: descriptor_pb2.FileDescriptorProto) -> str:
    """Give a file as a registry does."""
    return base64.b64encode(file.SerializeToString()).decode()


def shop() -> RegisteredSchema:
    """Give a file with two messages and one in the second, which needs another file."""
    users = descriptor_pb2.FileDescriptorProto(package="shop", syntax="proto3")
    users.message_type.add(name="User").field.add(
        name="user_id", json_name="userId", number=1, type=Field.TYPE_STRING, label=1
    )
    orders = descriptor_pb2.FileDescriptorProto(package="shop", syntax="proto3", dependency=["shop/users.proto"])
    orders.message_type.add(name="Ping").field.add(name="n", number=1, type=Field.TYPE_INT64, label=1)
    order = orders.message_type.add(name="Order")
    order.field.add(name="user", number=1, type=Field.TYPE_MESSAGE, type_name=".shop.User", label=1)
    order.nested_type.add(name="Line").field.add(name="sku", number=1, type=Field.TYPE_STRING, label=1)
    return RegisteredSchema("PROTOBUF", serialized(orders), [("shop/users.proto", serialized(users))])


@pytest.mark.parametrize(
    ("data", "document"),
    [
        (b"\x00\x08\x07", {"n": "7"}),
        (b"\x02\x00\x08\x07", {"n": "7"}),
        (b"\x02\x02\x0a\x05\x0a\x03u-1", {"user": {"userId": "u-1"}}),
        (b"\x04\x02\x00\x0a\x01x", {"sku": "x"}),
        (b"\x00", {}),
    ],
)
def test_messages_are_found_by_their_index(data: bytes, document: object) -> None:
    """The first of a file by a zero alone; others by the steps to them."""
    assert schema_reader("protobuf", shop())(data) == document


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no message index at byte 5"),
        (b"\x02", "no message index at byte 6"),
        (b"\x02\x08", "no message type at [4]"),
        (b"\x02\x01", "no message type at [-1]"),
        (b"\x01", "cannot be -1 steps deep"),
        (b"\xff\xff\xff\xff\xff\xff", "no message index"),
        (b"\x00\x50\x07", "fields that shop.Ping does not have"),
        (b"\x02\x02\xff", "not a shop.Order"),
    ],
)
def test_messages_that_do_not_fit_are_unreadable(data: bytes, said: str) -> None:
    """A field that the writer's own schema lacks may be a tag: it is not overlooked."""
    with pytest.raises(Unreadable) as refused:
        schema_reader("protobuf", shop())(data)
    assert said in refused.value.reason


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (RegisteredSchema("AVRO", '"string"'), "of type AVRO, not PROTOBUF"),
        (RegisteredSchema("PROTOBUF", 'syntax = "proto3";'), "does not know ?format=serialized"),
        (RegisteredSchema("PROTOBUF", shop().text), "lacks shop/users.proto"),
    ],
)
def test_schemas_that_cannot_be_used_say_why(schema: RegisteredSchema, said: str) -> None:
    """Another type, text in place of a descriptor, a reference that is not there."""
    with pytest.raises(Unreadable) as refused:
        schema_reader("protobuf", schema)
    assert said in refused.value.reason


def test_avro_is_read_by_what_it_refers_to() -> None:
    """References come first."""
    user = '{"type": "record", "name": "User", "fields": [{"name": "id", "type": "string"}]}'
    order = '{"type": "record", "name": "Order", "fields": [{"name": "user", "type": "User"}]}'
    assert schema_reader("avro", RegisteredSchema("AVRO", order, [("User", user)]))(b"\x06u-1") == {
        "user": {"id": "u-1"}
    }


def test_json_may_have_the_id_of_a_schema_before_it() -> None:
    """No JSON begins with a zero byte."""
    assert unframed(loads)(b'\x00\x00\x00\x00\x07{"a": 1}') == {"a": 1}
    assert unframed(loads)(b'{"a": 1}') == {"a": 1}
    for data in (b"\x00\x00\x00\x00", b"\x00\x00\x00\x00\x01", b"\x01\x00\x00\x00\x01{}"):
        with pytest.raises(Unreadable):
            unframed(loads)(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_unreadable(data: bytes) -> None:
    """Nothing else is raised, whatever comes."""
    frame = split_frame(data)
    assert frame is None or data == b"\x00" + frame[0].to_bytes(4, "big") + frame[1]
    for read in (split_indexes, schema_reader("protobuf", shop())):
        try:
            read(data)
        except Unreadable as unreadable:
            assert unreadable.reason
