from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.tags import MAX_FLAGS, Tags, parse_baggage, parse_flags, read_tags, trace_id, write_tags

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], Tags()),
        ([("accept", "*/*")], Tags()),
        ([("X-Request-ID", " abc ")], Tags(request_id="abc")),
        ([("x-request-id", ""), ("traceparent", PARENT)], Tags(trace=TRACE)),
        ([("x-synthetic", "probe"), ("baggage", "synthetic=load")], Tags(synthetic="probe")),
        ([("baggage", "a=b"), ("Baggage", " synthetic = load%20test ;ttl=5")], Tags(synthetic="load test")),
        ([("x-synthetic", "")], Tags()),
        ([("x-synthetic", " \tload \t")], Tags(synthetic="load")),
        ([("baggage", "\xa0synthetic=a, synthetic\u2003=b,\x0bsynthetic=c")], Tags()),
        (
            [("x-feature-flags", "new-cart=on, theme=b"), ("baggage", "flag.theme=c,flag.arm=7,flag.=x")],
            Tags(flags={"new-cart": "on", "theme": "b", "arm": "7"}),
        ),
        ([("x-as-of", "2027-07-12T00:00:00Z")], Tags(as_of="2027-07-12T00:00:00Z")),
        (
            [
                ("x-as-of", "tomorrow"),
                ("baggage", "as_of=2026-01-01T00:00:00Z, as-of=2027-07-12T00%3A00%3A00.5%2B02:00"),
            ],
            Tags(as_of="2027-07-12T00:00:00.5+02:00"),
        ),
        ([("x-as-of", "2027-02-30T00:00:00Z")], Tags()),
        ([("x-gnomon-role", "Shadow")], Tags(role="shadow")),
        ([("x-gnomon-role", "admin")], Tags()),
    ],
)
def test_read_tags(headers: list[tuple[str, str]], expected: Tags) -> None:
    """Every tag is read from the first place that holds a usable value."""
    assert read_tags(headers) == expected


def test_the_request_id_header_wins_over_the_trace() -> None:
    """The join key is x-request-id, and the trace id only without one."""
    assert read_tags([("traceparent", PARENT), ("x-request-id", "r1")]).id == "r1"
    assert read_tags([("traceparent", PARENT)]).id == TRACE
    assert read_tags([]).id is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PARENT, TRACE),
        (f" {PARENT.upper()} ", TRACE),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE),
        (f"{PARENT}-more", None),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (TRACE, None),
        ("", None),
    ],
)
def test_trace_id(text: str, expected: str | None) -> None:
    """Only a valid W3C traceparent has a trace id."""
    assert trace_id(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", [("a", "1")]),
        (" a = 1 , b=2;p;q=3 ", [("a", "1"), ("b", "2")]),
        ("a=%E2%9C%93%20ok", [("a", "✓ ok")]),
        ("a=%FF", [("a", "\N{REPLACEMENT CHARACTER}")]),
        ("a=b=c", [("a", "b=c")]),
        ("a=", [("a", "")]),
        ("a;p=1,=2,b c=3,,d", []),
        ("", []),
    ],
)
def test_parse_baggage(text: str, expected: list[tuple[str, str]]) -> None:
    """Baggage follows W3C: spaces, properties, percent-encoding; members that are none are left out."""
    assert parse_baggage(text) == expected


def test_flags_without_a_value_are_true_and_the_first_wins() -> None:
    """A flag that is only named is on, and a second value of a name does not count."""
    assert parse_flags("beta, theme=b, theme=c, =x") == {"beta": "true", "theme": "b"}


@given(st.lists(st.tuples(st.sampled_from(["baggage", "x-as-of", "traceparent", "x-feature-flags", "x"]), st.text())))
def test_any_header_text_can_be_read(headers: list[tuple[str, str]]) -> None:
    """No header value raises."""
    assert isinstance(read_tags(headers), Tags)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (Tags(), []),
        (Tags(trace=TRACE, role="shadow"), [("x-request-id", TRACE)]),
        (Tags(request_id="a\r\nb"), []),
        (Tags(synthetic="probe"), [("x-synthetic", "probe")]),
        (Tags(synthetic="a\r\nx-evil: 1"), [("baggage", "synthetic=a%0D%0Ax-evil%3A%201")]),
        (Tags(as_of="2027-07-12T00:00:00+02:00"), [("x-as-of", "2027-07-12T00:00:00+02:00")]),
        (Tags(flags={"new": "on", "b": "1,2"}), [("x-feature-flags", "new=on"), ("baggage", "flag.b=1%2C2")]),
        (Tags(flags={"odd name,": "1", "x": ""}), [("x-feature-flags", "x=")]),
        (Tags(flags={"a": "1" * MAX_FLAGS, "b": "2"}), []),
    ],
)
def test_write_tags(tags: Tags, expected: list[tuple[str, str]]) -> None:
    """Each tag is written where it is read first; what a header cannot hold goes as baggage, or not at all."""
    assert write_tags(tags) == expected


VALUES = st.text(max_size=20).map(str.strip)


@given(
    st.none() | VALUES.filter(bool),
    st.dictionaries(st.text("abc.-_", min_size=1, max_size=5), VALUES, max_size=5),
    st.none() | st.datetimes().map(lambda at: at.isoformat() + "Z"),
)
def test_what_is_written_is_read_back(synthetic: str | None, flags: dict[str, str], as_of: str | None) -> None:
    """Tags survive any number of services between."""
    tags = Tags(request_id="r-1", synthetic=synthetic, flags=flags, as_of=as_of)
    assert read_tags(write_tags(tags)) == tags
