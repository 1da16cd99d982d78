"""`gnomon compare`, `rejudge` and `query` on captures, through the functions that the commands call."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gnomon.capture import Source
from gnomon.compare import CompareRequest, compare_captures
from gnomon.config import Settings
from gnomon.core.rules import parse_rules
from gnomon.errors import DependencyError, InputError
from gnomon.model import Exchange, TransportError
from gnomon.rejudge import RejudgeSummary, rejudge
from gnomon.store import Selection, open_store, run_query
from gnomon.suggest import suggest_templates, toml_of
from gnomon.summary import RunSummary
from gnomon.testing import STARTED_US, exchange, pair

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


def write(path: Path, records: Sequence[Exchange | bytes]) -> Path:
    """Write a capture."""
    path.write_bytes(b"".join((r if isinstance(r, bytes) else msgspec.json.encode(r)) + b"\n" for r in records))
    return path


def compare(db: Path, capture: Path, rules: str = "", **settings: Any) -> RunSummary:
    """Compare one capture into a database."""
    return compare_captures(
        CompareRequest(sources=[Source(str(capture))], db=db, rules=parse_rules(rules), settings=Settings(**settings))
    )


def rows(db: Path, sql: str) -> list[tuple[Any, ...]]:
    """Run a query."""
    return [tuple(row) for row in run_query(db, sql).rows]


def traffic() -> list[Exchange]:
    """Requests of every outcome, with a control, duplicates and secrets."""
    records: list[Exchange] = []
    for n in range(20):
        live = {"id": n, "token": JWT, "at": f"2027-01-15T08:00:{n:02d}Z"}
        shadow = live | {"at": "2027-01-15T09:00:00Z"} | ({"id": str(n)} if n % 4 == 0 else {})
        control = live | {"at": "2027-01-15T10:00:00Z"}
        for role, answer in (("live", live), ("shadow", shadow), ("control", control)):
            records.append(
                exchange(f"r-{n}", role, answer, path=f"/users/{n}?token={JWT}", started_us=STARTED_US + n)  # type: ignore[arg-type]
            )
    records += [records[0], records[1]]
    records.append(exchange("missing"))
    records.append(exchange("alone", "shadow"))
    records.append(exchange("broken"))
    records.append(exchange("broken", "shadow", error=TransportError("reset")))
    return records


def test_every_outcome_lands_and_the_summary_tells_it(tmp_path: Path) -> None:
    """The summary, the tables and the views say the same."""
    db = tmp_path / "g.duckdb"
    capture = write(tmp_path / "c.ndjson", [*traffic(), b"not json", b'{"v":1}'])
    summary = compare(db, capture)
    assert (summary.records, summary.rejects, summary.duplicates) == (68, 2, 3)
    assert msgspec.structs.asdict(summary.outcomes) == {
        "match": 0, "noise": 15, "diff": 5, "live_error": 0, "shadow_error": 1,
        "shadow_missing": 1, "live_missing": 1, "incomparable": 0,
    }  # fmt: skip
    assert (summary.comparisons, summary.pairs, summary.divergences) == (23, 21, 7)
    assert summary.divergence_rate == pytest.approx(7 / 22)
    assert dict(rows(db, "SELECT outcome, count(*) FROM comparisons WHERE role = 'shadow' GROUP BY 1")) == {
        "noise": 15, "diff": 5, "shadow_error": 1, "shadow_missing": 1, "live_missing": 1,
    }  # fmt: skip
    assert rows(db, "SELECT source, line FROM rejects ORDER BY line") == [(str(capture), 67), (str(capture), 68)]
    stored = "\n".join(str(row) for t in ("comparisons", "differences", "exchanges") for row in rows(db, f"FROM {t}"))
    assert JWT not in stored


def test_the_same_capture_again_changes_nothing(tmp_path: Path) -> None:
    """Not even with secrets hashed by another random key, nor in another order."""
    db = tmp_path / "g.duckdb"
    records = traffic()
    first = compare(db, write(tmp_path / "a.ndjson", records))
    before = rows(db, "SELECT * FROM comparisons ORDER BY ALL"), rows(db, "SELECT * FROM differences ORDER BY ALL")
    random.Random(1).shuffle(records)
    again = compare(db, write(tmp_path / "b.ndjson", records))
    assert (again.new, again.unchanged, again.replaced) == (0, first.new, 0)
    assert before == (
        rows(db, "SELECT * FROM comparisons ORDER BY ALL"), rows(db, "SELECT * FROM differences ORDER BY ALL")
    )  # fmt: skip
    assert (again.outcomes, again.divergence_rate, again.pairs) == (first.outcomes, first.divergence_rate, first.pairs)


def test_another_answer_replaces_the_row_and_is_counted(tmp_path: Path) -> None:
    """One row per request, target and role, whatever runs say."""
    db = tmp_path / "g.duckdb"
    compare(db, write(tmp_path / "a.ndjson", [*pair("r-1", {"a": 1}, {"a": 2}), *pair("r-2", 1, 1)]))
    summary = compare(db, write(tmp_path / "b.ndjson", [*pair("r-1", {"a": 1}, {"a": 3}), *pair("r-3", 1, 1)]))
    assert (summary.new, summary.unchanged, summary.replaced) == (1, 0, 1)
    assert rows(db, "SELECT request_id, shadow_value FROM differences") == [("r-1", "3")]
    assert rows(db, "SELECT count(*) FROM comparisons") == [(3,)]


def test_an_id_that_comes_again_after_the_horizon_is_another_request(tmp_path: Path) -> None:
    """A day later the same id is another row, in one capture and over two runs."""
    db = tmp_path / "g.duckdb"
    later = STARTED_US + 25 * 3600 * 1_000_000
    compare(db, write(tmp_path / "a.ndjson", [*pair("r-1", 1, 1), *pair("r-1", 1, 2, started_us=later)]))
    assert rows(db, "SELECT outcome FROM comparisons ORDER BY started_at") == [("match",), ("diff",)]
    summary = compare(db, write(tmp_path / "b.ndjson", pair("r-1", 1, 1, started_us=later * 2 - STARTED_US)))
    assert summary.new == 1


def test_spilling_to_disk_changes_nothing(tmp_path: Path) -> None:
    """A capture that memory does not hold comes to the same rows."""
    capture = write(tmp_path / "c.ndjson", traffic())
    compare(tmp_path / "a.duckdb", capture)
    compare(tmp_path / "b.duckdb", capture, limits=msgspec.structs.replace(Settings().limits, spill_bytes=1))
    columns = "* EXCLUDE (run, landed_at, path)"
    for sql in (
        f"SELECT {columns} FROM comparisons ORDER BY ALL",
        "SELECT pattern, kind FROM differences ORDER BY ALL",
    ):
        assert rows(tmp_path / "a.duckdb", sql) == rows(tmp_path / "b.duckdb", sql)


def test_a_killed_run_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    """Nothing of a run that was killed is there, its work directory goes with the next run."""
    db = tmp_path / "g.duckdb"
    compare(db, write(tmp_path / "a.ndjson", traffic()))
    before = rows(db, "SELECT * FROM comparisons ORDER BY ALL")
    child = subprocess.Popen(
        [sys.executable, "-m", "gnomon", "compare", "--format", "ndjson", "-", "--db", str(db)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdin is not None
    # far more than a pipe holds: when all of it is written, the child is in the middle of reading
    child.stdin.write(b"".join(msgspec.json.encode(r) + b"\n" for n in range(2000) for r in pair(f"k-{n}", 1, 2)))
    child.stdin.flush()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert rows(db, "SELECT * FROM comparisons ORDER BY ALL") == before
    assert list(tmp_path.glob(".g.duckdb.work-*"))
    compare(db, write(tmp_path / "b.ndjson", pair("r-10", 1, 1)))
    assert list(tmp_path.glob(".g.duckdb.work-*")) == []


def test_evidence_is_kept_for_diverging_requests_up_to_a_budget(tmp_path: Path) -> None:
    """The first few of each endpoint and pattern, with every side of the request."""
    db = tmp_path / "g.duckdb"
    records = [e for n in range(10) for e in pair(f"r-{n}", {"a": n}, {"a": -1 - n})]
    limits = msgspec.structs.replace(Settings().limits, evidence=3)
    compare(db, write(tmp_path / "c.ndjson", [*records, *pair("same", 1, 1)]), limits=limits)
    assert rows(db, "SELECT count(DISTINCT request_id), count(*) FROM exchanges") == [(3, 6)]
    assert rows(db, "SELECT count(*) FROM exchanges WHERE request_id = 'same'") == [(0,)]


@pytest.mark.parametrize("fresh", [True, False])
def test_patterns_past_the_bound_are_other(tmp_path: Path, fresh: bool) -> None:
    """`limits.patterns` of each endpoint keep their name, in the summary and in the database."""
    db = tmp_path / "g.duckdb"
    capture = write(tmp_path / "c.ndjson", pair("r-1", {"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 2}))
    if not fresh:
        assert len(compare(db, capture).fields) == 3
    summary = compare(db, capture, limits=msgspec.structs.replace(Settings().limits, patterns=2))
    assert sorted(field.pattern for field in summary.fields) == ["(other)", "/body/a", "/body/b"]
    assert rows(db, "SELECT pattern FROM field_stats ORDER BY 1") == [("(other)",), ("/body/a",), ("/body/b",)]


def judge(db: Path, rules: str, *, dry_run: bool = False) -> RejudgeSummary:
    """Judge everything again."""
    return rejudge(db, parse_rules(rules), Settings(), selection=Selection(synthetic="include"), dry_run=dry_run)


IGNORE_ID = '[[rule]]\npath = "/body/id"\nignore = true\n'


def test_new_rules_judge_what_has_landed(tmp_path: Path) -> None:
    """Outcomes, counts, difference rows and the rules' version follow; a dry run changes nothing."""
    db = tmp_path / "g.duckdb"
    compare(db, write(tmp_path / "c.ndjson", traffic()))
    before = rows(db, "SELECT * FROM comparisons ORDER BY ALL")
    dry = judge(db, IGNORE_ID, dry_run=True)
    assert rows(db, "SELECT * FROM comparisons ORDER BY ALL") == before
    wet = judge(db, IGNORE_ID)
    assert msgspec.structs.replace(wet, dry_run=True) == dry
    assert (wet.changed, wet.before.diff, wet.after.diff, wet.after.noise) == (5, 5, 0, 20)
    assert rows(db, "SELECT DISTINCT pattern FROM differences") == [("/body/at",)]
    assert rows(db, "SELECT DISTINCT rules FROM comparisons") == [(parse_rules(IGNORE_ID).version,)]
    assert rows(db, "SELECT count(*) FROM rule_versions") == [(2,)]


