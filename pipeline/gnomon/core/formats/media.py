"""Media types: what a `content-type` header says, and text in the character set it names."""

from __future__ import annotations

import re
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache

import msgspec

__all__ = ["MediaType", "decode_text", "known_charset", "parse_media_type"]

_PARAMETER = re.compile(r";\s*([^\s=;\"]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^;]*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

# Python knows codecs that are slow on purpose-made input (idna, punycode) or make lone surrogates (utf-7), and keeps
# every name it was ever asked for: only these are, the character sets of the WHATWG Encoding Standard and their kin.
_CHARSETS = frozenset(
    {"ascii", "utf_8", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be", "latin_1"}
    | {"koi8_r", "koi8_u", "mac_roman", "cp866", "cp874", "cp932", "cp949", "gb2312", "gbk", "gb18030", "big5"}
    | {"big5hkscs", "tis_620", "shift_jis", "euc_jp", "euc_kr", "iso2022_jp"}
    | {f"cp{page}" for page in range(1250, 1259)}
    | {f"iso8859_{part}" for part in range(2, 17)}
)
_LONGEST_CHARSET = 40
_LONGEST_READ = 4096


class MediaType(msgspec.Struct, frozen=True):
    """A media type in lower case, such as `text/html`, and its parameters by lower-case name."""

    name: str
    parameters: dict[str, str] = {}

    @property
    def charset(self) -> str | None:
        """The character set it names, if it is one that bodies are read in."""
        named = self.parameters.get("charset")
        return None if named is None else known_charset(named)


def parse_media_type(value: str) -> MediaType:
    """Parse a `content-type` or `content-disposition` value leniently; of types joined by commas the first counts."""
    return _parse_remembered(value) if len(value) <= _LONGEST_REMEMBERED else _parse(value)


def _parse(value: str) -> MediaType:
    value = value[:_LONGEST_READ]  # a pattern on hostile text takes more than linear time
    name, semicolon, rest = value.partition(";")
    name = name.partition(",")[0].strip().lower()
    parameters: dict[str, str] = {}
    for match in _PARAMETER.finditer(semicolon + rest):
        text = match[2].strip()
        if text.startswith('"'):
            text = _ESCAPE.sub(r"\1", text[1:-1])
        parameters.setdefault(match[1].lower(), text)
    return MediaType(name, parameters)


# A service sends the same few over and over
_LONGEST_REMEMBERED = 100
_parse_remembered = lru_cache(maxsize=256)(_parse)


def known_charset(name: str) -> str | None:
    """Give Python's name of a character set, or None where it is unknown or not fit for hostile text."""
    if len(name) > _LONGEST_CHARSET:
        return None
    normal = normalize_encoding(name.strip(" \"'")).lower()
    known = aliases.get(normal, normal)
    return known if known in _CHARSETS else None


def decode_text(data: bytes, charset: str | None) -> str:
    """Decode text without losing anything: in its character set, else UTF-8, else one character per byte."""
    for name in (charset or "utf_8", "utf_8"):
        try:
            return data.decode(name)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")
