"""Redaction of XML and HTML as text: elements, attributes and inputs with a secret's name; all else stays as it was.

It reads tags, not documents: what is cut short or not well-formed is read as far as it goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from html import unescape
from typing import Final, NamedTuple

from gnomon.core.secret_names import ALONE, BELOW, NOTHING, is_secret_name, plain_name, secrecy
from gnomon.core.sieve import holds_name

__all__ = ["replace_in_markup"]

Replace = Callable[[str], str]

_TAG: Final = re.compile(
    r"""<(/?)([A-Za-z_][\w:.-]{0,127}+)((?:[^<>"']|"[^"]*+"|'[^']*+')*+)>""",
)
_ATTRIBUTE: Final = re.compile(
    r"""([A-Za-z_:@][\w:.-]{0,127}+)\s{0,16}+=\s{0,16}+(?:"([^"]*+)"|'([^']*+)'|([^\s"'=<>`]++))"""
)
_CDATA: Final = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_LABELS: Final = frozenset(("name", "type", "id", "key", "property", "autocomplete", "itemprop"))
_VALUES: Final = frozenset(("value", "content", "datavalue", "defaultvalue", "val"))
# What is looked at at once: most of a page has no names.
_STRETCH: Final = 1024
_NAMED_BY_TEXT: Final = frozenset(("key", "name"))
# `<a accesskey="s">` is a key of the keyboard; the others say what a password is for, or hold no text.
_PLAIN_ATTRIBUTES: Final = frozenset(("accesskey", "type", "autocomplete", "href", "src", "class", "action"))
_VOID: Final = frozenset(
    ("input", "meta", "img", "link", "br", "hr", "source", "area", "base", "col", "embed", "param")
)


def replace_in_markup(text: str, replace: Replace) -> str:
    """Replace what stands in elements, attributes and inputs that are named like a secret.

    Args:
        text: XML, HTML, or a text with some of it. The work is linear in its length.
        replace: Gets a secret, its entities undone, and gives what stands in its place.
    """
    return _Walk(text, replace).run()


class _Attribute(NamedTuple):
    """What the name of an attribute says."""

    plain: str
    is_label: bool
    is_value: bool
    is_secret: bool

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(name: str) -> _Attribute:
        """Tell it."""
        plain = plain_name(name)
        secret = plain not in _PLAIN_ATTRIBUTES and is_secret_name(name.rpartition(":")[2])
        return _Attribute(plain, plain in _LABELS, plain in _VALUES, secret)


def _says_secret(label: str, value: str) -> bool:
    """Tell whether `name="password"` or `type="password"` says that an element's value is a secret."""
    return value.lower() == "password" if label == "type" else is_secret_name(value)


class _Walk:
    """One walk over the tags."""

    def __init__(self, text: str, replace: Replace) -> None:
        self._text = text
        self._replace = replace
        self._pieces: list[str] = []
        self._done = 0
        # The element all of whose text is hidden, and how many of its name are open.
        self._hiding: str | None = None
        self._open = 0
        # What the tag before says of the text that follows it, if no other element does first.
        self._next = NOTHING
        self._names_next = False

    def run(self) -> str:
        end = looked = 0
        while end < len(self._text):
            if end >= looked and self._hiding is None and not self._next and not self._names_next:
                looked = self._text.find("<", end + _STRETCH) % (len(self._text) + 1)
                if not holds_name(self._text[end:looked]):
                    end = looked
                    continue
            tag = _TAG.search(self._text, end)
            if tag is None:
                break
            self._between(end, tag.start(), closes=bool(tag[1]))
            end = tag.end()
            if tag[1]:
                self._close(tag[2])
            else:
                self._start(tag)
        self._between(end, len(self._text), closes=True)
        return "".join((*self._pieces, self._text[self._done :])) if self._pieces else self._text

    def _between(self, start: int, end: int, *, closes: bool) -> None:
        if start == end:
            return
        if self._hiding is not None or (self._next and closes):
            text = self._text[start:end]
            inner = text.strip()
            if inner:
                mark = self._replace(unescape(_CDATA.sub(r"\1", inner)).strip())
                start += text.index(inner)
                self._put(start, start + len(inner), mark)
        elif self._names_next and closes:
            self._next = BELOW if is_secret_name(self._text[start:end].strip()) else NOTHING
            return
        if closes:
            self._next = NOTHING

    def _close(self, name: str) -> None:
        if self._hiding == name:
            self._open -= 1
            if not self._open:
                self._hiding = None
        if not self._names_next:
            self._next = NOTHING
        self._names_next = False

    def _start(self, tag: re.Match[str]) -> None:
        name, empty = tag[2], tag[3].endswith("/")
        local = name.rpartition(":")[2]
        level = max(self._attributes(tag), secrecy(local))
        if self._hiding == name and not empty:
            self._open += 1
        elif self._hiding is None and not empty and local.lower() not in _VOID:
            # A value that follows its name: <key>password</key><string>x</string>
            if self._next == BELOW or secrecy(local) >= BELOW:
                self._hiding, self._open = name, 1
            self._names_next = plain_name(local) in _NAMED_BY_TEXT
        self._next = level if not empty else NOTHING

    def _attributes(self, tag: re.Match[str]) -> int:
        """Hide attributes; give what the element's own attributes say of its text."""
        if "=" not in tag[3]:
            return NOTHING
        written = [(_Attribute.of(name), one or other or bare) for name, one, other, bare in _ATTRIBUTE.findall(tag[3])]
        labels = [(about.plain, value) for about, value in written if about.is_label]
        named = any(_says_secret(plain, value) for plain, value in labels)
        if named or any(about.is_secret for about, _ in written):
            self._hide(tag, named=named)
        told = named and any(plain in _NAMED_BY_TEXT and is_secret_name(value) for plain, value in labels)
        return ALONE if told else NOTHING

    def _hide(self, tag: re.Match[str], *, named: bool) -> None:
        for one in _ATTRIBUTE.finditer(self._text, tag.start(3), tag.end(3)):
            about = _Attribute.of(one[1])
            group = 2 if one[2] is not None else 3 if one[3] is not None else 4
            if one[group] and (about.is_secret or (named and about.is_value)):
                self._put(*one.span(group), self._replace(unescape(one[group])))

    def _put(self, start: int, end: int, text: str) -> None:
        self._pieces += (self._text[self._done : start], text)
        self._done = end