def test_judging_again_equals_comparing_anew(tmp_path: Path) -> None:
    """From stored exchanges or from differences alone, the rows are those of a fresh run under the new rules."""
    rules = IGNORE_ID + '[[rule]]\npath = "/body/at"\ntreat_as = "timestamp"\n'
    capture = write(tmp_path / "c.ndjson", traffic())
    fresh = tmp_path / "fresh.duckdb"
    compare(fresh, capture, rules)
    for evidence in (0, 3, 1000):
        db = tmp_path / f"g{evidence}.duckdb"
        compare(db, capture, limits=msgspec.structs.replace(Settings().limits, evidence=evidence))
        summary = judge(db, rules)
        assert (summary.hidden, summary.evidence_gone) == (0, 0)
        columns = "request_id, role, target, outcome, differences, severity, rules, duplicates"
        sql = f"SELECT {columns} FROM comparisons ORDER BY ALL"
        assert rows(db, sql) == rows(fresh, sql)


def test_what_old_rules_hid_cannot_be_judged_again(tmp_path: Path) -> None:
    """A match under a rule that is gone stays as it is, with its rules, and is counted."""
    db = tmp_path / "g.duckdb"
    compare(db, write(tmp_path / "c.ndjson", pair("r-1", {"id": 1}, {"id": 2})), IGNORE_ID)
    summary = judge(db, "")
    assert (summary.hidden, summary.judged, summary.changed) == (1, 0, 0)
    assert rows(db, "SELECT outcome, rules FROM comparisons") == [("match", parse_rules(IGNORE_ID).version)]


