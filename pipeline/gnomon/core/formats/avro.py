"""Avro values as documents, by Avro's own JSON mapping (specification 1.12, "JSON Encoding"), without union labels.

fastavro reads them, and trusts them: a value of a schema that nests itself can be nested so deep that the process
ends, and an array of nulls may have more elements than there is memory for. So the first is unrolled to a bounded
depth, and the second is refused. So is a schema of which a small value becomes a large document.
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

MAX_LEVELS: Final = 128
"""How many records, arrays and maps may be in each other."""
MAX_TYPES: Final = 100_000
"""Types that a schema may come to once it is unrolled."""
MAX_TEXT: Final = 2 * 2**20
"""Characters of a schema with all that it refers to."""
MAX_NODES_A_BYTE: Final = 100
"""How many nulls, and records of them, a byte of a value may become."""

_PRIMITIVE: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_LEAST: Final = {"null": 0, "float": 4, "double": 8}
"""Bytes of the shortest value, where that is not 1."""
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
        if len(text) + sum(map(len, references)) > MAX_TEXT:
            raise Unreadable(f"its schema has more than {MAX_TEXT:,} characters")
        named: dict[str, Any] = {}
        try:
            for reference in references:
                _parse(reference, named)
            parsed = _parse(text, named)
            _Weights(named).check(parsed)
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
            value = _plain(schemaless_reader(stream, self._schema, None))
        except Exception as error:  # noqa: BLE001 - it looks into hostile bytes, and may raise anything
            raise Unreadable(f"not a value of its Avro schema: {type(error).__name__}: {str(error)[:200]}") from None
        if stream.tell() != len(data):
            raise Unreadable(f"{len(data) - stream.tell()} bytes follow the value")
        return value


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
        self._types = 0

    def of(self, schema: Any, level: int) -> Any:  # noqa: ANN401 - a schema
        self._types += 1
        if self._types > MAX_TYPES:
            raise Unreadable(f"its schema comes to more than {MAX_TYPES:,} types, {MAX_LEVELS} levels deep")
        if isinstance(schema, list):
            return [self.of(branch, level) for branch in schema]
        if isinstance(schema, str):
            return schema if schema in _PRIMITIVE else self._type(self._named[schema], level)
        if level > MAX_LEVELS and schema["type"] in ("array", "map"):
            return self._once(_NEVER)
        if schema["type"] == "array":
            return {"type": "array", "items": self.of(schema["items"], level + 1)}
        if schema["type"] == "map":
            return {"type": "map", "values": self.of(schema["values"], level + 1)}
        if isinstance(schema["type"], str) and schema["type"] in _PRIMITIVE:
            return schema["type"]
        return self._type(schema, level)

    def _type(self, schema: Any, level: int) -> Any:  # noqa: ANN401 - a schema
        """Give a named type: whole where it comes up first, after that its name."""
        if schema["type"] not in {"record", "error"}:
            return self._once({key: value for key, value in schema.items() if not key.startswith("__")})
        if level > MAX_LEVELS:
            return self._once(_NEVER)
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


class _Weights:
    """What the part of a value that is there whatever is in it takes: of a schema, nodes of the document and bytes.

    Branches of unions, elements of arrays and members of maps are parts of their own, each behind at least one byte.
    So a document has at most so many nodes for each byte of its value as one part may have.
    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._known: dict[str, tuple[int, int]] = {}
        self._parts: list[tuple[Any, bool]] = []

    def check(self, schema: Any) -> None:  # noqa: ANN401 - a schema
        """Refuse arrays of what takes no byte, and parts that are much larger than their bytes."""
        self._parts.append((schema, False))
        while self._parts:
            part, is_element = self._parts.pop()
            nodes, size = self._of(part)
            if is_element and not size:
                raise Unreadable("its schema has an array of what takes no byte, which could be of any length")
            if nodes > MAX_NODES_A_BYTE * max(size, 1):
                raise Unreadable(f"its schema makes more than {MAX_NODES_A_BYTE} values of each byte")

    def _of(self, schema: Any) -> tuple[int, int]:  # noqa: ANN401 - a schema
        if isinstance(schema, list):
            self._parts += [(branch, False) for branch in schema]
            return 0, 1
        if isinstance(schema, str):
            return (1, _LEAST.get(schema, 1)) if schema in _PRIMITIVE else self._type(self._named[schema])
        kind = schema["type"]
        if kind in ("array", "map"):
            self._parts.append((schema["items"], True) if kind == "array" else (schema["values"], False))
            return 1, 1
        return self._of(kind) if not isinstance(kind, str) or kind in _PRIMITIVE else self._type(schema)

    def _type(self, schema: Any) -> tuple[int, int]:  # noqa: ANN401 - a schema
        name = schema["name"]
        if name not in self._known:
            self._known[name] = (0, 0)  # one that holds itself outright has no value
            fields = [self._of(field["type"]) for field in schema.get("fields", ())]
            own = schema["size"] if schema["type"] == "fixed" else int(schema["type"] == "enum")
            self._known[name] = 1 + sum(nodes for nodes, _ in fields), own + sum(size for _, size in fields)
        return self._known[name]


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
