"""The main job on real traffic: two releases of httpbin, and the differences between them as read by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.integration.httpbin.cases import CASES
from tests.integration.httpbin.findings import FINDINGS, OTHER_OUTCOMES, VARYING, expected_differences
from tests.integration.httpbin.record import Recording, record_all

pytestmark = pytest.mark.integration

RULES = Path(__file__).parents[3] / "docs" / "httpbin" / "rules.toml"
GNOMON = Path(sys.executable).with_name("gnomon")
SECONDS = 120
IDS = {case.id for case in CASES}
DIVERGENT = {request_id for request_id, _, _ in expected_differences()} | {
    request_id for request_id, outcome in OTHER_OUTCOMES.items() if outcome.endswith("_error")
}


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """One recording of all cases for all tests."""
    return record_all(tmp_path_factory.mktemp("httpbin"))


@pytest.fixture(scope="session")
def database(recording: Recording) -> Path:
    """The store after the first comparison of the capture."""
    path = recording.capture.with_name("httpbin.duckdb")
    compare(path, str(recording.capture), "--rules", str(RULES))
    return path


def gnomon(directory: Path, *arguments: str) -> str:
    """Run the installed command in a directory of its own and return what its `--json` prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    done = subprocess.run(
        [str(GNOMON), *arguments, "--json"],
        cwd=directory,
        env={**environment, "GNOMON_REDACT_KEY": "the same in every test"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"gnomon {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


def compare(database: Path, *arguments: str) -> dict[str, Any]:
    """Run `gnomon compare` into a database and return the summary."""
    summary: dict[str, Any] = json.loads(gnomon(database.parent, "compare", *arguments, "--db", str(database)))
    return summary


def query(database: Path, sql: str) -> list[dict[str, Any]]:
    """Run `gnomon query` and return the rows."""
    rows: list[dict[str, Any]] = json.loads(gnomon(database.parent, "query", sql, "--db", str(database)))
    return rows


def outcomes(database: Path, role: str = "shadow") -> dict[str, str]:
    """Every request's outcome."""
    rows = query(database, f"SELECT request_id, outcome FROM comparisons WHERE role = '{role}'")
    assert len(rows) == len({row["request_id"] for row in rows})
    return {row["request_id"]: row["outcome"] for row in rows}


def expected_outcomes() -> dict[str, str]:
    """Every request's outcome as read by hand."""
    differing = {request_id for request_id, _, _ in expected_differences()}
    return {
        request_id: OTHER_OUTCOMES.get(request_id, "diff" if request_id in differing else "match") for request_id in IDS
    }


def by_request(rows: Sequence[dict[str, Any]]) -> dict[str, Counter[tuple[str, str, str]]]:
    """Which differences (endpoint, pattern, kind) each request has, and how often each."""
    found: dict[str, Counter[tuple[str, str, str]]] = {}
    for row in rows:
        found.setdefault(row["request_id"], Counter())[row["endpoint"], row["pattern"], row["kind"]] += 1
    return found


class TestCases:
    def test_ids_are_unique(self) -> None:
        """No two requests share an id."""
        assert len(IDS) == len(CASES)

    def test_there_are_enough(self) -> None:
        """The requests are about two hundred or more."""
        assert len(CASES) >= 200

    def test_findings_name_known_requests(self) -> None:
        """Every finding is about requests that are sent."""
        named = {request_id for finding in FINDINGS for request_id in finding.requests}
        assert named | set(OTHER_OUTCOMES) | set(VARYING) <= IDS


class TestRecording:
    def test_every_side_has_every_case_in_order(self, recording: Recording) -> None:
        """Each file holds the cases in their order, so two recordings can be laid side by side."""
        for path in (recording.live, recording.shadow, recording.control):
            records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            assert [record["request_id"] for record in records] == [case.id for case in CASES]

    def test_bodies_are_as_on_the_wire(self, recording: Recording) -> None:
        """A gzip body stays gzip, and a chunked one is put together."""
        records = {r["request_id"]: r for r in map(json.loads, recording.live.read_text(encoding="utf-8").splitlines())}
        assert records["gzip"]["response"]["body"]["encoding"] == "base64"
        assert ["Transfer-Encoding", "chunked"] in records["stream-20"]["response"]["headers"]
        assert records["stream-20"]["response"]["body"]["data"].count("\n") == 20


class TestFindings:
    def test_outcomes(self, database: Path) -> None:
        """Each request has the outcome that was read by hand, and no other request is called a divergence."""
        assert outcomes(database) == expected_outcomes()

    def test_differences(self, database: Path) -> None:
        """Each request has the differences that were read by hand, as often as read, and no others."""
        rows = query(database, "SELECT request_id, endpoint, pattern, kind FROM differences WHERE NOT noise")
        expected = [
            {"request_id": request_id, "endpoint": endpoint, "pattern": seen.pattern, "kind": seen.kind}
            for request_id, endpoint, seen in expected_differences()
        ]
        assert by_request(rows) == by_request(expected)

    def test_values(self, database: Path) -> None:
        """Each difference shows what either side said."""
        rows = query(database, "SELECT request_id, pattern, kind, live_value, shadow_value FROM differences")
        for request_id, _, seen in expected_differences():
            found = [
                tuple(None if row[side] is None else json.loads(row[side]) for side in ("live_value", "shadow_value"))
                for row in rows
                if (row["request_id"], row["pattern"], row["kind"]) == (request_id, seen.pattern, seen.kind)
            ]
            assert (seen.live, seen.shadow) in found, f"{request_id}: {seen}"

    def test_secrets_stay_outside(self, database: Path) -> None:
        """The credentials that requests carry, and httpbin echoes, are nowhere in the store."""
        sent = query(database, "SELECT record FROM exchanges WHERE request_id = 'bearer-basic'")
        stored = query(database, "SELECT live_value, shadow_value FROM differences")
        assert len(sent) == 2
        assert "YWRhOnNlY3JldA" not in json.dumps([sent, stored])

    def test_nothing_is_noise(self, database: Path) -> None:
        """Without a control and with rules that say equal, no difference is noise."""
        assert query(database, "SELECT request_id, pattern FROM differences WHERE noise") == []


class TestRuns:
    def test_summary(self, recording: Recording, tmp_path: Path) -> None:
        """The summary counts what the recording holds and what was read by hand."""
        summary = compare(tmp_path / "a.duckdb", str(recording.capture), "--rules", str(RULES))
        expected = Counter(expected_outcomes().values())
        assert summary["records"] == 2 * len(CASES)
        assert summary["rejects"] == 0
        assert summary["comparisons"] == len(CASES)
        assert {name: count for name, count in summary["outcomes"].items() if count} == expected
        assert summary["divergences"] == len(DIVERGENT)
        assert summary["divergence_rate"] == pytest.approx(len(DIVERGENT) / (len(CASES) - expected["incomparable"]))

    def test_again_changes_nothing(self, recording: Recording, tmp_path: Path) -> None:
        """The same capture compared again into the same file lands nothing new and replaces nothing."""
        path = tmp_path / "a.duckdb"
        arguments = (str(recording.capture), "--rules", str(RULES))
        first = compare(path, *arguments)
        tables = ("comparisons", "differences", "exchanges", "rejects")
        before = [query(path, f"SELECT * FROM {name} ORDER BY ALL") for name in tables]
        second = compare(path, *arguments)
        assert (first["new"], first["unchanged"], first["replaced"]) == (len(CASES), 0, 0)
        assert (second["new"], second["unchanged"], second["replaced"]) == (0, len(CASES), 0)
        assert second["outcomes"] == first["outcomes"]
        assert [query(path, f"SELECT * FROM {name} ORDER BY ALL") for name in tables] == before

    def test_two_files(self, recording: Recording, database: Path, tmp_path: Path) -> None:
        """Live and shadow in files of their own give the same findings as one capture."""
        path = tmp_path / "two.duckdb"
        sides = ("--live", str(recording.live), "--shadow", str(recording.shadow))
        compare(path, *sides, "--rules", str(RULES))
        columns = "SELECT request_id, path, shadow_path, kind, severity FROM differences ORDER BY ALL"
        assert outcomes(path) == outcomes(database)
        assert query(path, columns) == query(database, columns)

    def test_control_tells_noise(self, recording: Recording, tmp_path: Path) -> None:
        """With a second 0.7.0 as control and no rules, what varies by itself is noise and all else is as before."""
        path = tmp_path / "control.duckdb"
        sides = ("--live", str(recording.live), "--shadow", str(recording.shadow), "--control", str(recording.control))
        compare(path, *sides)
        noisy = dict.fromkeys(VARYING, "noise")
        found = outcomes(path)
        # Two answers may fall into different seconds on one side only, which is no property of the releases.
        assert found.pop("cache") in ("noise", "diff")
        assert found == {name: outcome for name, outcome in {**expected_outcomes(), **noisy}.items() if name != "cache"}
        rows = query(path, "SELECT request_id, pattern FROM differences WHERE noise AND role = 'shadow'")
        assert {(row["request_id"], row["pattern"]) for row in rows} <= {
            (request_id, pattern) for request_id, patterns in VARYING.items() for pattern in patterns
        }

    def test_report_shows_traffic_as_text(self, recording: Recording, tmp_path: Path) -> None:
        """The report shows a script that httpbin echoes as text, not as markup."""
        capture = tmp_path / "markup.ndjson"
        lines = recording.capture.read_text(encoding="utf-8").splitlines(keepends=True)
        capture.write_text("".join(line for line in lines if '"request_id":"get-markup"' in line), encoding="utf-8")
        compare(tmp_path / "a.duckdb", str(capture), "--report", str(tmp_path / "report.html"))
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "<script>alert(1)" not in page
