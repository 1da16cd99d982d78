"""A body's bytes on the wire, and their content encodings undone within a bound.

A few kilobytes that expand to gigabytes never do so here.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable
from typing import Final

import brotli
import zstandard

from gnomon.core.json import Unreadable
from gnomon.model import Body

__all__ = ["bytes_body", "expand", "wire_bytes"]

MAX_LAYERS = 4
MAX_MEMBERS = 100
"""How many gzip members or zstd frames may follow one another: each costs a copy of the rest."""

ZSTD_WINDOW = 2**25
"""Bytes of window a zstd frame may ask for; RFC 9659 allows 8 MiB on the web."""

_CHUNK = 2**18
_GZIP = 16 + zlib.MAX_WBITS


def bytes_body(data: bytes, size: int | None = None, *, digest: str | None = None, truncated: bool = False) -> Body:
    """Wrap bytes: as text where they are UTF-8 without NUL, else as base64. `size` in bytes, of the whole body.

    A truncated text that was cut within a character loses the beginning of that character.
    """
    whole = len(data) if size is None else max(size, len(data))
    if b"\0" not in data:
        try:
            return Body(data.decode(), "text", whole, digest, truncated)
        except UnicodeDecodeError as error:
            if truncated and error.end == len(data) and error.reason == "unexpected end of data":
                return Body(data[: error.start].decode(), "text", whole, digest, truncated)
    return Body(base64.b64encode(data).decode(), "base64", whole, digest, truncated)


def wire_bytes(body: Body) -> bytes:
    """Give the bytes of a body as they were on the wire, as far as they were recorded.

    Raises:
        Unreadable: The base64 is not base64.
    """
    try:
        if body.encoding == "text":
            return body.data.encode()
        return binascii.a2b_base64(body.data, strict_mode=True) if body.data else b""
    except ValueError as error:  # binascii.Error and UnicodeEncodeError are such
        raise Unreadable(f"the body's `data` is not {body.encoding}: {error}") from None


def expand(data: bytes, content_encoding: str, max_bytes: int) -> bytes:
    """Undo a `content-encoding`: gzip, deflate, br, zstd, or several of them, the last applied first.

    Args:
        data: The bytes as they were on the wire.
        content_encoding: The header's value, `""` for none; names in any case.
        max_bytes: How large the result, and what lies between two encodings, may be.

    Raises:
        Unreadable: An unknown encoding, damaged or incomplete data, or more than `max_bytes`.
    """
    layers = [name.strip().lower() for name in content_encoding.split(",")]
    layers = [name for name in layers if name not in {"", "identity"}]
    if len(layers) > MAX_LAYERS:
        raise Unreadable(f"{len(layers)} content encodings in a row, at most {MAX_LAYERS} are undone")
    for name in reversed(layers):
        undo = _ENCODINGS.get(name)
        if undo is None:
            raise Unreadable(f"the content encoding {name[:40]!r} is unknown")
        try:
            data = undo(data, max_bytes)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise Unreadable(f"not {name}: {error}") from None
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return data


def _too_large(max_bytes: int) -> Unreadable:
    return Unreadable(f"larger than {max_bytes:,} bytes when expanded")


def _incomplete(name: str) -> Unreadable:
    return Unreadable(f"not {name}: it ends in the middle")


def _inflate(data: bytes, window_bits: int, max_bytes: int) -> tuple[bytes, bytes]:
    """Undo one zlib stream; returns what it held and what follows it."""
    stream = zlib.decompressobj(window_bits)
    expanded = stream.decompress(data, max_bytes + 1)
    if len(expanded) > max_bytes:
        raise _too_large(max_bytes)
    if not stream.eof:
        raise _incomplete("gzip" if window_bits == _GZIP else "deflate")
    return expanded, stream.unused_data


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    """Undo gzip, which may be several members one after another (RFC 1952, section 2.2)."""
    expanded, rest = _inflate(data, _GZIP, max_bytes)
    members = [expanded]
    while rest.strip(b"\0"):
        # Each round copies what is left, so their number is bounded too
        if len(members) > MAX_MEMBERS:
            raise Unreadable(f"gzip of more than {MAX_MEMBERS} members")
        expanded, rest = _inflate(rest, _GZIP, max_bytes)
        members.append(expanded)
        if sum(map(len, members)) > max_bytes:
            raise _too_large(max_bytes)
    return b"".join(members)


def _undeflate(data: bytes, max_bytes: int) -> bytes:
    """Undo deflate: a zlib stream by the standard (RFC 9110, section 8.4.1.2), a bare one by some servers."""
    try:
        return _inflate(data, zlib.MAX_WBITS, max_bytes)[0]
    except zlib.error:
        return _inflate(data, -zlib.MAX_WBITS, max_bytes)[0]


def _unbrotli(data: bytes, max_bytes: int) -> bytes:
    stream = brotli.Decompressor()
    chunks = [stream.process(data, output_buffer_limit=_CHUNK)]
    size = len(chunks[0])
    while not stream.is_finished() and size <= max_bytes:
        chunk = stream.process(b"", output_buffer_limit=_CHUNK)
        if not chunk and stream.can_accept_more_data():
            raise _incomplete("br")
        chunks.append(chunk)
        size += len(chunk)
    if size > max_bytes:
        raise _too_large(max_bytes)
    return b"".join(chunks)


def _unzstd(data: bytes, max_bytes: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    # Two passes: the bounded reader does not say whether the last frame was whole, the other knows no bound
    size = 0
    with decompressor.stream_reader(data, read_across_frames=True) as reader:
        while chunk := reader.read(_CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(max_bytes)
    frames: list[bytes] = []
    while data:
        if len(frames) > MAX_MEMBERS:
            raise Unreadable(f"zstd of more than {MAX_MEMBERS} frames")
        frame = decompressor.decompressobj()
        frames.append(frame.decompress(data))
        if not frame.eof:
            raise _incomplete("zstd")
        data = frame.unused_data
    return b"".join(frames)


_ENCODINGS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _undeflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
