"""The evaluator on figures that a test makes: from a reading to hooks and the table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.hooks.server import NOW, HookServer

from gnomon.alert import Ledger
from gnomon.alert.ledger import LEASE
from gnomon.config import Alerting, AlertRule, Hook, Kafka, Secret, Settings, Web
from gnomon.config.settings import Watch as WatchSettings
from gnomon.core.alerting import Figures
from gnomon.core.judge import EndpointEvidence, Evidence, Tally, Timings
from gnomon.errors import DependencyError
from gnomon.model import Alert
from gnomon.testing import ManualClock
from gnomon.watch import Watch, ledger_path, send_samples

SECOND = timedelta(seconds=1)


class Seen:
    """Something to watch whose share of divergences is set by the test."""

    def __init__(self) -> None:
        self.diverged = 0
        self.asked: list[tuple[datetime, set[str]]] = []
        self.landed: list[Alert] = []
        self.fails = False

    def figures(self, since: datetime, metrics: set[str]) -> Figures:
        """A thousand requests of one endpoint."""
        if self.fails:
            raise DependencyError("the store is open elsewhere", "wait")
        self.asked.append((since, metrics))
        endpoint = EndpointEvidence(
            service="cart",
            endpoint="GET /a",
            target="cart@2",
            pairs=1000,
            judged=1000,
            divergence=Tally(self.diverged, 0, 1000),
            errors=Tally(0, 0, 1000),
            timings=Timings.none(),
            diverging=["r-1"],
        )
        return Figures(evidence=Evidence([endpoint], []))

    def land(self, alerts: Sequence[Alert]) -> None:
        """Take alerts."""
        if self.fails:
            raise DependencyError("the store is open elsewhere", "wait")
        self.landed += alerts


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.firing: dict[str, int] = {}
        self.problems: list[str] = []
        self.attempts: list[tuple[str, str]] = []
        self.leads: list[bool] = []
        self.waiting: list[tuple[dict[str, int], int]] = []

    def leading(self, *, leads: bool) -> None:
        """Remember."""
        self.leads.append(leads)

    def evaluated(self, seconds: float, firing: Mapping[str, int]) -> None:
        """Remember."""
        assert seconds >= 0
        self.firing = dict(firing)

    def not_evaluated(self, problem: str) -> None:
        """Remember."""
        self.problems.append(problem)

    def attempted(self, hook: str, outcome: str) -> None:
        """Remember."""
        self.attempts.append((hook, outcome))

    def queued(self, waiting: Mapping[str, int], unlanded: int) -> None:
        """Remember."""
        self.waiting.append((dict(waiting), unlanded))


class World:
    """A ledger, a clock, something to watch, and evaluators of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock(NOW)
        self.seen = Seen()
        self.heard = Heard()
        self.ledger = Ledger(path)
        self.settings = Settings(web=Web(url="https://gnomon.example"), kafka=Kafka(alerts=""))

    def watch(self, *hooks: Hook, ledger: Ledger | None = None, **rule: Any) -> Watch:
        """One evaluator of one rule with these hooks."""
        fields: dict[str, Any] = {"name": "prices", "metric": "divergence_rate", "above": 0.01}
        one = AlertRule(**{**fields, **rule}, hooks=tuple(hook.name for hook in hooks))
        alerting = Alerting((one,) if rule.get("above") != -1 else (), {hook.name: hook for hook in hooks})
        return Watch(alerting, self.settings, ledger or self.ledger, self.seen, clock=self.clock, observer=self.heard)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fresh world."""
    made = World(tmp_path / "watch.sqlite")
    yield made
    made.ledger.close()


def hook(server: HookServer, **fields: Any) -> Hook:
    """A webhook at the server."""
    return Hook(**{"name": "ops", "url": Secret(value=f"{server.url}/x"), **fields})


def once(watch: Watch) -> bool:
    """Evaluate, send and land once."""
    return asyncio.run(watch.run_once())


def test_a_broken_build_is_told_once_and_resolved_once(world: World, hook_server: HookServer) -> None:
    """From the figure to the hook and the table, with requests and a link as evidence, and no more than that."""
    watch = world.watch(hook(hook_server))
    assert once(watch)
    assert hook_server.received == []
    world.seen.diverged = 500
    for _ in range(3):
        once(watch)
        world.clock.advance(SECOND)
    assert world.heard.firing == {"prices": 1}
    world.seen.diverged = 0
    for _ in range(3):
        once(watch)
        world.clock.advance(SECOND)
    firing, resolved = (received.json for received in hook_server.received)
    assert (firing["state"], resolved["state"]) == ("firing", "resolved")
    assert firing["key"] == resolved["key"]
    assert firing["request_ids"] == ["r-1"]
    assert firing["link"].startswith("https://gnomon.example/api/differences?since=2027-01-15T07%3A50%3A00")
    assert resolved["summary"].endswith("at 0 % it is no longer shown to be")
    assert [alert.state for alert in world.seen.landed] == ["firing", "resolved"]
    assert world.heard.firing == {"prices": 0}


def test_a_window_is_read_once_for_all_its_rules(world: World) -> None:
    """Each rule asks for its own window and metric."""
    once(world.watch(window=timedelta(hours=1)))
    assert world.seen.asked == [(NOW - timedelta(hours=1), {"divergence_rate"})]


def test_an_evaluator_that_starts_again_goes_on_where_it_was(world: World, hook_server: HookServer) -> None:
    """`for` counts across restarts, and what was told is not told again."""
    world.seen.diverged = 500
    for _ in range(4):
        with Ledger(world.path) as ledger:
            once(world.watch(hook(hook_server), ledger=ledger, hold=2 * SECOND))
        world.clock.advance(SECOND)
    assert len(hook_server.received) == 1


def test_a_second_evaluator_waits_for_its_turn(world: World) -> None:
    """While one has the lease the other does nothing."""
    assert world.ledger.take("somebody else", world.clock()) is not None
    assert not once(world.watch())
    assert world.seen.asked == []
    world.clock.advance(LEASE)
    assert once(world.watch())


def test_a_rule_that_was_removed_is_resolved(world: World, hook_server: HookServer) -> None:
    """What fires by a rule that is no longer in the settings is not left firing for ever."""
    world.seen.diverged = 500
    once(world.watch(hook(hook_server)))
    once(world.watch(hook(hook_server), name="another", above=0.9))
    assert [received.json["state"] for received in hook_server.received] == ["firing", "resolved"]
    assert hook_server.received[1].json["summary"] == "the rule prices is no longer there"


def test_a_command_is_for_what_fires_alone(world: World, hook_server: HookServer, tmp_path: Path) -> None:
    """It is not run when the alert is resolved."""
    out = tmp_path / "ran"
    undo = Hook(name="undo", type="command", command=("sh", "-c", f"echo run >> {out}"), timeout=20 * SECOND)
    world.seen.diverged = 500
    once(world.watch(hook(hook_server), undo))
    world.seen.diverged = 0
    once(world.watch(hook(hook_server), undo))
    assert len(hook_server.received) == 2
    assert out.read_text(encoding="utf-8") == "run\n"


def test_what_cannot_be_read_changes_nothing(world: World, hook_server: HookServer) -> None:
    """A store that is open elsewhere for a while does not resolve what fires."""
    world.seen.diverged = 500
    once(world.watch(hook(hook_server)))
    world.seen.fails = True
    with pytest.raises(DependencyError):
        once(world.watch(hook(hook_server)))
    world.seen.fails = False
    once(world.watch(hook(hook_server)))
    assert len(hook_server.received) == 1


def running(watch: Watch, until: Callable[[], bool]) -> None:
    """Run an evaluator until something holds, and stop it in order."""

    async def work() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(watch.run(stop))
        async with asyncio.timeout(20):
            while not until() and not task.done():  # noqa: ASYNC110 - the condition is no event
                await asyncio.sleep(0.01)
        stop.set()
        await task

    asyncio.run(work())


def test_it_runs_until_it_is_stopped_and_gives_the_lease_back(world: World, hook_server: HookServer) -> None:
    """Evaluating, sending and landing go on side by side, and what fails is said and tried again."""
    world.settings = msgspec.structs.replace(world.settings, watch=WatchSettings(interval=timedelta(milliseconds=20)))
    world.seen.diverged = 500
    world.seen.fails = True
    watch = world.watch(hook(hook_server))
    running(watch, lambda: len(world.heard.problems) >= 2)
    assert world.heard.problems[0] == "the store is open elsewhere; wait"
    world.seen.fails = False
    running(watch, lambda: bool(hook_server.received and world.seen.landed))
    assert world.heard.attempts == [("ops", "delivered")]
    assert world.heard.leads == [True, False, True, False]
    assert world.ledger.take("next", world.clock()) is not None


def test_a_hook_that_hangs_keeps_nobody_else_waiting(world: World, hook_server: HookServer) -> None:
    """Hooks are independent of each other, and of the evaluation."""
    slow, quick = HookServer(), hook_server
    slow.answers = ["hang"]
    try:
        world.seen.diverged = 500
        hooks = [hook(slow, name="slow", timeout=timedelta(seconds=1)), hook(quick, name="quick")]
        running(world.watch(*hooks), lambda: bool(quick.received and slow.received))
        assert ("quick", "delivered") in world.heard.attempts
        assert world.heard.attempts[-1] == ("slow", "failed")
    finally:
        slow.close()


def test_one_whose_lease_was_lost_stops_and_waits(world: World, hook_server: HookServer) -> None:
    """It writes nothing more, and takes its turn when the other's lease is over."""
    world.settings = msgspec.structs.replace(world.settings, watch=WatchSettings(interval=timedelta(milliseconds=20)))

    def rob() -> bool:
        if world.heard.leads == [True]:
            world.clock.advance(LEASE)
            with Ledger(world.path) as other:
                other.take("another", world.clock())
        return len(world.heard.leads) > 1

    running(world.watch(hook(hook_server)), rob)
    assert world.heard.leads[:2] == [True, False]
    assert world.ledger.take("a third", world.clock()) is None, "the lease is still the other's"


