"""XML and HTML as a tree of `{tag, attributes, children}`.

Nothing outside the text is ever looked up: no network, no document types, no entities but XML's own five.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from lxml import etree

from gnomon.core.formats.media import decode_text
from gnomon.core.json import Unreadable
from gnomon.core.quota import Quota
from gnomon.model import JsonValue

__all__ = ["MAX_ATTRIBUTES", "read_html", "read_xml"]

MAX_ATTRIBUTES = 1000
"""How many attributes an element may have: the library's work on them grows with the square of their number."""

_SPACE = " \t\n\r\f"
_SPACES = re.compile(rf"[{_SPACE}]+")
_XML_SPACE = "{http://www.w3.org/XML/1998/namespace}space"

# Text elements of HTML (WHATWG HTML, section 4.5 and what flows with them): white space beside them is seen.
_INLINE_NAMES = (
    "a abbr acronym b bdi bdo big button cite code data del dfn em font i img input ins kbd label "
    "mark meter output picture progress q ruby s samp select small span strike strong sub sup svg time tt u var"
)
_INLINE = frozenset(_INLINE_NAMES.split())
_VALUES_OF_ELEMENT = 4  # the object and its three members
_VERBATIM = frozenset({"pre", "textarea", "script", "style"})

_Node: TypeAlias = etree._Element  # noqa: SLF001 - lxml has no other name for the type
_Piece: TypeAlias = str | _Node


