"""The commands that read what has landed: query, report, rules, rejudge, config."""

from __future__ import annotations

import base64
import csv
import io
import json
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from gnomon.cli.options import Instant

Run = Callable[..., Any]

IGNORE = '[[rule]]\npath = "/body/price"\nignore = true\n'


@pytest.fixture
def database(run: Run, capture: Path) -> Path:
    """A database with 20 pairs and their controls, two of which diverge."""
    run("compare", capture)
    return Path("gnomon.duckdb")


class TestQuery:
    @pytest.mark.usefixtures("database")
    def test_a_result_is_a_table(self, run: Run) -> None:
        """Columns are aligned, numbers on the right; null is empty."""
        ended = run(
            "query", "SELECT 'a' AS text, 1 AS number, NULL AS nothing UNION ALL SELECT 'bb', 22, NULL ORDER BY 1"
        )
        assert ended == (0, "text  number  nothing\na          1\nbb        22\n", "")

    def test_what_was_refused_is_legible(self, run: Run, tmp_path: Path) -> None:
        """A table has its beginning as text, JSON and CSV all of it in base64; a BLOB of text is shown as text."""
        (tmp_path / "c.ndjson").write_text('{"v": 1, "broken\x1b' + "x" * 500 + "\n")
        run("compare", tmp_path / "c.ndjson")
        out = run("query", "SELECT excerpt FROM rejects").out
        assert '{"v": 1, "broken\\x1bxxx' in out
        assert out.rstrip().endswith("xxx...")
        [row] = json.loads(run("query", "--json", "SELECT excerpt FROM rejects").out)
        assert base64.b64decode(row["excerpt"]).endswith(b"xxx")
        assert '{"v": 1, ' in run("query", "SELECT from_base64(excerpt)[1:10] AS b FROM rejects").out

    @pytest.mark.usefixtures("database")
    def test_json_is_one_array_of_objects(self, run: Run) -> None:
        """All rows, numbers as numbers, times as RFC 3339 UTC, maps as objects."""
        sql = "SELECT request_id, live_ms, started_at, flags, 18446744073709551616 AS big FROM comparisons"
        rows = json.loads(run("query", "--json", sql).out)
        assert len(rows) == 40
        assert rows[0]["live_ms"] == 5.0
        assert rows[0]["started_at"] == "2027-01-15T08:00:00Z"
        assert rows[0]["flags"] == {}
        assert rows[0]["big"] == 2**64

    @pytest.mark.usefixtures("database")
    def test_no_rows_are_an_empty_array(self, run: Run) -> None:
        """JSON without rows is still JSON."""
        assert run("query", "--json", "SELECT 1 WHERE false").out == "[]\n"

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize("option", [(), ("--json",), ("--csv",)])
    def test_exchanges_that_were_not_kept_are_said_to_be_so(self, run: Run, option: tuple[str, ...]) -> None:
        """A pair that is named and not stored is no mistake of who asks; of one that is nothing is said."""
        asked = run("query", *option, "SELECT role, record FROM exchanges WHERE request_id = 'r-1'")
        assert asked.code == 0
        assert "were not kept (limits.evidence)" in asked.err
        assert run("query", *option, "SELECT role FROM exchanges WHERE request_id = 'r-10'").err == ""
        assert run("query", *option, "FROM rejects").err == ""

    @pytest.mark.usefixtures("database")
    def test_columns_of_one_name_are_told_apart_in_json(self, run: Run) -> None:
        """Nothing is lost where SQL gives two columns the same name."""
        assert json.loads(run("query", "--json", "SELECT 1 AS a, 2 AS a, 3 AS a").out) == [{"a": 1, "a_2": 2, "a_3": 3}]

    @pytest.mark.usefixtures("database")
    def test_csv_has_a_header_and_quotes(self, run: Run) -> None:
        """Spreadsheets read it: one header line, quoted where needed, nested values as JSON."""
        out = run("query", "--csv", "SELECT 'a,b' AS x, [1, 2] AS y, true AS z, NULL AS n").out
        assert list(csv.reader(io.StringIO(out))) == [["x", "y", "z", "n"], ["a,b", "[1,2]", "true", ""]]

    @pytest.mark.usefixtures("database")
    def test_sql_can_come_from_stdin(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """`-` reads the statement."""
        monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 7 AS seven"))
        assert run("query", "-").out == "seven\n    7\n"

    @pytest.mark.usefixtures("database")
    def test_escapes_from_traffic_are_seen_not_obeyed(self, run: Run) -> None:
        """A table cannot steer the terminal."""
        assert run("query", "SELECT chr(27) || '[2J' AS x").out == "x\n\\x1b[2J\n"

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["SELEC 1"], "gnomon: "),
            (["DELETE FROM comparisons"], "gnomon: "),
            (["--json", "--csv", "SELECT 1"], "--json and --csv are two formats; choose one"),
            (["--db", "absent.duckdb", "SELECT 1"], "absent.duckdb"),
        ],
    )
    def test_what_cannot_be_answered_is_wrong_use(self, run: Run, arguments: list[str], sentence: str) -> None:
        """Bad SQL, writing and a missing database end with 2 and one sentence."""
        ended = run("query", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert sentence in ended.err
        assert ended.err.count("\n") == 1


class TestReport:
    @pytest.mark.usefixtures("database")
    def test_it_goes_to_stdout_or_to_a_file(self, run: Run) -> None:
        """Without `--out` the page is what is printed; with it, its name is said on stderr."""
        page = run("report", "--service", "shop", "--since", "2027-01-01").out
        assert page.lower().startswith("<!doctype html>")
        ended = run("report", "--out", "r.html")
        assert (ended.out, ended.err) == ("", "report written to r.html\n")
        assert "/body/price" in Path("r.html").read_text(encoding="utf-8")

    @pytest.mark.usefixtures("database")
    def test_a_place_that_cannot_be_written_is_said(self, run: Run) -> None:
        """The sentence names the file and why."""
        ended = run("report", "--out", "absent/r.html")
        assert ended.code == 2
        assert "absent/r.html cannot be written: No such file or directory" in ended.err


class TestRules:
    def test_a_good_file_has_a_version(self, run: Run) -> None:
        """What was found is counted."""
        Path("r.toml").write_text(IGNORE + '[[endpoint]]\ntemplate = "GET /x/{id}"\n', encoding="utf-8")
        ended = run("rules", "check", "r.toml")
        assert ended.code == 0
        assert ended.out.startswith("r.toml: good, 1 rule, 1 endpoint template, version ")
        assert run("rules", "check", "--rules", "r.toml").out == ended.out
        assert run("rules", "check").out.startswith("no rules file: good, 0 rules")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            (b"[[rule]]\nignroe = true\n", "did you mean 'ignore'?"),
            (b"[[rule]\n", "r.toml is not TOML"),
            (b"\xff", "r.toml is not UTF-8 text"),
        ],
    )
    def test_a_bad_file_is_explained(self, run: Run, text: bytes, sentence: str) -> None:
        """The file, the table and the closest key are named."""
        Path("r.toml").write_bytes(text)
        ended = run("rules", "check", "r.toml")
        assert (ended.code, ended.out) == (2, "")
        assert sentence in ended.err

    def test_two_files_are_one_too_many(self, run: Run) -> None:
        """The argument and the option mean the same."""
        assert run("rules", "check", "a", "--rules", "b").code == 2

    def test_rules_can_be_tried(self, run: Run, database: Path) -> None:
        """What they would change is counted, and the database stays as it is."""
        Path("r.toml").write_text(IGNORE, encoding="utf-8")
        before = database.read_bytes()
        ended = run("rules", "test", "--rules", "r.toml")
        assert ended.code == 0
        assert ["diff", "2", "0"] in [line.split() for line in ended.out.splitlines()]
        assert "outcomes would change" in ended.out
        assert database.read_bytes() == before


