"""XML and HTML as trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.formats.markup import read_html, read_xml
from gnomon.core.json import Unreadable
from gnomon.core.quota import MAX_VALUES, Quota
from gnomon.model import JsonValue


def node(tag: str, *children: JsonValue, **attributes: JsonValue) -> JsonValue:
    """Make a node."""
    return {"tag": tag, "attributes": attributes, "children": list(children)}


def xml(text: str | bytes, charset: str | None = None) -> JsonValue:
    """Read XML with the default bound."""
    return read_xml(text.encode() if isinstance(text, str) else text, charset, 200, Quota(MAX_VALUES))


def html(text: str | bytes, charset: str | None = None) -> JsonValue:
    """Read HTML with the default bound and give the children of its body."""
    document = read_html(text.encode() if isinstance(text, str) else text, charset, 200, Quota(MAX_VALUES))
    assert isinstance(document, dict)
    inner = document["children"]
    assert isinstance(inner, list)
    body = inner[-1]
    assert isinstance(body, dict)
    return body["children"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<a/>", node("a")),
        ("<a y='2' x='1'/>", node("a", x="1", y="2")),
        ("<a>\n  <b>1</b>\n  <b>2</b>\n</a>", node("a", node("b", "1"), node("b", "2"))),
        ("<a>one <b>two</b> three</a>", node("a", "one ", node("b", "two"), " three")),
        ("<a> </a>", node("a", " ")),
        ("<a>\n</a>", node("a")),
        ("<a>x<!-- no -->y<?pi no?>z<![CDATA[<&]]></a>", node("a", "xyz<&")),
        ("<a>&lt;&#233;</a>", node("a", "<é")),
        ("\ufeff<?xml version='1.0'?>\n<!DOCTYPE a SYSTEM 'a.dtd'>\n<a/>", node("a")),
    ],
)
def test_xml_is_a_tree(text: str, expected: JsonValue) -> None:
    """Order of attributes, indentation, comments and prefixes are left out; text and names are kept."""
    assert xml(text) == expected


def test_xml_names_are_namespace_and_local_name() -> None:
    """Whatever the prefix; and white space stays where the document asks for it."""
    assert xml("<p:a xmlns:p='urn:x' p:k='v'/>") == xml("<a xmlns='urn:x' xmlns:q='urn:x' q:k='v'/>")
    assert xml("<p:a xmlns:p='urn:x'/>") == node("{urn:x}a")
    space = {"{http://www.w3.org/XML/1998/namespace}space": "preserve"}
    assert xml("<a xml:space='preserve'> <b/></a>") == {"tag": "a", "attributes": space, "children": [" ", node("b")]}


def test_xml_in_other_character_sets() -> None:
    """The declaration says it, or the content type, which wins."""
    assert xml("<?xml version='1.0' encoding='iso-8859-1'?><a>é</a>".encode("latin-1")) == node("a", "é")
    assert xml("<a>é</a>".encode("latin-1"), "latin_1") == node("a", "é")
    assert xml("<?xml version='1.0' encoding='utf-16'?><a>é</a>".encode("utf-16")) == node("a", "é")


def laughs(where: str) -> str:
    """Write ten entities of ten times the one before, a gigabyte once expanded."""
    entities = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 10))
    return f'<!DOCTYPE a [<!ENTITY l0 "lol lol lol">{entities}]>{where}'


@pytest.mark.parametrize("where", ["<a>&l9;</a>", "<a b='&l9;'/>"])
def test_a_billion_laughs_are_not_laughed(where: str) -> None:
    """Entities never expand to more than there is room for."""
    with pytest.raises(Unreadable, match="not XML: Maximum entity amplification factor"):
        xml(laughs(where))


def test_nothing_outside_the_text_is_looked_up(tmp_path: Path) -> None:
    """An entity that names a file stays its name."""
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    text = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}"><!ENTITY y "why">]><a>1&x;2&y;<b/>3</a>'
    assert xml(text) == node("a", "1&x;2&y;", node("b"), "3")
    assert "the secret" not in str(read_html(text.encode(), None, 200, Quota(MAX_VALUES)))
    included = f'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{secret.as_uri()}"/></a>'
    assert "the secret" not in str(xml(included))
    with pytest.raises(Unreadable, match="not XML"):
        xml(f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]><a b="&x;"/>')


@pytest.mark.parametrize("text", ["", " ", "<a>", "<a></b>", "<a/><b/>", "text", "<a>\0</a>", "<a b=c/>", "<a>&x;</a>"])
def test_what_is_not_well_formed_is_unreadable(text: str) -> None:
    """The reason has line and column, and no name of ours."""
    with pytest.raises(Unreadable, match="not XML: ") as caught:
        xml(text)
    assert "<string>" not in caught.value.reason


def test_thousands_of_elements_deep_is_unreadable() -> None:
    """Neither parser nor reader exhausts a stack."""
    with pytest.raises(Unreadable, match="depth"):
        xml("<a>" * 40_000 + "</a>" * 40_000)
    with pytest.raises(Unreadable, match="nested too deep"):
        html("<div>" * 100_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>one<p>two", [node("p", "one"), node("p", "two")]),
        ("<P CLASS=x ID=y>a</P>", [{"tag": "p", "attributes": {"class": "x", "id": "y"}, "children": ["a"]}]),
        ("<div>\n  <p> a  b </p>\n</div>", [node("div", node("p", "a b"))]),
        ("<p>a <b>b</b> <i>c</i></p>", [node("p", "a ", node("b", "b"), " ", node("i", "c"))]),
        ("<p>a<b> b</b></p>", [node("p", "a", node("b", " b"))]),
        ("<pre> a\n  b</pre>", [node("pre", " a\n  b")]),
        ("<p><script>if (a < b)  c</script>x", [node("p", node("script", "if (a < b)  c"), "x")]),
        ("é&nbsp;&amp;&lol;", ["é\xa0&&lol;"]),
        ("a<!-- no -->b", ["ab"]),
        ("<br>a<br/> b", [node("br"), "a", node("br"), "b"]),
        ("</div>text", ["text"]),
    ],
)
def test_html_is_a_tree(text: str, expected: JsonValue) -> None:
    """Tags may be left open; white space is what would be seen of it."""
    assert html(text) == expected


@pytest.mark.parametrize("text", ["", "  ", "<!-- -->", "<!doctype html>"])
def test_html_without_an_element_is_an_empty_document(text: str) -> None:
    """There is nothing to see, and nothing to fail on."""
    assert read_html(text.encode(), None, 200, Quota(MAX_VALUES)) == node("html")


def test_html_in_other_character_sets() -> None:
    """The content type says it, or a meta element; bytes that are UTF-8 are that."""
    assert html("<p>é".encode("latin-1"), "latin_1") == [node("p", "é")]
    assert html("<p>é") == [node("p", "é")]
    assert html('<meta charset="windows-1251"><p>й'.encode("cp1251")) == [node("p", "й")]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_text_in_xml_arrives(text: str) -> None:
    """Whatever is escaped comes back."""
    kept = text.strip() and not set(text) & {"\ufffe", "\uffff"}
    if kept:
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        assert xml(f"<a>{escaped}</a>") == node("a", text)
