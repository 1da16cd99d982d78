"""JSON Pointers and patterns."""

from __future__ import annotations

import pytest

from gnomon.core.pointer import escape, escape_pattern, parse_pointer, unescape

ODD_NAMES = ["", "a", "*", "**", "~", "/", "~0", "~1", "~2", "~01", "~~", "//", "*~/", "é", "a b", "0", "\x00", '"']


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_survives_its_escape(name: str) -> None:
    """What is escaped for a pointer or a pattern can be read back, whatever it looks like."""
    assert unescape(escape_pattern(name)) == name
    assert parse_pointer("/" + escape(name)) == [name]


@pytest.mark.parametrize(
    ("name", "token", "pattern"),
    [
        ("a/b", "a~1b", "a~1b"),
        ("m~n", "m~0n", "m~0n"),
        ("~1", "~01", "~01"),
        ("*", "*", "~2"),
        ("a*b", "a*b", "a~2b"),
        ("~2", "~02", "~02"),
    ],
)
def test_tokens_are_escaped_as_the_rfc_says(name: str, token: str, pattern: str) -> None:
    """`~` is `~0`, `/` is `~1`; in a pattern a literal `*` is `~2`, and no name can be taken for one."""
    assert (escape(name), escape_pattern(name)) == (token, pattern)


@pytest.mark.parametrize(
    ("pointer", "names"),
    [("", []), ("/", [""]), ("//", ["", ""]), ("/a/0", ["a", "0"]), ("/a~1b/m~0n", ["a/b", "m~n"]), ("/~01", ["~1"])],
)
def test_a_pointer_is_split_into_names(pointer: str, names: list[str]) -> None:
    """The empty pointer is the whole document; empty names are names."""
    assert parse_pointer(pointer) == names


def test_a_pointer_starts_with_a_slash() -> None:
    """Anything else is refused with a sentence."""
    with pytest.raises(ValueError, match="'a/b' is not a JSON Pointer: it does not start with '/'"):
        parse_pointer("a/b")
