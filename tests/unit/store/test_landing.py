"""Landing: new, unchanged, replaced; all at once or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.errors import DependencyError, InputError
from gnomon.model import Comparison, Difference, Exchange, Place, Reject
from gnomon.store import Landed, open_store
from gnomon.store.landing import publish

HOUR = 3_600
Chosen = tuple[str, str, str, str, int]


def test_first_landing_makes_the_database_and_leaves_nothing_else(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """A fresh target is the stage under its name; no log and no work directory stays behind."""
    landed = land(target, [(comparison(outcome="diff", differences=1), [difference()])])
    assert landed == Landed(new=1, unchanged=0, replaced=0)
    assert [path.name for path in target.parent.iterdir()] == ["gnomon.duckdb"]


def test_an_empty_file_is_no_database_yet(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """A target made by mktemp is filled."""
    target.touch()
    assert land(target, [(comparison(), [])]).new == 1
    with open_store(target) as store:
        assert store.summary().comparisons == 1


def test_run_and_clock_are_stamped(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed], now: datetime
) -> None:
    """Rows say which run landed them and when, in a fresh file and in one that was there."""
    land(target, [(comparison("a"), [])], run="one", rejects=[Reject(Place("f", 1), "bad")])
    land(target, [(comparison("b"), [])], run="two", rejects=[Reject(Place("f", 2), "bad")])
    with open_store(target) as store:
        rows = store.sql("SELECT request_id, run, landed_at FROM comparisons ORDER BY ALL").fetchall()
        assert rows == [("a", "one", now), ("b", "two", now)]
        assert store.sql("SELECT DISTINCT landed_at FROM rejects").fetchall() == [(now,)]


def test_runs_are_counted(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """`runs` says what each landing read, found and did."""
    changed = (comparison("a", outcome="diff", differences=1), [difference()])
    land(target, [changed, (comparison("b", outcome="live_missing"), [])], run="one")
    land(target, [changed, (comparison("b"), []), (comparison("c"), [])], run="two")
    with open_store(target) as store:
        rows = store.sql(
            "SELECT run, comparisons, pairs, divergences, new, unchanged, replaced, records FROM runs ORDER BY run"
        ).fetchall()
    assert rows == [("one", 2, 1, 1, 2, 0, 0, 2), ("two", 3, 3, 1, 1, 1, 1, 2)]


def test_another_answer_replaces_with_its_differences(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    exchange: Callable[..., Exchange],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
) -> None:
    """A row of the same request, target and role gives way with its differences and its evidence."""
    old = (comparison(outcome="diff", differences=1), [difference("/body/old")])
    evidence = [exchange(), exchange(role="shadow", target="cart@2")]
    land(target, [old], exchanges=evidence)
    assert land(target, [(comparison(), [])]) == Landed(new=0, unchanged=0, replaced=1)
    found = contents(target)
    assert [len(found[table]) for table in ("comparisons", "differences", "exchanges")] == [1, 0, 0]


def test_same_counts_with_other_differences_are_another_answer(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
) -> None:
    """The differences themselves are part of the answer, not only how many there are."""
    row = comparison(outcome="diff", differences=1)
    land(target, [(row, [difference(shadow_value="2")])])
    assert land(target, [(row, [difference(shadow_value="3")])]).replaced == 1
    assert "'3'" in contents(target)["differences"][0]


def test_place_in_kafka_is_no_answer(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """Where a record lay does not make it another answer."""
    land(target, [(comparison(topic="t", partition=1, live_offset=5), [])])
    assert land(target, [(comparison(topic="t", partition=2, live_offset=9), [])]).unchanged == 1


def test_flags_in_another_order_are_the_same(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """Maps are equal whatever the order of their keys."""
    land(target, [(comparison(flags={"a": "1", "b": "2"}), [])])
    assert land(target, [(comparison(flags={"b": "2", "a": "1"}), [])]).unchanged == 1


@pytest.mark.parametrize(
    ("second", "landed", "rows"),
    [(24 * HOUR - 1, Landed(0, 0, 1), 1), (24 * HOUR, Landed(1, 0, 0), 2), (-25 * HOUR, Landed(1, 0, 0), 2)],
)
def test_an_id_after_the_horizon_is_another_request(
    target: Path,
    comparison: Callable[..., Comparison],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
    second: int,
    landed: Landed,
    rows: int,
) -> None:
    """Within 24 hours of event time a request id names one request, after that another."""
    land(target, [(comparison(), [])])
    assert land(target, [(comparison(second=second), [])]) == landed
    assert len(contents(target)["comparisons"]) == rows


def test_targets_and_roles_are_rows_of_their_own(
    target: Path,
    comparison: Callable[..., Comparison],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
) -> None:
    """Two shadows and a control of one request stand side by side."""
    land(target, [(comparison(), [])])
    others = [(comparison(target="cart@3"), []), (comparison(role="control", target=""), [])]
    assert land(target, others) == Landed(2, 0, 0)
    assert len(contents(target)["comparisons"]) == 3


def test_a_real_comparison_supersedes_the_missing_row_without_a_target(
    target: Path,
    comparison: Callable[..., Comparison],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
) -> None:
    """`shadow_missing` with target "" gives way to what came late, and does not come back with it."""
    land(target, [(comparison(target="", outcome="shadow_missing"), [])])
    assert land(target, [(comparison(), [])]) == Landed(0, 0, 1)
    assert len(contents(target)["comparisons"]) == 1


def test_live_evidence_stays_while_another_target_needs_it(
    target: Path,
    comparison: Callable[..., Comparison],
    exchange: Callable[..., Exchange],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
) -> None:
    """Replacing one target's comparison leaves the live record that another target's still refers to."""
    two = [comparison(outcome="diff"), comparison(target="cart@3", outcome="diff")]
    evidence = [exchange(), exchange(role="shadow", target="cart@2"), exchange(role="shadow", target="cart@3")]
    land(target, [(row, []) for row in two], exchanges=evidence)
    land(target, [(comparison(), [])])
    kept = contents(target)["exchanges"]
    assert len(kept) == 2
    assert not any("'cart@2'" in row for row in kept)
    land(target, [(comparison(target="cart@3"), [])])
    assert contents(target)["exchanges"] == []


def test_evidence_of_a_new_target_replaces_the_live_record(
    target: Path,
    comparison: Callable[..., Comparison],
    exchange: Callable[..., Exchange],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
) -> None:
    """There is one live record of a request, however many targets brought it."""
    land(target, [(comparison(outcome="diff"), [])], exchanges=[exchange()])
    land(target, [(comparison(target="cart@3", outcome="diff"), [])], exchanges=[exchange()])
    assert len(contents(target)["exchanges"]) == 1


def test_judging_again_keeps_the_run_and_the_evidence(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    exchange: Callable[..., Exchange],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
) -> None:
    """Without a run of its own a landing keeps each row's run and what was stored for it."""
    land(target, [(comparison(outcome="diff", differences=1), [difference()])], exchanges=[exchange()], run="one")
    assert land(target, [(comparison(rules="rules-2"), [])], run=None) == Landed(0, 0, 1)
    with open_store(target) as store:
        assert store.sql("SELECT run, rules FROM comparisons").fetchall() == [("one", "rules-2")]
    found = contents(target)
    assert (len(found["differences"]), len(found["exchanges"])) == (0, 1)


