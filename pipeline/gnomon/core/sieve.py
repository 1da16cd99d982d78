"""A sieve before the patterns: most texts hold no secret, and that can be told at a fraction of the cost.

Whole-buffer translations, splits and searches for fixed texts only. What passes may still hold nothing; what does not
pass holds nothing that the patterns of `core.secrets` and the names of `core.secret_names` could find.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import repeat
from operator import itemgetter
from typing import Final

from gnomon.core.secret_names import LABELS, NAME_WORDS, VALUES, WHOLE_NAMES, is_secret_name

__all__ = [
    "SHORTEST",
    "fold",
    "has_long_word",
    "holds_name",
    "is_plain_target",
    "is_plain_value",
    "may_hold_card",
    "may_hold_name",
]

SHORTEST: Final = 8
"""No text of fewer characters holds a secret that could be found."""

_FOLD: Final = bytes.maketrans(
    (string.ascii_uppercase + string.digits).encode(), (string.ascii_lowercase + "0" * 10).encode()
)
_CARD_DIGITS: Final = (b"0" * 13, b"0000 000", b"0000-000")

_WORD: Final = (string.ascii_letters + string.digits + "_-").encode()
_AS_WORD: Final = bytes.maketrans(_WORD, b"x" * len(_WORD))
_LONG_WORD: Final = b"x" * 16

# A token is a word of 16 characters or more, a card number has 13 digits or groups of four, and credentials follow the
# word that says so: a text of other words, between characters that no name or URL needs, holds no secret. A colon is
# plain within a time and before the host of a URL.
_PLAIN_WORD: Final = r"(?![0-9]{4}[ -])(?!(?i:bearer|basic))[A-Za-z0-9_-]{1,12}+(?![A-Za-z0-9_-])"
_PLAIN_TARGET: Final = re.compile(rf"(?:[/.~]|{_PLAIN_WORD})*+(?:\?((?:[/.~=&]|{_PLAIN_WORD})*+))?", re.ASCII)
_PLAIN_COLON: Final = r"(?<=[0-9][0-9]):(?=[0-9][0-9])|:(?=//)"
_PLAIN_VALUE: Final = re.compile(rf'"(?:[ ./,;!?()+*#]|{_PLAIN_WORD}|{_PLAIN_COLON})*+"|[^"\[{{]*+', re.ASCII)

# Escapes of JSON that could spell a letter or a separator in a name: ASCII and what looks like it, but not the letters
# of most other scripts.
_ESCAPES: Final = re.compile(r"\\u(?:0[0-3]|1[dDeE]|2|3[0-3]|[dD]8|[fF][bBeEfF])")
_ESCAPED_CONTROL: Final = re.compile(r"\\+[bfnrt]?")

_SMALL: Final = string.ascii_uppercase.encode(), string.ascii_lowercase.encode()
_SQUEEZED: Final = bytes.maketrans(*_SMALL)
# Letters, digits and the line ends between names stay; in steps, what is between those of a name becomes a line end.
_BETWEEN: Final = bytes(code for code in range(256) if not (chr(code).isalnum() and code < 128) and code != 10)
_STEPS: Final = bytes(code for code in range(128) if not chr(code).isalnum() and chr(code) not in "_-")
_IN_STEPS: Final = bytes.maketrans(_SMALL[0] + _STEPS, _SMALL[1] + b"\n" * len(_STEPS))
_BETWEEN_STEPS: Final = bytes(code for code in _BETWEEN if code not in _STEPS)

_WORDS: Final = tuple(word.encode() for word in (*NAME_WORDS, "authorization"))
_WHOLE: Final = frozenset(prefix + name.encode() for name in WHOLE_NAMES for prefix in (b"", b"x"))
# As they are written most often; any other way comes to light by the label's own text.
_LABEL_NAMES: Final = frozenset(
    spelled
    for name in (*LABELS, "headerName", "header_name", "fieldName", "field_name")
    for spelled in (name, name.capitalize(), name.upper(), f"{name}\\")
)
_LABELS: Final = frozenset(name.encode() for name in LABELS)
_VALUES: Final = frozenset(name.encode() for name in VALUES)

_NESTED: Final = re.compile(r"\[\s{0,64}+\[")
_FIRST: Final = re.compile(r"""\[\s{0,64}+\\*+"([^"\\]{2,128}+)\\*+"\s{0,64}+,""")
_TAGS: Final = re.compile(r"<([^<>]{1,256}+)")
_LEAVES: Final = re.compile(r"<(?:[\w.-]{1,64}+:)?(?:key|name)(?:\s[^<>]{0,256}+)?>([^<]{1,128}+)", re.IGNORECASE)

