"""Media types and character sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.formats.media import decode_text, known_charset, parse_media_type


@pytest.mark.parametrize(
    ("value", "name", "parameters"),
    [
        ("", "", {}),
        ("Text/HTML", "text/html", {}),
        ("text/html;charset=UTF-8", "text/html", {"charset": "UTF-8"}),
        ('a/b; X="q;\\"r" ; y = z ;', "a/b", {"x": 'q;"r', "y": "z"}),
        ("a/b; x=1; x=2", "a/b", {"x": "1"}),
        ("a/b, c/d", "a/b", {}),
        ('form-data; name="a"; filename="b.txt"', "form-data", {"name": "a", "filename": "b.txt"}),
        ("a/b; =; ;;x", "a/b", {}),
        ("a/b; x=1" + ";" * 10_000 + "y=2", "a/b", {"x": "1"}),
    ],
)
def test_a_media_type_and_its_parameters(value: str, name: str, parameters: dict[str, str]) -> None:
    """Names in lower case, values unquoted, nonsense left out."""
    parsed = parse_media_type(value)
    assert (parsed.name, parsed.parameters) == (name, parameters)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UTF-8", "utf_8"),
        ("latin1", "latin_1"),
        ("ISO-8859-15", "iso8859_15"),
        (" 'windows-1252' ", "cp1252"),
        ("Shift_JIS", "shift_jis"),
        ("gb2312", "gb2312"),
        ("utf-7", None),
        ("idna", None),
        ("punycode", None),
        ("unicode_escape", None),
        ("base64", None),
        ("zip", None),
        ("no-such", None),
        ("", None),
        ("a\0b", None),
        ("x" * 10_000, None),
    ],
)
def test_only_character_sets_of_the_web_are_known(name: str, expected: str | None) -> None:
    """Codecs that are slow on hostile text, or are no character sets, are not used."""
    assert known_charset(name) == expected


@given(st.binary(), st.sampled_from([None, "utf-8", "utf-16", "shift_jis", "iso2022_jp", "cp1252", "big5hkscs"]))
def test_any_bytes_are_text_without_lone_surrogates(data: bytes, charset: str | None) -> None:
    """Text can always be written again, and bytes that are not in the character set stay apart."""
    assert isinstance(decode_text(data, charset).encode(), bytes)


def test_bytes_that_are_no_utf8_are_one_character_each() -> None:
    """Nothing is replaced by a question mark that would be equal to another."""
    assert decode_text(b"a\xe9", None) == "aé"
    assert decode_text(b"a\xe9", None) != decode_text(b"a\xe8", None)
