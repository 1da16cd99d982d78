"""A body as the document that is compared: content encoding undone, then read by its content type."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import msgspec

from gnomon.core.encoding import expand, wire_bytes
from gnomon.core.formats.forms import read_form
from gnomon.core.formats.grpc import read_frames, web_text
from gnomon.core.formats.markup import read_html, read_xml
from gnomon.core.formats.media import MediaType, parse_media_type
from gnomon.core.formats.msgpack import read_msgpack
from gnomon.core.formats.multipart import read_multipart
from gnomon.core.formats.protobuf import Descriptors, read_delimited, read_message
from gnomon.core.formats.streams import read_event_stream, read_json_lines, read_json_sequence
from gnomon.core.formats.text import read_opaque, read_text
from gnomon.core.json import MAX_DEPTH, Unreadable, loads
from gnomon.core.quota import MAX_VALUES, Quota
from gnomon.model import JsonValue

__all__ = ["BodyOptions", "expand", "read_body", "wire_bytes"]

_MULTIPART_LEVELS = 3
"""A part's body lies in an object, an array and an object."""

_MESSAGE_PARAMETERS = ("messagetype", "proto", "message")


class BodyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How bodies are read.

    Attributes:
        max_bytes: How large a body may be once it is expanded.
        max_depth: How deep its document may be nested.
        max_values: How many values its document may have (`core.quota`).
        descriptors: What protobuf and gRPC bodies are read with; without, they are opaque.
    """

    max_bytes: int = 32 * 2**20
    max_depth: int = MAX_DEPTH
    max_values: int = MAX_VALUES
    descriptors: Descriptors | None = None


def read_body(
    data: bytes, *, content_type: str, content_encoding: str, grpc_method: str, options: BodyOptions
) -> JsonValue:
    """Read a body that is not empty as a document, by its content type.

    JSON is itself; NDJSON and event streams arrays of documents; forms and multipart an object of name to array;
    XML and HTML a tree; text an array of lines; MessagePack and protobuf their JSON mapping; anything else
    `{size, hash}` of the expanded bytes. Without a content type: JSON if it parses as an object or an array, else
    text if it is UTF-8 without NULs, else bytes.

    Args:
        data: The bytes on the wire, still in their content encoding.
        content_type: The header's value, "" for none.
        content_encoding: The header's value, "" for none.
        grpc_method: The request's path where the exchange is gRPC, `/shop.Carts/Get`; "" otherwise.
        options: Bounds and descriptors.

    Returns:
        The document; None (as for no body) where the data expand to nothing.

    Raises:
        Unreadable: The data are not what they say they are, or are past a bound.
    """
    if content_encoding or len(data) > options.max_bytes:
        data = expand(data, content_encoding, options.max_bytes)
    if not data:
        return None
    media_type = parse_media_type(content_type)
    quota = Quota(options.max_values)
    if media_type.name.startswith("application/grpc"):
        return _read_grpc(data, media_type.name, grpc_method, options, quota)
    return _read(data, media_type, options, quota)


def _read(data: bytes, media_type: MediaType, options: BodyOptions, quota: Quota) -> JsonValue:
    """Read expanded data of a content type, most telling part first: subtype, its suffix, type."""
    if not media_type.name:
        return _read_unlabelled(data, options, quota)
    kind, _, subtype = media_type.name.partition("/")
    reader = _BY_SUBTYPE.get(subtype) or _BY_SUFFIX.get(subtype.rpartition("+")[2]) or _BY_KIND.get(kind)
    return reader(data, media_type, options, quota) if reader else read_opaque(data)


def _read_json(data: bytes, media_type: MediaType, options: BodyOptions, quota: Quota) -> JsonValue:
    return _loads(_utf8(data, media_type), options.max_depth, quota)


def _loads(text: bytes, max_depth: int, quota: Quota) -> JsonValue:
    quota.take_json(text)
    return loads(text, max_depth)


def _read_json_lines(data: bytes, media_type: MediaType, options: BodyOptions, quota: Quota) -> JsonValue:
    return read_json_lines(_utf8(data, media_type), options.max_depth, quota)


def _read_json_sequence(data: bytes, _: MediaType, options: BodyOptions, quota: Quota) -> JsonValue:
    return read_json_sequence(data, options.max_depth, quota)


def _read_events(data: bytes, _: MediaType, options: BodyOptions, quota: Quota) -> JsonValue:
    return read_event_stream(data, options.max_depth, quota)


def _read_form(data: bytes, media_type: MediaType, _: BodyOptions, quota: Quota) -> JsonValue:
    return read_form(data, media_type.charset, quota)


def _read_msgpack(data: bytes, _: MediaType, options: BodyOptions, quota: Quota) -> JsonValue:
    return read_msgpack(data, options.max_depth, quota)


def _read_html(data: bytes, media_type: MediaType, options: BodyOptions, quota: Quota) -> JsonValue:
    return read_html(data, media_type.charset, options.max_depth, quota)


def _read_xml(data: bytes, media_type: MediaType, options: BodyOptions, quota: Quota) -> JsonValue:
    return read_xml(data, media_type.charset, options.max_depth, quota)


def _read_text(data: bytes, media_type: MediaType, _: BodyOptions, quota: Quota) -> JsonValue:
    return read_text(data, media_type.charset, quota)


def _read_multipart(data: bytes, media_type: MediaType, options: BodyOptions, quota: Quota) -> JsonValue:
    inner = msgspec.structs.replace(options, max_depth=options.max_depth - _MULTIPART_LEVELS)
    return read_multipart(data, media_type, partial(_read_part, options=inner, quota=quota))


def _read_part(data: bytes, content_type: str, *, options: BodyOptions, quota: Quota) -> JsonValue:
    """Read a part's body; a multipart body inside one is opaque, or nesting them would multiply the work."""
    media_type = parse_media_type(content_type)
    if media_type.name.startswith("multipart/"):
        return read_opaque(data)
    return _read(data, media_type, options, quota)


