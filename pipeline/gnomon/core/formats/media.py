"""Media types: what a `content-type` header says, and text in the character set it names."""

from __future__ import annotations

import codecs
import re

import msgspec

__all__ = ["MediaType", "decode_text", "known_charset", "parse_media_type"]

_PARAMETER = re.compile(r";\s*([^\s=;\"]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^;]*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

# Python knows codecs that are slow on purpose-made input (idna, punycode) or make lone surrogates (utf-7): only the
# character sets of the WHATWG Encoding Standard, under Python's names for them.
_CHARSETS = frozenset(
    {"ascii", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "koi8-r", "koi8-u"}
    | {"mac-roman", "cp866", "cp874", "cp932", "cp949", "gb2312", "gbk", "gb18030", "big5", "big5hkscs", "tis-620"}
    | {"shift_jis", "euc_jp", "euc_kr", "iso2022_jp"}
    | {f"cp{page}" for page in range(1250, 1259)}
    | {f"iso8859-{part}" for part in range(1, 17)}
)


class MediaType(msgspec.Struct, frozen=True):
    """A media type in lower case, such as `text/html`, and its parameters by lower-case name."""

    name: str
    parameters: dict[str, str] = {}

    @property
    def charset(self) -> str | None:
        """The character set it names, if it is one that bodies are read in."""
        return known_charset(self.parameters.get("charset", ""))


def parse_media_type(value: str) -> MediaType:
    """Parse a `content-type` or `content-disposition` value leniently; of types joined by commas the first counts."""
    name, semicolon, rest = value.partition(";")
    name = name.partition(",")[0].strip().lower()
    parameters: dict[str, str] = {}
    for match in _PARAMETER.finditer(semicolon + rest):
        text = match[2].strip()
        if text.startswith('"'):
            text = _ESCAPE.sub(r"\1", text[1:-1])
        parameters.setdefault(match[1].lower(), text)
    return MediaType(name, parameters)


def known_charset(name: str) -> str | None:
    """Give Python's name of a character set, or None where it is unknown or not fit for hostile text."""
    try:
        known = codecs.lookup(name.strip().strip("\"'")).name
    except (LookupError, ValueError):
        return None
    return known if known in _CHARSETS else None


def decode_text(data: bytes, charset: str | None) -> str:
    """Decode text without losing anything: in its character set, else UTF-8, else one character per byte."""
    for name in (charset or "utf-8", "utf-8"):
        try:
            return data.decode(name)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")