def test_rejects_are_not_added_twice(
    target: Path, land: Callable[..., Landed], contents: Callable[[Path], dict[str, list[str]]]
) -> None:
    """The same line refused for the same reason is one reject, also without a line or an offset."""
    rejects = [
        Reject(Place("f", line=1), "bad", b"x"),
        Reject(Place("f", line=2), "bad", b"x"),
        Reject(Place("topic", partition=0, offset=1), "bad", b"x"),
        Reject(Place("f"), "bad", b"x"),
    ]
    land(target, [], rejects=rejects)
    land(target, [], rejects=[*rejects, Reject(Place("f", line=2), "worse", b"x")])
    assert len(contents(target)["rejects"]) == 5


rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from(["shadow", "control"]),
        st.sampled_from(["match", "diff", "shadow_missing"]),
        st.integers(0, 2),
    ),
    unique_by=lambda row: row[:3],
    max_size=8,
)


def _staged(
    comparison: Callable[..., Comparison], difference: Callable[..., Difference], chosen: list[Chosen]
) -> list[tuple[Comparison, list[Difference]]]:
    return [
        (
            comparison(request_id, target=name, role=role, outcome=outcome, differences=count),
            [difference(f"/body/{index}") for index in range(count)],
        )
        for request_id, name, role, outcome, count in chosen
    ]


