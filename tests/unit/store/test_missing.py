"""A miss that names no shadow, and endpoints beyond the bound: what views, verdicts and alerts make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gnomon.config import Settings
from gnomon.core.alerting import Criterion, measure
from gnomon.core.judge import Tally
from gnomon.model import Comparison, Difference
from gnomon.store import Bounds, Cohort, Landed, RunRecord, Selection, StagedRun, Store, open_store, work_directory
from gnomon.store.log import Batch, Layout, LogWriter, Position, StoreInfo
from gnomon.store.log.export import export_store
from gnomon.verdict import judge_store

START = datetime.fromtimestamp(1_800_000_000, UTC)
Row = tuple[Comparison, Sequence[Difference]]
Make = Callable[..., Comparison]


@pytest.fixture(params=["database", "store"])
def opened(request: pytest.FixtureRequest, target: Path, land: Callable[..., Landed]) -> Callable[[Sequence[Row]], Any]:
    """Opens rows that landed in a portable database, and in a store."""

    @contextmanager
    def opening(rows: Sequence[Row]) -> Iterator[Store]:
        path = target
        if request.param == "database":
            land(target, rows)
        else:
            path = target.with_name("store")
            writer = LogWriter(path, "t", 0)
            writer.land(Batch(comparisons=rows, position=Position("t", 0, len(rows))))
            writer.close()
        with open_store(path) as store:
            yield store

    return opening


def miss(make: Make, request_id: str, **changes: Any) -> Row:
    """A request that no shadow answered; which one was to is not said."""
    fields = {"target": "", "outcome": "shadow_missing", "shadow_status": None, "shadow_ms": None, "delta_ms": None}
    return make(request_id, **{**fields, **changes}), []


def of_target(store: Store, target: str | None, **more: Any) -> Any:
    """The verdict on one target, or on all."""
    selection = Selection(target=target, since=more.pop("since", None))
    return judge_store(store, selection, Settings().verdict, **more).verdict


def test_a_miss_counts_against_the_shadow_that_answers(opened: Any, comparison: Make) -> None:
    """In every figure that is split by target; with three of ten missing there is no pass."""
    rows: list[Row] = [(comparison(f"r-{n}", second=n, flags={"new": "on"}), []) for n in range(1_400)]
    rows += [miss(comparison, f"m-{n}", second=n, flags={"new": "on"}) for n in range(600)]
    with opened(rows) as store:
        [endpoint] = store.endpoints()
        assert (endpoint.target, endpoint.pairs, endpoint.outcomes.shadow_missing) == ("cart@2", 1_400, 600)
        assert endpoint.divergence_rate == 0.3
        asked = "SELECT target, flag_value, pairs, missing_rate, divergence_rate FROM rate_stats(flag := 'new')"
        assert store.sql(asked).fetchall() == [("cart@2", "on", 1_400, 0.3, 0.3)]
        [rate] = store.rates(Selection())
        assert (rate.target, rate.pairs, rate.divergence_rate) == ("cart@2", 1_400, 0.3)
        for target in (None, "cart@2"):
            verdict = of_target(store, target)
            assert (verdict.verdict, verdict.pairs, verdict.divergence_rate) == ("fail", 1_400, 0.3)
            assert [one.target for one in verdict.services] == ["cart@2"]
            assert store.summary(Selection(target=target)).outcomes.shadow_missing == 600
        cohort = Cohort(flags=(("new", "on"),))
        assert of_target(store, "cart@2", cohort=cohort).verdict == "fail"
        assert store.sql("SELECT DISTINCT target FROM comparisons ORDER BY 1").fetchall() == [("",), ("cart@2",)]


def test_a_single_miss_holds_up_nothing(opened: Any, comparison: Make) -> None:
    """The service has no second candidate without a name and without pairs beside the one that answers."""
    rows: list[Row] = [(comparison(f"r-{n}", second=n, shadow_ms=10.0), []) for n in range(3_000)]
    with opened([*rows, miss(comparison, "m")]) as store:
        assert of_target(store, None).verdict == of_target(store, "cart@2").verdict == "pass"


def test_a_miss_of_which_nothing_tells_counts_against_each(opened: Any, comparison: Make) -> None:
    """Of two shadows either may be it; in figures of all targets together it is one request all the same."""
    rows: list[Row] = [
        (comparison(f"r-{n}", second=n, target=name), []) for n in range(9) for name in ("cart@2", "cart@3")
    ]
    with opened([*rows, miss(comparison, "m")]) as store:
        found = {(one.target, one.pairs, one.outcomes.shadow_missing) for one in store.endpoints()}
        assert found == {("cart@2", 9, 1), ("cart@3", 9, 1)}
        whole = store.summary()
        assert (whole.comparisons, whole.pairs, whole.outcomes.shadow_missing, whole.divergences) == (19, 18, 1, 1)
        one = store.summary(Selection(target="cart@3"))
        assert (one.comparisons, one.pairs, one.divergences) == (10, 9, 1)
        samples = store.report(title="t", now=START).samples
        assert [sample.comparison["request_id"] for sample in samples] == ["m"]
        chosen = store.report(Selection(target="cart@3"), title="t", now=START).samples
        assert [sample.comparison["request_id"] for sample in chosen] == ["m"]


def test_without_a_shadow_that_has_a_name_it_stays_without(opened: Any, comparison: Make) -> None:
    """Of another service, of another time, or of a control: these are no shadows that could have answered."""
    rows: list[Row] = [
        miss(comparison, "m", second=3_600),
        (comparison("before"), []),
        (comparison("other", second=3_600, service="pay"), []),
        (comparison("m", second=3_600, role="control", target="live-2"), []),
    ]
    with opened(rows) as store:
        since = Selection(since=START + timedelta(hours=1))
        assert {(one.service, one.target) for one in store.endpoints(since)} == {("cart", ""), ("pay", "cart@2")}
        assert {(one.service, one.target) for one in store.endpoints()} == {("cart", "cart@2"), ("pay", "cart@2")}


def test_a_shadow_without_a_name_is_a_target_like_others(opened: Any, comparison: Make) -> None:
    """Where it answers beside a named one the miss may be either's."""
    rows: list[Row] = [(comparison("a"), []), (comparison("b", target=""), []), miss(comparison, "m")]
    with opened(rows) as store:
        found = {(one.target, one.pairs, one.outcomes.shadow_missing) for one in store.endpoints()}
        assert found == {("", 1, 1), ("cart@2", 1, 1)}
        assert store.summary().comparisons == 3


