"""Secrets that a text names: `"password": "x"`, `password=x`, `password: x`, and more ways to say it.

The text need be neither whole nor valid. Work is linear in its length: a name is sought by a pattern, and what follows
one that is a secret's is read once, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

from gnomon.core.secret_names import ALONE, LABELS, NOTHING, NUMBERS, VALUES, is_secret_header, secrecy
from gnomon.core.sieve import SHORTEST, holds_name

__all__ = ["replace_named", "replace_parameters"]

Replace = Callable[[str], str]

_UNSEEN: Final = "\u00ad\u200b-\u200f\u2060\ufeff"
_ESCAPE: Final = r"\\{1,15}+u[0-9A-Fa-f]{4}"
_ESCAPED: Final = re.compile(r"\\{1,15}+u([0-9A-Fa-f]{4})")
_PARAMETER_NAME: Final = re.compile(r"([?&;])([\w.\[\]-]{1,128}+)=")
_PARAMETER_VALUES: Final = {
    "?": re.compile(r"""[^&#;\s"'<>\\]++"""),
    "&": re.compile(r"""[^&#;\s"'<>\\]++"""),
    ";": re.compile(r"""[^&#;/?\s"'<>\\]++"""),  # a matrix parameter ends with its path segment
}

# `"name": `, `'name' => `; before the quotes any backslashes that a string within a string has.
_MEMBER: Final = re.compile(
    rf"""(\\{{0,15}}+)(["']|&quot;|&#3[49];)((?:[\w .:@$/\[\]{_UNSEEN}-]|{_ESCAPE}){{1,128}}+)\1\2"""
    r"\s{0,16}+(?::|=>?)\s{0,16}+"
)
_ASSIGNED: Final = re.compile(r"(?<![\w.\[\]-])([\w.\[\]-]{2,128}+)([ \t]{0,4}+)(=>?|:(?!//)=?)([ \t]{0,4}+)")
_TIME: Final = re.compile(r"(?<=[0-9][0-9]):(?=[0-9][0-9])")
_LABEL_NAMES: Final = "|".join(sorted(LABELS))
_VALUE_NAMES: Final = "|".join(sorted(VALUES))
# `"name": "password"`, and a little later in the same object `"value": `
_LABEL: Final = re.compile(
    rf"""(\\{{0,15}}+)"(?:{_LABEL_NAMES})\1"\s{{0,16}}+:\s{{0,16}}+\1"([^"\\]{{2,128}}+)\1"(?=\s{{0,16}}+,)""",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(rf"""(\\{{0,15}}+)"(?:{_VALUE_NAMES})\1"\s{{0,16}}+:\s{{0,16}}+""", re.IGNORECASE)
_BRACE: Final = re.compile(r"[{}]")
_BESIDE: Final = 512
# `"value": "x", "name": "password"`
_LABELLED_AFTER: Final = re.compile(
    rf"""(\\{{0,15}}+)"(?:{_VALUE_NAMES})\1"\s{{0,16}}+:\s{{0,16}}+\1"([^"\\]++)\1"\s{{0,16}}+,"""
    rf"""\s{{0,16}}+\1"(?:{_LABEL_NAMES})\1"\s{{0,16}}+:\s{{0,16}}+\1"([^"\\]{{2,128}}+)\1\"""",
    re.IGNORECASE,
)
# `["name", "value"]`, in a list of such or, in a record, anywhere.
_PAIR_IN_LIST: Final = re.compile(r"""[\[,]\s{0,64}+\[\s{0,64}+(\\{0,15}+)"([\w .-]{2,128}+)\1"\s{0,64}+,\s{0,64}+""")
_PAIR: Final = re.compile(r"""\[\s{0,64}+(\\{0,15}+)"([\w .-]{2,128}+)\1"\s{0,64}+,\s{0,64}+""")

_QUOTE: Final = re.compile(r"""(\\{0,15}+)(\"""|"|'|`|&quot;|&\#3[49];)""")
_TOKENS: Final = re.compile(r"""["'\[\]{}]""")
_NAME_FOLLOWS: Final = re.compile(r"\s{0,16}+:")
_NUMBER: Final = re.compile(r"-?[0-9]++(?:\.[0-9]++)?(?![\w.-])")
# With a letter or a digit: no secret is all punctuation.
_WORD: Final = re.compile(r"""(?=(?:_|[^\s,;&"'<>(){}\[\]\\|\w]){0,64}+[^\W_])[^\s,;&"'<>(){}\[\]\\|]++""")
_ALNUM: Final = re.compile(r"[^\W_]")
_SPACE: Final = re.compile(r"\s")
# In YAML a name may end its line, and what it names is below: `password: |`.
_BLOCK: Final = re.compile(r"(?:[|>][0-9+-]{0,2}+)?[ \t]{0,16}+\r?\n")
_DEEP_LINE: Final = re.compile(r"( {1,128}+)[^\s][^\n]{0,4096}+(?:\n|\Z)")
_REST: Final = re.compile(r"[^\r\n]++")
_REST_OF_STRING: Final = re.compile(r"""[^\r\n"\\]++""")
_SCHEME: Final = re.compile(
    r"(?:bearer|basic|digest|negotiate|ntlm|token|apikey|aws4-hmac-sha256)[ \t]{1,4}+(?=\S)", re.IGNORECASE
)
_LINE_START: Final = re.compile(r"(?:\A|[\r\n])[ \t>*+#/-]{0,16}+(?:(?:export|set|curl|-H) )?['\"]?\Z")
_MARK: Final = re.compile(r"redacted(?::hmac-sha256:[0-9a-f]{16})?(?![0-9A-Za-z])")
_BEFORE: Final = 32
_LONG: Final = 16
_WINDOW: Final = 2048
_OVERLAP: Final = 160
_SLASHES: Final = 15


class _Found(NamedTuple):
    """Where a secret stands; `quoted` is False where a mark must bring its own quotes."""

    start: int
    end: int
    quoted: bool = True


def replace_parameters(text: str, replace: Replace) -> str:
    """Replace the values of secret-named query parameters in URLs that stand in a text."""
    pieces: list[str] = []
    done = 0
    for name in _PARAMETER_NAME.finditer(text):
        if name.end() < done or not secrecy(name[2]):
            continue
        value = _PARAMETER_VALUES[name[1]].match(text, name.end())
        if value is not None:
            pieces += (text[done : name.end()], replace(value[0]))
            done = value.end()
    return "".join((*pieces, text[done:])) if pieces else text


def replace_named(text: str, replace: Replace, *, lines: bool = False, record: bool = False) -> str:
    """Replace what a text says is a secret by a name before it.

    Args:
        text: Any text: of a body, of a string in one, of a record that cannot be read.
        replace: Gets a secret and gives what stands in its place; must leave what it gave before.
        lines: The text is lines of `name: value`: after a secret's name at the start of a line all of it is hidden. In
            other texts, which may be a message to a reader, only what looks like a value is.
        record: The text is that of a record nobody can read: what follows a secret's name, wherever, is hidden.
    """
    if len(text) < SHORTEST:
        return text
    finders: list[_Find] = []
    if '"' in text or "'" in text or "&" in text:
        pairs = _PAIR if record else _PAIR_IN_LIST
        finders += (_members, _labelled, _labelled_after, partial(_pairs, pairs))
    if "=" in text or ":" in text:
        finders.append(partial(_assigned, lines or record, record))
    windows = _windows(text)
    for find in finders:
        replaced = _replace(text, replace, find(_Text(text, windows)))
        if replaced != text:
            text = replaced
            windows = _windows(text)
    return text


class _Text(NamedTuple):
    """A text, and where in it names may be that are a secret's."""

    whole: str
    windows: list[tuple[int, int]]

    def find(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Find what begins in the windows; what is found may come twice where they overlap."""
        for start, end in self.windows:
            yield from pattern.finditer(self.whole, start, end)


_Find = Callable[[_Text], "Iterator[_Found]"]


def _windows(text: str) -> list[tuple[int, int]]:
    """Cut a long text into overlapping windows, and leave out those that can be seen at a glance to have no names."""
    if len(text) <= 2 * _WINDOW or "\\u" in text:
        return [(0, len(text))]
    return [
        (start, min(start + _WINDOW + _OVERLAP, len(text)))
        for start in range(0, len(text), _WINDOW)
        if holds_name(text[max(0, start - _OVERLAP) : start + _WINDOW + _OVERLAP])
    ]


def _replace(text: str, replace: Replace, finding: Iterator[_Found]) -> str:
    pieces: list[str] = []
    done = 0
    for found in finding:
        if found.start >= done and found.end > found.start:
            mark = replace(text[found.start : found.end])
            pieces += (text[done : found.start], mark if found.quoted else f'"{mark}"')
            done = found.end
    return "".join((*pieces, text[done:])) if pieces else text


def _members(text: _Text) -> Iterator[_Found]:
    done = 0
    for name in text.find(_MEMBER):
        level = secrecy(_spelled(name[3])) if name.start() >= done else NOTHING
        if level:
            found, done = _values(text.whole, name.end(), level)
            yield from found


def _spelled(name: str) -> str:
    """Undo JSON's escapes in the name of a member."""
    return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), name) if "\\" in name else name