def read_xml(data: bytes, charset: str | None, max_depth: int, quota: Quota) -> JsonValue:
    """Read an XML document as the node of its root element.

    Names are `{namespace}local`, whatever the prefix. Left out: comments, processing instructions, the document
    type, white space between elements. An entity that the text defines itself stays `&name;`.

    Raises:
        Unreadable: Not well-formed, too large once entities are counted, nested deeper than `max_depth`, where
            an element counts for two levels, or past `MAX_ATTRIBUTES` or the quota.
    """
    data, encoding = _in_utf8(data, charset)
    # Whatever is parsed takes memory first; an element has two of these at most, and four values
    if data.count(b"<") > quota.most or (b"<!ENTITY" in data and data.count(b"&") > quota.most):
        quota.take(quota.most + 1)
    parser = etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, ValueError) as error:
        raise Unreadable(f"not XML: {_message(error)}") from None
    return _xml_node(root, max_depth // 2, quota, preserve=False)


def read_html(data: bytes, charset: str | None, max_depth: int, quota: Quota) -> JsonValue:
    """Read HTML, as tolerant as a browser, as the node of its `html` element.

    Comments are left out; white space is folded as it is when shown, but not in `pre`, `textarea`, `script` and
    `style`.

    Raises:
        Unreadable: Nested deeper than `max_depth`, where an element counts for two levels, or past `MAX_ATTRIBUTES`
            or the quota.
    """
    data, encoding = _in_utf8(data, charset or ("utf_8" if _is_utf8(data) else None))
    page = _Page(max_depth // 2, quota)
    parser = etree.HTMLParser(
        encoding=encoding,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        recover=True,
        target=page,  # type: ignore[arg-type]  # the stubs ask for more than the library
    )
    try:
        etree.fromstring(data, parser)
    except (etree.LxmlError, ValueError) as error:
        if "empty" not in str(error):
            raise Unreadable(f"not HTML: {_message(error)}") from None
    # Text without any element, a lone comment say, is no tree
    return _document("html", {}, []) if page.root is None else _html_node(page.root)


class _Element:
    """An element of a page: its name, its attributes, and text and elements in order."""

    __slots__ = ("attributes", "pieces", "tag")

    def __init__(self, tag: str, attributes: dict[str, JsonValue]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.pieces: list[str | _Element] = []


class _Page:
    """What the parser tells as it reads: a page past a bound is read no further.

    The parser makes no tree of its own: its work on one grows with the square of an element's attributes.
    """

    def __init__(self, levels: int, quota: Quota) -> None:
        self._levels = levels
        self._quota = quota
        self.root: _Element | None = None
        self._open: list[_Element] = []
        self._texts: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._text()
        if len(self._open) == self._levels:
            raise _too_deep()
        _take(len(attributes), self._quota)
        element = _Element(tag, dict(sorted(attributes.items())))
        if self._open:
            self._open[-1].pieces.append(element)
        elif self.root is None:
            self.root = element
        self._open.append(element)

    def end(self, _: str) -> None:
        self._text()
        self._open.pop()

    def data(self, text: str) -> None:
        self._texts.append(text)

    def _text(self) -> None:
        """Put text into its element; what only a removed comment parts is one piece."""
        if self._texts and self._open:
            self._quota.take(1)
            self._open[-1].pieces.append("".join(self._texts))
        self._texts.clear()

    def close(self) -> None:
        pass


def _too_deep() -> Unreadable:
    return Unreadable("elements nested too deep")


def _take(attributes: int, quota: Quota) -> None:
    """Count an element in."""
    if attributes > MAX_ATTRIBUTES:
        raise Unreadable(f"an element with more than {MAX_ATTRIBUTES:,} attributes")
    quota.take(_VALUES_OF_ELEMENT + attributes)


def _in_utf8(data: bytes, charset: str | None) -> tuple[bytes, str | None]:
    """Bring text whose character set is known to the one that the parser always knows; else let it look inside."""
    return (data, None) if charset is None else (decode_text(data, charset).encode(), "utf-8")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _message(error: Exception) -> str:
    return str(error).partition(" (<string>")[0].strip()[:200]


def _document(tag: str, attributes: dict[str, JsonValue], children: list[JsonValue]) -> JsonValue:
    return {"tag": tag, "attributes": attributes, "children": children}


def _attributes(node: _Node) -> dict[str, JsonValue]:
    return {str(name): str(value) for name, value in sorted(node.items())}


def _pieces(node: _Node, quota: Quota) -> list[_Piece]:
    """List text and elements in order; text that only an entity or a removed comment parts is one piece."""
    pieces: list[_Piece] = []
    texts = [node.text or ""]
    for child in node:
        if child.tag is etree.Entity:
            quota.take(1)
            texts += [str(child.text), child.tail or ""]
            continue
        text = "".join(texts)
        pieces += [text, child] if text else [child]
        texts = [child.tail or ""]
    text = "".join(texts)
    pieces += [text] if text else []
    quota.take(len(pieces))
    return pieces


def _xml_node(node: _Node, levels: int, quota: Quota, *, preserve: bool) -> JsonValue:
    if not levels:
        raise _too_deep()
    _take(len(node.attrib), quota)
    attributes = _attributes(node)
    preserve = {"preserve": True, "default": False}.get(str(attributes.get(_XML_SPACE)), preserve)
    pieces = _pieces(node, quota)
    children: list[JsonValue] = []
    for piece in pieces:
        if not isinstance(piece, str):
            children.append(_xml_node(piece, levels - 1, quota, preserve=preserve))
        elif preserve or piece.strip(_SPACE) or (len(pieces) == 1 and "\n" not in piece):
            children.append(piece)
    return _document(str(node.tag), attributes, children)


def _html_node(node: _Element, *, after_text: bool = False, before_text: bool = False) -> JsonValue:
    """Build a node; the flags say whether a line of text goes on right before it and right after it."""
    inline = node.tag in _INLINE
    after_text, before_text = inline and after_text, inline and before_text
    pieces = node.pieces
    children: list[JsonValue] = []
    for piece, follows in zip(pieces, _text_follows(pieces, otherwise=before_text), strict=True):
        if not isinstance(piece, str):
            children.append(_html_node(piece, after_text=after_text, before_text=follows))
            after_text = piece.tag in _INLINE
            continue
        text = piece if node.tag in _VERBATIM else _folded(piece, after_text=after_text, before_text=follows)
        if text:
            children.append(text)
            after_text = not text.endswith(" ")
    return _document(node.tag, node.attributes, children)


def _text_follows(pieces: list[str | _Element], *, otherwise: bool) -> list[bool]:
    """Tell of each piece whether text goes on with the first one after it that is more than white space."""
    follows = []
    for piece in reversed(pieces):
        follows.append(otherwise)
        if not isinstance(piece, str):
            otherwise = piece.tag in _INLINE
        elif piece.strip(_SPACE):
            otherwise = True
    return follows[::-1]


def _folded(text: str, *, after_text: bool, before_text: bool) -> str:
    """Fold white space to one space, or to none where a line starts or ends there."""
    text = _SPACES.sub(" ", text)
    if not after_text:
        text = text.removeprefix(" ")
    return text if before_text else text.removesuffix(" ")