class TestRejudge:
    @pytest.mark.usefixtures("database")
    def test_new_rules_hold_for_what_has_landed(self, run: Run) -> None:
        """The outcomes change, and what cannot be judged again is counted with the remedy."""
        Path("r.toml").write_text(IGNORE, encoding="utf-8")
        ended = run("rejudge", "--rules", "r.toml")
        assert ended.code == 0
        assert "outcomes changed" in ended.out
        count = "SELECT count(*) AS n FROM comparisons WHERE outcome = 'diff'"
        assert json.loads(run("query", "--json", count).out) == [{"n": 0}]

    @pytest.mark.usefixtures("database")
    def test_a_dry_run_changes_nothing(self, run: Run) -> None:
        """`--dry-run` is what `rules test` does; `--json` prints the counts."""
        Path("r.toml").write_text(IGNORE, encoding="utf-8")
        summary = json.loads(run("rejudge", "--rules", "r.toml", "--dry-run", "--json").out)
        assert summary["dry_run"] is True
        assert (summary["before"]["diff"], summary["after"]["diff"]) == (2, 0)


class TestConfig:
    def test_good_settings_are_said_to_be_so(self, run: Run) -> None:
        """With and without a file."""
        assert run("config", "check").out == "no settings file: good, 1 setting set, no rules\n"
        Path("gnomon.toml").write_text('[join]\nwindow = "1m"\n', encoding="utf-8")
        Path("rules.toml").write_text(IGNORE, encoding="utf-8")
        assert run("config", "check").out == "gnomon.toml: good, 2 settings set, 1 rule in rules.toml\n"

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("[join]\nwindwo = '1m'", "gnomon.toml: [join] has no key 'windwo'; did you mean 'window'?"),
            ("[decode]\ndescriptors = 'absent.pb'", "decode.descriptors: absent.pb is not there"),
            ("[endpoints]\nopenapi = ['absent.json']", "endpoints.openapi: absent.json is not there"),
            ("[kafka.security]\nca = 'absent.pem'", "kafka.security.ca: absent.pem is not there"),
            ("[web]\ntoken_file = 'absent'", "web.token_file: absent cannot be read"),
            ("rules = 'absent.toml'", "absent.toml cannot be read"),
        ],
    )
    def test_bad_settings_are_explained(self, run: Run, text: str, sentence: str) -> None:
        """Keys, values and the files they name are all looked at."""
        Path("gnomon.toml").write_text(text, encoding="utf-8")
        ended = run("config", "check")
        assert (ended.code, ended.out) == (2, "")
        assert sentence in ended.err

    def test_the_settings_that_hold_are_shown_without_secrets(self, run: Run) -> None:
        """`--config` works before and after the command."""
        Path("other.toml").write_text('[join]\nwindow = "1m"\n', encoding="utf-8")
        shown = run("config", "show", "--config", "other.toml").out
        assert run("--config", "other.toml", "config", "show").out == shown
        assert tomllib.loads(shown)["join"]["window"] == "1m"
        assert "a key for tests" not in shown


class TestMoments:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2027-07-12T08:00:00Z", datetime(2027, 7, 12, 8, tzinfo=UTC)),
            ("2027-07-12T10:00:00+02:00", datetime(2027, 7, 12, 8, tzinfo=UTC)),
            ("2027-07-12", datetime(2027, 7, 12, tzinfo=UTC)),
        ],
    )
    def test_a_moment_is_a_time_or_a_date(self, text: str, moment: datetime) -> None:
        """Without a zone it is UTC."""
        assert Instant().convert(text, None, None) == moment
        assert Instant().convert(moment, None, None) == moment

    def test_a_duration_is_before_now(self) -> None:
        """`24h` is a day ago."""
        found = Instant().convert("24h", None, None)
        assert timedelta(hours=23, minutes=59) < datetime.now(UTC) - found < timedelta(hours=24, minutes=1)

    @pytest.mark.parametrize("text", ["yesterday", "", "999999999999d"])
    def test_anything_else_is_wrong_use(self, text: str) -> None:
        """The error shows what a moment looks like."""
        with pytest.raises(click.BadParameter, match="2027-07-12T08:00:00Z"):
            Instant().convert(text, None, None)