def test_a_sample_is_sent_to_every_hook_and_runs_no_command(hook_server: HookServer, tmp_path: Path) -> None:
    """Each hook's result is given; what Alertmanager and PagerDuty were told is taken back at once."""
    hooks = [
        hook(hook_server),
        hook(hook_server, name="down", url=Secret(value="http://127.0.0.1:9/")),
        hook(hook_server, name="pd", type="pagerduty", routing_key=Secret(value="k")),
        Hook(name="undo", type="command", command=("touch", str(tmp_path / "ran"))),
    ]
    one = AlertRule(name="prices", metric="missing_rate", above=0.1, hooks=tuple(h.name for h in hooks))
    work: Coroutine[Any, Any, Any] = send_samples(one, {h.name: h for h in hooks}, ManualClock(NOW), {})
    results = dict(asyncio.run(work))
    assert {name: problem is None for name, problem in results.items()} == {"ops": True, "down": False, "pd": True}
    assert not (tmp_path / "ran").exists()
    assert [received.json.get("event_action") for received in hook_server.received] == [None, "trigger", "resolve"]
    assert "this is a test" in hook_server.received[0].json["summary"]


def test_the_ledger_is_in_the_store_or_beside_the_database(tmp_path: Path) -> None:
    """Evaluators of the same data meet in the same ledger."""
    assert ledger_path(tmp_path) == tmp_path / "watch.sqlite"
    assert ledger_path(tmp_path / "g.duckdb") == tmp_path / "g.duckdb.watch"


def test_one_evaluation_keeps_its_lease_while_a_hook_takes_long(
    world: World, hook_server: HookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes over from it meanwhile, and says that its command was interrupted."""
    renewed: list[datetime] = []
    monkeypatch.setattr("gnomon.watch.RENEWAL", timedelta(milliseconds=5))
    monkeypatch.setattr(world.ledger, "renew", lambda _, now: renewed.append(now))
    world.seen.diverged = 500
    hook_server.answers = ["hang"]
    assert once(world.watch(hook(hook_server, timeout=timedelta(milliseconds=300))))
    assert len(hook_server.received) == 1
    assert renewed