_LAST: Final = itemgetter(2)
_SECRET: Final = 1
_LABELS_VALUES: Final = 2
_TAIL: Final = 160
_MANY: Final = 32
# `00:00:00` has another colon than the `00:00` in it.
_PLAIN_COLONS: Final = (b"://", b"00:00", b"00:00:00")


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


def holds_name(names: str) -> bool:
    """Tell whether one of some names, a line each, may be that of a secret; any text will do."""
    return bool(_judged(names) & _SECRET)


def may_hold_name(text: str, folded: bytes) -> bool:
    """Tell whether a text may hold a secret's name where a name stands: before `:` or `=`, in a tag, in a pair.

    Args:
        text: The text.
        folded: The same, folded.
    """
    if len(text) < SHORTEST:
        return False
    if "\\u" in text and _ESCAPES.search(text):
        return True
    if text.count("=") > _MANY:  # markup: every second word may be a name
        return holds_name(text)
    if ":" in text and _is_before_colon(text, folded):
        return True
    if "=" in text and holds_name("\n".join([_last_word(piece) for piece in text.split("=")[:-1]])):
        return True
    if "[" in text and _NESTED.search(text) and holds_name("\n".join(_FIRST.findall(text))):
        return True
    return "<" in text and holds_name("\n".join((*_TAGS.findall(text), *_LEAVES.findall(text))))


def _is_before_colon(text: str, folded: bytes) -> bool:
    pieces = text.split('":')
    members = len(pieces) - 1
    if members:
        # Each once, in their order: most bodies of an endpoint have the same.
        names = "\n".join(dict.fromkeys(_names(pieces[:-1])))
        found = _remembered(names) if len(names) <= _LONGEST_REMEMBERED else _judged(names)
        if found & _SECRET or (found & _LABELS_VALUES and _holds_label(pieces)):
            return True
    colons = text.count(":") - members
    # Those of URLs and of times are left out first; what else is before a colon may be a name.
    if not colons or colons == sum(map(folded.count, _PLAIN_COLONS)):
        return False
    return holds_name("\n".join([_last_word(piece) for piece in text.split(":")[:-1] if piece[-1:] != '"']))


def _names(pieces: list[str]) -> Iterable[str]:
    """Give what follows the last quote of each piece of a text."""
    return map(_LAST, map(str.rpartition, pieces, repeat('"')))


def _holds_label(pieces: list[str]) -> bool:
    """Tell whether a member that names another one's value, `"name": "password"`, may hold a secret's name."""
    after = zip(_names(pieces), pieces[1:], strict=False)
    told = [piece.split('"', 2)[1:2] for name, piece in after if name in _LABEL_NAMES]
    return holds_name("\n".join([name for names in told for name in names]))


def _last_word(piece: str) -> str:
    """Return what may be a name at the end of a text, with or without quotes."""
    words = piece[-_TAIL:].rstrip(" \t\r\n>").rstrip("\"'\\")
    words = words[max(words.rfind('"'), words.rfind("'")) + 1 :]
    return words.rpartition(" ")[2] if piece[-1:] not in "\"' \t\r\n" else words


def _judged(names: str) -> int:
    """Look for the words of secrets' names, and for names of labels and values, in names, a line each."""
    if not names:
        return 0
    if "\\" in names:
        names += "\n" + _ESCAPED_CONTROL.sub("", names)
    try:
        data = names.encode("latin-1")  # of these characters none is another way to write a letter of a name
    except UnicodeEncodeError:
        data = unicodedata.normalize("NFKC", names).casefold().encode("utf-8", "replace")
    squeezed = data.translate(_SQUEEZED, _BETWEEN)
    for word in _WORDS:
        if word in squeezed:
            return _SECRET
    steps = frozenset(data.translate(_IN_STEPS, _BETWEEN_STEPS).split(b"\n"))
    if not steps.isdisjoint(_WHOLE) or not _WHOLE.isdisjoint(squeezed.split(b"\n")):
        return _SECRET
    return 0 if steps.isdisjoint(_LABELS) or steps.isdisjoint(_VALUES) else _LABELS_VALUES


_LONGEST_REMEMBERED: Final = 4096
_remembered: Final = lru_cache(maxsize=512)(_judged)
