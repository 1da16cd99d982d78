"""Protocol Buffers as their JSON mapping, with the descriptors of a `FileDescriptorSet`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TypeAlias, cast

import msgspec
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    json_format,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from gnomon.core.json import Unreadable, depth
from gnomon.core.quota import Quota
from gnomon.errors import InputError
from gnomon.model import JsonValue

__all__ = ["UNKNOWN_FIELDS", "Descriptors", "Method", "read_delimited", "read_message"]

UNKNOWN_FIELDS = "[unknown fields]"
"""The member of a message's document that holds what the descriptors do not know: no field has such a name."""

_REMEDY = "write one with `protoc --include_imports --descriptor_set_out=FILE`"
_WELL_KNOWN = (any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)

_MessageType: TypeAlias = "type[Message]"


class Method(msgspec.Struct, frozen=True):
    """What a gRPC method answers with: a message type, once or (`streaming`) any number of times."""

    output: _MessageType
    streaming: bool


class Descriptors:
    """The message types and gRPC methods that a team's services speak. Immutable once made."""

    def __init__(self, pool: descriptor_pool.DescriptorPool, files: list[str]) -> None:
        self.pool = pool
        self._files = tuple(files)

    @classmethod
    def from_bytes(cls, file_descriptor_set: bytes) -> Descriptors:
        """Load a serialised `FileDescriptorSet`, its files in any order; well-known types may be missing.

        Raises:
            InputError: Not a descriptor set, or one whose files import what is not in it.
        """
        try:
            files = descriptor_pb2.FileDescriptorSet.FromString(file_descriptor_set).file
        except DecodeError as error:
            raise InputError("the descriptor set is not a protobuf FileDescriptorSet", _REMEDY) from error
        waiting = {file.name: file for file in files}
        given = list(waiting)
        for module in _WELL_KNOWN:
            known = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
            waiting.setdefault(known.name, known)
        pool = descriptor_pool.DescriptorPool()
        added: set[str] = set()
        while waiting:
            ready = [file for file in waiting.values() if added.issuperset(file.dependency)]
            if not ready:
                missing = sorted({name for file in waiting.values() for name in file.dependency} - added - set(waiting))
                problem = f"lacks {', '.join(missing)}" if missing else "has files that import each other"
                raise InputError(f"the descriptor set {problem}", _REMEDY)
            for file in ready:
                try:
                    pool.Add(file)
                except TypeError as error:
                    raise InputError(f"the descriptor set's {file.name} cannot be used: {error}", _REMEDY) from error
                added.add(file.name)
                del waiting[file.name]
        return cls(pool, given)

    def message(self, name: str) -> _MessageType | None:
        """Find a message type by its full name, `shop.Cart`; None where it is not known."""
        try:
            return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name.lstrip(".")))
        except (KeyError, TypeError):
            return None

    def method(self, path: str) -> Method | None:
        """Find a gRPC method by its request path, `/shop.Carts/Get`; None where it is not known."""
        service, _, name = path.strip("/").partition("/")
        try:
            method = self.pool.FindServiceByName(service).methods_by_name[name]
        except (KeyError, TypeError):
            return None
        return Method(message_factory.GetMessageClass(method.output_type), method.server_streaming)


def read_message(
    data: bytes, message_type: _MessageType, descriptors: Descriptors, max_depth: int, quota: Quota
) -> JsonValue:
    """Read one message by the JSON mapping of Protocol Buffers (lowerCamelCase names, int64 as strings).

    Fields that the descriptors do not know would be invisible there, and a change in them with them: they are
    listed in a member `UNKNOWN_FIELDS` as `{message, number, value}`.

    Raises:
        Unreadable: Not such a message, nested deeper than `max_depth`, or one of more values than the quota has.
    """
    try:
        message = message_type.FromString(data)
        if quota.must_count(len(data)):
            _refuse_unknown(message, 8 * quota.most)
            _count(message, quota)
        document = cast("JsonValue", json_format.MessageToDict(message, descriptor_pool=descriptors.pool))
    except (DecodeError, json_format.Error, ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"not a {message_type.DESCRIPTOR.full_name}: {str(error)[:200]}") from None
    if depth(document) > max_depth - 2:
        raise Unreadable(f"nested deeper than {max_depth} levels")
    unknown = list(_unknown_fields(message))
    if unknown and isinstance(document, dict):
        document[UNKNOWN_FIELDS] = unknown
    return document


def _refuse_unknown(message: Message, most: int) -> None:
    """Refuse more than so many bytes of unknown fields, before each of them becomes an object."""
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    if message.ByteSize() - known.ByteSize() > most:
        raise Unreadable(f"more than {most:,} bytes of fields that the descriptors do not know")


def _count(message: Message, quota: Quota) -> None:
    """Count the values of a message before they become a document; the parser has bounded how deep it is (100)."""
    quota.take(1 + len(UnknownFieldSet(message)))
    if message.DESCRIPTOR.full_name == any_pb2.Any.DESCRIPTOR.full_name:
        quota.take(message.ByteSize())  # the message inside becomes part of the document too
    for descriptor, value in message.ListFields():
        if isinstance(value, Message):
            _count(value, quota)
        elif isinstance(value, bytes | str | int | float):
            quota.take(1)
        else:
            quota.take(len(value))
            members = value.values() if hasattr(value, "values") else value
            for member in members if descriptor.message_type else ():
                if isinstance(member, Message):
                    _count(member, quota)


def read_delimited(
    data: bytes, message_type: _MessageType, descriptors: Descriptors, max_depth: int, quota: Quota
) -> JsonValue:
    """Read messages that each have their length as a varint before them, as an array.

    Raises:
        Unreadable: A message is cut off or not such a message, or more values than the quota has.
    """
    messages: list[JsonValue] = []
    quota.must_count(len(data))  # lengths are bytes of their own, their messages may have none
    at = 0
    while at < len(data):
        length, at = _varint(data, at)
        if at + length > len(data):
            raise Unreadable(f"message {len(messages) + 1} ends in the middle")
        messages.append(read_message(data[at : at + length], message_type, descriptors, max_depth - 1, quota))
        at += length
    return messages


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(at, min(at + 10, len(data))):
        value |= (data[position] & 0x7F) << shift
        if data[position] < 0x80:
            return value, position + 1
        shift += 7
    raise Unreadable(f"no length at byte {at}")


def _unknown_fields(message: Message) -> Iterator[JsonValue]:
    """Walk a message and those in it; the parser has bounded how deep they are (100)."""
    for number, value in _entries(UnknownFieldSet(message)):
        yield {"message": message.DESCRIPTOR.full_name, "number": number, "value": _plain(value)}
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        if isinstance(value, Message):
            yield from _unknown_fields(value)
        elif descriptor.message_type.GetOptions().map_entry:
            for member in value.values():
                if isinstance(member, Message):
                    yield from _unknown_fields(member)
        else:
            for element in value:
                yield from _unknown_fields(element)


def _entries(fields: UnknownFieldSet) -> Iterator[tuple[int, object]]:
    for index in range(len(fields)):
        yield fields[index].field_number, fields[index].data


def _plain(value: object) -> JsonValue:
    """Give an unknown field's raw value: integers as they are, bytes as base64 text, a group as its field numbers."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, int):
        return value
    return [number for number, _ in _entries(cast("UnknownFieldSet", value))]
