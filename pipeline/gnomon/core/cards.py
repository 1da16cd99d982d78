"""Payment card numbers in text: an issuer's prefix and length (ISO/IEC 7812-1) and a valid check digit (Luhn, 1960).

A string of digits that only looks like one is left alone: ids stay readable. One in ten numbers of the right length
and prefix has a valid check digit by chance, so such an id may be taken for a card; it is still comparable then.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["is_card_number", "replace_cards"]

# Groups of digits with one space or dash between them. Possessive: what is matched is never given back.
_RUN = re.compile(r"(?<![0-9])[0-9]{4,}+(?:[ -][0-9]++)*+", re.ASCII)
_GROUP = re.compile(r"[0-9]+", re.ASCII)
_WORD_BEFORE = re.compile(r"[0-9A-Za-z]*\Z", re.ASCII)
_WORD_AFTER = re.compile(r"[0-9A-Za-z]*", re.ASCII)
_HEX = re.compile(r"[0-9A-Fa-f]+", re.ASCII)
_MARK = "redacted:hmac-sha256:"
_MARK_DIGITS = 16
_LONGEST_WORD = 64

_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{17,18})"  # Visa
    r"|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2}|60[0-9]{2}|8[12][0-9]{2})[0-9]{12,15}"  # Discover, RuPay, UnionPay 81
    r"|62[0-9]{14,17}"  # UnionPay
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # JCB
    r"|3(?:0[0-5]|095|6[0-9]|[89][0-9])[0-9]{11,16}"  # Diners Club
    r"|220[0-4][0-9]{12,15}"  # Mir
    r"|(?:50|5[6-8]|67)[0-9]{11,17}|(?:6304|6390)[0-9]{9,15}",  # Maestro
    re.ASCII,
)
_DOUBLED = str.maketrans("0123456789", "0246813579")


def is_card_number(digits: str) -> bool:
    """Tell whether 13 to 19 digits have an issuer's prefix, that issuer's length and a valid check digit."""
    if not _ISSUERS.fullmatch(digits):
        return False
    doubled = digits[-2::-2].translate(_DOUBLED)
    return (sum(map(int, digits[::-2])) + sum(map(int, doubled))) % 10 == 0


def replace_cards(text: str, replace: Callable[[str], str], *, keep_numbers: bool = False) -> str:
    """Replace every card number in a text, written in one piece or in groups.

    Args:
        text: Any text; the work is linear in its length.
        replace: Gets the number as written and gives what stands in its place.
        keep_numbers: The text is JSON or a piece of it: digits that stand there as a number are left alone.
    """
    pieces: list[str] = []
    done = 0
    for run in _RUN.finditer(text):
        for start, end in _cards_in(text, run):
            if keep_numbers and _is_json_number(text, start, end):
                continue
            pieces += (text[done:start], replace(text[start:end]))
            done = end
    return "".join((*pieces, text[done:])) if pieces else text


def _cards_in(text: str, run: re.Match[str]) -> list[tuple[int, int]]:
    """Return where in a run of groups card numbers are, from left to right."""
    groups = [group.span() for group in _GROUP.finditer(text, run.start(), run.end())]
    found = []
    first = 0
    while first < len(groups):
        last = _last_group(text, groups, first)
        if last is not None:
            found.append((groups[first][0], groups[last][1]))
            first = last
        first += 1
    return found


def _last_group(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """Return the last group of the longest card number that starts with a group."""
    start, end = groups[first]
    best = None
    if 13 <= end - start <= 19 and is_card_number(text[start:end]) and not _is_part_of_id(text, start, end):
        best = first
    if end - start < 4 or _joined(text[max(0, start - 2) : start][::-1]):
        return best
    digits = text[start:end]
    for last in range(first + 1, min(first + 6, len(groups))):
        # Groups are of three digits and more, but for the last of several.
        if groups[max(last - 1, first + 1)][1] - groups[max(last - 1, first + 1)][0] < 3:
            break
        digits += text[groups[last][0] : groups[last][1]]
        if len(digits) > 19:
            break
        after = text[groups[last][1] : groups[last][1] + 2]
        if len(digits) >= 13 and not _joined(after) and is_card_number(digits):
            best = last
    return best


def _joined(neighbours: str) -> bool:
    """Tell whether the two characters beside a number, nearest first, make it a part of an id such as a UUID."""
    near, far = neighbours[:1], neighbours[1:]
    return _is_word(near) or (near == "-" and _is_word(far))


def _is_word(character: str) -> bool:
    return character.isalnum() and character.isascii()


def _is_part_of_id(text: str, start: int, end: int) -> bool:
    """Tell whether digits are a stretch of a hexadecimal word, the fraction of a number, or a redaction's own."""
    before = _WORD_BEFORE.search(text, max(0, start - _LONGEST_WORD), start)
    after = _WORD_AFTER.match(text, end, end + _LONGEST_WORD)
    around = (before[0] if before else "") + (after[0] if after else "")
    if around and _HEX.fullmatch(around):
        return True
    if text[start - 1 : start] == "." and text[max(0, start - 2) : start - 1].isdigit():
        return True
    mark = text.rfind(_MARK, max(0, start - len(_MARK) - _MARK_DIGITS), start)
    return mark >= 0 and end <= mark + len(_MARK) + _MARK_DIGITS


def _is_json_number(text: str, start: int, end: int) -> bool:
    """Tell whether digits stand where a JSON number stands: not in a string, as far as the neighbours tell."""
    before = text[max(0, start - 8) : start].rstrip()
    after = text[end : end + 8].lstrip()
    return before[-1:] in {"", ":", ",", "[", "-"} and after[:1] in {"", ",", "]", "}", ".", "e", "E"}
