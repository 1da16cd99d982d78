"""`gnomon watch` as a service: rules evaluated on an interval, alerts recorded, delivered and landed.

However many run, one holds the lease and works; the others wait for it. All writes go through the ledger in the event
loop's thread; reading figures and landing alerts, which take their time, are done in others.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec

from gnomon.alert import Courier, Event, Lease, Ledger, Sender, Sends, TopicSender, link_to, topic_hook
from gnomon.config import Alerting, AlertRule, Hook, Settings, find_database
from gnomon.core.alerting import Criterion, Figures, Named, decide, measure, sample_alert
from gnomon.errors import FencedError, GnomonError
from gnomon.model import Alert
from gnomon.store import land_alerts, open_store
from gnomon.store.log import StoreInfo, prepare_store

__all__ = ["Observer", "Watch", "Watched", "WatchedStore", "find_data", "ledger_path", "send_samples"]

logger = logging.getLogger(__name__)

LANDING: Final = timedelta(seconds=5)
RENEWAL: Final = timedelta(seconds=3)
WAITING: Final = timedelta(seconds=1)
FORGETTING: Final = timedelta(hours=1)


def find_data(option: Path | None, settings: Settings) -> Path:
    """Say what is watched: as every command chooses, but where there is nothing yet the store, which is made.

    Raises:
        DependencyError: The store cannot be made.
    """
    data = find_database(option, settings)
    if option is None and settings.db is None and not data.exists():
        data = settings.store.path
        prepare_store(data, StoreInfo.of(settings))
    return data


def ledger_path(data: Path) -> Path:
    """Say where the ledger of a store or of a database is: inside the one, beside the other."""
    return data / "watch.sqlite" if data.is_dir() else data.with_name(f"{data.name}.watch")


class Watched(Protocol):
    """What is watched: gives figures since a time, and takes alerts into its table."""

    def figures(self, since: datetime, metrics: set[str]) -> Figures:
        """Read what rules with these metrics look at."""

    def land(self, alerts: Sequence[Alert]) -> None:
        """Append alerts to the table; those that are there already are left out."""


class Observer(Protocol):
    """Hears what happens, to count it (`gnomon.operations.WatchMetrics`)."""

    def leading(self, *, leads: bool) -> None:
        """Whether this evaluator has the lease."""

    def evaluated(self, seconds: float, firing: Mapping[str, int]) -> None:
        """An evaluation ended: how long it took, and how many alerts fire by rule."""

    def not_evaluated(self, problem: str) -> None:
        """An evaluation failed."""

    def attempted(self, hook: str, outcome: Literal["delivered", "failed"]) -> None:
        """An attempt at a hook ended."""

    def queued(self, waiting: Mapping[str, int], unlanded: int) -> None:
        """How many alerts still wait, by hook, and for the table."""


class WatchedStore:
    """A store's directory or a database; opened for each look, so that others can write between.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def figures(self, since: datetime, metrics: set[str]) -> Figures:
        """Read what rules with these metrics look at. Raises GnomonError where it cannot be read."""
        with open_store(self._path) as store:
            return store.figures(since, metrics)

    def land(self, alerts: Sequence[Alert]) -> None:
        """Append alerts to the table. Raises GnomonError where that cannot be done now."""
        land_alerts(self._path, alerts)


