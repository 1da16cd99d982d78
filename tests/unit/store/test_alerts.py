"""What alert rules look at, and the table of alerts: in a database and in a store alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from tests.hooks.server import NOW, make_alert

from gnomon.core.judge import Tally
from gnomon.errors import DependencyError, InputError
from gnomon.model import Comparison, Difference, Place, Reject, instant
from gnomon.store import Landed, Selection, land_alerts, open_store
from gnomon.store.log import TableWriter, prepare_store

START = instant(1_800_000_000_000_000)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["database", "store"])
def place(request: pytest.FixtureRequest, target: Path, tmp_path: Path, land: Callable[..., Landed]) -> Path:
    """An empty database, and an empty store."""
    if request.param == "store":
        prepare_store(tmp_path / "store")
        return tmp_path / "store"
    land(target, [])
    return target


def test_alerts_land_once(place: Path) -> None:
    """Landed again after a crash there is no second row."""
    alerts = [make_alert(), make_alert(state="resolved", at=NOW + MINUTE, interval=None, link=None)]
    for _ in range(2):
        land_alerts(place, alerts)
        land_alerts(place, [])
    with open_store(place) as store:
        assert store.sql("SELECT count(*) FROM alerts").fetchall() == [(2,)]
        assert store.alerts() == [alerts[1]]


def test_the_last_word_on_each_alert_is_read(place: Path) -> None:
    """By state, service, target and time, the newest first, and no more than asked for."""
    land_alerts(
        place,
        [
            make_alert(),
            make_alert(state="resolved", at=NOW + MINUTE),
            make_alert(key="k2", service="shop", at=NOW + 2 * MINUTE),
            make_alert(key="k3", target="cart@3", at=NOW + 3 * MINUTE),
        ],
    )
    with open_store(place) as store:
        assert [alert.key for alert in store.alerts()] == ["k3", "k2", "prices:0123456789abcdef"]
        assert [alert.key for alert in store.alerts(state="firing")] == ["k3", "k2"]
        assert [alert.key for alert in store.alerts(state="resolved")] == ["prices:0123456789abcdef"]
        assert [alert.key for alert in store.alerts(Selection(service="shop"))] == ["k2"]
        assert [alert.key for alert in store.alerts(Selection(target="cart@3"))] == ["k3"]
        assert [alert.key for alert in store.alerts(Selection(since=NOW + 3 * MINUTE))] == ["k3"]
        assert [alert.key for alert in store.alerts(Selection(until=NOW + 3 * MINUTE), limit=1)] == ["k2"]


def test_a_database_that_is_open_elsewhere_takes_alerts_later(place: Path, tmp_path: Path) -> None:
    """The attempt fails in a sentence; a store takes them at any time; what is no database never does."""
    with open_store(place):
        if place.is_file():
            with pytest.raises(DependencyError, match="is open in"):
                land_alerts(place, [make_alert()])
        else:
            land_alerts(place, [make_alert()])
    with pytest.raises(InputError, match="there is no database"):
        land_alerts(tmp_path / "nowhere.duckdb", [make_alert()])


def test_figures_are_of_the_window(
    target: Path,
    comparison: Callable[..., Comparison],
    difference: Callable[..., Difference],
    land: Callable[..., Landed],
) -> None:
    """What started before it does not count; missing shadows are of the requests that should have had one."""
    rows: list[tuple[Comparison, Sequence[Difference]]] = [(comparison("old", outcome="diff"), [difference()])]
    rows += [(comparison(f"m-{n}", second=60, outcome="shadow_missing"), []) for n in range(2)]
    rows += [(comparison(f"d-{n}", second=61, outcome="diff"), [difference()]) for n in range(3)]
    rows += [(comparison(f"g-{n}", second=62), []) for n in range(5)]
    land(target, rows)
    with open_store(target) as store:
        seen = store.figures(START + MINUTE, {"divergence_rate", "missing_rate"})
        [endpoint] = seen.evidence.endpoints
        assert endpoint.divergence == Tally(5, 0, 10)
        assert seen.missing == {("cart", "GET /users/{id}", "cart@2"): Tally(2, 0, 10)}
        assert store.figures(START + 2 * MINUTE, {"divergence_rate"}).evidence.endpoints == []
        assert store.figures(START, {"reject_rate"}).evidence.endpoints == []


def test_rejects_and_leaks_are_counted_by_when_they_landed(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed], tmp_path: Path
) -> None:
    """A record that cannot be read has no time of its own; leaks come from the audit of routing."""
    rejects = [Reject(Place("a.ndjson", n), "not JSON", b"x") for n in range(1, 4)]
    land(target, [(comparison("a"), [])], rejects=rejects)
    with open_store(target) as store:
        assert store.figures(START - 10_000 * MINUTE, {"reject_rate"}).rejects == Tally(3, 0, 4)
        assert store.figures(NOW + timedelta(days=365), {"reject_rate"}).rejects == Tally(0, 0, 0)
    TableWriter(tmp_path / "s", "routed", "audit").land(
        [
            {
                "minute": NOW,
                "topic": "orders",
                "partition": 0,
                "rule": "users",
                "destination": destination,
                "events": events,
                "first_offset": 1,
                "last_offset": 9,
                "samples": [],
            }
            for destination, events in (("clean", 100), ("leak", 3))
        ]
    )
    with open_store(tmp_path / "s") as store:
        assert store.figures(NOW, {"synthetic_leaks"}).leaks == 3
        assert store.figures(NOW + MINUTE, {"synthetic_leaks"}).leaks == 0