def test_a_miss_goes_by_the_name_that_its_endpoint_learned(
    target: Path, comparison: Make, land: Callable[..., Landed]
) -> None:
    """It is counted where the pairs of its endpoint are."""
    names = [f"GET /people/{name}{more}" for name in ("alice", "bob", "carol", "dave", "eve") for more in "abcdefgh"]
    rows: list[Row] = [(comparison(name, endpoint=name), []) for name in names]
    land(target, rows)
    land(target, [miss(comparison, f"m-{name}", endpoint=name) for name in names[:20]])
    with open_store(target) as store:
        [endpoint] = store.endpoints()
        assert (endpoint.target, endpoint.pairs, endpoint.outcomes.shadow_missing) == ("cart@2", 40, 20)
        assert endpoint.endpoint.startswith("GET /people/{")


def test_alerts_see_what_is_missing(target: Path, comparison: Make, land: Callable[..., Landed]) -> None:
    """Rules about one target, by `missing_rate` and by `divergence_rate`; there is no alert without a target beside."""
    land(target, [(comparison(f"r-{n}"), []) for n in range(700)] + [miss(comparison, f"m-{n}") for n in range(300)])
    with open_store(target) as store:
        figures = store.figures(START, {"missing_rate", "divergence_rate"})
    for metric in ("missing_rate", "divergence_rate"):
        [reading] = measure(Criterion(metric=metric, above=0.05), figures)
        assert (reading.target, reading.exceeded, reading.value, reading.pairs) == ("cart@2", True, 0.3, 1_000)
        assert len(measure(Criterion(metric=metric, above=0.05, target="cart@*"), figures)) == 1


def test_a_warm_up_begins_with_the_first_answer(target: Path, comparison: Make, land: Callable[..., Landed]) -> None:
    """What nobody answered before a shadow was there takes nothing off its warm-up."""
    land(target, [miss(comparison, "m"), *((comparison(f"r-{n}", second=600 + n), []) for n in range(10))])
    with open_store(target) as store:
        [endpoint] = store.evidence(warmup=timedelta(seconds=5)).endpoints
    assert len(endpoint.timings) == 5


def test_an_exported_target_keeps_what_may_be_its_misses(tmp_path: Path, comparison: Make) -> None:
    """A file of one target says the same of it as the store."""
    writer = LogWriter(tmp_path / "store", "t", 0)
    rows: list[Row] = [(comparison("a"), []), (comparison("b", target="cart@3"), []), miss(comparison, "m")]
    writer.land(Batch(comparisons=rows, position=Position("t", 0, 3)))
    writer.close()
    export_store(Layout(tmp_path / "store"), tmp_path / "one.duckdb", Selection(target="cart@2"))
    with open_store(tmp_path / "one.duckdb") as store:
        [endpoint] = store.endpoints()
    assert (endpoint.target, endpoint.pairs, endpoint.outcomes.shadow_missing) == ("cart@2", 1, 1)


