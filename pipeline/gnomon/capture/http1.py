"""HTTP/1.x messages as they were on the wire, one whole message in bytes.

What is read is what was captured, which may be cut off anywhere: a body that is shorter than it says is marked
truncated, with the size it should have had.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gnomon.capture.build import BadEntryError, bytes_body, content_length, find_header, split_url
from gnomon.model import Body, Header, Request, Response

__all__ = ["parse_request", "parse_response"]

_REQUEST: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}) (\S+) HTTP/\d(?:\.\d)?")
_STATUS: Final = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})(?: .*)?", re.DOTALL)
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_BLANK: Final = re.compile(rb"\r?\n\r?\n")
_SWITCHING: Final = 101
MAX_INTERIM: Final = 16
"""How many interim responses may come before the one that counts."""

_BODILESS: Final = frozenset({204, 304})


class _Message(msgspec.Struct, frozen=True):
    first: bytes
    headers: list[Header]
    rest: bytes


class _Dechunked(msgspec.Struct, frozen=True):
    data: bytes
    trailers: list[Header]
    complete: bool


def parse_request(data: bytes) -> Request:
    """Read one request.

    Raises:
        BadEntryError: It does not begin with a request line.
    """
    message = _split(data)
    line = _REQUEST.fullmatch(message.first)
    if line is None:
        raise BadEntryError(f"not an HTTP/1 request line: {_shown(message.first)}")
    target = _decode(line[2])
    host = (find_header(message.headers, "host") or "").strip()
    if "://" in target and not target.startswith("/"):
        target, authority = split_url(target)
        host = host or authority
    return Request(
        method=_decode(line[1]),
        path=target,
        host=host,
        headers=message.headers,
        body=_body(message, bodiless=False)[0],
    )


def parse_response(data: bytes, method: str = "GET") -> Response:
    """Read one response to a request of the given method; interim responses (1xx) before it are skipped.

    Raises:
        BadEntryError: It does not begin with a status line.
    """
    message, status = _status(data)
    for _ in range(MAX_INTERIM):
        if not (100 <= status < 200 and status != _SWITCHING and message.rest.startswith(b"HTTP/")):
            break
        message, status = _status(message.rest)
    bodiless = method.upper() == "HEAD" or status in _BODILESS
    body, trailers = _body(message, bodiless=bodiless)
    return Response(status=status, headers=message.headers, body=body, trailers=trailers)


def _status(data: bytes) -> tuple[_Message, int]:
    message = _split(data)
    line = _STATUS.fullmatch(message.first)
    if line is None:
        raise BadEntryError(f"not an HTTP/1 status line: {_shown(message.first)}")
    return message, int(line[1])


def _split(data: bytes) -> _Message:
    blank = _BLANK.search(data)
    head, rest = (data[: blank.start()], data[blank.end() :]) if blank else (data, b"")
    first, *lines = head.split(b"\n")
    return _Message(first.rstrip(b"\r"), _header_lines(lines), rest)


def _header_lines(lines: list[bytes]) -> list[Header]:
    fields: list[list[bytes]] = []
    for line in lines:
        if line[:1] in {b" ", b"\t"} and fields:
            fields[-1].append(line.strip())
            continue
        name, colon, content = line.partition(b":")
        if colon and name.strip():
            fields.append([name.strip(), content.strip()])
    return [(_decode(name), _decode(b" ".join(folded))) for name, *folded in fields]


def _body(message: _Message, *, bodiless: bool) -> tuple[Body, list[Header]]:
    coding = find_header(message.headers, "transfer-encoding") or ""
    if "chunked" in coding.lower() and not bodiless:
        unpacked = _dechunk(message.rest)
        if unpacked is not None:
            return bytes_body(unpacked.data, truncated=not unpacked.complete), unpacked.trailers
    length = content_length(message.headers)
    if bodiless or length is None or length <= len(message.rest) or "chunked" in coding.lower():
        return bytes_body(message.rest), []
    return bytes_body(message.rest, length, truncated=True), []


def _dechunk(data: bytes) -> _Dechunked | None:
    """Undo chunked transfer-encoding (RFC 9112, section 7.1); None where the data is not chunked any more."""
    parts: list[bytes] = []
    at = 0
    while True:
        line = _CHUNK_SIZE.match(data, at)
        if line is None:
            cut_off = at > 0 or not data
            return _Dechunked(b"".join(parts), [], complete=False) if cut_off else None
        size = int(line[1], 16)
        at = line.end()
        if size == 0:
            return _Dechunked(b"".join(parts), _header_lines(data[at:].split(b"\n")), complete=True)
        parts.append(data[at : at + size])
        if at + size > len(data):
            return _Dechunked(b"".join(parts), [], complete=False)
        at += size
        at += 2 if data.startswith(b"\r\n", at) else data.startswith(b"\n", at)


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _shown(data: bytes) -> str:
    return repr(_decode(data[:60]))
