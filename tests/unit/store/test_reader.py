"""Reading a database, and reading what was judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import gnomon.store.reader
from gnomon.model import Comparison, Difference, Exchange, instant
from gnomon.store import Landed, Selection, open_store


def test_sql_gives_a_relation(target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]) -> None:
    """Analysts get DuckDB's own relations."""
    land(target, [(comparison(), [])])
    with open_store(str(target)) as store:
        assert store.sql("SELECT outcome FROM comparisons").fetchall() == [("match",)]
        assert store.sql("SELECT $x AS x", {"x": 3}).fetchall() == [(3,)]


def test_rules_by_version(target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]) -> None:
    """The text of every rule set that judged something is there."""
    land(target, [(comparison(), [])])
    with open_store(target) as store:
        assert store.rules("rules-1") == "# none"
        assert store.rules("unknown") is None


def test_judged_gives_back_what_landed(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    exchange: Callable[..., Exchange],
    land: Callable[..., Landed],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every comparison with its own differences and its request's exchanges, in batches."""
    monkeypatch.setattr(gnomon.store.reader, "BATCH_REQUESTS", 2)
    rows = []
    for name in "edcba":
        rows.append((comparison(name, outcome="diff", flags={"a": "1"}), [difference("/x"), difference("/y")]))
        rows.append((comparison(name, role="control", target=""), [difference("/x")] if name == "c" else []))
    land(target, rows, exchanges=[exchange("b"), exchange("b", role="shadow", target="cart@2"), exchange("zzz")])
    with open_store(target) as store:
        batches = list(store.judged())
    assert [len(batch) for batch in batches] == [2, 2, 1]
    requests = [request for batch in batches for request in batch]
    assert [request.comparisons[0][0].request_id for request in requests] == list("abcde")
    given = {(row.request_id, row.role): (row, found) for row, found in rows}
    for request in requests:
        assert [row.role for row, _ in request.comparisons] == ["shadow", "control"]
        for row, found in request.comparisons:
            assert (row, found) == given[row.request_id, row.role]
    assert [len(request.exchanges) for request in requests] == [0, 2, 0, 0, 0]
    assert {found.role for found in requests[1].exchanges} == {"live", "shadow"}


def test_an_id_that_came_again_is_two_requests(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """The same id beyond the horizon keeps its own differences."""
    day = 25 * 3_600
    land(target, [(comparison(), [difference("/first")]), (comparison(second=day), [difference("/second")])])
    with open_store(target) as store:
        [batch] = store.judged()
    assert [request.comparisons[0][1][0].path for request in batch] == ["/first", "/second"]


def test_judged_selection(target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]) -> None:
    """Filters choose comparisons; a control comes with its shadow; synthetic traffic is judged again too."""
    land(
        target,
        [
            (comparison("a"), []),
            (comparison("a", target="cart@3"), []),
            (comparison("a", role="control", target=""), []),
            (comparison("b", second=60, synthetic="load"), []),
        ],
    )

    def count(selection: Selection | None) -> int:
        with open_store(target) as store:
            return sum(len(request.comparisons) for batch in store.judged(selection) for request in batch)

    assert count(None) == 4
    assert count(Selection(target="cart@3")) == 2
    assert count(Selection(since=instant(1_800_000_001_000_000), synthetic="include")) == 1
    assert count(Selection(service="none")) == 0
