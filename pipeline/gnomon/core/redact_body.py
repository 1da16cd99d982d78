"""Redaction of bodies by what they are: JSON in place, forms by field, text by shape, and nothing that cannot be read.

Where a rule redacts something in a body and this module cannot tell where, the body's data are withheld as a whole:
its size and keyed hash still say whether two bodies are equal.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from gnomon.core.blind import Blinder
from gnomon.core.encoding import expand, wire_bytes
from gnomon.core.formats.media import MediaType, parse_media_type
from gnomon.core.json import BOM, Unreadable, loads
from gnomon.core.redact_headers import redact_fields
from gnomon.core.redact_json import Places, redact_json, redact_string, replace_text
from gnomon.core.redact_markup import replace_in_markup
from gnomon.core.redact_msgpack import redact_msgpack
from gnomon.core.secret_names import is_secret_name
from gnomon.core.secret_text import replace_named
from gnomon.core.secrets import may_hold_secret, may_hold_shape, may_hold_shape_in_binary, replace_secrets
from gnomon.core.sieve import holds_name
from gnomon.model import Body, Header

__all__ = ["MAX_EXPANDED", "hash_body", "redact_body", "redact_raw", "redact_record"]

MAX_EXPANDED: Final = 32 * 2**20
"""How large, in bytes, a body may be when its content encoding is undone."""

_MARK: Final = BOM.decode()
_JSON_LINES: Final = frozenset({"ndjson", "x-ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "x-json-stream"})
_TEXTUAL: Final = re.compile(r"(?:text|multipart)/.*|.*[/+](?:json|xml|yaml|html|javascript|x-www-form-urlencoded)")
_MSGPACK: Final = frozenset({"application/msgpack", "application/x-msgpack", "application/vnd.msgpack"})
# What text has none of.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
# Bytes that are no text become line ends.
_READABLE: Final = bytes(byte if 32 <= byte < 127 or byte in b"\t\r\n" else 10 for byte in range(256))
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

    One that is larger than `max_expanded` bytes without its content encoding is withheld.

    Returns:
        The body with a keyed hash and the size of the original, and whether its content encoding was undone for it.
    """
    digest = hash_body(body, blinder)
    kept = Body(body.data, body.encoding, body.size, digest, body.truncated)
    if not body.data:
        return kept, False
    content_encoding = _header(headers, "content-encoding")
    media_type = parse_media_type(_header(headers, "content-type"))
    try:
        text, charset = _readable(body, content_encoding, max_expanded)
        redacted = _redact(_Content(text, charset, media_type, body.truncated), place, blinder)
    except Unreadable:
        return Body("", "text", body.size, digest, truncated=True), False
    if redacted == text:
        return kept, False
    if isinstance(redacted, str):
        return Body(redacted, "text", body.size, digest, body.truncated), bool(content_encoding)
    encoded = base64.b64encode(redacted).decode()
    return Body(encoded, "base64", body.size, digest, body.truncated), bool(content_encoding)


class _Content(NamedTuple):
    """What is in a body: text in UTF-8, or a character for each byte where the character set is None."""

    text: str
    charset: str | None
    media_type: MediaType
    truncated: bool


def _redact(content: _Content, place: Places, blinder: Blinder) -> str | bytes:
    """Redact text as text, and what is not in UTF-8 as bytes; the same text where there is nothing to redact.

    Raises:
        Unreadable: Something is to be redacted that cannot be found, or cannot be replaced.
    """
    text, charset, media_type, truncated = content
    if media_type.name in _MSGPACK or media_type.name.endswith("+msgpack"):
        return _redact_msgpack(content, place, blinder)
    if charset is None and media_type.name and not _is_textual(media_type.name):
        if place.redacts_below() or _hides_in_bytes(text, blinder):
            raise _withheld()
        return text
    redacted = _redact_text(text, media_type, place, blinder, truncated=truncated)
    if redacted == text:
        return text
    if redacted is None or _is_binary(text, media_type, charset):
        raise _withheld()
    try:
        changed = redacted.encode(charset or "latin-1")
    except UnicodeEncodeError:
        raise _withheld() from None
    return changed if charset is None else redacted


def _withheld() -> Unreadable:
    return Unreadable("it holds a secret that cannot be replaced")


def _header(headers: Sequence[Header], wanted: str) -> str:
    return ", ".join([value for name, value in headers if name.lower() == wanted])


