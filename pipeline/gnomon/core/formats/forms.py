"""URL-encoded forms."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from gnomon.core.formats.media import decode_text
from gnomon.core.quota import Quota
from gnomon.model import JsonValue

__all__ = ["read_form"]

_VALUES_A_FIELD = 2


def read_form(data: bytes, charset: str | None, quota: Quota) -> JsonValue:
    """Read `application/x-www-form-urlencoded` as an object of name to array of values, in order of appearance.

    Raises:
        Unreadable: More fields, each an array and a value, than the quota allows.
    """
    if quota.must_count(len(data)):
        quota.take(_VALUES_A_FIELD * (data.count(b"&") + 1))
    form: dict[str, list[JsonValue]] = {}
    for field in data.strip(b"\r\n").replace(b"+", b" ").split(b"&"):
        if field:
            name, _, value = field.partition(b"=")
            form.setdefault(_decode(name, charset), []).append(_decode(value, charset))
    return dict(form)


def _decode(encoded: bytes, charset: str | None) -> str:
    return decode_text(unquote_to_bytes(encoded), charset)