@settings(max_examples=8, deadline=None)
@given(first=rows, second=rows)
def test_landing_twice_changes_nothing(
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
    first: list[Chosen],
    second: list[Chosen],
) -> None:
    """Whatever is there: landing the same rows again changes nothing and counts them as unchanged."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "t.duckdb"
        land(target, _staged(comparison, difference, first))
        land(target, _staged(comparison, difference, second))
        before = contents(target)
        assert land(target, _staged(comparison, difference, second)) == Landed(0, len(second), 0)
        assert contents(target) == before


@settings(max_examples=8, deadline=None)
@given(chosen=rows, cut=st.integers(0, 8), data=st.data())
def test_landing_order_does_not_matter(
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
    chosen: list[Chosen],
    cut: int,
    data: st.DataObject,
) -> None:
    """Rows in any order, in one landing or in two: the same database."""
    with tempfile.TemporaryDirectory() as directory:
        one, two = Path(directory) / "one.duckdb", Path(directory) / "two.duckdb"
        land(one, _staged(comparison, difference, chosen))
        shuffled = _staged(comparison, difference, data.draw(st.permutations(chosen)))
        land(two, shuffled[cut:])
        land(two, shuffled[:cut])
        assert contents(one) == contents(two)


def test_a_target_made_in_the_meantime_is_merged_into(
    target: Path,
    comparison: Callable[..., Comparison],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two runs that both saw no database both land."""
    from gnomon.store import stage

    real = stage.publish

    def late(file: Path, place: Path) -> bool:
        monkeypatch.setattr(stage, "publish", real)
        land(place, [(comparison("first"), [])])
        return real(file, place)

    monkeypatch.setattr(stage, "publish", late)
    assert land(target, [(comparison("second"), [])]) == Landed(1, 0, 0)
    assert len(contents(target)["comparisons"]) == 2


