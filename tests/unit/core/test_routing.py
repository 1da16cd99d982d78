"""Tables of events and tags: what is synthetic, what is not, what cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from gnomon.core.json import Unreadable, loads
from gnomon.core.patterns import Pattern
from gnomon.core.routing import MAX_HEADERS, Event, EventRouter, Tag, scalar_text, values_at

Headers = list[tuple[str, bytes | None]]


def judge(tags: list[Tag], value: bytes | None, headers: Headers | None = None) -> tuple[str, str]:
    """Give destination and rule."""
    routing = EventRouter(tags, loads).judge(Event(value, headers or []))
    return routing.to, routing.rule


@pytest.mark.parametrize(
    ("headers", "rule"),
    [
        ([("x-synthetic", b"load")], "header x-synthetic"),
        ([("X-SYNTHETIC", b"load")], "header x-synthetic"),
        ([(" X-Synthetic\t", b"load")], "header x-synthetic"),
        ([("x-synthetic", b""), ("x-synthetic", b"second")], "header x-synthetic"),
        ([("x-synthetic", b"\xff\xfe\x00")], "header x-synthetic"),
        ([("x-synthetic", b"")], "header x-synthetic"),
        ([("x-synthetic", None)], "header x-synthetic"),
        ([("x-synthetic", b" \t ")], "header x-synthetic"),
        ([("\u00a0x-synthetic\r\n", b"load")], "header x-synthetic"),
        ([('"x-synthetic"', b"load")], "header x-synthetic"),
        ([("\x00x-synthetic:", b"load")], "header x-synthetic"),
        ([("baggage", b"synthetic=load")], "baggage synthetic"),
        ([("baggage", b"synthetic=")], "baggage synthetic"),
        ([("baggage", b"synthetic")], "baggage synthetic"),
        ([("baggage", b"a=b, Synthetic;p=1")], "baggage synthetic"),
        ([("baggage", b"a=b,\r\nsynthetic=1")], "baggage synthetic"),
        ([("baggage", b"a=b\nsynthetic=1")], "baggage synthetic"),
        ([("baggage", b"a=b,\xc2\xa0synthetic\xe2\x80\x89=1")], "baggage synthetic"),
        ([("baggage\u00a0", b"\xa0synthetic=1")], "baggage synthetic"),
        ([("baggage" + " " * 500, b" " * 500 + b"synthetic=1")], "baggage synthetic"),
        ([("Baggage", b"a=b , synthetic = load%20test ;ttl=3;x")], "baggage synthetic"),
        ([("baggage", b"a=b"), ("baggage", b"synthetic=%E4")], "baggage synthetic"),
        ([("baggage", b",;=,%%,synthetic=1,")], "baggage synthetic"),
    ],
)
def test_header_tags_always_hold(headers: Headers, rule: str) -> None:
    """Whatever their case, place and encoding, and whatever they say: that they are there is enough."""
    assert judge([], b"{}", headers) == ("synthetic", rule)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x-synthetic-not", b"1"), ("x-request-id", b"synthetic")],
        [("baggage", b"user=synthetic")],
        [("baggage", b"a=1;synthetic=1")],
        [("baggage", b"unsynthetic=1, synthetic-not=1, x.synthetic")],
        [("baggage" * 50, b"synthetic=1"), ("", b"synthetic"), (" ", b"synthetic=1")],
        [("baggage", b"%73ynthetic=load")],
        [("baggage", None)],
    ],
)
def test_what_is_no_tag_keeps_an_event_clean(headers: Headers) -> None:
    """Names that are only like those of tags, and tags that stand elsewhere."""
    assert judge([], b"{}", headers) == ("clean", "")


def test_a_star_is_every_member_also_where_one_has_that_name() -> None:
    """An object cannot hide its other members behind a member named `*`."""
    tag = Tag(path="/items/*/run", equals="load", name="tag")
    assert judge([tag], b'{"items":{"*":{"run":"real"},"b":{"run":"load"}}}') == ("synthetic", "tag")


USER = "/user/id"


@pytest.mark.parametrize(
    ("tag", "value", "synthetic"),
    [
        (Tag(path=USER, equals="7", name="t"), {"user": {"id": 7}}, True),
        (Tag(path=USER, equals=7, name="t"), {"user": {"id": "7"}}, True),
        (Tag(path=USER, equals=7, name="t"), {"user": {"id": 7.0}}, True),
        (Tag(path=USER, equals=7, name="t"), {"user": {"id": True}}, False),
        (Tag(path=USER, equals=True, name="t"), {"user": {"id": True}}, True),
        (Tag(path=USER, equals="true", name="t"), {"user": {"id": True}}, True),
        (Tag(path=USER, equals=18446744073709551617, name="t"), {"user": {"id": 18446744073709551617}}, True),
        (Tag(path=USER, equals="7", name="t"), {"user": {"id": None}}, False),
        (Tag(path=USER, equals="7", name="t"), {"user": {"id": ["7"]}}, False),
        (Tag(path=USER, equals="7", name="t"), {"user": "7"}, False),
        (Tag(path=USER, equals="7", name="t"), [], False),
        (Tag(path=USER, equals="7", name="t"), None, False),
        (Tag(path=USER, prefix="synthetic-", name="t"), {"user": {"id": "synthetic-1"}}, True),
        (Tag(path=USER, prefix="synthetic-", name="t"), {"user": {"id": "Synthetic-1"}}, False),
        (Tag(path=USER, prefix="9", name="t"), {"user": {"id": 912}}, True),
        (Tag(path=USER, among={"a", "7"}, name="t"), {"user": {"id": 7}}, True),
        (Tag(path=USER, among={"a", "7"}, name="t"), {"user": {"id": "b"}}, False),
        (Tag(path=USER, regex=Pattern("est$"), name="t"), {"user": {"id": "load-test"}}, True),
        (Tag(path=USER, regex=Pattern("^est"), name="t"), {"user": {"id": "load-test"}}, False),
        (Tag(path=USER, prefix="a", regex=Pattern("z$"), name="t"), {"user": {"id": "abz"}}, True),
        (Tag(path=USER, prefix="a", regex=Pattern("z$"), name="t"), {"user": {"id": "bz"}}, False),
        (Tag(path=USER, name="t"), {"user": {"id": None}}, True),
        (Tag(path=USER, name="t"), {"user": {}}, False),
        (Tag(path="/tags", contains="load", name="t"), {"tags": ["x", "load"]}, True),
        (Tag(path="/tags", contains="load", name="t"), {"tags": ["x", "loaded"]}, False),
        (Tag(path="/tags", contains="load", name="t"), {"tags": "x,load,y"}, True),
        (Tag(path="/tags", contains="load", name="t"), {"tags": {"load": False}}, True),
        (Tag(path="/tags", contains=4, name="t"), {"tags": [4.0]}, True),
        (Tag(path="/tags", contains="load", name="t"), {"tags": None}, False),
        (Tag(path="/items/*/note", equals="p", name="t"), {"items": [{}, 3, {"note": "p"}]}, True),
        (Tag(path="/items/*/note", equals="p", name="t"), {"items": {"a": {"note": "p"}}}, True),
        (Tag(path="/items/1", equals="p", name="t"), {"items": ["q", "p"]}, True),
        (Tag(path="/items/1", equals="p", name="t"), {"items": ["p"]}, False),
        (Tag(path="/items/-1", equals="p", name="t"), {"items": ["p"]}, False),
        (Tag(path="/items/²", equals="p", name="t"), {"items": ["p"] * 5}, False),
        (Tag(path="/a~1b/~0", equals="p", name="t"), {"a/b": {"~": "p"}}, True),
        (Tag(path="", contains="probe", name="t"), {"probe": 1}, True),
    ],
)
def test_tags_in_values(tag: Tag, value: Any, synthetic: bool) -> None:
    """Numbers and their text are the same id; places that are not there hold nothing."""
    import orjson

    data = (
        orjson.dumps(value)
        if value != {"user": {"id": 18446744073709551617}}
        else str(value).replace("'", '"').encode()
    )
    assert judge([tag], data) == (("synthetic", "t") if synthetic else ("clean", ""))


def test_configured_headers() -> None:
    """Their names have no case, any of several of a name will do, and no value is an empty one."""
    tag = Tag(header="X-Run", regex=Pattern("^load-"), name="run")
    assert judge([tag], b"{}", [("x-run", b"x"), ("x-RUN ", b"load-1")]) == ("synthetic", "run")
    assert judge([tag], b"{}", [("x-run", None), ("x-run", b" load-1")]) == ("clean", "")


@pytest.mark.parametrize(
    "value", [b"", b" ", b"{", b"\x00\x00\x00\x00\x01{}", b"\xff", b"[" * 5000, b'{"a":NaN}', b"{} {}"]
)
def test_what_cannot_be_read_is_quarantined_whatever_its_headers_say(value: bytes) -> None:
    """Neither clean nor synthetic: nobody knows what it is."""
    routing = EventRouter([], loads).judge(Event(value, [("x-synthetic", b"load")]))
    assert (routing.to, routing.rule) == ("quarantine", "value")
    assert routing.reason


def test_values_that_are_not_looked_into_are_judged_by_their_headers() -> None:
    """Plain bytes are fine as they are."""
    router = EventRouter([], None)
    assert router.judge(Event(b"\xff", [])).to == "clean"
    assert router.judge(Event(b"\xff", [("x-synthetic", b"1")])).to == "synthetic"


def test_tombstones_go_both_ways() -> None:
    """Also one with a tag: its key may be on both sides."""
    assert judge([], None, [("x-synthetic", b"load")]) == ("both", "tombstone")


def test_a_byte_order_mark_is_no_reason_for_quarantine() -> None:
    """It is not JSON's, and everywhere."""
    assert judge([Tag(path="/a", equals=1, name="a")], b'\xef\xbb\xbf{"a":1}') == ("synthetic", "a")


