"""JSON Schemas (draft 2020-12) of the published shapes, from the structs and their docstrings."""

from __future__ import annotations

import inspect
from typing import Any, Final

import msgspec

from gnomon.core.rules import RuleFile
from gnomon.model import Alert, Comparison, Difference, Exchange, Reject
from gnomon.summary import Verdict

__all__ = ["DIALECT", "schemas"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_PUBLISHED: Final[dict[str, type[msgspec.Struct]]] = {
    "alert": Alert,
    "comparison": Comparison,
    "difference": Difference,
    "exchange": Exchange,
    "reject": Reject,
    "rules": RuleFile,
    "verdict": Verdict,
}
# What a struct cannot say: an exchange has exactly one of a response and an error.
_BESIDE: Final[dict[str, dict[str, Any]]] = {
    "Exchange": {
        "oneOf": [
            {"required": ["response"], "properties": {"response": {"type": "object"}, "error": {"type": "null"}}},
            {"required": ["error"], "properties": {"error": {"type": "object"}, "response": {"type": "null"}}},
        ]
    }
}


def schemas() -> dict[str, str]:
    """Give the text of each schema by its name, `exchange` and so on."""
    return {name: schema_text(struct) for name, struct in _PUBLISHED.items()}


def schema_text(struct: type[msgspec.Struct]) -> str:
    """Write one schema. It has no `$id`: it is known by the file that holds it."""
    _, definitions = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    top = definitions.pop(struct.__name__)
    schema: dict[str, Any] = {"$schema": DIALECT, **top, **_BESIDE.get(struct.__name__, {})}
    if "v" in schema["properties"]:  # a default for who makes one; without it nobody knows how to read a record
        del schema["properties"]["v"]["default"]
        schema["required"] = ["v", *schema["required"]]
    if definitions:
        schema["$defs"] = dict(sorted(definitions.items()))
    encoded = msgspec.json.encode(_with_plain_descriptions(schema))
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def _with_plain_descriptions(node: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Join a docstring's wrapped lines to paragraphs. Schemas are as deep as the structs: a few levels."""
    if isinstance(node, list):
        return [_with_plain_descriptions(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _paragraphs(value)
        if name == "description" and isinstance(value, str)
        else _with_plain_descriptions(value)
        for name, value in node.items()
    }


def _paragraphs(docstring: str) -> str:
    blocks = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(" ".join(block.split()) for block in blocks)