def test_without_evidence_another_alignment_cannot_be_judged(tmp_path: Path) -> None:
    """Stored differences do not say how an array would align under another rule."""
    db = tmp_path / "g.duckdb"
    limits = msgspec.structs.replace(Settings().limits, evidence=0)
    compare(db, write(tmp_path / "c.ndjson", pair("r-1", {"a": [1, 2]}, {"a": [2, 1]})), limits=limits)
    summary = judge(db, '[[rule]]\npath = "/body/a"\nunordered = true\n')
    assert (summary.evidence_gone, summary.changed) == (1, 0)


def test_a_database_open_elsewhere_is_said_so(tmp_path: Path) -> None:
    """A reader in another process holds the file; the sentence says what to do."""
    db = tmp_path / "g.duckdb"
    capture = write(tmp_path / "c.ndjson", pair("r-1", 1, 1))
    compare(db, capture)
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import duckdb; c = duckdb.connect({str(db)!r}); print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(DependencyError, match="is open in process"):
            compare(db, capture)
    finally:
        holder.kill()
        holder.communicate()
    with open_store(db) as store:
        assert store.summary().pairs == 1


def test_a_report_is_written_for_this_run(tmp_path: Path) -> None:
    """The report speaks of what this run compared, not of what was there before."""
    db, report = tmp_path / "g.duckdb", tmp_path / "r.html"
    compare(db, write(tmp_path / "a.ndjson", pair("first-run", {"a": 1}, {"a": "1"})))
    capture = write(tmp_path / "b.ndjson", pair("second-run", {"b": 1}, {"b": "1"}))
    request = CompareRequest(
        sources=[Source(str(capture))], db=db, rules=parse_rules(""), settings=Settings(), report=report
    )
    compare_captures(request)
    text = report.read_text()
    assert "second-run" in text
    assert "first-run" not in text


