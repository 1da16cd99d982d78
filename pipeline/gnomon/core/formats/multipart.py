"""Multipart bodies: forms with files, and other sequences of parts."""

from __future__ import annotations

import binascii
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from gnomon.core.formats.media import MediaType, decode_text, parse_media_type
from gnomon.core.json import Unreadable
from gnomon.model import JsonValue

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["MAX_PARTS", "read_multipart"]

MAX_PARTS = 10_000

# The parser logs a warning for what it refuses as well as raising; traffic does not write to our logs. A logger that
# the logging system does not know of stays silent however a process configures it.
_SILENT = logging.Logger(f"{__name__}.parser", level=logging.CRITICAL + 1)  # noqa: LOG001 - for that very reason


class _Parts:
    """What the push parser calls back with, gathered: per part its headers by lower-case name, and its bytes."""

    def __init__(self) -> None:
        self.parts: list[tuple[dict[str, str], bytearray]] = []
        self.complete = False
        self._name = bytearray()
        self._value = bytearray()

    def begin(self) -> None:
        if len(self.parts) >= MAX_PARTS:
            raise Unreadable(f"a multipart body of more than {MAX_PARTS:,} parts")
        self.parts.append(({}, bytearray()))

    def name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header(self) -> None:
        self.parts[-1][0][self._name.decode("latin-1").lower()] = decode_text(bytes(self._value), None)
        self._name.clear()
        self._value.clear()

    def data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1][1].extend(memoryview(data)[start:end])

    def end(self) -> None:
        self.complete = True


def read_multipart(data: bytes, media_type: MediaType, read_part: Callable[[bytes, str], JsonValue]) -> JsonValue:
    """Read a multipart body as an object of name to array of values; a part without a name has the name "".

    A part with a file name, or with a content type other than plain text, is `{filename, content_type, body}`,
    its body read by `read_part(data, content_type)`; else it is a string.

    Raises:
        Unreadable: No boundary in the media type, a body that breaks its rules or ends before the closing one,
            or more than `MAX_PARTS` parts.
    """
    form: dict[str, list[JsonValue]] = {}
    for headers, payload in _split(data, media_type):
        disposition = parse_media_type(headers.get("content-disposition", "")).parameters
        value = _value(headers, bytes(payload), disposition.get("filename"), read_part)
        form.setdefault(disposition.get("name", ""), []).append(value)
    return dict(form)


def _split(data: bytes, media_type: MediaType) -> list[tuple[dict[str, str], bytearray]]:
    boundary = media_type.parameters.get("boundary", "")
    if not boundary:
        raise Unreadable("a multipart body without a boundary in its content type")
    parts = _Parts()
    callbacks: MultipartCallbacks = {
        "on_part_begin": parts.begin,
        "on_header_field": parts.name,
        "on_header_value": parts.value,
        "on_header_end": parts.header,
        "on_part_data": parts.data,
        "on_end": parts.end,
    }
    try:
        parser = MultipartParser(boundary.encode(), callbacks)
        parser.logger = _SILENT
        parser.write(data)
    except FormParserError as error:
        raise Unreadable(f"not multipart: {str(error)[:200]}") from None
    if not parts.complete:
        raise Unreadable("a multipart body that ends before its closing boundary")
    return parts.parts


def _value(
    headers: dict[str, str], payload: bytes, filename: str | None, read_part: Callable[[bytes, str], JsonValue]
) -> JsonValue:
    payload = _transfer_decoded(payload, headers.get("content-transfer-encoding", ""))
    content_type = headers.get("content-type", "")
    media_type = parse_media_type(content_type)
    if filename is None and media_type.name in {"", "text/plain"}:
        return decode_text(payload, media_type.charset)
    body = read_part(payload, content_type) if payload else None
    return {"filename": filename, "content_type": content_type or None, "body": body}


def _transfer_decoded(payload: bytes, encoding: str) -> bytes:
    name = encoding.strip().lower()
    if name == "base64":
        try:
            return binascii.a2b_base64(payload)
        except binascii.Error:
            raise Unreadable("a part that is not the base64 it says it is") from None
    return binascii.a2b_qp(payload) if name == "quoted-printable" else payload
