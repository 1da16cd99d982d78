"""Shapes that give a secret away.

They are those of tokens whose issuers gave them a prefix to be found by, of credentials in `Bearer`, `Basic` and URLs,
of private keys and of card numbers. A long random string without such a shape is left alone: ids look the same, and
nobody could read a difference without them.

Every pattern starts at a boundary and takes what it takes for good (possessive or bounded quantifiers), so that the
work is linear in the length of hostile text.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import partial
from typing import Final

from gnomon.core.cards import replace_cards
from gnomon.core.secret_text import replace_parameters
from gnomon.core.sieve import SHORTEST, fold, has_long_word, may_hold_card, may_hold_name

__all__ = ["may_hold_secret", "may_hold_shape", "may_hold_shape_in_binary", "replace_secrets"]

Replace = Callable[[str], str]


def _whole(replace: Replace, match: re.Match[str]) -> str:
    return replace(match[0])


def _second(replace: Replace, match: re.Match[str]) -> str:
    """Keep what says that it is a secret, replace the secret."""
    return match[1] + replace(match[2])


def _bearer(replace: Replace, match: re.Match[str]) -> str:
    """Tell credentials from prose, `bearer of news`: they hold a digit or are long."""
    credential = match[2]
    if len(credential) >= 32 or any(character.isdigit() for character in credential):
        return match[1] + replace(credential)
    return match[0]


def _basic(replace: Replace, match: re.Match[str]) -> str:
    """Tell credentials from prose, `basic authentication`: they are base64 of `user:password` (RFC 7617)."""
    credential = match[2]
    try:
        decoded = base64.b64decode(credential.rstrip("=") + "=" * (-len(credential.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return match[0]
    return match[1] + replace(credential) if b":" in decoded else match[0]


def _with_digit(replace: Replace, match: re.Match[str]) -> str:
    """Tell a key from a word with dashes, `sk-something-with-dashes`."""
    return replace(match[0]) if any(character.isdigit() for character in match[0]) else match[0]


_Shape = tuple[bytes, tuple[bytes, ...], re.Pattern[str], Callable[[Replace, re.Match[str]], str]]
"""A byte, one of some texts, then the pattern and what to make of a match.