def _labelled(text: _Text) -> Iterator[_Found]:
    done = 0
    for label in text.find(_LABEL):
        level = secrecy(label[2]) if label.start() >= done else NOTHING
        if not level:
            continue
        value = _VALUE.search(text.whole, label.end(), label.end() + _BESIDE)
        if value is not None and not _BRACE.search(text.whole, label.end(), value.start()):
            found, done = _values(text.whole, value.end(), level)
            yield from found


def _labelled_after(text: _Text) -> Iterator[_Found]:
    for pair in text.find(_LABELLED_AFTER):
        if secrecy(pair[3]):
            yield _Found(*pair.span(2))


def _pairs(pattern: re.Pattern[str], text: _Text) -> Iterator[_Found]:
    done = 0
    for pair in text.find(pattern):
        if pair.start() >= done and is_secret_header(pair[2]):
            found, done = _values(text.whole, pair.end(), ALONE)
            yield from found


def _assigned(lines: bool, anywhere: bool, text: _Text) -> Iterator[_Found]:  # noqa: FBT001 - bound by `partial`
    done = 0
    for name in text.find(_ASSIGNED):
        level = NOTHING if name.start() < done else secrecy(name[1])
        if name.start() < done or not (level or (anywhere and is_secret_header(name[1]))):
            continue
        if _TIME.match(text.whole, name.start(3)):
            continue
        found, done = _values(text.whole, name.end(), level)
        if done == name.end():
            found = _unquoted(text.whole, name, level, lines=lines, anywhere=anywhere)
            done = found[-1].end if found else done
        # One character is no secret: `<a accesskey="s">`
        yield from [secret._replace(quoted=True) for secret in found if secret.end - secret.start > 1]


