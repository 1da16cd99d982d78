"""What `gnomon rejudge` does to stored evidence: new rules hide it, and what was dropped stays unequal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gnomon.capture import NdjsonWriter, Source
from gnomon.compare import CompareRequest, compare_captures
from gnomon.config import Settings
from gnomon.core.rules import parse_rules
from gnomon.model import Exchange
from gnomon.rejudge import RejudgeSummary, rejudge
from gnomon.store import Selection, run_query
from gnomon.testing import pair

EVERYTHING = Selection(synthetic="include")


def rule(path: str, aspect: str) -> str:
    """Write one rule."""
    return f'[[rule]]\npath = "{path}"\n{aspect}\n'


def land(tmp_path: Path, records: list[Exchange], rules: str = "", **limits: int) -> Path:
    """Compare records into a database of their own."""
    capture, db = tmp_path / "c.ndjson", tmp_path / "g.duckdb"
    with NdjsonWriter(capture) as writer:
        for record in records:
            writer.write(record)
    settings = Settings(limits=msgspec.structs.replace(Settings().limits, **limits))
    compare_captures(CompareRequest(sources=[Source(str(capture))], db=db, rules=parse_rules(rules), settings=settings))
    return db


def judge(db: Path, rules: str, *, dry_run: bool = False) -> RejudgeSummary:
    """Judge everything again."""
    return rejudge(db, parse_rules(rules), Settings(), selection=EVERYTHING, dry_run=dry_run)


def rows(db: Path, sql: str) -> list[tuple[Any, ...]]:
    """Run a query."""
    return [tuple(row) for row in run_query(db, sql).rows]


def stored(db: Path) -> str:
    """Give all that is stored of answers."""
    return "\n".join(str(row) for table in ("differences", "exchanges") for row in rows(db, f"FROM {table}"))


@pytest.mark.parametrize("how", ["hash", "drop"])
@pytest.mark.parametrize("evidence", [0, 10])
@pytest.mark.parametrize("hidden", ["", rule("/body/hidden", "ignore = true")])
def test_what_new_rules_hide_is_hidden_in_all_that_is_stored(
    tmp_path: Path, how: str, evidence: int, hidden: str
) -> None:
    """In differences and in stored exchanges, with and without evidence, and where nothing can be judged again."""
    records = [*pair("r-1", {"name": "Ada", "n": 1}, {"name": "Grace", "n": 2})]
    db = land(tmp_path, records, hidden, evidence=evidence)
    redacting = rule("/body/name", f'redact = "{how}"')
    before = stored(db)
    assert "Grace" in before
    judge(db, redacting, dry_run=True)
    assert stored(db) == before
    judge(db, redacting)
    assert not [name for name in ("Ada", "Grace") if name in stored(db)]
    assert rows(db, "SELECT outcome, differences FROM comparisons") == [("diff", 2)]
    assert len(rows(db, "FROM exchanges")) == (2 if evidence else 0)
    shown = rows(db, "SELECT live_value = shadow_value FROM differences WHERE path = '/body/name'")
    assert shown == [(how == "drop",)]


def test_what_was_dropped_does_not_become_equal(tmp_path: Path) -> None:
    """Dropped values look alike in the stored exchanges; the differences still know."""
    dropping = rule("/body/name", 'redact = "drop"')
    db = land(tmp_path, [*pair("r-1", {"name": "Ada"}, {"name": "Grace"})], dropping)
    other = rule("/body/other", "ignore = true")
    summary = judge(db, dropping + other)
    assert (summary.judged, summary.changed, summary.after.diff) == (1, 0, 1)
    assert judge(db, other + rule("/body/name", "ignore = true")).after.match == 1


def test_stored_exchanges_follow_their_endpoints_name(tmp_path: Path) -> None:
    """A template of the new rules names the evidence as it names the comparison."""
    db = land(tmp_path, [*pair("r-1", 1, 2, path="/carts/blue")])
    judge(db, '[[endpoint]]\ntemplate = "GET /carts/{colour}"\n')
    assert rows(db, "SELECT DISTINCT endpoint FROM exchanges") == [("GET /carts/{colour}",)]
    assert rows(db, "SELECT DISTINCT endpoint FROM comparisons") == [("GET /carts/{colour}",)]


def test_what_could_not_be_compared_can_be_ignored(tmp_path: Path) -> None:
    """Bodies that nobody could read do not matter any more once rules ignore them."""
    db = land(tmp_path, [*pair("r-1", "{", "["), *pair("r-2", 1, 1)])
    assert (judge(db, rule("/body/a", "ignore = true")).after.incomparable) == 1
    after = judge(db, rule("/body/a", "ignore = true") + rule("/body", "ignore = true")).after
    assert (after.match, after.incomparable) == (2, 0)


def test_the_fields_that_change_are_named(tmp_path: Path) -> None:
    """A rule that takes one of two differences away changes no outcome, and is seen to work all the same."""
    documents = [({"price": 1.0, "sku": "a"}, {"price": 1.0001, "sku": "b"})] * 3
    db = land(tmp_path, [side for n, (a, b) in enumerate(documents) for side in pair(f"r-{n}", a, b)])
    summary = judge(db, rule("/body/price", "number_tolerance = { relative = 0.001 }"), dry_run=True)
    assert (summary.changed, summary.before, summary.after) == (0, summary.after, summary.before)
    assert [(f.pattern, f.kind, f.before, f.after) for f in summary.fields] == [("/body/price", "changed", 3, 0)]
    assert judge(db, rule("/body/nothere", "ignore = true"), dry_run=True).fields == []


def test_what_was_hashed_keeps_its_kind_and_place(tmp_path: Path) -> None:
    """A hash says neither what type a value had nor what was in it; the differences were found before."""
    hashing = rule("/body/h", 'redact = "hash"')
    db = land(tmp_path, [*pair("r-1", {"h": {"a": 1, "b": 2}}, {"h": {"a": "1", "b": 3}})], hashing)
    sql = "SELECT path, kind, severity, live_value, shadow_value FROM differences ORDER BY path"
    before = rows(db, sql)
    assert [row[:2] for row in before] == [("/body/h/a", "type_changed"), ("/body/h/b", "changed")]
    judge(db, hashing + rule("/body/other", "ignore = true"))
    assert rows(db, sql) == before