def _utf8(data: bytes, media_type: MediaType) -> bytes:
    """Bring JSON in another character set to the only one that JSON has (RFC 8259, section 8.1)."""
    charset = media_type.charset
    if charset is None or charset in {"utf_8", "ascii"}:
        return data
    try:
        return data.decode(charset).encode()
    except UnicodeError:
        raise Unreadable(f"not {charset}, which its content type says it is") from None


def _read_unlabelled(data: bytes, options: BodyOptions, quota: Quota) -> JsonValue:
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}:
        quota.take_json(data)
        try:
            return loads(data, options.max_depth)
        except Unreadable as fault:
            if fault.reason.startswith("nested"):
                raise
    try:
        data.decode()
    except UnicodeDecodeError:
        return read_opaque(data)
    return read_opaque(data) if b"\0" in data else read_text(data, None, quota)


def _read_protobuf(data: bytes, media_type: MediaType, options: BodyOptions, quota: Quota) -> JsonValue:
    """Read a message whose type is a parameter of the content type; opaque where it is not known."""
    descriptors = options.descriptors
    names = (media_type.parameters.get(parameter) for parameter in _MESSAGE_PARAMETERS)
    name = next(filter(None, names), "")
    message_type = descriptors.message(name) if descriptors and name else None
    if descriptors is None or message_type is None:
        return read_opaque(data)
    if media_type.parameters.get("encoding") == "delimited":
        return read_delimited(data, message_type, descriptors, options.max_depth, quota)
    return read_message(data, message_type, descriptors, options.max_depth, quota)


def _read_grpc(data: bytes, name: str, grpc_method: str, options: BodyOptions, quota: Quota) -> JsonValue:
    """Read the frames of a response; opaque where its method is not known."""
    max_depth = options.max_depth - 2
    method = options.descriptors.method(grpc_method) if options.descriptors else None
    if name.endswith("+json"):
        read, streaming = partial(_loads, max_depth=max_depth, quota=quota), bool(method and method.streaming)
    elif options.descriptors is not None and method is not None:
        streaming = method.streaming
        read = partial(
            read_message,
            message_type=method.output,
            descriptors=options.descriptors,
            max_depth=max_depth,
            quota=quota,
        )
    else:
        return read_opaque(data)
    if name.startswith("application/grpc-web-text"):
        data = web_text(data)
    quota.must_count(len(data))  # frames have bytes of their own, their messages may have none
    return read_frames(data, read, options.max_bytes, streaming=streaming)


_Reader: TypeAlias = Callable[[bytes, MediaType, BodyOptions, Quota], JsonValue]

_BY_SUBTYPE: Final[dict[str, _Reader]] = {
    **dict.fromkeys(["json", "x-json"], _read_json),
    **dict.fromkeys(["ndjson", "x-ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines"], _read_json_lines),
    **dict.fromkeys(["stream+json", "x-json-stream"], _read_json_lines),
    **dict.fromkeys(["json-seq", "geo+json-seq"], _read_json_sequence),
    "event-stream": _read_events,
    "x-www-form-urlencoded": _read_form,
    "html": _read_html,
    "xml": _read_xml,
    **dict.fromkeys(["msgpack", "x-msgpack", "vnd.msgpack"], _read_msgpack),
    **dict.fromkeys(["protobuf", "x-protobuf", "x-protobuffer", "vnd.google.protobuf"], _read_protobuf),
    **dict.fromkeys(["javascript", "x-javascript", "ecmascript", "graphql", "http", "sql"], _read_text),
    **dict.fromkeys(["toml", "x-sh", "x-yaml", "yaml"], _read_text),
}
_BY_SUFFIX: Final[dict[str, _Reader]] = {
    "json": _read_json,
    "msgpack": _read_msgpack,
    "proto": _read_protobuf,
    "protobuf": _read_protobuf,
    "xml": _read_xml,
    "yaml": _read_text,
}
_BY_KIND: Final[dict[str, _Reader]] = {"multipart": _read_multipart, "text": _read_text}
