"""MessagePack as JSON."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.formats.msgpack import read_msgpack
from gnomon.core.json import Unreadable
from gnomon.core.quota import MAX_VALUES, Quota


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, -2, 2**64 - 1, 0.5, None, True]}, {"a": [1, -2, 2**64 - 1, 0.5, None, True]}),
        (b"\xff\0", "/wA="),
        (datetime(2027, 7, 12, 1, 2, 3, 450000, tzinfo=UTC), "2027-07-12T01:02:03.450000Z"),
        (msgspec.msgpack.Ext(5, b"hi"), {"type": 5, "data": "aGk="}),
        ([float("nan"), float("inf"), float("-inf")], ["NaN", "Infinity", "-Infinity"]),
        ({1: "b", None: "c", 1.5: "d", b"\xff": "e", (1, "x"): "f"}, None),
    ],
)
def test_every_type_has_a_json_form(value: object, expected: object) -> None:
    """Binary is base64, timestamps RFC 3339, keys are strings."""
    document = read_msgpack(msgspec.msgpack.encode(value), 200, Quota(MAX_VALUES))
    if expected is None:
        expected = {"1": "b", "null": "c", "1.5": "d", "/w==": "e", '[1,"x"]': "f"}
    assert document == expected


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x91", b"\x01\x02", b"\xa1\xff", b"\x82\xa1a", b"\xc7\x0c\xff" + b"\xff" * 12]
)
def test_what_is_not_messagepack_is_unreadable(data: bytes) -> None:
    """Half a value, two of them, or strings that are not UTF-8."""
    with pytest.raises(Unreadable, match="not MessagePack: "):
        read_msgpack(data, 200, Quota(MAX_VALUES))


@pytest.mark.parametrize("levels", [201, 20_000])
@pytest.mark.parametrize("container", [b"\x91", b"\x81\xa1a", b"\x81"])
def test_deep_nesting_is_unreadable(levels: int, container: bytes) -> None:
    """Values and keys alike."""
    with pytest.raises(Unreadable):
        read_msgpack(container * levels + b"\xc0", 200, Quota(MAX_VALUES))


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(json_like)
def test_json_survives_messagepack(value: object) -> None:
    """A document that JSON can hold comes back as it was."""
    assert read_msgpack(msgspec.msgpack.encode(value), 200, Quota(MAX_VALUES)) == value
