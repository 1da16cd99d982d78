"""Avro values: what comes out, and what hostile ones cannot do."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.formats.avro import MAX_LEVELS, MAX_TEXT, AvroSchema
from gnomon.core.json import Unreadable

USER = {"type": "record", "name": "User", "namespace": "shop", "fields": [{"name": "id", "type": "string"}]}
ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        {"name": "before", "type": ["null", "State"]},
        {"name": "user", "type": "User"},
        {"name": "rate", "type": "double"},
        {"name": "tags", "type": {"type": "map", "values": "string"}},
        {"name": "code", "type": {"type": "fixed", "name": "Code", "size": 2}},
    ],
}
NODE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "next", "type": ["null", "Node"]}, {"name": "all", "type": {"type": "array", "items": "Node"}}],
}


def written(schema: Any, value: Any, *named: Any) -> bytes:
    """Write a value as a producer does."""
    known: dict[str, Any] = {}
    for one in named:
        fastavro.parse_schema(one, known)
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(json.dumps(schema)), known), value)
    return stream.getvalue()


def plain(schema: Any) -> Any:
    """Leave out logical types, so that plain values can be written."""
    if isinstance(schema, dict):
        return {key: plain(value) for key, value in schema.items() if key != "logicalType"}
    return [plain(one) for one in schema] if isinstance(schema, list) else schema


def test_values_become_documents_of_plain_json() -> None:
    """Dates are their numbers, bytes the text of their code points, not-a-number a word."""
    value = {
        "id": "o-1", "at": 7, "total": b"\x01\xff", "state": "PAID", "before": "NEW", "user": {"id": "u-1"},
        "rate": float("nan"), "tags": {"a": "b"}, "code": b"ok",
    }  # fmt: skip
    schema = AvroSchema(json.dumps(ORDER), [json.dumps(USER)])
    document = schema.read(written(plain(ORDER), value, USER))
    assert document == value | {"total": "\x01\xff", "rate": "NaN", "code": "ok"}


def test_schemas_that_nest_themselves_are_read_to_a_bounded_depth() -> None:
    """A deeper value is refused, be it as deep as it wants; the process lives."""
    schema = AvroSchema(json.dumps(NODE))
    leaf: dict[str, Any] = {"next": None, "all": []}
    tree = {"next": {"next": None, "all": [leaf, {"next": leaf, "all": [leaf]}]}, "all": [leaf]}
    assert schema.read(written(NODE, tree)) == tree
    chain = AvroSchema('{"type":"record","name":"C","fields":[{"name":"next","type":["null","C"]}]}')
    chain.read(b"\x02" * MAX_LEVELS + b"\x00")
    for depth in (MAX_LEVELS + 1, 1_000_000):
        with pytest.raises(Unreadable):
            chain.read(b"\x02" * depth + b"\x00")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("3", "not an Avro schema"),
        ('"nope"', "not an Avro schema"),
        ('{"type": "record"}', "not an Avro schema"),
        ('{"type": "array", "items": "null"}', "takes no byte"),
        ('{"type": "map", "values": {"type": "array", "items": "null"}}', "takes no byte"),
        (
            (
                '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "null"}, {"name": "b", "type": '
                '{"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}}]}'
            ),
            "takes no byte",
        ),
    ],
)
def test_schemas_that_are_none_or_let_values_explode_are_refused(text: str, said: str) -> None:
    """An array of what takes no byte has as many elements as five bytes say."""
    with pytest.raises(Unreadable, match=said):
        AvroSchema(text)


@pytest.mark.parametrize("data", [b"", b"\x02", b"\x02a", b"\x02\xff\x00", b"\xff" * 12, b"\x02a\x00\x00"])
def test_what_is_not_one_value_and_nothing_more_is_unreadable(data: bytes) -> None:
    """Cut off, not UTF-8, with more behind it."""
    pair = {
        "type": "record",
        "name": "P",
        "fields": [{"name": "a", "type": "string"}, {"name": "b", "type": ["null", "long"]}],
    }
    schema = AvroSchema(json.dumps(pair))
    assert schema.read(b"\x02a\x00") == {"a": "a", "b": None}
    with pytest.raises(Unreadable):
        schema.read(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_unreadable(data: bytes) -> None:
    """Nothing else is raised, whatever comes."""
    for schema in (AvroSchema(json.dumps(NODE)), AvroSchema(json.dumps(ORDER), [json.dumps(USER)])):
        try:
            schema.read(data)
        except Unreadable as unreadable:
            assert unreadable.reason


def diamond(levels: int, leaf: Any) -> tuple[str, list[str]]:
    """Give a schema each of whose records has two of the one below."""
    records = [{"type": "record", "name": "R0", "fields": [{"name": "n", "type": leaf}]}]
    for level in range(1, levels):
        fields = [{"name": name, "type": f"R{level - 1}"} for name in "ab"]
        records.append({"type": "record", "name": f"R{level}", "fields": fields})
    *below, top = map(json.dumps, records)
    return top, below


def test_records_that_hold_each_other_twice_take_no_time() -> None:
    """Two to the power of a thousand ways lead to the last of a thousand."""
    schema = AvroSchema(*diamond(60, ["null", "int"]))
    with pytest.raises(Unreadable):
        schema.read(b"\x00" * 1000)
    small = AvroSchema(*diamond(3, "int"))
    assert small.read(b"\x02" * 4) == {"a": {"a": {"n": 1}, "b": {"n": 1}}, "b": {"a": {"n": 1}, "b": {"n": 1}}}


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: ["null", t], lambda t: {"type": "map", "values": t}])
def test_records_of_which_no_byte_becomes_a_large_document_are_refused(wrap: Any) -> None:
    """Wherever they are; the small ones of real schemas are read."""
    top, below = diamond(30, "null")
    outer = {"type": "record", "name": "Outer", "fields": [{"name": "x", "type": wrap("R29")}]}
    with pytest.raises(Unreadable, match="more than 100 values of each byte"):
        AvroSchema(json.dumps(outer), [*below, top])
    empty = {"type": "record", "name": "Empty", "fields": []}
    outer["fields"] = [{"name": "x", "type": wrap(empty)}, {"name": "y", "type": "null"}]
    AvroSchema(json.dumps(outer))


def test_arrays_in_arrays_are_read_to_a_bounded_depth() -> None:
    """However many of them each level of a record has: what walks the document recurses."""
    nested: Any = "R"
    for _ in range(90):
        nested = {"type": "array", "items": nested}
    schema = AvroSchema(json.dumps({"type": "record", "name": "R", "fields": [{"name": "x", "type": nested}]}))
    assert schema.read(b"\x00") == {"x": []}
    with pytest.raises(Unreadable):
        schema.read(b"\x02" * 1_000_000)


def test_schemas_that_are_too_large_once_they_are_unrolled_are_refused() -> None:
    """Or as they are written."""
    fields = [{"name": f"f{number}", "type": ["null", "R"]} for number in range(1_000)]
    with pytest.raises(Unreadable, match="comes to more than"):
        AvroSchema(json.dumps({"type": "record", "name": "R", "fields": fields}))
    with pytest.raises(Unreadable, match="has more than"):
        AvroSchema('"string"', [" " * MAX_TEXT])
