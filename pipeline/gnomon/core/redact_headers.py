"""Redaction of headers, cookies and request targets: names stay, what they hold does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from gnomon.core.blind import Blinder
from gnomon.core.redact_json import Places
from gnomon.core.secret_names import is_secret_header, is_secret_name, plain_name
from gnomon.core.secret_text import replace_named
from gnomon.core.secrets import may_hold_secret, replace_secrets
from gnomon.core.sieve import is_plain_target
from gnomon.model import Header

__all__ = ["HeaderRedaction", "redact_fields", "redact_header", "redact_headers", "redact_target", "remember_headers"]

HeaderRedaction: TypeAlias = Callable[[str, str], Header]
"""Gets the name of a header and its value, gives the header redacted."""

_MOST_REMEMBERED: Final = 8192
_LONGEST_REMEMBERED: Final = 256
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,31}\s+)(\S.*)", re.DOTALL)
_CHALLENGES: Final = frozenset({"www-authenticate", "proxy-authenticate"})
# What continues a handshake is one piece of base64 (RFC 4559); a challenge's parameters are no secrets.
_HANDSHAKE: Final = re.compile(r"(\s*(?:negotiate|ntlm|kerberos)\s+)([A-Za-z0-9+/_~.-]+=*)(\s*)", re.IGNORECASE)
_URLS: Final = frozenset(
    {"location", "content-location", "referer", ":path", "x-original-url", "x-forwarded-uri", "x-envoy-original-path"}
)
# A comma that begins another cookie; the one within `Expires=Wed, 21 Oct` does not.
_NEXT_COOKIE: Final = re.compile(r"(,\s*(?=[^;,=\s]+=)|\n)")
_ATTRIBUTES: Final = frozenset(
    {"expires", "max-age", "domain", "path", "secure", "httponly", "samesite", "priority", "partitioned", "version"}
)
# Characters of a mark and of ordinary paths and queries that need no encoding.
_PATH_SAFE: Final = "!$&'()*+,:=@~"
_QUERY_SAFE: Final = "!$'()*,/:@~?{}[]"


def redact_headers(headers: Sequence[Header], place: Places, blinder: Blinder, redact: HeaderRedaction) -> list[Header]:
    """Redact all headers (or trailers); `place` is that of `headers` in the compared document.

    Args:
        headers: Names and values.
        place: Where they stand, with the rules for them.
        blinder: Makes the marks that rules ask for.
        redact: Redacts a value by its name and by what is in it: `redact_header`, remembered or not.
    """
    if place.dead:
        return [redact(name, value) for name, value in headers]
    redacted = []
    for name, value in headers:
        how = place.child(name.lower()).redact
        shown = redact(name, value)
        redacted.append(shown if how is None else (shown[0], str(blinder.value(value, how))))
    return redacted


def remember_headers(blinder: Blinder) -> HeaderRedaction:
    """Give `redact_header` with a bounded memory: most values of headers come again and again."""
    remembered = lru_cache(maxsize=_MOST_REMEMBERED)(lambda name, value: redact_header(name, value, blinder))

    def redact(name: str, value: str) -> Header:
        if len(value) <= _LONGEST_REMEMBERED:
            return remembered(name, value)
        return redact_header(name, value, blinder)

    return redact


def redact_header(name: str, value: str, blinder: Blinder) -> Header:
    """Redact one header: its value by its name, in any case, and by what is in it; its name by its shape."""
    return replace_secrets(name, blinder.text), _header_value(name, value, blinder)


def _header_value(name: str, value: str, blinder: Blinder) -> str:
    lower = name.strip().lower()
    if lower in _CHALLENGES:
        handshake = _HANDSHAKE.fullmatch(value)
        if handshake is not None:
            return handshake[1] + blinder.text(handshake[2]) + handshake[3]
    if not is_secret_header(name) and not may_hold_secret(value):
        return value
    if lower == "cookie":
        return replace_secrets(";".join(_cookie(pair, blinder) for pair in value.split(";")), blinder.text)
    if lower == "set-cookie":
        parts = _NEXT_COOKIE.split(value)
        cookies = [part if index % 2 else _set_cookie(part, blinder) for index, part in enumerate(parts)]
        return replace_secrets("".join(cookies), blinder.text)
    if plain_name(name).endswith("authorization"):
        scheme = _SCHEME.fullmatch(value)
        return scheme[1] + blinder.text(scheme[2]) if scheme else blinder.text(value)
    if is_secret_header(name):
        return blinder.text(value)
    value = replace_named(replace_secrets(value, blinder.text), blinder.text)
    return redact_target(value, blinder) if lower in _URLS and "?" in value else value


def _cookie(pair: str, blinder: Blinder) -> str:
    """Redact the value of `name=value`; what has no name is a value (RFC 6265, section 5.2)."""
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", pair
    stripped = value.strip()
    padding = value[: len(value) - len(value.lstrip())]
    return f"{name}{equals}{padding}{blinder.text(stripped)}" if stripped else pair


def _set_cookie(cookie: str, blinder: Blinder) -> str:
    pair, *attributes = cookie.split(";")
    kept = [
        attribute if attribute.partition("=")[0].strip().lower() in _ATTRIBUTES else _cookie(attribute, blinder)
        for attribute in attributes
    ]
    return ";".join([_cookie(pair, blinder), *kept])


def redact_target(target: str, blinder: Blinder) -> str:
    """Redact a request target or a URL: secret-named parameters, a password, and other secrets anywhere in it."""
    if is_plain_target(target):
        return target
    target, hash_sign, fragment = target.partition("#")
    path, question, query = target.partition("?")
    if "%" in path or may_hold_secret(path):
        path = "/".join(_segment(segment, blinder) for segment in replace_secrets(path, blinder.text).split("/"))
    return f"{path}{question}{redact_fields(query, blinder)}{hash_sign}{redact_fields(fragment, blinder)}"


def _segment(segment: str, blinder: Blinder) -> str:
    if "%" not in segment:
        return segment
    text = unquote(segment)
    redacted = replace_secrets(text, blinder.text)
    return segment if redacted == text else quote(redacted, safe=_PATH_SAFE, errors="replace")


def redact_fields(fields: str, blinder: Blinder, place: Places | None = None) -> str:
    """Redact the values of `a=1&b=2`, of a query or of a form; `place` is that of the form in the compared document."""
    ruled = place is not None and not place.dead
    if not ruled and "=" not in fields and not may_hold_secret(fields):
        return fields
    seen: dict[str, int] = {}
    pairs = []
    for pair in fields.split("&"):
        written, equals, value = pair.partition("=")
        plain, name = unquote_plus(written), _field(written, blinder)
        here = None
        if ruled and place is not None:
            index = seen[plain] = seen.get(plain, -1) + 1
            here = place.child(plain).item(index).redact
        if here is not None:
            pairs.append(f"{name}={blinder.value(unquote_plus(value), here)}")
        elif is_secret_name(plain) and value:
            pairs.append(f"{name}={blinder.text(unquote_plus(value))}")
        elif equals:
            pairs.append(f"{name}={_field(value, blinder)}")
        else:
            pairs.append(name)
    return "&".join(pairs)


def _field(value: str, blinder: Blinder) -> str:
    """Redact what is shaped like a secret in an encoded value, which may hold JSON; else leave it as it was."""
    text = unquote_plus(value) if "%" in value or "+" in value else value
    if not may_hold_secret(text):
        return value
    redacted = replace_named(replace_secrets(text, blinder.text), blinder.text)
    return value if redacted == text else quote_plus(redacted, safe=_QUERY_SAFE, errors="replace")
