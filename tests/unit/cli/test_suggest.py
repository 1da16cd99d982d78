"""`gnomon rules suggest`: volatile fields as rules that a person can read, and what is refused."""

from __future__ import annotations

import json
import random
import tomllib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gnomon.capture import NdjsonWriter
from gnomon.testing import STARTED_US, exchange

Run = Callable[..., Any]


@pytest.fixture
def volatile(run: Run, tmp_path: Path) -> Path:
    """A capture compared: every response has its own id and time, and the shadow writes prices as text."""
    rng = random.Random(4)
    file = tmp_path / "volatile.ndjson"
    with NdjsonWriter(file) as writer:
        for number in range(40):
            started = STARTED_US + number * 1_000_000
            for role in ("live", "shadow"):
                answer: Any = {
                    "trace": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                    "at": started // 1000 + rng.randrange(100),
                    "price": 1.5 if role == "live" else "1.5",
                    "name": f"name {number % 10}" if role == "live" else f"NAME {number % 10}",
                }
                path = f"/items/{number % 10}"
                writer.write(exchange(f"r-{number}", role, answer, path=path, started_us=started))
    run("compare", file)
    return file


def test_volatile_fields_are_proposed_with_their_evidence(run: Run, volatile: Path) -> None:
    """The output is a rules file with counts and three examples; what could be a finding is refused, with why."""
    ended = run("rules", "suggest")
    assert ended.code == 0
    rules = tomllib.loads(ended.out)["rule"]
    assert {(rule["endpoint"], rule["path"]): (rule.get("treat_as"), rule.get("time_tolerance")) for rule in rules} == {
        ("GET /items/{id}", "/body/at"): (None, "2m"),
        ("GET /items/{id}", "/body/trace"): ("uuid", None),
    }
    assert all(rule["service"] == "shop" and rule["reason"] for rule in rules)
    assert (
        "# uuid: differs in 40 of 40 pairs; 40 different values of live in 40 looked at, and in 30 answers" in ended.out
    )
    assert ended.out.count("#   r-0: ") == ended.out.count("#   r-2: ") == 2
    assert "not proposed: shop GET /items/{id} /body/price: its structure differs too (type_changed)" in ended.err
    assert "/body/name: " in ended.err


def test_proposed_rules_let_through_what_they_name_and_nothing_else(run: Run, volatile: Path) -> None:
    """With the proposal as rules, the planted change of a type is all that is left."""
    Path("rules.toml").write_text(run("rules", "suggest").out)
    assert run("rules", "check").code == 0
    summary = json.loads(run("compare", volatile, "--db", "again.duckdb", "--json").out)
    assert {field["pattern"] for field in summary["fields"]} == {"/body/price", "/body/name"}


def test_hostile_values_stay_in_their_comments(run: Run, tmp_path: Path) -> None:
    """Line breaks and TOML in ids, paths and values do not leave the comment or the text they are in."""
    rng = random.Random(1)
    file = tmp_path / "hostile.ndjson"
    with NdjsonWriter(file) as writer:
        for number in range(30):
            for role in ("live", "shadow"):
                answer: Any = {'a"\n[[rule]]': f"{rng.randbytes(20).hex()}"}
                writer.write(exchange(f"r-{number}\n[[rule]]\nignore = true", role, answer, path=f"/items/{number}"))
    run("compare", file)
    [rule] = tomllib.loads(run("rules", "suggest").out)["rule"]
    assert rule["path"] == '/body/a"\n[[rule]]'
    assert "ignore" not in rule


def test_nothing_volatile_is_said(run: Run, capture: Path) -> None:
    """Without a proposal stdout is empty and stderr says so."""
    run("compare", capture)
    ended = run("rules", "suggest")
    assert (ended.code, ended.out) == (0, "")
    assert "nothing to suggest" in ended.err
