"""gRPC message frames: a flag, a length, a message; over HTTP/2, gRPC-Web, and gRPC-Web as text."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator

from gnomon.core.encoding import expand
from gnomon.core.json import Unreadable
from gnomon.model import JsonValue

__all__ = ["read_frames", "web_text"]

_HEADER = 5
_COMPRESSED = 0x01
_TRAILERS = 0x80


def read_frames(data: bytes, read: Callable[[bytes], JsonValue], max_bytes: int, *, streaming: bool) -> JsonValue:
    """Read the messages of a response.

    Returns:
        The message; an array of them where the method streams, or where there is not exactly one. With trailers
        in the body (gRPC-Web), `{messages, trailers}`, trailers an object of strings.

    Raises:
        Unreadable: A frame is cut off, its compression is unknown, or all expand to more than `max_bytes`.
    """
    messages: list[JsonValue] = []
    trailers: dict[str, JsonValue] | None = None
    room = max_bytes
    for flags, payload in _frames(data):
        content = expand(payload, _compression(payload) if flags & _COMPRESSED else "", room)
        room -= len(content)
        if flags & _TRAILERS:
            trailers = _trailers(content)
        else:
            messages.append(read(content))
    document = messages[0] if len(messages) == 1 and not streaming else messages
    return document if trailers is None else {"messages": document, "trailers": trailers}


def web_text(data: bytes) -> bytes:
    """Undo the base64 of `application/grpc-web-text`, whose pieces may each be padded.

    Raises:
        Unreadable: Not base64.
    """
    pieces = data.replace(b"=", b"= ").replace(b"= = ", b"== ").split()
    try:
        return b"".join(binascii.a2b_base64(piece, strict_mode=True) for piece in pieces)
    except binascii.Error as error:
        raise Unreadable(f"not the base64 of gRPC-Web: {error}") from None


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        end = at + _HEADER + int.from_bytes(data[at + 1 : at + _HEADER], "big")
        if at + _HEADER > len(data) or end > len(data):
            raise Unreadable(f"the gRPC frame at byte {at} ends in the middle")
        yield data[at], data[at + _HEADER : end]
        at = end


def _compression(payload: bytes) -> str:
    """Tell the compression of a message by its first bytes: `grpc-encoding` is not at hand here."""
    if payload.startswith(b"\x1f\x8b"):
        return "gzip"
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if payload[:1] == b"\x78":
        return "deflate"
    raise Unreadable("a gRPC message in a compression other than gzip, deflate and zstd")


def _trailers(content: bytes) -> dict[str, JsonValue]:
    lines = (line.partition(":") for line in content.decode("latin-1").split("\r\n") if line)
    return {name.strip().lower(): value.strip() for name, _, value in lines}