def test_a_missing_capture_is_a_sentence(tmp_path: Path) -> None:
    """Nothing is made where nothing can be read."""
    with pytest.raises(InputError, match="nowhere"):
        compare(tmp_path / "g.duckdb", tmp_path / "nowhere.ndjson")
    assert list(tmp_path.iterdir()) == []


def test_progress_adds_up_to_the_size_of_the_captures(tmp_path: Path) -> None:
    """A bar that counts bytes ends full."""
    capture = write(tmp_path / "c.ndjson", traffic() * 20)
    told: list[int] = []
    request = CompareRequest(
        sources=[Source(str(capture))], db=tmp_path / "g.duckdb", rules=parse_rules(""), settings=Settings()
    )
    compare_captures(request, told.append)
    assert sum(told) == capture.stat().st_size
    assert min(told) >= 0


def test_learned_names_are_applied_by_views_and_not_stored(tmp_path: Path) -> None:
    """Many words at one place of a path are values: views say so for all history, rows keep their names."""
    db = tmp_path / "g.duckdb"
    compare(
        db,
        write(
            tmp_path / "a.ndjson",
            [e for n in range(10) for e in pair(f"a-{n}", 1, 1, path=f"/users/ann{'x' * n}/cart")],
        ),
    )
    assert rows(db, "SELECT count(*) FROM endpoint_stats") == [(10,)]
    records = [e for n in range(20) for e in pair(f"b-{n}", 1, 1, path=f"/users/bob{'y' * n}/cart")]
    summary = compare(db, write(tmp_path / "b.ndjson", records))
    assert rows(db, "SELECT endpoint, pairs FROM endpoint_stats") == [("GET /users/{user}/cart", 30)]
    assert rows(db, "SELECT count(DISTINCT endpoint) FROM comparisons") == [(30,)]
    assert summary.endpoints[0].service == "shop"


def test_suggested_templates_are_rules_with_evidence(tmp_path: Path) -> None:
    """What is printed is a rules file, and under it the names are what the views showed; hostile names stay text."""
    db = tmp_path / "g.duckdb"
    paths = [f"/users/bob{'y' * n}/cart" for n in range(24)] + ["/users/x%0A[[rule]]/cart"]
    capture = write(tmp_path / "a.ndjson", [e for n, p in enumerate(paths) for e in pair(f"b-{n}", 1, 1, path=p)])
    compare(db, capture)
    with open_store(db) as store:
        found = suggest_templates(store, Selection())
    assert [(s.template, s.names, s.comparisons, len(s.examples)) for s in found] == [
        ("GET /users/{user}/cart", 25, 25, 3)
    ]
    text = toml_of(found)
    assert not parse_rules(text).file.rule
    compare(tmp_path / "again.duckdb", capture, text)
    assert rows(tmp_path / "again.duckdb", "SELECT DISTINCT endpoint FROM comparisons") == [("GET /users/{user}/cart",)]


def test_judging_again_names_endpoints_anew(tmp_path: Path) -> None:
    """Matches, whose requests were not kept, get the new names too; names that a template gave are taken back."""
    db = tmp_path / "g.duckdb"
    compare(
        db, write(tmp_path / "c.ndjson", [*pair("m", 1, 1, path="/base64/abc"), *pair("d", 1, 2, path="/base64/abd")])
    )
    template = '[[endpoint]]\ntemplate = "GET /base64/{value}"\n'
    assert judge(db, template).judged == 2
    assert rows(db, "SELECT DISTINCT endpoint FROM comparisons") == [("GET /base64/{value}",)]
    assert rows(db, "SELECT DISTINCT endpoint FROM differences") == [("GET /base64/{value}",)]
    judge(db, "")
    assert rows(db, "SELECT endpoint FROM comparisons ORDER BY 1") == [("GET /base64/abc",), ("GET /base64/abd",)]


