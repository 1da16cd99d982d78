"""Protocol Buffers and gRPC, with descriptors made here."""

from __future__ import annotations

import base64
import gzip
import hashlib
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
import zstandard
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.body import BodyOptions, read_body
from gnomon.core.formats.protobuf import UNKNOWN_FIELDS, Descriptors
from gnomon.core.json import Unreadable, dumps
from gnomon.errors import InputError
from gnomon.model import JsonValue

Field = descriptor_pb2.FieldDescriptorProto


def shop_files() -> descriptor_pb2.FileDescriptorSet:
    """Describe a shop: messages in one file, a service in another that comes first, well-known types left out."""
    files = descriptor_pb2.FileDescriptorSet()
    service_file = files.file.add(name="service.proto", package="shop", syntax="proto3", dependency=["cart.proto"])
    service = service_file.service.add(name="Carts")
    service.method.add(name="Get", input_type=".shop.Cart", output_type=".shop.Cart")
    service.method.add(name="Watch", input_type=".shop.Cart", output_type=".shop.Cart", server_streaming=True)
    cart_file = files.file.add(
        name="cart.proto", package="shop", syntax="proto3", dependency=["google/protobuf/timestamp.proto"]
    )
    item = cart_file.message_type.add(name="Item")
    item.field.add(name="sku", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    item.field.add(name="price", number=2, type=Field.TYPE_DOUBLE, label=Field.LABEL_OPTIONAL)
    cart = cart_file.message_type.add(name="Cart")
    cart.field.add(name="total_cents", number=1, type=Field.TYPE_INT64, label=Field.LABEL_OPTIONAL)
    cart.field.add(name="items", number=2, type=Field.TYPE_MESSAGE, label=Field.LABEL_REPEATED, type_name=".shop.Item")
    cart.field.add(name="raw", number=3, type=Field.TYPE_BYTES, label=Field.LABEL_OPTIONAL)
    cart.field.add(name="parent", number=4, type=Field.TYPE_MESSAGE, label=Field.LABEL_OPTIONAL, type_name=".shop.Cart")
    cart.field.add(
        name="at",
        number=5,
        type=Field.TYPE_MESSAGE,
        label=Field.LABEL_OPTIONAL,
        type_name=".google.protobuf.Timestamp",
    )
    entry = cart.nested_type.add(name="ByNameEntry", options=descriptor_pb2.MessageOptions(map_entry=True))
    entry.field.add(name="key", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=Field.TYPE_MESSAGE, label=Field.LABEL_OPTIONAL, type_name=".shop.Item")
    cart.field.add(
        name="by_name",
        number=6,
        type=Field.TYPE_MESSAGE,
        label=Field.LABEL_REPEATED,
        type_name=".shop.Cart.ByNameEntry",
    )
    return files


DESCRIPTORS = Descriptors.from_bytes(shop_files().SerializeToString())
OPTIONS = BodyOptions(descriptors=DESCRIPTORS)


def cart(**fields: object) -> bytes:
    """Serialise a Cart."""
    message_type: Any = DESCRIPTORS.message("shop.Cart")
    message = message_type(**{key: value for key, value in fields.items() if key != "by_name"})
    for key, price in dict(fields.get("by_name", {})).items():  # type: ignore[call-overload]
        message.by_name[key].price = price
    data = message.SerializeToString(deterministic=True)
    assert isinstance(data, bytes)
    return data


def frame(message: bytes, flags: int = 0) -> bytes:
    """Put a message in a gRPC frame."""
    return struct.pack(">BI", flags, len(message)) + message


def read(data: bytes, content_type: str, method: str = "", options: BodyOptions = OPTIONS) -> JsonValue:
    """Read a body with the shop's descriptors."""
    return read_body(data, content_type=content_type, content_encoding="", grpc_method=method, options=options)


def opaque(data: bytes) -> JsonValue:
    """Make the document of bytes of which nothing is known."""
    return {"size": len(data), "hash": f"sha256:{hashlib.sha256(data).hexdigest()}"}


@pytest.mark.parametrize("parameter", ["messageType", "proto", "message"])
@pytest.mark.parametrize("subtype", ["x-protobuf", "protobuf", "vnd.google.protobuf", "vnd.shop+proto"])
def test_a_message_named_by_the_content_type_is_its_json(parameter: str, subtype: str) -> None:
    """Names in lowerCamelCase, int64 as strings, bytes as base64, timestamps as RFC 3339."""
    data = cart(
        total_cents=2**53 + 1,
        items=[{"sku": "a", "price": 1.5}, {"price": float("nan")}],
        raw=b"\xff",
        at={"seconds": 1_800_000_000},
        by_name={"x": 2.0},
    )
    assert read(data, f'application/{subtype}; {parameter}="shop.Cart"') == {
        "totalCents": "9007199254740993",
        "items": [{"sku": "a", "price": 1.5}, {"price": "NaN"}],
        "raw": "/w==",
        "at": "2027-01-15T08:00:00Z",
        "byName": {"x": {"price": 2.0}},
    }


def test_without_descriptors_or_a_known_name_a_message_is_opaque() -> None:
    """Equal when the bytes are."""
    data = cart(total_cents=1)
    assert read(data, "application/protobuf; proto=shop.Cart", options=BodyOptions()) == opaque(data)
    assert read(data, "application/protobuf; proto=shop.Nothing") == opaque(data)
    assert read(data, "application/protobuf") == opaque(data)
    assert read(frame(data), "application/grpc", "/shop.Carts/Nothing") == opaque(frame(data))
    assert read(frame(data), "application/grpc", "") == opaque(frame(data))


def test_fields_that_the_descriptors_do_not_know_are_seen() -> None:
    """A field that only the new build sends is a difference, wherever it is."""
    unknown = bytes([0x78]) + b"\x07"  # number 15, varint 7
    data = cart(total_cents=1) + unknown
    data += bytes([0x12, len(unknown)]) + unknown  # in an element of `items`
    entry = b"\x0a\x01k\x12" + bytes([len(unknown)]) + unknown
    data += bytes([0x32, len(entry)]) + entry  # in a value of `by_name`
    data += b"\x22\x04\x7a\x02hi"  # in `parent`, bytes
    data += b"\x73\x08\x01\x74"  # a group, number 14
    document = read(data, "application/protobuf; proto=shop.Cart")
    assert isinstance(document, dict)
    assert document[UNKNOWN_FIELDS] == [
        {"message": "shop.Cart", "number": 15, "value": 7},
        {"message": "shop.Cart", "number": 14, "value": [1]},
        {"message": "shop.Item", "number": 15, "value": 7},
        {"message": "shop.Cart", "number": 15, "value": "aGk="},
        {"message": "shop.Item", "number": 15, "value": 7},
    ]


@pytest.mark.parametrize("data", [b"\xff", b"\x0a", b"\x12\x03\x0a\x01\xff", b"\x12\xff\xff\xff\xff\x0f"])
def test_what_is_no_such_message_is_unreadable(data: bytes) -> None:
    """The reason names the message type."""
    with pytest.raises(Unreadable, match=r"not a shop\.Cart: "):
        read(data, "application/protobuf; proto=shop.Cart")


@pytest.mark.parametrize("levels", [90, 5000])
def test_messages_in_messages_are_bounded(levels: int) -> None:
    """A message that holds itself, over and over, exhausts nothing."""
    data = b""
    for _ in range(levels):
        length = len(data)
        size = bytearray()
        while length >= 0x80:
            size.append(length & 0x7F | 0x80)
            length >>= 7
        data = b"\x22" + bytes([*size, length]) + data
    if levels < 100:
        assert dumps(read(data, "application/protobuf; proto=shop.Cart")).count("parent") == levels
        with pytest.raises(Unreadable, match="nested deeper than 50 levels"):
            read(
                data,
                "application/protobuf; proto=shop.Cart",
                options=BodyOptions(descriptors=DESCRIPTORS, max_depth=50),
            )
    else:
        with pytest.raises(Unreadable):
            read(data, "application/protobuf; proto=shop.Cart")


def test_delimited_messages_are_an_array() -> None:
    """Each with its length before it, as Prometheus sends them."""
    one, two = cart(total_cents=1), cart(raw=b"x" * 200)
    data = bytes([len(one)]) + one + bytes([len(two) & 0x7F | 0x80, len(two) >> 7]) + two
    content_type = "application/vnd.google.protobuf; proto=shop.Cart; encoding=delimited"
    documents = read(data, content_type)
    assert isinstance(documents, list)
    assert documents[0] == {"totalCents": "1"}
    assert len(documents) == 2
    for broken in (data[:-1], data + b"\x80", data + b"\xff" * 11):
        with pytest.raises(Unreadable):
            read(broken, content_type)


def test_a_grpc_answer_is_its_message() -> None:
    """One for a unary method, an array for one that streams or breaks its word."""
    one, two = frame(cart(total_cents=1)), frame(cart(total_cents=2))
    assert read(one, "application/grpc", "/shop.Carts/Get") == {"totalCents": "1"}
    assert read(one, "application/grpc+proto", "/shop.Carts/Watch") == [{"totalCents": "1"}]
    assert read(one + two, "application/grpc", "/shop.Carts/Watch") == [{"totalCents": "1"}, {"totalCents": "2"}]
    assert read(one + two, "application/grpc", "/shop.Carts/Get") == [{"totalCents": "1"}, {"totalCents": "2"}]
    assert read(frame(b""), "application/grpc", "/shop.Carts/Get") == {}


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstandard.compress])
def test_a_compressed_grpc_message_is_expanded_within_the_bound(compress: Any) -> None:
    """By its own first bytes, and not past the body's bound."""
    data = frame(compress(cart(total_cents=1)), 1)
    assert read(data, "application/grpc", "/shop.Carts/Get") == {"totalCents": "1"}
    bomb = frame(compress(cart(raw=bytes(2**20))), 1)
    with pytest.raises(Unreadable, match="larger than"):
        read(bomb, "application/grpc", "/shop.Carts/Get", BodyOptions(descriptors=DESCRIPTORS, max_bytes=2**16))


