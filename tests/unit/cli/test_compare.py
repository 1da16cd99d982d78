"""`gnomon compare`: what it prints, where it lands, and how its gate ends."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gnomon.capture import NdjsonWriter
from gnomon.summary import RunSummary
from gnomon.testing import exchange, pair

Run = Callable[..., Any]


def test_findings_are_tables(run: Run, capture: Path) -> None:
    """Outcomes, the rate with its interval, endpoints and fields that differ, with a request to look at."""
    ended = run("compare", capture)
    assert (ended.code, ended.err) == (0, "")
    lines = [line.split() for line in ended.out.splitlines()]
    assert ["outcome", "shadow", "control"] in lines
    assert ["match", "18", "20"] in lines
    assert ["diff", "2", "0"] in lines
    assert "Divergence rate: 10 % (95 %: " in ended.out
    assert "2 divergences in 20 comparisons" in ended.out
    assert "Endpoints that diverge" in ended.out
    (field,) = [line for line in lines if "/body/price" in line]
    assert field[2:] == [
        "/body/price", "type_changed", "high", "2", "10", "%", "0", "%", "1.5", "->", '"1.5"', "r-0",
    ]  # fmt: skip
    assert "gnomon.duckdb: 40 new, 0 unchanged, 0 replaced" in ended.out


def test_the_summary_as_json_is_the_published_shape(run: Run, capture: Path) -> None:
    """`--json` prints one RunSummary and nothing else."""
    ended = run("compare", capture, "--json", "--db", "x.duckdb")
    summary = msgspec.json.decode(ended.out, type=RunSummary)
    assert (summary.comparisons, summary.pairs, summary.divergences, summary.db) == (20, 20, 2, "x.duckdb")
    assert Path("x.duckdb").exists()


def test_the_same_capture_again_changes_nothing(run: Run, capture: Path) -> None:
    """A second run lands nothing new, and says the same about itself."""
    run("compare", capture)
    again = run("compare", capture)
    assert "0 new, 40 unchanged, 0 replaced" in again.out
    assert "2 divergences in 20 comparisons" in again.out


@pytest.mark.parametrize(("limit", "code"), [("0.05", 1), ("0.1", 0), ("0.2", 0), ("1", 0), ("0", 1)])
def test_the_gate_fails_above_its_limit(run: Run, capture: Path, limit: str, code: int) -> None:
    """A rate of 10 % is above 5 %, and not above 10 %."""
    ended = run("compare", capture, "--json", "--fail-over", limit)
    assert ended.code == code
    assert json.loads(ended.out)["divergence_rate"] == pytest.approx(0.1)
    assert ("gnomon: the gate failed: a divergence rate of 10 % is above" in ended.err) == (code == 1)


@pytest.mark.parametrize("limit", ["1.5", "-0.1", "5%"])
def test_a_limit_is_a_share(run: Run, capture: Path, limit: str) -> None:
    """What is not between 0 and 1 is wrong use."""
    assert run("compare", capture, "--fail-over", limit).code == 2


def test_a_gate_passes_nothing_that_the_control_did_not_see(run: Run, tmp_path: Path) -> None:
    """Where a control answers few requests their rate says nothing about the others, and nothing is taken off."""
    records = []
    for number in range(20):
        answer = {"a": number}
        records += pair(f"r-{number}", answer, answer if number < 2 else {"a": "x"})
        if number < 2:
            records.append(exchange(f"r-{number}", "control", answer))
    (tmp_path / "c.ndjson").write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    ended = run("compare", tmp_path / "c.ndjson", "--fail-over", "0.01")
    assert ended.code == 1
    assert "a divergence rate of 90 % (nothing is taken off, since the control answered only 2 of 20" in ended.err
    assert run("compare", tmp_path / "c.ndjson", "--fail-over", "0.91").code == 0


def test_a_gate_without_a_pair_is_not_enough_data(run: Run) -> None:
    """Live records alone cannot pass a gate; without a gate the run is done."""
    with NdjsonWriter(Path("live.ndjson")) as writer:
        writer.write(exchange(answer={"n": 1}))
    ended = run("compare", "live.ndjson", "--fail-over", "0.5")
    assert ended.code == 3
    assert ended.err == (
        "gnomon: there is no pair, so the gate has nothing to judge; name the shadow's captures by --shadow\n"
    )
    assert run("compare", "live.ndjson").code == 0


def test_a_gate_over_bodies_nobody_can_compare_is_not_enough_data(run: Run) -> None:
    """Pairs that are all incomparable have no divergence rate."""
    headers = (("content-type", "application/json"), ("content-encoding", "gzip"))
    with NdjsonWriter(Path("x.ndjson")) as writer:
        for side in pair("r", b"not gzip", b"neither", headers=headers):
            writer.write(side)
    ended = run("compare", "x.ndjson", "--fail-over", "0.5")
    assert ended.code == 3
    assert "why bodies could not be compared" in ended.out
    assert "Divergence rate: none, nothing could be compared" in ended.out


def test_roles_can_be_in_files_of_their_own(run: Run) -> None:
    """`--live`, `--shadow` and `--control` say what the records are, several files each."""
    for name in ("live", "live2", "shadow", "control"):
        with NdjsonWriter(Path(f"{name}.ndjson")) as writer:
            for request in ("a",) if name != "live2" else ("b",):
                writer.write(exchange(request, "live", {"n": name}))
    ended = run(
        "compare", "--json", "--live", "live.ndjson", "--live", "live2.ndjson", "--shadow", "shadow.ndjson",
        "--control", "control.ndjson",
    )  # fmt: skip
    summary = msgspec.json.decode(ended.out, type=RunSummary)
    assert (summary.records, summary.control_comparisons) == (4, 1)
    assert (summary.outcomes.noise, summary.outcomes.shadow_missing) == (1, 1)


def test_a_capture_can_come_from_stdin(run: Run, capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads standard input, once."""
    stdin = io.TextIOWrapper(io.BytesIO(capture.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert "2 divergences in 20 comparisons" in run("compare", "-").out
    assert "only once" in run("compare", "-", "--live", "-").err


def test_without_a_capture_there_is_nothing_to_do(run: Run) -> None:
    """Naming no file is wrong use, with the remedy."""
    ended = run("compare")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "gnomon: no capture to read; name a FILE, or --live and --shadow; see 'gnomon compare --help'\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["absent.ndjson"], "absent.ndjson"),
        (["capture.ndjson", "--format", "pcap"], "'pcap' is not one of"),
        (
            ["capture.ndjson", "--report", "absent/r.html"],
            "absent/r.html cannot be written: there is no such directory",
        ),
        (["capture.ndjson", "--report", "."], ". is a directory; name a file to write"),
        (["capture.ndjson", "--rules", "absent.toml"], "absent.toml cannot be read: No such file or directory"),
        (["capture.ndjson", "--config", "absent.toml"], "absent.toml cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_read_is_named(run: Run, capture: Path, arguments: list[str], sentence: str) -> None:
    """Unreadable input ends with 2 and one sentence, and no database is made."""
    ended = run("compare", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert sentence in ended.err
    assert ended.err.count("\n") == 1
    assert not Path("gnomon.duckdb").exists()


def test_broken_lines_are_counted_and_do_not_stop_the_run(run: Run, capture: Path) -> None:
    """The summary says how many records were refused, and how to see why."""
    with capture.open("ab") as stream:
        stream.write(b"not JSON\n")
    ended = run("compare", capture)
    assert ended.code == 0
    assert '61 records, 1 reject (gnomon query "FROM rejects" says why)' in ended.out


def test_captures_that_cannot_be_read_at_all_are_unreadable_input(run: Run) -> None:
    """Exit 2, also under a gate, with the first place and reason and how to see the rest, which the database keeps."""
    Path("doc.txt").write_text("# Release notes\n\nNot a capture.\n", encoding="utf-8")
    ended = run("compare", "doc.txt", "--format", "ndjson", "--db", "multi run.duckdb")
    assert ended.code == 2
    assert ended.err.startswith("gnomon: none of the 2 records could be read; the first is doc.txt:1: ")
    assert "gnomon query \"FROM rejects\" --db 'multi run.duckdb'" in ended.err
    assert ended.err.count("\n") == 1
    gated = run("compare", "doc.txt", "--format", "ndjson", "--json", "--fail-over", "0.5", "--db", "multi run.duckdb")
    assert (gated.code, json.loads(gated.out)["first_reject"][:9]) == (2, "doc.txt:1")
    rejects = run("query", "--json", "SELECT line FROM rejects ORDER BY line", "--db", "multi run.duckdb")
    assert json.loads(rejects.out) == [{"line": 1}, {"line": 3}]


def test_an_empty_capture_is_read_and_gives_no_figure(run: Run) -> None:
    """There was nothing that could not be read: the run is done, and a gate has not enough data."""
    Path("empty.ndjson").write_text("", encoding="utf-8")
    assert run("compare", "empty.ndjson").code == 0
    assert run("compare", "empty.ndjson", "--fail-over", "0.5").code == 3


def test_hints_name_the_database_where_it_is_not_what_a_command_reads_by_itself(run: Run, capture: Path) -> None:
    """A store beside it is read first, and so is what the settings say."""
    with capture.open("ab") as stream:
        stream.write(b"not JSON\n")
    assert '(gnomon query "FROM rejects" --db x.duckdb says why)' in run("compare", capture, "--db", "x.duckdb").out
    Path("gnomon.store").mkdir()
    assert '(gnomon query "FROM rejects" --db gnomon.duckdb says why)' in run("compare", capture).out
    Path("gnomon.toml").write_text('db = "set.duckdb"\n', encoding="utf-8")
    assert '(gnomon query "FROM rejects" says why)' in run("compare", capture).out


def test_the_capture_of_the_documentation_can_be_pasted(run: Run) -> None:
    """What docs/release-day.md prints is a capture as it stands, and shows what it says."""
    page = (Path(__file__).parents[3] / "docs" / "release-day.md").read_text(encoding="utf-8")
    Path("first.ndjson").write_text(page.split("```json\n")[1].split("```")[0], encoding="utf-8")
    ended = run("compare", "first.ndjson")
    assert ended.code == 0
    assert "; 1 divergence in 1 comparison\n" in ended.out
    assert "\n2 records in " in ended.out
    assert "GET /carts/{id}" in ended.out


def test_a_report_is_written_beside(run: Run, capture: Path) -> None:
    """`--report` writes an HTML file of this run, and the tables end with its name."""
    ended = run("compare", capture, "--report", "out.html")
    assert ended.out.endswith("Report: out.html\n")
    assert Path("out.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_rules_and_settings_hold(run: Run, capture: Path) -> None:
    """Rules from ./rules.toml change the outcome; `db` from the settings is where it lands."""
    Path("rules.toml").write_text('[[rule]]\npath = "/body/price"\nignore = true\n', encoding="utf-8")
    Path("gnomon.toml").write_text('db = "set.duckdb"\n', encoding="utf-8")
    summary = json.loads(run("compare", capture, "--json").out)
    assert (summary["divergences"], summary["db"]) == (0, "set.duckdb")


def test_a_random_key_is_said(run: Run, capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key there is a warning; without redaction there is none."""
    monkeypatch.delenv("GNOMON_REDACT_KEY")
    assert "random key" in run("compare", capture).err
    monkeypatch.setenv("GNOMON_REDACT_ENABLED", "false")
    assert run("compare", capture).err == ""


def test_a_misspelt_variable_is_said(run: Run, capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown GNOMON_* variable is a warning on stderr, not an error."""
    monkeypatch.setenv("GNOMON_REDCAT_KEY", "x")
    ended = run("compare", capture, "--json")
    assert ended.code == 0
    assert "did you mean GNOMON_REDACT_KEY?" in ended.err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Divergence rate: none, the captures hold no records"),
        ("{}\n", "Divergence rate: none, no record could be read"),
        ("live", "Divergence rate: none, no record is of a shadow; name the roles' files by --live and --shadow"),
        (
            "canary",
            "as a canary's traffic does; gnomon verdict --canary TARGET --baseline TARGET --db x.duckdb judges live",
        ),
        ("apart", "; no request id is on both sides"),
    ],
)
def test_where_nothing_was_compared_it_is_said_why(run: Run, text: str, why: str) -> None:
    """An empty table alone would look like a clean bill of health, and answers that nobody sent like a bad shadow."""
    with NdjsonWriter(Path("x.ndjson")) as writer:
        if text in ("live", "canary"):
            writer.write(exchange("r-1", expect=[] if text == "canary" else None))
        if text == "apart":
            writer.write(exchange("r-1"))
            writer.write(exchange("r-2", "shadow"))
    if text in ("", "{}\n"):
        Path("x.ndjson").write_text(text)
    ended = run("compare", "x.ndjson", "--format", "ndjson", "--db", "x.duckdb", "--report", "x.html")
    assert why in ended.out
    assert ("100 %" in ended.out) == (text == "apart")
    assert ("no shadow was seen" in Path("x.html").read_text(encoding="utf-8")) == (text == "live")


def test_a_shadow_whose_captures_hold_nothing_is_not_to_be_named_again(run: Run) -> None:
    """Who gave --shadow is told to look at it, and the summary keeps the outcome of each request."""
    with NdjsonWriter(Path("live.ndjson")) as writer:
        writer.write(exchange("r-1"))
    Path("shadow.ndjson").write_text("", encoding="utf-8")
    files = ("--live", "live.ndjson", "--shadow", "shadow.ndjson")
    assert "no record that could be read is of a shadow; look at what --shadow names" in run("compare", *files).out
    summary = json.loads(run("compare", *files, "--json").out)
    assert (summary["outcomes"]["shadow_missing"], summary["pairs"], summary["divergence_rate"]) == (1, 0, 1.0)
