"""JSON in which a member is there twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.json import Unreadable, loads
from gnomon.core.members import loads_unambiguous

NAMES = frozenset({"synthetic", "user"})
TWICE = [
    b'{"synthetic": true, "synthetic": false}',
    b'{"a": [{"user": 1, "b": 2, "user": 1}]}',
    rb'{"synthetic": true, "s\u0079nthetic": false}',
    b'\xef\xbb\xbf{"user": 1, "user": 2}',
]
ONCE = [b'{"synthetic": true}', b'{"user": {"user": 1}}', b'[{"user": 1}, {"user": 2}]', b'{"a": 1, "a": 2}', b'"user"']


@pytest.mark.parametrize("data", TWICE)
def test_a_member_that_is_there_twice_is_refused(data: bytes) -> None:
    """Whichever of the two a reader takes, the other said something else; escaped letters are the letters."""
    with pytest.raises(Unreadable, match="a member twice that a tag looks at"):
        loads_unambiguous(NAMES)(data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a/b", rb'{"a/b": 1, "a\/b": 2}'),
        ("a/b", rb'{"a\/b": 1, "a\/b": 2}'),
        ('a"b', rb'{"a\"b": 1, "a\"b": 2}'),
        ("a\\b", rb'{"a\\b": 1, "a\\b": 2}'),
        ("a\tb", rb'{"a\tb": 1, "a\tb": 2}'),
    ],
)
def test_names_that_are_escaped_without_their_number_are_those_names(name: str, data: bytes) -> None:
    """JSON has a short way to write some characters, and two for the slash."""
    with pytest.raises(Unreadable, match="a member twice"):
        loads_unambiguous(frozenset({name}))(data)
    assert loads_unambiguous(frozenset({name}))(rb'{"a\/b": 1, "c": "\n\n"}') == {"a/b": 1, "c": "\n\n"}


@pytest.mark.parametrize("data", ONCE)
def test_what_nobody_looks_at_may_be_there_twice(data: bytes) -> None:
    """Names in other objects, as values, or of no interest, are read as ever."""
    assert loads_unambiguous(NAMES)(data) == loads(data)


def test_all_names_count_where_all_are_looked_at() -> None:
    """A `*` in a tag's path looks at every member; without paths none is looked at."""
    with pytest.raises(Unreadable):
        loads_unambiguous(None)(b'{"a": 1, "a": 2}')
    assert loads_unambiguous(frozenset())(TWICE[0]) == {"synthetic": False}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(sorted(NAMES)), inner),
    ),
    st.booleans(),
)
def test_what_a_serializer_wrote_is_never_refused(document: Any, ascii_only: bool) -> None:
    """Objects of a program have each member once."""
    data = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "replace")
    assert loads_unambiguous(NAMES)(data) == loads(data)
