"""Values whose schema is in a Schema Registry: from what the registry says of a schema to what reads its values."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from gnomon.core.formats.avro import AvroSchema
from gnomon.core.formats.framing import split_frame, split_indexes
from gnomon.core.formats.protobuf import UNKNOWN_FIELDS, Descriptors, read_message
from gnomon.core.json import MAX_DEPTH, Unreadable
from gnomon.core.quota import MAX_VALUES, Quota
from gnomon.errors import InputError
from gnomon.model import JsonValue

__all__ = ["RegisteredSchema", "SchemaKind", "ValueReader", "schema_reader", "unframed"]

SchemaKind: TypeAlias = Literal["avro", "protobuf"]
ValueReader: TypeAlias = Callable[[bytes], JsonValue]

_MAIN = "gnomon.main.proto"


class RegisteredSchema(msgspec.Struct, frozen=True):
    """A schema as a registry gives it.

    Attributes:
        kind: Its type, such as `AVRO`.
        text: An Avro schema as JSON; a Protocol Buffers file as base64 of its `FileDescriptorProto`.
        references: Name and text of the schemas that it needs, in an order in which each needs earlier ones.
    """

    kind: str
    text: str
    references: Sequence[tuple[str, str]] = ()


def schema_reader(kind: SchemaKind, schema: RegisteredSchema) -> ValueReader:
    """Make what reads the values that come after the schema's id.

    Raises:
        Unreadable: The schema is of another type, or cannot be read itself.
    """
    if schema.kind != kind.upper():
        raise Unreadable(f"its schema is of type {schema.kind[:50]}, not {kind.upper()}")
    if kind == "avro":
        return AvroSchema(schema.text, [text for _, text in schema.references]).read
    return _Messages(schema).read


def unframed(read: ValueReader) -> ValueReader:
    """Give what reads a value with a schema's id before it, or without one; the schema is not needed for that."""

    def read_unframed(data: bytes) -> JsonValue:
        frame = split_frame(data)
        return read(data if frame is None else frame[1])

    return read_unframed


class _Messages:
    """Reads the messages of one file."""

    def __init__(self, schema: RegisteredSchema) -> None:
        main = _file(_MAIN, schema.text)
        files = [_file(name, text) for name, text in schema.references]
        try:
            self._descriptors = Descriptors.from_bytes(
                descriptor_pb2.FileDescriptorSet(file=[*files, main]).SerializeToString()
            )
        except InputError as error:
            raise Unreadable(f"its schema cannot be used: {error}"[:300]) from None
        self._file = main
        self._types: dict[tuple[int, ...], Any] = {}

    def read(self, data: bytes) -> JsonValue:
        indexes, message = split_indexes(data)
        kind = self._types.get(indexes)
        if kind is None:
            kind = self._types[indexes] = self._find(indexes)
        document = read_message(message, kind, self._descriptors, MAX_DEPTH, Quota(MAX_VALUES))
        if isinstance(document, dict) and UNKNOWN_FIELDS in document:
            # A tag may be in there, and its schema is that of the writer: it is another message, or a lie
            raise Unreadable(f"it has fields that {kind.DESCRIPTOR.full_name} does not have")
        return document

    def _find(self, indexes: tuple[int, ...]) -> Any:  # noqa: ANN401 - protobuf's classes have no useful type
        names, types = [self._file.package] if self._file.package else [], self._file.message_type
        for index in indexes:
            if not 0 <= index < len(types):
                raise Unreadable(f"its schema has no message type at {list(indexes)}")
            names.append(types[index].name)
            types = types[index].nested_type
        return self._descriptors.message(".".join(names))


def _file(name: str, text: str) -> descriptor_pb2.FileDescriptorProto:
    try:
        file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, DecodeError):
        what = "its schema came as text: the registry does not know ?format=serialized"
        raise Unreadable(what) from None
    file.name = name
    return file