def test_all_grpc_messages_share_one_bound() -> None:
    """Many small bombs are one."""
    data = frame(gzip.compress(cart(raw=bytes(2**15))), 1) * 50
    with pytest.raises(Unreadable, match="larger than"):
        read(data, "application/grpc", "/shop.Carts/Watch", BodyOptions(descriptors=DESCRIPTORS, max_bytes=2**18))


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (cart(items=[{}] * 2000), "application/protobuf; proto=shop.Cart"),
        (cart(items=[{"sku": "a"}] * 600), "application/protobuf; proto=shop.Cart"),
        (cart(by_name={str(n): 1.0 for n in range(600)}), "application/protobuf; proto=shop.Cart"),
        (b"\xf8\x07\0" * 1100, "application/protobuf; proto=shop.Cart"),
        (b"\0" * 2000, "application/protobuf; proto=shop.Cart; encoding=delimited"),
        (frame(b"") * 1100, "application/grpc"),
        (frame(gzip.compress(cart(items=[{}] * 2000)), 1), "application/grpc"),
    ],
)
def test_a_message_of_too_many_values_is_unreadable(data: bytes, content_type: str) -> None:
    """Elements, members, fields that nobody knows, and messages without a byte all count."""
    options = BodyOptions(descriptors=DESCRIPTORS, max_values=1000)
    with pytest.raises(Unreadable, match="more than 1,000 values"):
        read(data, content_type, "/shop.Carts/Watch", options)


