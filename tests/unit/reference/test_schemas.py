"""The published JSON Schemas accept what Gnomon reads and writes, and refuse what it refuses."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from typing import Any

import jsonschema
import msgspec
import pytest

from gnomon.model import Alert, Body, Comparison, Difference, Place, Reject, TransportError
from gnomon.reference import schemas
from gnomon.testing import exchange


def validator(name: str) -> jsonschema.Draft202012Validator:
    """Give a validator of one published schema."""
    schema = json.loads(schemas()[name])
    return jsonschema.Draft202012Validator(schema)


RECORDS: dict[str, list[msgspec.Struct]] = {
    "exchange": [
        exchange(answer={"price": 7}),
        exchange(role="shadow", answer=b"\x00\xff", target="cart@2", status=503),
        exchange(role="control", error=TransportError("timeout", "after 3 s")),
        exchange(expect=["shadow:cart@2", "control"], flags={"new-cart": "on"}, synthetic="probe", duration_us=None),
        exchange(answer="cut", as_of="2027-07-12T00:00:00Z"),
    ],
    "difference": [
        Difference("/body/a", None, "/body/a", "removed", "high", "1"),
        Difference("/status", "/status", "/status", "changed", "high", "200", "503", True, "control differs too"),
    ],
    "comparison": [
        Comparison(
            request_id="r-1",
            target="",
            role="shadow",
            service="shop",
            endpoint="GET /items/{id}",
            method="GET",
            path="/items/7",
            started_at=datetime(2027, 1, 1, tzinfo=UTC),
            outcome="shadow_error",
            shadow_error="reset",
            live_ms=1.5,
            severity="high",
            rules="abc",
        )
    ],
    "reject": [Reject(Place("x.ndjson", 3), "not JSON", b"{"), Reject(Place("topic", None, 1, 2), "too_late")],
    "alert": [
        Alert(
            name="price",
            key="price:shop",
            state="firing",
            severity="critical",
            service="shop",
            endpoint="GET /items/{id}",
            target="",
            metric="divergence_rate",
            value=0.2,
            threshold=0.01,
            interval=(0.1, 0.3),
            since=datetime(2027, 1, 1, tzinfo=UTC),
            at=datetime(2027, 1, 1, tzinfo=UTC),
            summary="diverges",
        )
    ],
}


@pytest.mark.parametrize("name", sorted(schemas()))
def test_schemas_are_of_the_dialect_and_have_titles(name: str) -> None:
    """Each is valid draft 2020-12, has a title and a description, and no `$id`."""
    schema = json.loads(schemas()[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    assert schema["description"]
    assert "$id" not in schema


@pytest.mark.parametrize(("name", "record"), [(name, record) for name in RECORDS for record in RECORDS[name]])
def test_real_records_are_valid(name: str, record: msgspec.Struct) -> None:
    """What Gnomon writes is what the schema says."""
    validator(name).validate(json.loads(msgspec.json.encode(record)))


def test_unknown_fields_of_an_exchange_are_tolerated() -> None:
    """Emitters may say more than is read."""
    record = json.loads(msgspec.json.encode(exchange()))
    validator("exchange").validate({**record, "region": "eu"})


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": ""},
        {"request_id": "x" * 257},
        {"role": "canary"},
        {"started_us": -1},
        {"v": 2},
        {"response": None},
        {"error": {"kind": "timeout", "message": ""}},
        {"response": None, "error": {"kind": "tired", "message": ""}},
        {"request": {"method": "GET"}},
        {"flags": {"a": 1}},
        {"expect": ["foo"]},
        {"response": {"status": 200, "body": {"data": "", "encoding": "text", "size": 0, "hash": "ab"}}},
    ],
)
def test_broken_exchanges_are_invalid(change: dict[str, Any]) -> None:
    """A record that Gnomon rejects is one that the schema refuses."""
    record = json.loads(msgspec.json.encode(exchange()))
    assert validator("exchange").is_valid(record)
    assert not validator("exchange").is_valid({**record, **change})


def test_a_truncated_body_is_valid() -> None:
    """Bodies may be cut and still be told equal by their hash."""
    record = json.loads(msgspec.json.encode(exchange(answer="ab")))
    record["response"]["body"] = json.loads(msgspec.json.encode(Body("ab", "text", 9, "sha256:00", truncated=True)))
    validator("exchange").validate(record)


RULES = """
[[rule]]
service = "cart"
endpoint = "GET /users/{id}"
path = "/body/items/*/price"
number_tolerance = { relative = 0.001, absolute = 0.01 }
time_tolerance = "2s"
treat_as = "uuid"
redact = "hash"
reason = "why"

[[endpoint]]
template = "GET /users/{id}/orders/{order}"
"""


def test_a_rules_file_is_valid() -> None:
    """The example of the documentation is what the schema says; an unknown key is not."""
    rules = tomllib.loads(RULES)
    validator("rules").validate(rules)
    assert not validator("rules").is_valid({"rule": [{"pth": "/body"}]})
    assert not validator("rules").is_valid({"rule": [{"treat_as": "number"}]})
