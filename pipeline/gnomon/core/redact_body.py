"""Redaction of bodies by what they are: JSON in place, forms by field, text by shape, and nothing that cannot be read.

Where a rule redacts something in a body and this module cannot tell where, the body's data are withheld as a whole:
its size and keyed hash still say whether two bodies are equal.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Final

from gnomon.core.blind import Blinder
from gnomon.core.encoding import expand, wire_bytes
from gnomon.core.formats.media import MediaType, parse_media_type
from gnomon.core.json import BOM, Unreadable, loads
from gnomon.core.redact_headers import redact_fields
from gnomon.core.redact_json import Places, redact_json
from gnomon.core.secret_names import is_secret_name, replace_headers, replace_members
from gnomon.core.secrets import may_hold_secret, replace_secrets
from gnomon.model import Body, Header

__all__ = ["MAX_EXPANDED", "hash_body", "redact_body", "redact_raw", "redact_record"]

MAX_EXPANDED: Final = 32 * 2**20
"""How large, in bytes, a body may become when its content encoding is undone."""

_MARK: Final = BOM.decode()
_JSON_LINES: Final = frozenset({"ndjson", "x-ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "x-json-stream"})
_TEXTUAL: Final = re.compile(r"(?:text|multipart)/.*|.*[/+](?:json|xml|yaml|html|javascript|x-www-form-urlencoded)")
_LINES: Final = re.compile(r"(\r\n|\n|\r)")
_BLANK_LINE: Final = re.compile(r"\r?\n\r?\n")


def hash_body(body: Body, blinder: Blinder) -> str | None:
    """Return the keyed hash of a whole body; None where it is truncated and came without a hash.

    Of a body that is all there it is the HMAC of its bytes on the wire; of a truncated one that of the text of its
    unkeyed hash, `sha256:...`. A hash that is keyed already stays: the bytes may be redacted ones.
    """
    if body.hash is not None and body.hash.startswith("hmac-sha256:"):
        return body.hash
    if not body.truncated:
        try:
            return blinder.digest(wire_bytes(body))
        except Unreadable:
            pass
    return blinder.digest_of_hash(body.hash)


def redact_body(
    body: Body, headers: Sequence[Header], place: Places, blinder: Blinder, max_expanded: int = MAX_EXPANDED
) -> tuple[Body, bool]:
    """Redact a body; `place` is that of `body` in the compared document.

    One that is not text and larger than `max_expanded` bytes without its content encoding is withheld.

    Returns:
        The body with a keyed hash and the size of the original, and whether its content encoding was undone for it.
    """
    digest = hash_body(body, blinder)
    if not body.data:
        return Body(body.data, body.encoding, body.size, digest, body.truncated), False
    content_encoding = _header(headers, "content-encoding")
    media_type = parse_media_type(_header(headers, "content-type"))
    withheld = Body("", "text", body.size, digest, truncated=True)
    try:
        text, charset = _readable(body, content_encoding, max_expanded)
    except Unreadable:
        return withheld, False
    redacted = _redact_text(text, media_type, place, blinder, truncated=body.truncated)
    if redacted == text:
        return Body(body.data, body.encoding, body.size, digest, body.truncated), False
    if redacted is None or (charset is None and not _TEXTUAL.fullmatch(media_type.name)):
        return withheld, False
    try:
        changed = redacted.encode(charset or "latin-1")
    except UnicodeEncodeError:
        return withheld, False
    if charset is None:
        encoded = base64.b64encode(changed).decode()
        return Body(encoded, "base64", body.size, digest, body.truncated), bool(content_encoding)
    return Body(redacted, "text", body.size, digest, body.truncated), bool(content_encoding)


def _header(headers: Sequence[Header], wanted: str) -> str:
    return ", ".join([value for name, value in headers if name.lower() == wanted])


def _readable(body: Body, content_encoding: str, max_expanded: int) -> tuple[str, str | None]:
    """Return the text of a body and its character set: UTF-8, or None for one character per byte.

    Raises:
        Unreadable: Data in base64 that cannot be expanded. Text that cannot is taken as it is: it can be read.
    """
    if body.encoding == "text":
        if not content_encoding:
            return body.data, "utf-8"
        try:
            data = expand(wire_bytes(body), content_encoding, max_expanded)
        except Unreadable:
            return body.data, "utf-8"
    else:
        data = expand(wire_bytes(body), content_encoding, max_expanded)
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), None


def _redact_text(text: str, media_type: MediaType, place: Places, blinder: Blinder, *, truncated: bool) -> str | None:
    """Redact the text of a body; None where a rule may redact something in it that cannot be found."""
    ruled = place.redacts_below()
    if not ruled and not may_hold_secret(text) and "\0" not in text and media_type.name not in _BY_FIELD:
        return text
    subtype = media_type.name.rpartition("/")[2]
    found: str | None
    if subtype.rpartition("+")[2] in {"json", "x-json"} or not media_type.name:
        found = _json(text, place, blinder)
    elif place.redact is not None:
        found = None
    elif subtype in _JSON_LINES:
        found = _json_lines(text, place, blinder)
    elif subtype == "x-www-form-urlencoded":
        found = None if truncated and ruled else redact_fields(text, blinder, place)
    elif media_type.name == "multipart/form-data":
        found = None if truncated and ruled else _multipart(text, media_type, place, blinder)
    elif subtype == "event-stream":
        found = None if ruled else _event_stream(text, place, blinder)
    else:
        found = None if ruled else redact_raw(text, blinder)
    return None if found is not None and _hides_in_nuls(text, blinder) else found


_BY_FIELD: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


def _hides_in_nuls(text: str, blinder: Blinder) -> bool:
    """Tell whether a text without its NULs holds a secret: UTF-16 read as bytes, say."""
    if "\0" not in text:
        return False
    bare = text.replace("\0", "")
    return redact_raw(bare, blinder) != bare


def _json(text: str, place: Places, blinder: Blinder) -> str | None:
    mark = _MARK if text.startswith(_MARK) else ""
    try:
        loads(text.encode("utf-8", "surrogatepass"))
    except Unreadable:
        return None if place.redacts_below() else redact_raw(text, blinder)
    return mark + redact_json(text.removeprefix(_MARK), place, blinder)


def _json_lines(text: str, place: Places, blinder: Blinder) -> str | None:
    pieces = []
    index = 0
    for line in text.split("\n"):
        if line.strip():
            redacted = _json(line, place.item(index), blinder)
            if redacted is None:
                return None
            pieces.append(redacted)
            index += 1
        else:
            pieces.append(line)
    return "\n".join(pieces)


def _event_stream(text: str, place: Places, blinder: Blinder) -> str:
    """Redact the data of server-sent events line by line; `place` has no rules that redact."""
    pieces = _LINES.split(text)
    for index, line in enumerate(pieces):
        if line.startswith("data:"):
            start = 6 if line.startswith("data: ") else 5
            pieces[index] = line[:start] + (_json(line[start:], place, blinder) or "")
        elif line:
            pieces[index] = redact_raw(line, blinder)
    return "".join(pieces)


def _multipart(text: str, media_type: MediaType, place: Places, blinder: Blinder) -> str | None:
    """Redact form data part by part: by the field's name, by a rule for the field, or by shape."""
    boundary = media_type.parameters.get("boundary", "")
    if not boundary:
        return None if place.redacts_below() else redact_raw(text, blinder)
    seen: dict[str, int] = {}
    parts = text.split(f"--{boundary}")
    for number, part in enumerate(parts):
        blank = _BLANK_LINE.search(part)
        if blank is None:
            continue
        name, encoded = _part_headers(part[: blank.start()])
        seen[name] = seen.get(name, -1) + 1
        here = place.child(name).item(seen[name])
        payload = part[blank.end() :]
        content = payload.rstrip("\r\n")
        if here.redact is not None or is_secret_name(name):
            shown = str(blinder.value(content, here.redact or "hash")) if content else content
        elif here.redacts_below() or (encoded and place.redacts_below()):
            return None
        else:
            shown = redact_raw(content, blinder)
        parts[number] = part[: blank.end()] + shown + payload[len(content) :]
    return f"--{boundary}".join(parts)


def _part_headers(text: str) -> tuple[str, bool]:
    """Return the name of a part and whether its content is encoded once more."""
    name, encoded = "", False
    for line in text.splitlines():
        header, _, value = line.partition(":")
        if header.strip().lower() == "content-disposition":
            name = parse_media_type(value).parameters.get("name", "")
        encoded = encoded or header.strip().lower() == "content-transfer-encoding"
    return name, encoded


def redact_raw(text: str, blinder: Blinder) -> str:
    """Redact a text of no known shape: secrets by their own shape, and by the names before them.

    Where it looks like JSON, whole or cut short, numbers stay.
    """
    if not may_hold_secret(text):
        return text
    return _replace_all(text, blinder)


def redact_record(text: str, blinder: Blinder) -> str:
    """Redact the raw text of a record that may be cut short: as `redact_raw`, and headers by their names."""
    return replace_headers(_replace_all(text, blinder), blinder.text)


def _replace_all(text: str, blinder: Blinder) -> str:
    keep_numbers = text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}
    return replace_members(replace_secrets(text, blinder.text, keep_numbers=keep_numbers), blinder.text)