class Watch:
    """One evaluator.

    Args:
        alerting: The rules and the hooks.
        settings: The interval, the confidence, the URL of links, and `kafka.alerts`, the topic (empty: none).
        ledger: What survives.
        watched: What is evaluated.
        clock: The time.
        observer: Hears what happens.
    """

    def __init__(
        self,
        alerting: Alerting,
        settings: Settings,
        ledger: Ledger,
        watched: Watched,
        *,
        clock: Callable[[], datetime],
        observer: Observer,
    ) -> None:
        self._hooks = alerting.hooks
        self._kafka = settings.kafka
        self._topic = topic_hook(settings.kafka.alerts) if settings.kafka.alerts else None
        self._rules = {rule.name: rule for rule in alerting.rules}
        self._named = [_named(rule, settings.verdict.confidence) for rule in alerting.rules]
        self._interval = settings.watch.interval
        self._base = settings.web.url or f"http://{settings.web.bind}"
        self._ledger = ledger
        self._watched = watched
        self._clock = clock
        self._observer = observer
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    async def run(self, stop: asyncio.Event) -> None:
        """Wait for the lease and work while it is held, until `stop` is set; attempts under way are let finish."""
        while not stop.is_set():
            try:
                lease = self._take()
                if lease is None:
                    await _sleep(stop, WAITING)
                    continue
                await self._lead(lease, stop)
            except FencedError as error:
                logger.warning("%s", error)
            except GnomonError as error:
                logger.error("%s", error)  # noqa: TRY400 - a sentence says it, the traceback is ours
                await _sleep(stop, WAITING)
            except Exception as bug:
                # Nobody would be told of anything any more
                logger.exception("a bug of ours, please report it; the evaluator begins anew")
                self._observer.not_evaluated(f"a bug of Gnomon's: {type(bug).__name__}")
                await _sleep(stop, WAITING)
            finally:
                self._observer.leading(leads=False)

    async def run_once(self) -> bool:
        """Evaluate, make one attempt at everything that is due, and land; False when another evaluator has the lease.

        Raises:
            GnomonError: What is watched cannot be read, or the ledger cannot be written.
        """
        lease = self._take()
        if lease is None:
            return False
        keeper = asyncio.create_task(self._keep(lease))
        try:
            await self.evaluate(lease)
            async with self._couriers() as couriers:
                for courier in couriers:
                    await courier.deliver(lease, asyncio.Event())
            await self._land(lease)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            self._ledger.release(lease)
        return True

    async def evaluate(self, lease: Lease) -> None:
        """Take all rules one step, and record what follows.

        Raises:
            FencedError: Another evaluator has taken over; nothing was recorded.
            GnomonError: What is watched cannot be read, or the ledger cannot be written; nothing was recorded.
        """
        started = asyncio.get_running_loop().time()
        now = self._clock()
        readings = await asyncio.to_thread(self._read, now)
        states = self._ledger.states()
        changed, alerts = decide(self._named, readings, states, now)
        self._ledger.record(lease, changed, [(self._linked(a), self._addressees(a)) for a in alerts], now)
        for alert in alerts:
            logger.warning("%s", alert.summary, extra={"alert": alert.name, "state": alert.state, "key": alert.key})
        firing = dict.fromkeys(self._rules, 0)
        for state in {**states, **changed}.values():
            if state is not None and state.phase == "firing" and state.rule in firing:
                firing[state.rule] += 1
        self._observer.evaluated(asyncio.get_running_loop().time() - started, firing)

    def _read(self, now: datetime) -> dict[str, list[Any]]:
        """Read each window once, and measure every rule on it."""
        windows: dict[timedelta, list[Named]] = defaultdict(list)
        for rule in self._named:
            windows[rule.window].append(rule)
        readings = {}
        for window, rules in windows.items():
            figures = self._watched.figures(now - window, {rule.criterion.metric for rule in rules})
            readings.update({rule.name: measure(rule.criterion, figures) for rule in rules})
        return readings

    def _linked(self, alert: Alert) -> Alert:
        rule = self._rules.get(alert.name)
        window = rule.window if rule else timedelta()
        return msgspec.structs.replace(alert, link=link_to(self._base, alert, window))

    def _addressees(self, alert: Alert) -> list[str]:
        """Say who hears of an alert: the rule's hooks (all of them where the rule is lost), and the topic.

        A command is for what fires.
        """
        rule = self._rules.get(alert.name)
        names = rule.hooks if rule else tuple(self._hooks)
        told = [name for name in names if alert.state == "firing" or self._hooks[name].type != "command"]
        return told if self._topic is None else [*told, self._topic.name]

    def _take(self) -> Lease | None:
        lease = self._ledger.take(self._holder, self._clock())
        if lease is not None:
            for hook in self._ledger.interrupted(lease, self._clock()):
                logger.error("hook %s was running when its evaluator ended; it is not run again", hook)
        return lease

    async def _lead(self, lease: Lease, stop: asyncio.Event) -> None:
        logger.info("this evaluator has the lease", extra={"epoch": lease.epoch})
        self._observer.leading(leads=True)
        ended = asyncio.Event()
        async with self._couriers() as couriers:
            keeper = asyncio.create_task(self._keep(lease))
            works = [
                asyncio.create_task(self._repeat(self._interval, self._evaluate_or_say(lease), ended)),
                asyncio.create_task(self._repeat(LANDING, self._land_or_say(lease), ended)),
                asyncio.create_task(self._repeat(FORGETTING, self._forget(lease), ended)),
                *(asyncio.create_task(courier.run(lease, ended)) for courier in couriers),
            ]
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([keeper, stopping, *works], return_when=asyncio.FIRST_COMPLETED)
            ended.set()
            # Attempts under way come to their end, within their time limits, while the lease is still kept
            results: list[object] = list(await asyncio.gather(*works, return_exceptions=True))
            for task in (keeper, stopping):
                task.cancel()
            results += await asyncio.gather(keeper, stopping, return_exceptions=True)
        problem = _worst(results)
        if problem is None or not isinstance(problem, FencedError):
            self._ledger.release(lease)
        if problem is not None:
            raise problem

    async def _keep(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(RENEWAL.total_seconds())
            self._ledger.renew(lease, self._clock())

    async def _repeat(
        self, every: timedelta, work: Callable[[], Coroutine[Any, Any, None]], ended: asyncio.Event
    ) -> None:
        while not ended.is_set():
            await work()
            await _sleep(ended, every)

    def _evaluate_or_say(self, lease: Lease) -> Callable[[], Coroutine[Any, Any, None]]:
        async def work() -> None:
            try:
                await self.evaluate(lease)
            except FencedError:
                raise
            except GnomonError as error:
                logger.error("rules could not be evaluated: %s", error)  # noqa: TRY400 - see `run`
                self._observer.not_evaluated(str(error))

        return work

    def _land_or_say(self, lease: Lease) -> Callable[[], Coroutine[Any, Any, None]]:
        async def work() -> None:
            try:
                await self._land(lease)
            except FencedError:
                raise
            except GnomonError as error:
                logger.info("alerts wait for their table: %s", error)
            self._observer.queued(self._ledger.waiting(), len(self._ledger.unlanded()))

        return work

    def _forget(self, lease: Lease) -> Callable[[], Coroutine[Any, Any, None]]:
        async def work() -> None:
            self._ledger.forget(lease, self._clock())

        return work

    async def _land(self, lease: Lease) -> None:
        while waiting := self._ledger.unlanded():
            await asyncio.to_thread(self._watched.land, [alert for _, alert in waiting])
            self._ledger.landed(lease, waiting[-1][0])

    @asynccontextmanager
    async def _couriers(self) -> AsyncIterator[list[Courier]]:
        """One for each hook, and one for the topic; connections are closed at the end."""
        async with Sender(self._clock, os.environ) as sender, TopicSender(self._kafka) as topic:
            ways: list[tuple[Hook, Sends]] = [(hook, sender) for hook in self._hooks.values()]
            if self._topic is not None:
                ways.append((self._topic, topic))
            yield [Courier(hook, self._ledger, sends, self._clock, self._heard) for hook, sends in ways]

    def _heard(self, event: Event) -> None:
        extra = {"hook": event.hook, "key": event.key, "state": event.state}
        if event.outcome == "delivered":
            logger.info("alert delivered", extra=extra)
        else:
            later = "not tried again" if event.retry_in is None else f"tried again in {event.retry_in:.0f} s"
            logger.warning("hook failed, %s: %s", later, event.problem, extra={**extra, "failures": event.failures})
        self._observer.attempted(event.hook, event.outcome)


async def send_samples(
    rule: AlertRule, hooks: Mapping[str, Hook], clock: Callable[[], datetime], environ: Mapping[str, str]
) -> list[tuple[str, GnomonError | None]]:
    """Send a sample of a rule's alert to its hooks, commands left out; gives each hook with what went wrong."""
    results: list[tuple[str, GnomonError | None]] = []
    alert = sample_alert(_named(rule, 0.95), clock())
    over = msgspec.structs.replace(alert, state="resolved")
    async with Sender(clock, environ) as sender:
        for hook in (hooks[name] for name in rule.hooks):
            if hook.type == "command":
                continue
            try:
                await sender.send(hook, alert, f"{alert.key}:firing:{clock().timestamp()}")
                if hook.type in {"alertmanager", "pagerduty"}:  # nobody is to be kept awake by a test
                    await sender.send(hook, over, f"{alert.key}:resolved:{clock().timestamp()}")
            except GnomonError as error:
                results.append((hook.name, error))
            else:
                results.append((hook.name, None))
    return results


def _named(rule: AlertRule, confidence: float) -> Named:
    return Named(
        name=rule.name,
        severity=rule.severity,
        hold=rule.hold,
        window=rule.window,
        criterion=Criterion(
            metric=rule.metric,
            above=rule.above,
            service=rule.service,
            endpoint=rule.endpoint,
            target=rule.target,
            min_pairs=rule.min_pairs,
            confidence=confidence,
        ),
    )


def _worst(results: Sequence[object]) -> BaseException | None:
    """Give what ended a lease: that it was lost before anything else."""
    raised = [r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)]
    return next((error for error in raised if isinstance(error, FencedError)), raised[0] if raised else None)


async def _sleep(stop: asyncio.Event, length: timedelta) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), length.total_seconds())