def _unquoted(text: str, name: re.Match[str], level: int, *, lines: bool, anywhere: bool) -> list[_Found]:
    """Find a value without quotes: a word, or the rest of the line."""
    scheme = _SCHEME.match(text, name.end())
    start = scheme.end() if scheme else name.end()
    if not lines and _MARK.match(text, start):
        return []
    word = _WORD.match(text, start)
    if name[3][0] == "=" and not name[2] and not name[4]:
        return [_Found(*word.span())] if word and not _MARK.match(text, start) else []
    if anywhere:
        rest = _REST_OF_STRING.match(text, start)
        return [_Found(start, rest.end())] if rest and _ALNUM.search(rest[0]) else []
    block = _BLOCK.match(text, name.end()) if lines and name[3] == ":" else None
    if block is not None:
        return _indented(text, name.start(), block.end())
    if name[3][0] == ":" and _LINE_START.search(text[max(0, name.start() - _BEFORE) : name.start()]):
        rest = _REST.match(text, start)
        if rest and _ALNUM.search(rest[0]) and (lines or not _SPACE.search(rest[0].strip())):
            return [_Found(start, start + len(rest[0].rstrip()))]
    if word is None:
        return []
    value = word[0].rstrip(".:!?")
    return [_Found(start, start + len(value))] if level == NUMBERS or _is_telling(value) else []


def _indented(text: str, name: int, start: int) -> list[_Found]:
    """Find the lines below a name that are indented deeper than it is, as one."""
    line = text.rfind("\n", max(0, name - _WINDOW), name) + 1
    indent = len(text[line:name]) - len(text[line:name].lstrip(" "))
    end = start
    while (found := _DEEP_LINE.match(text, end)) is not None and len(found[1]) > indent:
        end = found.end()
    first = start + len(text[start:end]) - len(text[start:end].lstrip())
    last = start + len(text[start:end].rstrip())
    return [_Found(first, last)] if last > first else []


def _is_telling(value: str) -> bool:
    """Tell a token from a word of prose, `token: expired`, and from a count, `tokens: 1534`."""
    if value.isdigit():
        return len(value) >= _LONG // 2
    return len(value) >= _LONG or any(letter.isdigit() for letter in value)


def _values(text: str, start: int, level: int) -> tuple[list[_Found], int]:
    """Find what a name names, from where it begins: a string in quotes, a number, all strings of a list or an object.

    Returns:
        What was found, and where it ends; the start where it is none of these.
    """
    quote = _QUOTE.match(text, start)
    if quote is not None:
        end = _end_of_string(text, quote.end(), len(quote[1]), quote[2])
        return [_Found(quote.end(), end)], end
    if text[start : start + 1] == "[" or (text[start : start + 1] == "{" and level > ALONE):
        return _strings(text, start)
    number = _NUMBER.match(text, start) if level == NUMBERS else None
    return ([_Found(*number.span(), quoted=False)], number.end()) if number else ([], start)


def _end_of_string(text: str, start: int, slashes: int, quote: str) -> int:
    """Return where a string ends whose quotes have so many backslashes; the end of the text where it is cut."""
    end = start
    while (end := text.find(quote, end)) >= 0:
        before = end
        while before > start and text[before - 1] == "\\":
            before -= 1
        if end - before <= slashes or (end - before - slashes) % (2 * slashes + 2) == 0:
            return end - min(slashes, end - before)
        end += 1
    return len(text)


def _strings(text: str, start: int) -> tuple[list[_Found], int]:
    """Find all strings from a bracket to the one that closes it, but for the names of members; give where it ends."""
    found: list[_Found] = []
    depth = 0
    position = start
    while (token := _TOKENS.search(text, position)) is not None:
        position = token.end()
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
            if not depth:
                return found, position
        else:
            before = text[max(start, token.start() - _SLASHES) : token.start()]
            slashes = len(before) - len(before.rstrip("\\"))
            end = _end_of_string(text, position, slashes, token[0])
            if not _NAME_FOLLOWS.match(text, end + slashes + 1):
                found.append(_Found(position, end))
            position = end + slashes + 1
    return found, len(text)
