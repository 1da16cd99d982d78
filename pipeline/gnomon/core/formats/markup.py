"""XML and HTML as a tree of `{tag, attributes, children}`.

Nothing outside the text is ever looked up: no network, no document types, no entities but XML's own five.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from lxml import etree

from gnomon.core.formats.media import decode_text
from gnomon.core.json import Unreadable
from gnomon.model import JsonValue

__all__ = ["read_html", "read_xml"]

_SPACE = " \t\n\r\f"
_SPACES = re.compile(rf"[{_SPACE}]+")
_XML_SPACE = "{http://www.w3.org/XML/1998/namespace}space"

# Text elements of HTML (WHATWG HTML, section 4.5 and what flows with them): white space beside them is seen.
_INLINE_NAMES = (
    "a abbr acronym b bdi bdo big button cite code data del dfn em font i img input ins kbd label "
    "mark meter output picture progress q ruby s samp select small span strike strong sub sup svg time tt u var"
)
_INLINE = frozenset(_INLINE_NAMES.split())
_VERBATIM = frozenset({"pre", "textarea", "script", "style"})

_Node: TypeAlias = etree._Element  # noqa: SLF001 - lxml has no other name for the type
_Piece: TypeAlias = str | _Node


def read_xml(data: bytes, charset: str | None, max_depth: int) -> JsonValue:
    """Read an XML document as the node of its root element.

    Names are `{namespace}local`, whatever the prefix. Left out: comments, processing instructions, the document
    type, white space between elements. An entity that the text defines itself stays `&name;`.

    Raises:
        Unreadable: Not well-formed, too large once entities are counted, or nested deeper than `max_depth`, where
            an element counts for two levels.
    """
    data, encoding = _in_utf8(data, charset)
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
    return _xml_node(root, max_depth // 2, preserve=False)


def read_html(data: bytes, charset: str | None, max_depth: int) -> JsonValue:
    """Read HTML, as tolerant as a browser, as the node of its `html` element.

    Comments are left out; white space is folded as it is when shown, but not in `pre`, `textarea`, `script` and
    `style`.

    Raises:
        Unreadable: Nested deeper than `max_depth`, where an element counts for two levels.
    """
    data, encoding = _in_utf8(data, charset or ("utf_8" if _is_utf8(data) else None))
    parser = etree.HTMLParser(
        encoding=encoding, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, recover=True
    )
    root: _Node | None
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, ValueError) as error:
        if "empty" not in str(error):
            raise Unreadable(f"not HTML: {_message(error)}") from None
        root = None
    # Text without any element, a lone comment say, is no tree
    return _document("html", {}, []) if root is None else _html_node(root, max_depth // 2)


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
    return {str(name): str(node.attrib[name]) for name in sorted(map(str, node.attrib))}


def _pieces(node: _Node) -> list[_Piece]:
    """List text and elements in order; text that only an entity or a removed comment parts is one piece."""
    pieces: list[_Piece] = []
    text = node.text or ""
    for child in node:
        if child.tag is etree.Entity:
            text += f"{child.text}{child.tail or ''}"
            continue
        pieces += [text, child] if text else [child]
        text = child.tail or ""
    return [*pieces, text] if text else pieces


def _xml_node(node: _Node, levels: int, *, preserve: bool) -> JsonValue:
    if not levels:
        raise Unreadable("elements nested too deep")
    attributes = _attributes(node)
    preserve = {"preserve": True, "default": False}.get(str(attributes.get(_XML_SPACE)), preserve)
    pieces = _pieces(node)
    children: list[JsonValue] = []
    for piece in pieces:
        if not isinstance(piece, str):
            children.append(_xml_node(piece, levels - 1, preserve=preserve))
        elif preserve or piece.strip(_SPACE) or (len(pieces) == 1 and "\n" not in piece):
            children.append(piece)
    return _document(str(node.tag), attributes, children)


def _html_node(node: _Node, levels: int, *, after_text: bool = False, before_text: bool = False) -> JsonValue:
    """Build a node; the flags say whether a line of text goes on right before it and right after it."""
    if not levels:
        raise Unreadable("elements nested too deep")
    tag = str(node.tag)
    inline = tag in _INLINE
    after_text, before_text = inline and after_text, inline and before_text
    pieces = _pieces(node)
    children: list[JsonValue] = []
    for index, piece in enumerate(pieces):
        follows = _goes_on(pieces[index + 1 :], otherwise=before_text)
        if not isinstance(piece, str):
            children.append(_html_node(piece, levels - 1, after_text=after_text, before_text=follows))
            after_text = str(piece.tag) in _INLINE
            continue
        text = piece if tag in _VERBATIM else _folded(piece, after_text=after_text, before_text=follows)
        if text:
            children.append(text)
            after_text = not text.endswith(" ")
    return _document(tag, _attributes(node), children)


def _goes_on(rest: list[_Piece], *, otherwise: bool) -> bool:
    """Tell whether text goes on with the first piece that is more than white space."""
    for piece in rest:
        if not isinstance(piece, str):
            return str(piece.tag) in _INLINE
        if piece.strip(_SPACE):
            return True
    return otherwise


def _folded(text: str, *, after_text: bool, before_text: bool) -> str:
    """Fold white space to one space, or to none where a line starts or ends there."""
    text = _SPACES.sub(" ", text)
    if not after_text:
        text = text.removeprefix(" ")
    return text if before_text else text.removesuffix(" ")