def many(make: Make, difference: Callable[..., Difference]) -> list[Row]:
    """A service of two endpoints in use and forty that were asked for once, a tenth of which differ."""
    rows: list[Row] = [(make(f"u-{n}", second=n, endpoint=f"GET /used-{'ab'[n % 2]}"), []) for n in range(60)]
    for n in range(40):
        found = [] if n % 10 else [difference()]
        name = f"GET /scan-{chr(97 + n % 26)}{chr(97 + n // 26)}"
        outcome = "diff" if found else "match"
        rows.append((make(f"s-{n}", second=n, endpoint=name, outcome=outcome, differences=len(found)), found))
    return rows


@pytest.fixture(params=["database", "store"])
def bounded(
    request: pytest.FixtureRequest, target: Path, comparison: Make, difference: Callable[..., Difference]
) -> Iterator[Store]:
    """Many endpoints where three of each service are told apart."""
    rows = many(comparison, difference)
    rows.append((comparison("pay", service="pay"), []))
    if request.param == "database":
        with work_directory(target) as work_dir, StagedRun(target, work_dir, run="r") as stage:
            for row in rows:
                stage.add(*row)
            stage.bound_names(Bounds(endpoints=3))
            record = RunRecord(
                run="r", started_at=START, finished_at=START, command="compare", sources=[], rules="r", records=1
            )
            stage.land(record, START)
        path = target
    else:
        path = target.with_name("store")
        writer = LogWriter(path, "t", 0, info=StoreInfo(endpoints=3))
        writer.land(Batch(comparisons=rows, position=Position("t", 0, len(rows))))
        writer.close()
    with open_store(path) as store:
        yield store


def test_endpoints_of_a_service_are_bounded(bounded: Store) -> None:
    """The most frequent keep their name, the rest is `(other)`: one endpoint in every view, and for the judge."""
    kept = ["GET /scan-aa", "GET /used-a", "GET /used-b"]
    endpoints = bounded.endpoints(Selection(service="cart"))
    assert sorted(one.endpoint for one in endpoints) == ["(other)", *kept]
    [other] = [one for one in endpoints if one.endpoint == "(other)"]
    assert (other.pairs, other.outcomes.diff) == (39, 3)
    assert [one.endpoint for one in bounded.endpoints(Selection(service="pay"))] == ["GET /users/{id}"]
    fields = [(one.endpoint, one.requests, one.pairs) for one in bounded.fields()]
    assert sorted(fields) == [("(other)", 3, 39), ("GET /scan-aa", 1, 1)]
    evidence = bounded.evidence(Selection(service="cart"))
    assert {e.endpoint: e.divergence for e in evidence.endpoints}["(other)"] == Tally(3, 0, 39)
    assert {(f.endpoint, f.tally.plus) for f in evidence.fields} == {("(other)", 3), ("GET /scan-aa", 1)}
    latency = "SELECT endpoint, pairs FROM latency_stats WHERE service = 'cart' ORDER BY 1"
    assert bounded.sql(latency).fetchall() == [
        ("(other)", 39),
        ("GET /scan-aa", 1),
        ("GET /used-a", 30),
        ("GET /used-b", 30),
    ]
    assert bounded.sql("SELECT count(DISTINCT endpoint) FROM comparisons WHERE service = 'cart'").fetchall() == [(42,)]
    assert bounded.summary().pairs == 101


def test_names_are_those_of_the_time_that_is_asked_about(bounded: Store) -> None:
    """What is asked for most in a period keeps its name there."""
    late = bounded.endpoints(Selection(service="cart", since=START + timedelta(seconds=58)))
    assert {one.endpoint for one in late} == {"GET /used-a", "GET /used-b"}
    early = bounded.endpoints(Selection(service="cart", until=START + timedelta(seconds=2)))
    assert {one.endpoint for one in early} == {"GET /scan-aa", "GET /scan-ba", "GET /used-a", "(other)"}


def test_the_defaults_are_those_of_the_settings() -> None:
    """A store, a database and the settings agree without being told."""
    limits = Settings().limits
    assert Bounds() == Bounds(limits.patterns, limits.endpoints) == StoreInfo().bounds
