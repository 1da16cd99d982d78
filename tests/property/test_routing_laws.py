"""Laws of the filter: no event with a tag is ever clean, nothing raises, and events without a tag are not lost."""

from __future__ import annotations

import re
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.json import loads
from gnomon.core.routing import Event, EventRouter, Tag

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
)
documents = st.recursive(
    scalars.filter(lambda value: not isinstance(value, float) or abs(value) < 1e300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
headers = st.lists(st.tuples(st.text(max_size=12), st.none() | st.binary(max_size=24)), max_size=6)
spaces = st.text(" \t\n\r\x00\u00a0\u2009\ufeff", max_size=3)
reasons = st.text(max_size=10)
TAGS = [
    Tag(path="/user/id", prefix="synthetic-", name="user"),
    Tag(path="/user/id", among=frozenset({"7", "x"}), name="among"),
    Tag(path="/a/*/b", equals=1, name="star"),
    Tag(path="/tags", contains="load", name="tags"),
    Tag(header="x-run", prefix="load", name="run"),
]


def mixed_case(word: str) -> st.SearchStrategy[str]:
    """Any spelling of a word."""
    return st.tuples(*(st.sampled_from([letter.lower(), letter.upper()]) for letter in word)).map("".join)


def is_clean(value: bytes | None, names: list[tuple[str, bytes | None]]) -> bool:
    """Whether an event reaches the clean topic as an event."""
    return EventRouter(TAGS, loads).judge(Event(value, names)).to == "clean"


@given(st.none() | st.binary(max_size=60) | documents.map(orjson.dumps), headers)
def test_nothing_makes_it_raise(value: bytes | None, names: list[tuple[str, bytes | None]]) -> None:
    """Any bytes, any headers, with and without a look into the value."""
    for read in (loads, None):
        routing = EventRouter(TAGS if read else TAGS[-1:], read).judge(Event(value, names))
        assert routing.to in {"clean", "synthetic", "quarantine", "both"}
        assert bool(routing.reason) is (routing.to == "quarantine")


@given(documents, headers, headers, mixed_case("x-synthetic"), spaces, reasons)
def test_a_header_tag_is_never_clean(document: Any, before: Any, after: Any, name: str, space: str, why: str) -> None:
    """Wherever it stands among others, however it is spelled."""
    assert not is_clean(orjson.dumps(document), [*before, (space + name + space, why.encode()), *after])


@given(documents, headers, mixed_case("baggage"), spaces, st.lists(st.text("ab=;%, ", max_size=9), max_size=3), reasons)
def test_a_baggage_member_is_never_clean(
    document: Any, before: Any, name: str, space: str, others: list[str], why: str
) -> None:
    """Percent-encoded, among members that are none, with properties after it."""
    from urllib.parse import quote

    member = f"{space}synthetic{space}={space}{quote(why, safe='')}{space};p=1"
    text = ",".join([*others, member, "z=1"])
    assert not is_clean(orjson.dumps(document), [*before, (name, text.encode())])


@given(
    st.dictionaries(st.text(max_size=6), documents, max_size=4), headers, st.text(max_size=8), st.sampled_from(range(4))
)
def test_a_tag_in_the_value_is_never_clean(rest: dict[str, Any], names: Any, end: str, which: int) -> None:
    """Whatever else the value and its headers hold."""
    added: dict[str, Any] = [
        {"user": {**rest, "id": f"synthetic-{end}"}},
        {"user": {"id": 7, "more": rest}},
        {"a": [rest, {**rest, "b": 1.0}]},
        {"tags": [end, rest, "load"]},
    ][which]
    assert not is_clean(orjson.dumps({**rest, **added}), names)


@given(documents.filter(lambda d: not isinstance(d, dict) or not {"user", "a", "tags"} & set(d)), headers)
def test_an_event_without_a_tag_is_clean(document: Any, names: Any) -> None:
    """Real events are not lost to the filter."""
    plain = [(name, value) for name, value in names if not re.search("x-synthetic|baggage|x-run", name.lower())]
    assert is_clean(orjson.dumps(document), plain)