A text must hold the byte and one of the texts, letters small and digits as 0, for the pattern to be tried on it:
searching for a fixed text is far cheaper.
"""

_START: Final = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrtbf]))"

_SHORT_SHAPES: Final[tuple[_Shape, ...]] = (
    (
        b"b",
        (b"bearer",),
        re.compile(r"((?<![A-Za-z0-9])bearer[ :]{1,4})([A-Za-z0-9._~+/-]{8,}+=*+)", re.ASCII | re.IGNORECASE),
        _bearer,
    ),
    (
        b"b",
        (b"basic ",),
        re.compile(r"((?<![A-Za-z0-9])basic {1,4})([A-Za-z0-9+/]{4,}+=*+)", re.ASCII | re.IGNORECASE),
        _basic,
    ),
    (
        b"-",
        (b"-----begin",),
        re.compile(
            r'-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^"-]*+(?:-(?!----END)[^"-]*+)*+'
            r"(?:-----END [A-Z0-9 ]{0,60}-----)?"
        ),
        _whole,
    ),
    (b"@", (b"://",), re.compile(r'(://[^/\s:@"]*+(?<!redacted):)([^/\s@"]++)(?=@)'), _second),
)
# Those of 16 characters and more in one word.
_LONG_SHAPES: Final[tuple[_Shape, ...]] = (
    (
        b"j",
        (b"eyj",),
        re.compile(
            # Of one that was cut, header and claims, both of which are objects in base64
            _START + r"eyJ[\w-]{13,}+(?:\.eyJ[\w-]++(?:\.[\w-]*+)?|\.[\w-]{4,}+\.[\w-]*+|\.\.[\w-]{4,}+)"
            r"(?:\.[\w-]++){0,2}",
            re.ASCII,
        ),
        _whole,
    ),
    (
        b"a",
        (b"akia", b"asia"),
        re.compile(r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))A(?:KI|SI)A[A-Z0-9]{16}(?![A-Za-z0-9])", re.ASCII),
        _whole,
    ),
    (
        b"_",
        (b"gh", b"github_pat_", b"k_live_", b"k_test_", b"npm_", b"whsec_", b"hf_", b"shp"),
        re.compile(
            _START + r"(?:gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_\w{20,}+|npm_[A-Za-z0-9]{30,}+"
            r"|[rs]k_(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9+/]{20,}+|hf_[A-Za-z0-9]{30,}+"
            r"|shp(?:at|ss|ca)_\w{20,}+)",
            re.ASCII,
        ),
        _whole,
    ),
    (b"x", (b"xox", b"xapp-"), re.compile(_START + r"x(?:ox[a-z]|app)-[A-Za-z0-9-]{11,}+", re.ASCII), _whole),
    (
        b"a",
        (b"aiza", b"ya00."),
        re.compile(_START + r"(?:AIza[\w-]{35,}+|ya29\.[\w-]{20,}+)", re.ASCII),
        _whole,
    ),
    (
        b"-",
        (b"sk-", b"glpat-"),
        re.compile(_START + r"(?:sk-[\w-]{20,}+|glpat-[\w-]{20,}+)", re.ASCII),
        _with_digit,
    ),
)
_SHAPES: Final = _LONG_SHAPES + _SHORT_SHAPES

# In binary data what stands before a string is its length, which may look like a letter.
_BOUNDARIES: Final = (_START, r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))", r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])")


def _unbounded(pattern: re.Pattern[str]) -> re.Pattern[str]:
    source = pattern.pattern
    for boundary in _BOUNDARIES:
        source = source.replace(boundary, "")
    return re.compile(source, pattern.flags)


_IN_BINARY: Final = {shape[2]: _unbounded(shape[2]) for shape in _SHAPES}


def may_hold_secret(text: str) -> bool:
    """Tell, fast and for the whole of a text, whether something in it may have the name or the shape of a secret.

    True for some texts that hold nothing; never False for one that does. JSON's escapes of ASCII characters count as
    something, for they could spell anything.
    """
    if len(text) < SHORTEST:
        return False
    folded = fold(text)
    return may_hold_name(text, folded) or _may_hold_shape(text, folded)


def may_hold_shape(text: str) -> bool:
    """Tell the same for shapes alone: whether `replace_secrets` could find something but for named parameters."""
    return len(text) >= SHORTEST and _may_hold_shape(text, fold(text))


def _may_hold_shape(text: str, folded: bytes) -> bool:
    escaped = b"\\" in folded
    if escaped and b"\\u00" in folded:
        return True
    if may_hold_card(folded) and (escaped or replace_cards(text, _probe) != text):
        return True
    # The n of an escaped line end would look like the beginning of a longer word.
    return any(escaped or shape[2].search(text) for shape in _possible(folded))


def may_hold_shape_in_binary(text: str) -> bool:
    """Tell whether binary data, a character for each byte, hold a string that is shaped like a secret."""
    folded = fold(text)
    if may_hold_card(folded) and replace_cards(text, _probe) != text:
        return True
    return any(_IN_BINARY[shape[2]].search(text) for shape in _possible(folded))


def _probe(found: str) -> str:
    return found + "?"


def _possible(folded: bytes) -> list[_Shape]:
    """Return the shapes that a text may hold by the fixed texts in it."""
    shapes = _SHAPES if has_long_word(folded) else _SHORT_SHAPES
    return [shape for shape in shapes if shape[0] in folded and any(literal in folded for literal in shape[1])]


def replace_secrets(text: str, replace: Replace, *, keep_numbers: bool = False) -> str:
    """Replace what is shaped like a secret anywhere in a text: tokens, credentials, keys, card numbers.

    Args:
        text: A decoded string, or a raw text. The work is linear in its length.
        replace: Gets a secret and gives what stands in its place; must leave what it gave before.
        keep_numbers: The text is JSON or a piece of it, its numbers are to stay.
    """
    if len(text) < SHORTEST:
        return text
    folded = fold(text)
    for _, _, pattern, substitute in _possible(folded):
        text = pattern.sub(partial(substitute, replace), text)
    if b"=" in folded:
        text = replace_parameters(text, replace)
    if may_hold_card(folded):
        text = replace_cards(text, replace, keep_numbers=keep_numbers)
    return text