def test_publish_without_hard_links_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without links gets a plain rename."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    stage = tmp_path / "stage"
    stage.write_text("x")
    assert publish(stage, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_publish_says_when_the_file_system_refuses(tmp_path: Path) -> None:
    """A rename that cannot be is an InputError that names the target."""
    with pytest.raises(InputError, match="target cannot be written"):
        publish(tmp_path / "no-stage", tmp_path / "no-directory" / "target")


@pytest.fixture
def held(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> Iterator[subprocess.Popen[bytes]]:
    """A database that another process holds open for writing."""
    land(target, [(comparison(), [])])
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.communicate()


def test_a_target_held_by_another_process_is_said_at_the_start(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed], held: subprocess.Popen[bytes]
) -> None:
    """Before a run begins, one sentence says who holds its database and what to do."""
    with pytest.raises(DependencyError, match=rf"is open in process {held.pid}; close it there"):
        land(target, [(comparison(), [])])


def test_a_target_held_in_this_process_is_said(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """A store that is still open in a notebook is named as the reason."""
    land(target, [(comparison(), [])])
    with open_store(target), pytest.raises(DependencyError, match="is open in another connection; close it"):
        land(target, [(comparison(), [])])


def test_targets_that_are_no_database_are_refused(
    tmp_path: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """Other files, directories and left-over logs are refused before anything is read, and stay as they are."""
    other = tmp_path / "notes.txt"
    other.write_text("not a database\n" * 500)
    with pytest.raises(InputError, match="is not a DuckDB database"):
        land(other, [(comparison(), [])])
    with pytest.raises(InputError, match="is a directory"):
        land(tmp_path, [(comparison(), [])])
    (tmp_path / "lost.duckdb.wal").write_bytes(b"log")
    with pytest.raises(InputError, match="left over from a database that is gone"):
        land(tmp_path / "lost.duckdb", [(comparison(), [])])
    assert other.read_text() == "not a database\n" * 500


def test_somebody_elses_database_is_refused(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """A DuckDB file with other tables is not written to."""
    with duckdb.connect(str(target)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    with pytest.raises(InputError, match="not one of Gnomon's"):
        land(target, [(comparison(), [])])


def test_a_database_without_tables_is_taken(
    target: Path,
    comparison: Callable[..., Comparison],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
) -> None:
    """A file that DuckDB made and nobody used becomes the database."""
    duckdb.connect(str(target)).close()
    assert land(target, [(comparison(), [])]) == Landed(1, 0, 0)
    assert len(contents(target)["comparisons"]) == 1


def test_a_newer_version_is_refused(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """A database of a later Gnomon is neither read nor written."""
    land(target, [(comparison(), [])])
    with duckdb.connect(str(target)) as connection:
        connection.execute("UPDATE store_version SET version = 3")
    with pytest.raises(InputError, match="version 3 .* knows version 2; upgrade gnomon"):
        land(target, [(comparison(), [])])
    with pytest.raises(InputError, match="upgrade gnomon"):
        open_store(target)


def test_marks_of_secrets_are_no_answer(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """The same secret hashed with another run's key is the same row; anything beside it is not."""

    def rows(mark: str, price: str) -> list[tuple[Comparison, list[Difference]]]:
        token = f"hmac-sha256:{mark * 16}"
        row = comparison(path=f"/users?token=redacted:{token}", outcome="diff", differences=1)
        return [(row, [difference(live_value=f'["redacted:{token}", {price}]')])]

    land(target, rows("a", "1"))
    assert land(target, rows("b", "1")) == Landed(0, 1, 0)
    assert land(target, rows("b", "2")) == Landed(0, 0, 1)


@pytest.mark.parametrize(
    ("role", "outcome", "target_of_row"),
    [
        ("shadow", "live_missing", "cart@2"),
        ("shadow", "shadow_missing", "cart@2"),
        ("shadow", "shadow_missing", ""),
        ("control", "live_missing", "cart@2"),
        ("control", "shadow_missing", "cart@2"),
    ],
)
@pytest.mark.parametrize("second", [0, 24 * HOUR - 1])
def test_a_side_that_one_run_was_not_given_takes_nothing_away(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    exchange: Callable[..., Exchange],
    land: Callable[..., Landed],
    contents: Callable[[Path], dict[str, list[str]]],
    role: str,
    outcome: str,
    target_of_row: str,
    second: int,
) -> None:
    """Whoever is missing: within the horizon a comparison of both sides stays, with its difference and its evidence."""
    evidence = [exchange(), exchange(role=role, target="cart@2")]
    land(target, [(comparison(outcome="diff", differences=1, role=role), [difference()])], exchanges=evidence)
    before = contents(target)
    half = comparison(outcome=outcome, target=target_of_row, role=role, second=second)
    assert land(target, [(half, [])], exchanges=[exchange()]) == Landed(new=0, unchanged=1, replaced=0)
    assert contents(target) == before
    late = comparison(outcome=outcome, target=target_of_row, role=role, second=24 * HOUR)
    assert land(target, [(late, [])]).new == 1, "past the horizon it is another request"


def test_a_comparison_replaces_a_side_that_was_missing(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """The other way round both sides are more than one."""
    land(target, [(comparison(outcome="live_missing"), [])])
    assert land(target, [(comparison(), [])]) == Landed(new=0, unchanged=0, replaced=1)
    with open_store(target) as store:
        assert store.sql("SELECT outcome FROM comparisons").fetchall() == [("match",)]
