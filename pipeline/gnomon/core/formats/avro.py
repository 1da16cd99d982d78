"""Avro values as documents, by Avro's own JSON mapping (specification 1.12, "JSON Encoding"), without union labels.

fastavro reads them, and trusts them: a value of a schema that nests itself can be nested so deep that the process
ends, and an array of nulls may have more elements than there is memory for. So the first is unrolled to a bounded
depth, and the second is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final

from fastavro import parse_schema, schemaless_reader

from gnomon.core.json import Unreadable, loads
from gnomon.model import JsonValue

__all__ = ["AvroSchema"]

MAX_LEVELS: Final = 64
"""How many records of a schema that nests itself may be in each other."""

_PRIMITIVE: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_TOO_DEEP: Final = "gnomon.TooDeep"
# Longer than any value can be: who comes to it is told that the value ended
_NEVER: Final = {"type": "fixed", "name": _TOO_DEEP, "size": 2**31 - 1}


class AvroSchema:
    """A schema that values are read by. Immutable once made.

    Args:
        text: The schema as JSON.
        references: The schemas that it names and does not define, in an order in which each names earlier ones.

    Raises:
        Unreadable: It is not an Avro schema, or one by which hostile values could be larger than themselves.
    """

    def __init__(self, text: str, references: Sequence[str] = ()) -> None:
        named: dict[str, Any] = {}
        try:
            for reference in references:
                _parse(reference, named)
            parsed = _parse(text, named)
            _refuse_weightless(parsed, named)
            self._schema = parse_schema(_Unrolled(named).of(parsed, 0))
        except Unreadable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the library says of a schema
            raise Unreadable(f"not an Avro schema: {str(error)[:200]}") from None

    def read(self, data: bytes) -> JsonValue:
        """Read one value: bytes become text of their code points, NaN and infinities the words for them.

        Raises:
            Unreadable: It is not one value of this schema and nothing more.
        """
        stream = BytesIO(data)
        try:
            value = schemaless_reader(stream, self._schema, None)
        except Exception as error:  # noqa: BLE001 - it looks into hostile bytes, and may raise anything
            raise Unreadable(f"not a value of its Avro schema: {type(error).__name__}: {str(error)[:200]}") from None
        if stream.tell() != len(data):
            raise Unreadable(f"{len(data) - stream.tell()} bytes follow the value")
        return _plain(value)


def _parse(text: str, named: dict[str, Any]) -> Any:  # noqa: ANN401 - a schema
    document: Any = loads(text.encode())
    return parse_schema(_without_logical_types(document), named)


def _without_logical_types(schema: Any) -> Any:  # noqa: ANN401 - a schema
    """Leave out what would turn numbers and bytes into dates and decimals."""
    if isinstance(schema, dict):
        return {key: _without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    return [_without_logical_types(item) for item in schema] if isinstance(schema, list) else schema


class _Unrolled:
    """A schema in which each record has one more copy for each level that it is at, down to one that nothing fits."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._made: set[str] = set()

    def of(self, schema: Any, level: int) -> Any:  # noqa: ANN401 - a schema
        if isinstance(schema, list):
            return [self.of(branch, level) for branch in schema]
        if isinstance(schema, str):
            return schema if schema in _PRIMITIVE else self._type(self._named[schema], level)
        if schema["type"] == "array":
            return {"type": "array", "items": self.of(schema["items"], level)}
        if schema["type"] == "map":
            return {"type": "map", "values": self.of(schema["values"], level)}
        if isinstance(schema["type"], str) and schema["type"] in _PRIMITIVE:
            return schema["type"]
        return self._type(schema, level)

    def _type(self, schema: Any, level: int) -> Any:  # noqa: ANN401 - a schema
        """Give a named type: whole where it comes up first, after that its name."""
        is_record = schema["type"] in {"record", "error"}
        if is_record and level > MAX_LEVELS:
            return self._once(_NEVER)
        if not is_record:
            return self._once({key: value for key, value in schema.items() if not key.startswith("__")})
        name = f"{schema['name']}_{level}_"
        if name in self._made:
            return name
        self._made.add(name)
        fields = [{"name": one["name"], "type": self.of(one["type"], level + 1)} for one in schema["fields"]]
        return {"type": "record", "name": name, "fields": fields}

    def _once(self, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a schema
        name = schema["name"]
        if name in self._made:
            return name
        self._made.add(name)
        return schema


def _refuse_weightless(schema: Any, named: Mapping[str, Any], seen: frozenset[str] = frozenset()) -> bool:  # noqa: ANN401
    """Refuse arrays of what takes no byte; tell whether a value of a schema may take none."""
    if isinstance(schema, list):
        for branch in schema:
            _refuse_weightless(branch, named, seen)
        return False
    if isinstance(schema, str):
        if schema in _PRIMITIVE:
            return schema == "null"
        return schema not in seen and _refuse_weightless(named[schema], named, seen)
    kind = schema["type"]
    if kind == "array":
        if _refuse_weightless(schema["items"], named, seen):
            raise Unreadable("its schema has an array of what takes no byte, which could be of any length")
        return False
    if kind == "map":
        _refuse_weightless(schema["values"], named, seen)
        return False
    if kind in {"record", "error"}:
        inside = seen | {schema["name"]}
        fields = [_refuse_weightless(field["type"], named, inside) for field in schema["fields"]]
        return all(fields)  # of all of them: each has to be looked into
    return bool(kind == "null" or (kind == "fixed" and not schema["size"]))


def _plain(value: Any) -> JsonValue:  # noqa: ANN401 - what fastavro gives
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value  # type: ignore[no-any-return]
