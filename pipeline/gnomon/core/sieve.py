"""A sieve before the patterns: most texts hold no secret, and that can be told at a fraction of the cost.

Whole-buffer translations and searches for fixed texts only. What passes may still hold nothing; what does not pass
holds nothing that the patterns of `core.secrets` and the names of `core.secret_names` could find.
"""

from __future__ import annotations

import re
import string
from typing import Final

from gnomon.core.secret_names import NAME_WORDS, WHOLE_NAMES, is_secret_name

__all__ = [
    "SHORTEST",
    "fold",
    "has_long_word",
    "is_plain_target",
    "is_plain_value",
    "may_hold_card",
    "may_hold_name",
]

SHORTEST: Final = 8
"""No text of fewer characters holds a secret that could be found."""

_SMALL: Final = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_FOLD: Final = bytes.maketrans(
    (string.ascii_uppercase + string.digits).encode(), (string.ascii_lowercase + "0" * 10).encode()
)
_CARD_DIGITS: Final = (b"0" * 13, b"0000 000", b"0000-000")

_WORD: Final = (string.ascii_letters + string.digits + "_-").encode()
_AS_WORD: Final = bytes.maketrans(_WORD, b"x" * len(_WORD))
_LONG_WORD: Final = b"x" * 16

# Without vowels, digits and separators, `api_key`, `API key` and `apikey` are one short text in a text half as long.
_KEPT: Final = b'bcdfghjklmnpqrstvwxyz"='
_LEFT_OUT: Final = bytes(byte for byte in range(256) if byte not in _KEPT + _KEPT.upper())


def _skeleton(text: bytes) -> bytes:
    return text.translate(_SMALL, _LEFT_OUT)


def _skeletons() -> tuple[bytes, ...]:
    """Return the shortest texts one of which is in the skeleton of every text that holds a secret's name."""
    found = {_skeleton(word.encode()) for word in NAME_WORDS}
    for name in WHOLE_NAMES:
        bones = _skeleton(name.encode())
        found |= {b'"' + bones + b'"', bones + b"="}
    return tuple(sorted(bones for bones in found if not any(other in bones for other in found - {bones})))


_NAMES: Final = _skeletons()


# A token is a word of 16 characters or more, a card number has 13 digits or groups of four, and credentials follow the
# word that says so: a text of other words, between characters that no name or URL needs, holds no secret.
_PLAIN_WORD: Final = r"(?![0-9]{4}[ -])(?!(?i:bearer|basic))[A-Za-z0-9_-]{1,12}+(?![A-Za-z0-9_-])"
_PLAIN_TARGET: Final = re.compile(rf"(?:[/.~]|{_PLAIN_WORD})*+(?:\?((?:[/.~=&]|{_PLAIN_WORD})*+))?", re.ASCII)
_PLAIN_VALUE: Final = re.compile(rf'"(?:[ ./:,;!?()+*#]|{_PLAIN_WORD})*+"|[^"\[{{]*+', re.ASCII)


def is_plain_target(target: str) -> bool:
    """Tell, fast, that a request target holds nothing that could be a secret; False says nothing."""
    plain = _PLAIN_TARGET.fullmatch(target)
    if plain is None:
        return False
    query = plain[1]
    return not query or not any(is_secret_name(pair.partition("=")[0]) for pair in query.split("&"))


def is_plain_value(text: str) -> bool:
    """Tell, fast, that the JSON text of a value is a number or a string without a secret; False says nothing."""
    return _PLAIN_VALUE.fullmatch(text) is not None


def fold(text: str) -> bytes:
    """Return a text with letters small and every digit as 0."""
    return text.encode("utf-8", "replace").translate(_FOLD)


def has_long_word(folded: bytes) -> bool:
    """Tell whether a text has a word of 16 characters, as every token has."""
    return _LONG_WORD in folded.translate(_AS_WORD)


def may_hold_card(folded: bytes) -> bool:
    """Tell whether a text has digits enough in a row, or in groups, for a card number."""
    return any(digits in folded for digits in _CARD_DIGITS)


def may_hold_name(text: str) -> bool:
    """Tell whether a text may hold a secret's name: a JSON member's, or that of a parameter of a query."""
    if len(text) < SHORTEST:
        return False
    data = text.encode("utf-8", "replace")
    if b'"' not in data and b"=" not in data:
        return False
    if b"\\" in data and b"\\u00" in data:
        return True
    bones = _skeleton(data)
    for name in _NAMES:
        if name in bones:
            return _holds_word(data)
    return False


def _holds_word(data: bytes) -> bool:
    """Look for the names themselves."""
    small = data.translate(_SMALL)
    return any(word in small for word in _WORDS)


_WORDS: Final = (
    *(word.encode() for word in NAME_WORDS),
    *(b'"' + name.encode() for name in sorted(WHOLE_NAMES)),
    *(name.encode() + b"=" for name in sorted(WHOLE_NAMES)),
)