def test_an_event_with_too_many_headers_is_quarantined() -> None:
    """A bound on what is looked at, and nothing is let through unseen."""
    many: Headers = [("h", b"")] * (MAX_HEADERS + 1)
    assert judge([], b"{}", many)[0] == "quarantine"
    assert judge([], b"{}", [*many[:-2], ("x-synthetic", b"1")])[0] == "synthetic"


def test_the_first_tag_that_holds_is_the_rule() -> None:
    """Headers before values, and in the order of the file."""
    tags = [Tag(path="/a", name="first"), Tag(path="/a", equals=1, name="second")]
    assert judge(tags, b'{"a":1}') == ("synthetic", "first")
    assert judge(tags, b'{"a":1}', [("x-synthetic", b"1")]) == ("synthetic", "header x-synthetic")


def test_a_reader_of_another_kind_says_what_it_cannot_read() -> None:
    """What it raises is the reason."""

    def read(data: bytes) -> Any:
        raise Unreadable("not of this world")

    assert EventRouter([], read).judge(Event(b"x", [])).reason == "not of this world"


def test_values_at_gives_all_of_a_star() -> None:
    """Elements and members, also of an object that has a member of that name."""
    assert values_at({"a": [1, 2], "b": {"c": 3}}, ["*", "*"]) == [1, 2, 3]
    assert values_at({"*": 1, "b": 2}, ["*"]) == [1, 2]
    assert values_at(5, []) == [5]


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (1.0, "1"), (0.5, "0.5"), (False, "false"), ("x", "x"), (None, None)]
)
def test_scalars_as_text(value: Any, text: str | None) -> None:
    """One number has one text."""
    assert scalar_text(value) == text
