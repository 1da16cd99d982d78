"""`gnomon verdict`: the table, the JSON, and what the exit code says."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gnomon.capture import NdjsonWriter
from gnomon.store.log import prepare_store
from gnomon.testing import STARTED_US, exchange, pair

Run = Callable[..., Any]


def write(file: Path, count: int, *, broken: bool = False, slow: float = 1.0) -> None:
    """A capture of a service with a noisy field and a control; `broken` makes the price text in a tenth of carts."""
    rng = random.Random(3)
    with NdjsonWriter(file) as writer:
        for number in range(count):
            path = f"/carts/{number}" if number % 2 else f"/items/{number}"
            common = rng.lognormvariate(9, 0.3)
            for role, target in (("live", ""), ("shadow", "shop@2"), ("control", "live-2")):
                price = "1.5" if broken and role == "shadow" and number % 20 == 1 else 1.5
                answer: Any = {"price": price, "trace": rng.random() if rng.random() < 0.02 else 0}
                factor = slow if role == "shadow" else 1.0
                writer.write(
                    exchange(
                        f"r-{number}",
                        role,
                        answer,
                        path=path,
                        target=target,
                        started_us=STARTED_US + number,
                        duration_us=int(common * rng.lognormvariate(0, 0.05) * factor),
                    )
                )


@pytest.fixture
def compared(run: Run, tmp_path: Path) -> Callable[..., None]:
    """Compares a capture of so many requests."""

    def compared(count: int, **how: Any) -> None:
        write(tmp_path / "c.ndjson", count, **how)
        run("compare", tmp_path / "c.ndjson")

    return compared


def test_a_candidate_like_live_passes(run: Run, compared: Callable[..., None]) -> None:
    """Under limits that so few requests can show to be kept a flawless candidate passes, and coverage is said."""
    compared(3_000)
    Path("gnomon.toml").write_text(
        "[verdict]\nmax_divergence = 0.05\nmax_endpoint_divergence = 0.1\nmax_latency_shift = { p99 = 1 }\n"
    )
    ended = run("verdict")
    assert ended.code == 0, ended.out
    assert ended.out.startswith("pass: 3000 pairs\nservice shop, target shop@2, all that has landed\n")
    assert "Coverage: 2 of 2 endpoints" in ended.out


def test_a_broken_field_fails_with_its_evidence(run: Run, compared: Callable[..., None]) -> None:
    """The reason names endpoint, pattern and kind, and requests that show it; exit 1."""
    compared(3_000, broken=True)
    ended = run("verdict", "--json")
    verdict = json.loads(ended.out)
    assert (ended.code, verdict["verdict"], verdict["pairs"]) == (1, "fail", 3000)
    [reason] = [reason for reason in verdict["reasons"] if reason["pattern"]]
    assert (reason["code"], reason["endpoint"]) == ("max_endpoint_divergence", "GET /carts/{id}")
    assert (reason["pattern"], reason["kind"]) == ("/body/price", "type_changed")
    assert reason["request_ids"] == ["r-1", "r-21", "r-41", "r-61", "r-81"]
    assert reason["interval"][0] < reason["rate"] == 0.1 < reason["interval"][1]
    assert "/body/price" in run("verdict").out


def test_a_slower_candidate_fails(run: Run, compared: Callable[..., None]) -> None:
    """A fifth slower is more than the tenth that is allowed at the median."""
    compared(2_000, slow=1.2)
    verdict = json.loads(run("verdict", "--json").out)
    assert verdict["reasons"][0]["code"] == "max_latency_shift.p50"
    assert verdict["latency"]["overall"]["p50"]["shift"] == pytest.approx(0.2, abs=0.01)
    request = verdict["reasons"][0]["request_ids"][0]
    assert f"\nfor example {request}" in run("verdict").out


def test_few_pairs_leave_it_undecided(run: Run, compared: Callable[..., None]) -> None:
    """Fewer pairs than `min_pairs` give no verdict, whatever they show; exit 3."""
    compared(40, broken=True)
    ended = run("verdict", "--service", "shop", "--target", "shop@2")
    assert ended.code == 3
    assert "fewer pairs than verdict.min_pairs" in ended.out
    assert json.loads(run("verdict", "--json").out)["reasons"][0]["code"] == "min_pairs"


def test_a_limit_is_not_said_to_be_exceeded_by_few_pairs(run: Run, tmp_path: Path) -> None:
    """What is known so far, and of how many pairs that a verdict takes."""
    with NdjsonWriter(tmp_path / "c.ndjson") as writer:
        for number in range(40):
            for role in ("live", "shadow"):
                writer.write(exchange(f"r-{number}", role, {"a": role}))
    run("compare", tmp_path / "c.ndjson")
    ended = run("verdict")
    assert ended.code == 3
    assert re.search(r"max_divergence .* at least \d[\d.]+ %, 40 of 500 pairs\n", ended.out)
    assert "exceeded" not in ended.out
    reasons = json.loads(run("verdict", "--json").out)["reasons"]
    assert [reason["code"] for reason in reasons[:2]] == ["min_pairs", "undecided_max_divergence"]


def test_a_flags_requests_are_judged_alone(run: Run, tmp_path: Path) -> None:
    """`--flag` and `--as-of` choose requests; a flag without a value is refused."""
    with NdjsonWriter(tmp_path / "c.ndjson") as writer:
        for number in range(10):
            tags: dict[str, Any] = {"flags": {"new-cart": "on"}} if number < 4 else {"as_of": "2027-07-12T00:00:00Z"}
            for role, target in (("live", ""), ("shadow", "shop@2")):
                writer.write(exchange(f"r-{number}", role, {"a": 1}, target=target, **tags))
    run("compare", tmp_path / "c.ndjson")

    def pairs(*options: str) -> int:
        return int(json.loads(run("verdict", "--json", *options).out)["pairs"])

    assert (pairs(), pairs("--flag", "new-cart=on"), pairs("--as-of", "2027-07-12")) == (10, 4, 6)
    assert pairs("--flag", "new-cart=off") == 0
    ended = run("verdict", "--flag", "new-cart")
    assert ended.code == 2
    assert "'new-cart' is not a flag; write NAME=VALUE" in ended.err


@pytest.fixture
def tagged(run: Run, tmp_path: Path) -> None:
    """Ten pairs, four of which carry a flag, in the five seconds from `STARTED_US` on."""
    with NdjsonWriter(tmp_path / "c.ndjson") as writer:
        for number in range(10):
            tags: dict[str, Any] = {"flags": {"theme": "b"}} if number < 4 else {}
            for role, target in (("live", ""), ("shadow", "shop@2")):
                at = STARTED_US + number * 500_000
                writer.write(exchange(f"r-{number}", role, {"a": 1}, target=target, started_us=at, **tags))
    run("compare", tmp_path / "c.ndjson")


@pytest.mark.usefixtures("tagged")
@pytest.mark.parametrize(
    ("options", "head", "why"),
    [
        (["--flag", "theme=b"], "service shop, target shop@2, flag theme=b\n", None),
        (
            ["--flag", "theme=c"],
            "all services, all targets, flag theme=c\n",
            "No request carries the flag 'theme=c'; did you mean 'theme=b'?",
        ),
        (["--flag", "zzz=1"], "flag zzz=1\n", "No request carries the flag 'zzz=1'; there is 'theme=b'"),
        (
            ["--since", "2037-01-01"],
            "since 2037-01-01T00:00:00Z\n",
            "Nothing landed in that time; what landed started between 2027-01-15T08:00:00Z and 2027-01-15T08:00:04.5",
        ),
        (["--as-of", "2037-01-01"], "as of 2037-01-01T00:00:00Z\n", "No request asked to be served as of this moment"),
        (
            ["--synthetic", "only"],
            "synthetic requests only, all that has landed\n",
            "No request that is chosen is tagged as synthetic",
        ),
    ],
)
def test_what_was_asked_for_is_in_the_head_and_why_there_is_nothing(
    run: Run, options: list[str], head: str, why: str | None
) -> None:
    """Waiting does not bring a flag that is misspelt, nor a time that is gone; `--json` says the same."""
    ended = run("verdict", *options)
    assert ended.code == 3
    assert ended.out.splitlines(keepends=True)[1].endswith(head)
    reasons = json.loads(run("verdict", "--json", *options).out)["reasons"]
    if why is None:
        assert "There are fewer pairs than verdict.min_pairs (4 of 500); compare more captures" in ended.out
        return
    assert f"\n\n{why}" in ended.out
    assert "fewer pairs" not in ended.out
    assert why[1:] in reasons[-1]["message"]
    assert reasons[-1]["code"] == ("unknown_name" if "--flag" in options else "min_pairs")


def test_live_answers_alone_are_for_a_canary(run: Run, tmp_path: Path) -> None:
    """A verdict on pairs names the builds that answered; one on a canary its baseline, and where its answers are."""
    with NdjsonWriter(tmp_path / "c.ndjson") as writer:
        for number in range(4):
            writer.write(exchange(f"r-{number}", "live", {"a": 1}, target=f"shop@{number % 2 + 1}", expect=[]))
    run("compare", tmp_path / "c.ndjson")
    ended = run("verdict")
    assert (ended.code, ended.out.splitlines()[0]) == (3, "undecided: 0 pairs")
    assert "Only live answers without pairs have landed, of 'shop@1', 'shop@2'; judge a canary beside" in ended.out
    canary = ("--canary", "shop@2", "--baseline", "shop@1")
    assert (
        "service shop, target shop@2, beside the baseline shop@1, all that has landed\n" in run("verdict", *canary).out
    )
    later = run("verdict", *canary, "--since", "2037-01-01")
    assert "No live answer of 'shop@2' was counted in that time; its own are between 2027-01-15T08:00:00Z" in later.out


def test_an_empty_store_says_that_nothing_has_landed(run: Run) -> None:
    """A store that a worker has just made."""
    prepare_store(Path("gnomon.store"))
    assert "\n\nNothing has landed yet\n" in run("verdict").out


def test_the_worst_endpoints_are_shown_first(run: Run, tmp_path: Path) -> None:
    """With few pairs no endpoint is decided: by what was seen, not by name; and counts are of the same things."""
    with NdjsonWriter(tmp_path / "c.ndjson") as writer:
        for number in range(150):
            endpoint = number // 5
            broken = endpoint == 29
            for role in ("live", "shadow"):
                answer: Any = {"a": role if broken else 1}
                writer.write(exchange(f"r-{number}", role, answer, path=f"/at{endpoint:02}"))
        headers = (("content-type", "application/json"), ("content-encoding", "gzip"))
        for side in pair("odd", b"not gzip", b"neither", headers=headers, path="/at00"):
            writer.write(side)
    run("compare", tmp_path / "c.ndjson")
    out = run("verdict").out
    assert out.startswith("undecided: 151 pairs, 150 of them judged\n")
    lines = out.splitlines()
    title = lines.index("Limits not kept for certain, of 30 endpoints (the worst 20 of 90)")
    assert lines[title + 2].startswith("GET /at29")
    assert "(150 of 500)" in out
    assert " - to - " not in out
    assert "Coverage: 0 of 30 endpoints have" in out


def test_one_is_said_of_one(run: Run, tmp_path: Path) -> None:
    """Neither `1 pairs` nor `1 endpoints`."""
    with NdjsonWriter(tmp_path / "c.ndjson") as writer:
        for side in pair("r-1", {"a": 1}, {"a": 1}):
            writer.write(side)
    run("compare", tmp_path / "c.ndjson")
    out = run("verdict").out
    assert out.startswith("undecided: 1 pair\n")
    assert "Coverage: 0 of 1 endpoint have" in out


def test_a_canary_is_judged_by_its_own_share_of_live_traffic(run: Run, tmp_path: Path) -> None:
    """Without a shadow or a pair: a field that the canary drops fails it, as JSON of the same shape and as a table."""
    Path("gnomon.toml").write_text("[limits]\nshapes = 10000\n")
    with NdjsonWriter(tmp_path / "c.ndjson") as writer:
        for number in range(2_400):
            canary = number % 4 == 0
            answer: Any = {"price": 1.5} if canary and number % 8 else {"price": 1.5, "tax": 0.2}
            target = "shop@2" if canary else "shop@1"
            writer.write(exchange(f"r-{number}", "live", answer, target=target, expect=[], path=f"/carts/{number}"))
    run("compare", tmp_path / "c.ndjson")
    ended = run("verdict", "--canary", "shop@2", "--baseline", "shop@1", "--json")
    verdict = json.loads(ended.out)
    assert (ended.code, verdict["verdict"], verdict["pairs"], verdict["divergence_rate"]) == (1, "fail", 600, 0.5)
    assert set(verdict) == set(json.loads(run("verdict", "--json").out))
    [reason] = [reason for reason in verdict["reasons"] if reason["pattern"]]
    assert (reason["endpoint"], reason["pattern"], reason["kind"]) == ("GET /carts/{id}", "/body/tax", "removed")
    assert "/body/tax" in run("verdict", "--canary", "shop@2", "--baseline", "shop@1").out


@pytest.mark.parametrize(
    "options",
    [
        ["--canary", "a"],
        ["--baseline", "a"],
        ["--canary", "a", "--baseline", "a"],
        ["--canary", "a", "--baseline", "b", "--target", "c"],
        ["--canary", "a", "--baseline", "b", "--flag", "x=y"],
    ],
)
def test_what_a_canary_cannot_be_is_refused(run: Run, options: list[str]) -> None:
    """One target without the other, the same twice, or what chooses pairs beside it; exit 2."""
    assert run("verdict", *options).code == 2


def test_nothing_selected_is_undecided(run: Run, compared: Callable[..., None]) -> None:
    """A time without traffic has no rate and no verdict."""
    compared(10)
    ended = run("verdict", "--json", "--service", "shop", "--since", "2037-01-01")
    verdict = json.loads(ended.out)
    assert (ended.code, verdict["verdict"]) == (3, "undecided")
    assert (verdict["pairs"], verdict["divergence_rate"], verdict["interval"]) == (0, None, None)
    assert verdict["latency"] == {"overall": None, "endpoints": []}
    said = run("verdict", "--service", "shop", "--since", "2037-01-01").out
    assert said.startswith("undecided: 0 pairs\nservice shop, all targets, since 2037-01-01T00:00:00Z\n")


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("verdict", ["--service", "shpo"], "the service 'shpo'; did you mean 'shop'?"),
        ("verdict", ["--target", "shop@3"], "the target 'shop@3'; did you mean 'shop@2'?"),
        ("verdict", ["--service", "zzz"], "the service 'zzz'; there is 'shop'"),
        ("verdict", ["--canary", "x", "--baseline", "y"], "the target of live traffic 'x'"),
        ("report", ["--service", "shpo"], "did you mean 'shop'?"),
        ("rejudge", ["--target", "shop@3"], "did you mean 'shop@2'?"),
        ("rules", ["suggest", "--service", "shpo"], "did you mean 'shop'?"),
    ],
)
def test_a_name_that_nothing_has_is_a_typo(
    run: Run, compared: Callable[..., None], command: str, options: list[str], sentence: str
) -> None:
    """Exit 2 with the closest name, also where a pipeline would wait for more pairs for ever."""
    compared(4)
    ended = run(command, *options)
    assert (ended.code, ended.out) == (2, "")
    assert sentence in ended.err


def test_several_services_are_shown_apart(run: Run, tmp_path: Path) -> None:
    """The worst first, each with its own limits; the exit code is that of the worst."""
    with NdjsonWriter(tmp_path / "c.ndjson") as writer:
        for number in range(1_200):
            for role, target in (("live", ""), ("shadow", "v2")):
                service = "pay" if number % 2 else "cart"
                answer = {"a": 2 if service == "pay" and role == "shadow" else 1}
                writer.write(exchange(f"r-{number}", role, answer, service=service, target=target))
    run("compare", tmp_path / "c.ndjson")
    ended = run("verdict")
    assert ended.code == 1
    assert ended.out.startswith("fail: 1200 pairs\nall services, all targets, all that has landed\n")
    assert ended.out.index("fail: service pay, target v2, 600 pairs") < ended.out.index("undecided: service cart")
    verdict = json.loads(run("verdict", "--json").out)
    assert [(one["service"], one["verdict"]) for one in verdict["services"]] == [("pay", "fail"), ("cart", "undecided")]
    assert verdict["reasons"][0]["service"] == "pay"
    assert json.loads(run("verdict", "--json", "--service", "cart").out)["verdict"] == "undecided"


def test_synthetic_traffic_is_judged_where_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    """`report` takes the same option."""
    with NdjsonWriter(tmp_path / "c.ndjson") as writer:
        for number in range(6):
            for role in ("live", "shadow"):
                tagged = "load" if number < 2 else None
                writer.write(exchange(f"r-{number}", role, {"a": 1}, synthetic=tagged, started_us=STARTED_US + number))
    run("compare", tmp_path / "c.ndjson")
    for word, pairs in (("exclude", 4), ("include", 6), ("only", 2)):
        assert json.loads(run("verdict", "--json", "--synthetic", word).out)["pairs"] == pairs
        assert run("report", "--synthetic", word, "--out", "-").code == 0
    assert json.loads(run("verdict", "--json").out)["pairs"] == 4
    assert run("verdict", "--synthetic", "yes").code == 2