def test_under_a_fixed_key_another_secret_is_another_answer(tmp_path: Path) -> None:
    """Marks of one key can be told apart; those of random keys tell nothing."""
    settings = {"redact": msgspec.structs.replace(Settings().redact, key="fixed")}
    other = JWT[:-3] + "abc"
    for name, chosen, replaced in (("fixed", settings, 1), ("random", {}, 0)):
        db = tmp_path / f"{name}.duckdb"
        compare(db, write(tmp_path / "a.ndjson", pair("r-1", {"v": JWT}, {"v": 1})), **chosen)
        assert compare(db, tmp_path / "a.ndjson", **chosen).unchanged == 1
        summary = compare(db, write(tmp_path / "b.ndjson", pair("r-1", {"v": other}, {"v": 1})), **chosen)
        assert summary.replaced == replaced


def test_a_control_that_did_not_answer_takes_nothing_off(tmp_path: Path) -> None:
    """Rates are net of a control where there is one; a dead one hides nothing, and live's own failures are no news."""
    for name, control, rate in (
        ("absent", {"expect": ["shadow", "control"]}, 0.4),
        ("dead", {}, 0.4),
    ):
        records: list[Exchange] = []
        for n in range(10):
            records += [
                exchange(f"r-{n}", "live", n, **control),
                exchange(f"r-{n}", "shadow", n if n % 5 > 1 else -n - 1),
            ]
            if name == "dead":
                records.append(exchange(f"r-{n}", "control", error=TransportError("connect")))
        summary = compare(tmp_path / f"{name}.duckdb", write(tmp_path / "c.ndjson", records))
        assert summary.divergence_rate == pytest.approx(rate)
    failed = [
        exchange(f"f-{n}", role, 1, error=TransportError("timeout") if role == "live" and n < 3 else None)  # type: ignore[arg-type]
        for n in range(10)
        for role in ("live", "shadow", "control")
    ]
    assert compare(tmp_path / "live.duckdb", write(tmp_path / "c.ndjson", failed)).divergence_rate == 0


def test_nobody_is_missing_who_has_landed(tmp_path: Path) -> None:
    """A capture of live alone adds no missing row beside a comparison, in whatever order the two came."""
    alone = write(tmp_path / "live.ndjson", [exchange("r-1", "live", 1)])
    both = write(tmp_path / "both.ndjson", [exchange("r-1", "live", 1), exchange("r-1", "shadow", 2, target="v2")])
    for name, order in (("a", (alone, both)), ("b", (both, alone))):
        db = tmp_path / f"{name}.duckdb"
        for capture in order:
            compare(db, capture)
        assert rows(db, "SELECT target, outcome FROM comparisons") == [("v2", "diff")]
        assert rows(db, "SELECT count(*) FROM differences") == [(1,)]


def test_secrets_in_names_tags_and_hashes_do_not_land(tmp_path: Path) -> None:
    """Not in endpoint names, flags or tags, nor as unkeyed hashes of bodies inside differences."""
    db = tmp_path / "g.duckdb"
    secrets = {"AKIAIOSFODNN7EXAMPLE", "4111-1111-1111-1111", "ghp_" + "a1B2" * 9}
    records = [
        e
        for n, secret in enumerate(sorted(secrets))
        for e in pair(f"r-{n}", 1, 2, path=f"/p/{secret}", flags={"f": secret}, synthetic=secret)
    ]
    octets = {"headers": (("content-type", "application/octet-stream"),)}
    records += [exchange("h", "live", b"", **octets), exchange("h", "shadow", b"\x00", **octets)]
    compare(db, write(tmp_path / "c.ndjson", records))
    stored = "\n".join(str(row) for t in ("comparisons", "differences", "exchanges") for row in rows(db, f"FROM {t}"))
    assert not [secret for secret in (*secrets, '"sha256:') if secret in stored]
    assert {name for (name,) in rows(db, "SELECT endpoint FROM comparisons")} == {"GET /p/{token}", "GET /items/{id}"}


def test_judging_one_target_leaves_the_others_alone(tmp_path: Path) -> None:
    """The control comes along for what it says of noise, and is not counted."""
    db = tmp_path / "g.duckdb"
    roles: tuple[tuple[Any, str], ...] = (("live", ""), ("shadow", "a"), ("shadow", "b"), ("control", ""))
    compare(
        db, write(tmp_path / "c.ndjson", [exchange("r-1", r, {"id": n}, target=t) for n, (r, t) in enumerate(roles)])
    )
    summary = rejudge(db, parse_rules(IGNORE_ID), Settings(), selection=Selection(synthetic="include", target="a"))
    assert (summary.comparisons, summary.judged) == (1, 1)
    assert rows(db, "SELECT target, outcome FROM comparisons WHERE role = 'shadow' ORDER BY 1") == [
        ("a", "match"),
        ("b", "noise"),
    ]
