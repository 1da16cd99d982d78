"""Text as lines, and bytes that nothing more is known of."""

from __future__ import annotations

import hashlib

from gnomon.core.formats.media import decode_text
from gnomon.core.quota import Quota
from gnomon.model import JsonValue

__all__ = ["read_opaque", "read_text"]


def read_text(data: bytes, charset: str | None, quota: Quota) -> JsonValue:
    r"""Give the lines of a text as an array of strings.

    Lines end with `\n` alone: a `\r` stays, and a text that ends with a line break has an empty last line, so that
    a change of either is seen.

    Raises:
        Unreadable: More lines than the quota has values.
    """
    text = decode_text(data, charset)
    if quota.must_count(len(data)):
        quota.take(text.count("\n") + 1)
    lines: list[JsonValue] = [*text.split("\n")]
    return lines


def read_opaque(data: bytes) -> JsonValue:
    """Give `{size, hash}`: the size in bytes and `sha256:` with the hexadecimal digest."""
    return {"size": len(data), "hash": f"sha256:{hashlib.sha256(data).hexdigest()}"}