def _readable(body: Body, content_encoding: str, max_expanded: int) -> tuple[str, str | None]:
    """Return the text of a body and its character set: UTF-8, or None for one character per byte.

    Raises:
        Unreadable: Too large, or data in base64 that cannot be expanded. Text that cannot is taken as it is: it can be
            read.
    """
    if len(body.data) > max_expanded and body.encoding == "text":
        raise Unreadable(f"larger than {max_expanded:,} bytes")
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
    if not ruled and not may_hold_secret(text) and media_type.name not in _BY_FIELD:
        # What is left is binary, or text that is read as such: UTF-16, say
        return None if _hides_in_binary(text, media_type, blinder) else text
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
    if found is not None and _hides_in_binary(found, media_type, blinder):
        return None
    return found


_BY_FIELD: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


@lru_cache(maxsize=1024)
def _is_textual(media_type: str) -> bool:
    return _TEXTUAL.fullmatch(media_type) is not None


def _is_binary(text: str, media_type: MediaType, charset: str | None) -> bool:
    """Tell whether text cannot be replaced in what this is: it has lengths, or is in no character set."""
    if _is_textual(media_type.name):
        return False
    return charset is None or bool(media_type.name and _CONTROLS.search(text))


def _hides_in_bytes(text: str, blinder: Blinder) -> bool:
    """Tell whether binary data, a character for each byte, hold a secret; all may be UTF-16."""
    bare = text.replace("\0", "")
    if may_hold_shape_in_binary(text) or (bare != text and may_hold_shape_in_binary(bare)):
        return True
    wide = len(bare) < len(text) * 3 // 4
    readable = (bare if wide else text).encode("latin-1").translate(_READABLE).decode()
    return replace_named(readable, blinder.text) != readable


def _hides_in_binary(text: str, media_type: MediaType, blinder: Blinder) -> bool:
    """Tell whether what is not text holds a secret: in UTF-16 read as bytes, or in data with no boundaries of words."""
    if "\0" in text:
        bare = text.replace("\0", "")
        if redact_raw(bare, blinder) != bare:
            return True
    if not media_type.name or _is_textual(media_type.name) or not _CONTROLS.search(text):
        return False
    return may_hold_shape_in_binary(text)


def _redact_msgpack(content: _Content, place: Places, blinder: Blinder) -> str | bytes:
    """Redact MessagePack in place.

    Raises:
        Unreadable: A rule holds in it, or it may hold a secret and is cut.
    """
    if place.redacts_below():
        raise _withheld()
    data = content.text.encode(content.charset or "latin-1", "surrogatepass")
    text = data.decode("latin-1")
    shaped = may_hold_shape(text) or may_hold_shape_in_binary(text)
    if not shaped and not holds_name(data.decode(errors="replace")):
        return content.text
    redacted = redact_msgpack(data, lambda found, level: redact_string(found, blinder, secret=level))
    return content.text if redacted == data else redacted


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
        parts[number] = _redact_part_headers(part[: blank.end()], blinder) + shown + payload[len(content) :]
    # A private key, say, may have looked like several parts; and the boundary itself like a secret.
    return replace_secrets(
        f"--{boundary}".join(parts), lambda found: found if found in boundary else blinder.text(found)
    )


def _redact_part_headers(text: str, blinder: Blinder) -> str:
    """Redact the headers of a part, a file's name among them, by shape and by the names of headers."""
    return replace_named(replace_secrets(text, blinder.text), blinder.text, lines=True)


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
    """Redact a text of no known shape: secrets by their own shape, and by the names before them or around them.

    Where it looks like JSON, whole or cut short, numbers stay.
    """
    if not may_hold_secret(text):
        return text
    return replace_text(_replace_shapes(text, blinder), blinder.text, lines=True)


def redact_record(text: str, blinder: Blinder) -> str:
    """Redact the raw text of a record that cannot be read: as `redact_raw`, and whatever follows a secret's name."""
    if "\0" in text:  # UTF-16, say
        bare = text.replace("\0", "")
        redacted = redact_record(bare, blinder)
        return text if redacted == bare else redacted
    text = replace_named(_replace_shapes(text, blinder), blinder.text, lines=True, record=True)
    return replace_in_markup(text, blinder.text) if "<" in text else text


def _replace_shapes(text: str, blinder: Blinder) -> str:
    keep_numbers = text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}
    return replace_secrets(text, blinder.text, keep_numbers=keep_numbers)
