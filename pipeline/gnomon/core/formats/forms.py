"""URL-encoded forms."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from gnomon.core.formats.media import decode_text
from gnomon.core.json import Unreadable
from gnomon.model import JsonValue

__all__ = ["MAX_FIELDS", "read_form"]

MAX_FIELDS = 100_000
"""How many fields a form may have: each becomes objects many times its size."""


def read_form(data: bytes, charset: str | None = None) -> JsonValue:
    """Read `application/x-www-form-urlencoded` as an object of name to array of values, in order of appearance.

    Raises:
        Unreadable: More than `MAX_FIELDS` fields.
    """
    if data.count(b"&") >= MAX_FIELDS:
        raise Unreadable(f"a form of more than {MAX_FIELDS:,} fields")
    form: dict[str, list[JsonValue]] = {}
    for field in data.strip(b"\r\n").replace(b"+", b" ").split(b"&"):
        if field:
            name, _, value = field.partition(b"=")
            form.setdefault(_decode(name, charset), []).append(_decode(value, charset))
    return dict(form)


def _decode(encoded: bytes, charset: str | None) -> str:
    return decode_text(unquote_to_bytes(encoded), charset)