def test_many_unknown_bytes_are_unreadable() -> None:
    """They are looked at one by one only where they are not very many."""
    options = BodyOptions(descriptors=DESCRIPTORS, max_values=1000)
    with pytest.raises(Unreadable, match="more than 8,000 bytes of fields that the descriptors do not know"):
        read(b"\xf8\x07\0" * 3000, "application/protobuf; proto=shop.Cart", "", options)


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0\0\x05abcd", frame(b"")[:-1], frame(b"\xff", 1), frame(b"\xff")])
def test_a_broken_frame_is_unreadable(data: bytes) -> None:
    """Cut off, in an unknown compression, or not the message."""
    with pytest.raises(Unreadable):
        read(data, "application/grpc", "/shop.Carts/Get")


def test_grpc_web_has_its_trailers_in_the_body() -> None:
    """They carry the status, so they are part of the document; the text form is base64 in pieces."""
    message, trailers = frame(cart(total_cents=1)), frame(b"grpc-status: 5\r\nGrpc-Message:no cart\r\n", 0x80)
    expected: JsonValue = {
        "messages": {"totalCents": "1"},
        "trailers": {"grpc-status": "5", "grpc-message": "no cart"},
    }
    assert read(message + trailers, "application/grpc-web+proto", "/shop.Carts/Get") == expected
    text = base64.b64encode(message) + base64.b64encode(trailers)
    assert read(text, "application/grpc-web-text", "/shop.Carts/Get") == expected
    with pytest.raises(Unreadable, match="base64"):
        read(b"A", "application/grpc-web-text", "/shop.Carts/Get")


def test_grpc_with_json_needs_no_descriptors() -> None:
    """The frames are the same, the messages JSON."""
    assert read(frame(b'{"a":1}'), "application/grpc+json", "/a/b", BodyOptions()) == {"a": 1}


def test_a_descriptor_set_that_cannot_be_used_says_why() -> None:
    """The reader of the sentence learns what to do."""
    with pytest.raises(InputError, match="not a protobuf FileDescriptorSet; write one with `protoc"):
        Descriptors.from_bytes(b"\xff\xff")
    files = shop_files()
    del files.file[1]
    with pytest.raises(InputError, match=r"lacks cart\.proto"):
        Descriptors.from_bytes(files.SerializeToString())
    files = shop_files()
    files.file[1].dependency.append("service.proto")
    with pytest.raises(InputError, match="import each other"):
        Descriptors.from_bytes(files.SerializeToString())
    files = shop_files()
    files.file[1].message_type[1].field[1].type_name = ".shop.Nothing"
    with pytest.raises(InputError, match=r"cart\.proto cannot be used"):
        Descriptors.from_bytes(files.SerializeToString())


@given(st.binary(max_size=100), st.sampled_from(["/shop.Carts/Get", "/shop.Carts/Watch", "x", "", "/\0/"]))
def test_any_bytes_are_a_document_or_unreadable(data: bytes, method: str) -> None:
    """Frames and messages alike."""
    for content_type in ("application/grpc", "application/grpc-web-text", "application/protobuf; proto=shop.Cart"):
        for body in (data, frame(data)):
            with suppress(Unreadable):
                assert dumps(read(body, content_type, method))
