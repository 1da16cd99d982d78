"""Delivery to real hooks: servers that fail, hang and come back, and commands."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.hooks.server import HookServer

from gnomon.alert import Courier, Event, Lease, Ledger, Sender
from gnomon.alert.delivery import backoff
from gnomon.config import Hook, Secret
from gnomon.model import Alert
from gnomon.testing import ManualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
PYTHON = sys.executable


class Post:
    """One hook with its courier, on a ledger with a clock that is moved by hand."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.ledger, self.clock = ledger, clock
        lease = ledger.take("a", clock())
        assert lease is not None
        self.lease: Lease = lease
        self.events: list[Event] = []

    def put(self, alert: Alert, *hooks: str) -> None:
        """Put an alert out."""
        self.ledger.record(self.lease, {}, [(alert, hooks or ["h"])], self.clock())

    def deliver(self, hook: Hook, environ: dict[str, str] | None = None) -> list[Event]:
        """Make one attempt at what is due; gives what happened."""

        async def work() -> None:
            async with Sender(self.clock, environ or {}) as sender:
                courier = Courier(hook, self.ledger, sender, self.clock, self.events.append)
                await courier.deliver(self.lease, asyncio.Event())

        before = len(self.events)
        run(work())
        return self.events[before:]


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end."""
    asyncio.run(work)


@pytest.fixture
def post(ledger: Ledger, clock: ManualClock) -> Post:
    """A courier's world."""
    return Post(ledger, clock)


def webhook(server: HookServer, **fields: Any) -> Hook:
    """A webhook at the server."""
    return Hook(**{"name": "h", "url": Secret(value=f"{server.url}/x"), **fields})


def test_a_hook_that_answers_500_then_200_gets_it_twice_and_no_more(
    post: Post, hook_server: HookServer, alert: Callable[..., Alert]
) -> None:
    """At least once: tried again after a while, with the same identity, until it worked."""
    hook_server.answers = [500, 200]
    post.put(alert())
    [failed] = post.deliver(webhook(hook_server))
    assert (failed.outcome, failed.problem) == ("failed", "it answered 500: ok")
    assert failed.retry_in is not None
    assert post.deliver(webhook(hook_server)) == []
    post.clock.advance(2 * SECOND)
    [delivered] = post.deliver(webhook(hook_server))
    assert delivered.outcome == "delivered"
    post.clock.advance(HOUR)
    assert post.deliver(webhook(hook_server)) == []
    first, second = hook_server.received
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_a_hook_that_is_down_for_an_hour_gets_everything_in_order(
    post: Post, hook_server: HookServer, alert: Callable[..., Alert]
) -> None:
    """Nothing is lost and nothing overtakes; the failure is visible meanwhile."""
    down = webhook(hook_server, url=Secret(value="http://127.0.0.1:9/x"))
    post.put(alert())
    post.put(alert(state="resolved"))
    attempts = 0
    for _ in range(60):
        attempts += len(post.deliver(down))
        post.clock.advance(60 * SECOND)
    assert 12 <= attempts <= 40
    health = post.ledger.health("h")
    assert health is not None
    assert health.failures == attempts
    post.clock.advance(300 * SECOND)
    post.deliver(webhook(hook_server))
    post.deliver(webhook(hook_server))
    assert [received.json["state"] for received in hook_server.received] == ["firing", "resolved"]
    assert post.ledger.waiting() == {}
    assert [row.state for _, row in post.ledger.unlanded() if row.name == "hook h"] == ["firing", "resolved"]


def test_a_hook_that_hangs_costs_its_timeout_alone(
    post: Post, hook_server: HookServer, alert: Callable[..., Alert]
) -> None:
    """An attempt ends after the hook's timeout, and is repeated."""
    hook_server.answers = ["hang"]
    post.put(alert())
    [event] = post.deliver(webhook(hook_server, timeout=timedelta(milliseconds=200)))
    assert event.problem == "no answer within 0.2 s"
    assert event.retry_in is not None


def test_an_endless_answer_is_not_read(post: Post, hook_server: HookServer, alert: Callable[..., Alert]) -> None:
    """Only the beginning of an answer is looked at, and shown without what could steer a terminal."""
    hook_server.answers = [400]
    hook_server.body = b"\x1b[2J<b>bad" + b"\n\xffx" * 200_000
    post.put(alert())
    [event] = post.deliver(webhook(hook_server))
    assert event.problem.startswith("it answered 400: [2J<b>bad")
    assert event.problem.isprintable()
    assert len(event.problem) < 300


def test_a_redirect_is_not_followed(post: Post, hook_server: HookServer, alert: Callable[..., Alert]) -> None:
    """It is a failure: a hook must not be able to send our alerts elsewhere."""
    hook_server.answers = [307]
    hook_server.headers = {"location": f"{hook_server.url}/elsewhere"}
    post.put(alert())
    [event] = post.deliver(webhook(hook_server))
    assert event.problem.startswith("it answered 307")
    assert [received.path for received in hook_server.received] == ["/x"]


def test_a_receiver_may_ask_for_time(post: Post, hook_server: HookServer, alert: Callable[..., Alert]) -> None:
    """Retry-After is heeded, in seconds and within bounds."""
    hook_server.answers = [429]
    for asked, waited in (("120", 120), ("999999", 3600), ("soon", 1)):
        hook_server.headers = {"retry-after": asked}
        post.put(alert(key=asked))
        [event] = post.deliver(webhook(hook_server))
        assert event.retry_in is not None
        assert waited / 2 <= event.retry_in <= waited


def test_a_hook_is_given_up_when_its_time_is_over(
    post: Post, hook_server: HookServer, alert: Callable[..., Alert]
) -> None:
    """Past `retry_for` the alert is settled as failed, and what comes next is tried."""
    hook_server.answers = [500]
    hook = webhook(hook_server, retry_for=timedelta(minutes=1))
    post.put(alert())
    post.clock.advance(61 * SECOND)
    [event] = post.deliver(hook)
    assert event.retry_in is None
    post.clock.advance(HOUR)
    assert post.deliver(hook) == []


def test_secrets_come_from_where_they_are_and_are_in_no_message(
    post: Post, hook_server: HookServer, alert: Callable[..., Alert], tmp_path: Path
) -> None:
    """A URL in a variable, a signing secret in a file, a token; what is missing is a failure that is tried again."""
    hook = webhook(
        hook_server,
        url=Secret(env="HOOK_URL"),
        secret=Secret(file=tmp_path / "key"),
        token=Secret(value="t0ken"),
    )
    post.put(alert())
    [event] = post.deliver(hook)
    assert event.problem == "HOOK_URL is empty; put the secret into it"
    post.clock.advance(2 * SECOND)
    [event] = post.deliver(hook, {"HOOK_URL": "file:///hidden"})
    assert "key cannot be read" in event.problem or "not an http" in event.problem
    assert "hidden" not in event.problem
    (tmp_path / "key").write_text("s3cret\n", encoding="utf-8")
    post.clock.advance(4 * SECOND)
    [event] = post.deliver(hook, {"HOOK_URL": f"{hook_server.url}/x"})
    assert event.outcome == "delivered"
    [received] = hook_server.received
    assert received.headers["authorization"] == "Bearer t0ken"
    assert received.headers["x-gnomon-signature"].startswith("sha256=")
    assert not any(secret in str(post.events) for secret in ("s3cret", "t0ken", hook_server.url))


def test_each_type_of_hook_is_spoken_to_in_its_own_way(
    post: Post, hook_server: HookServer, alert: Callable[..., Alert]
) -> None:
    """Alertmanager at its path and again after a minute, PagerDuty with its key, Slack with blocks."""
    kinds = {
        "alertmanager": webhook(hook_server, name="am", type="alertmanager", url=Secret(value=f"{hook_server.url}/")),
        "pagerduty": webhook(hook_server, name="pd", type="pagerduty", routing_key=Secret(value="rk")),
        "slack": webhook(hook_server, name="sl", type="slack"),
    }
    post.put(alert(), "am", "pd", "sl")
    for hook in kinds.values():
        post.deliver(hook)
    am, pd, sl = hook_server.received
    assert (am.path, am.json[0]["labels"]["alertname"]) == ("/api/v2/alerts", "prices")
    assert (pd.json["event_action"], sl.json["blocks"][0]["type"]) == ("trigger", "section")
    post.clock.advance(61 * SECOND)
    post.put(alert(state="resolved"), "am")
    post.deliver(kinds["alertmanager"])
    post.clock.advance(61 * SECOND)
    assert post.deliver(kinds["alertmanager"]) == []
    assert len(hook_server.received) == 4


def command(*arguments: str, **fields: Any) -> Hook:
    """A command hook."""
    return Hook(**{"name": "h", "type": "command", "command": arguments, "timeout": 20 * SECOND, **fields})


def test_a_command_gets_the_alert_on_its_stdin_and_no_secrets(
    post: Post, alert: Callable[..., Alert], tmp_path: Path
) -> None:
    """It is run without a shell, with the environment but without Gnomon's own variables."""
    script = "import os, sys; open(sys.argv[1], 'w').write(sys.stdin.read() + chr(10) + repr(sorted(os.environ)))"
    out = tmp_path / "a file; with $(odd) name"
    post.put(alert())
    [event] = post.deliver(
        command(PYTHON, "-c", script, str(out)), {**os.environ, "GNOMON_WEB_TOKEN": "x", "MINE": "y"}
    )
    assert event.outcome == "delivered"
    body, names = out.read_text(encoding="utf-8").split("\n")
    assert msgspec.json.decode(body.encode(), type=Alert) == alert()
    assert "'MINE'" in names
    assert "GNOMON" not in names


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((PYTHON, "-c", "raise SystemExit(3)"), "the command ended with code 3"),
        (("/nowhere/undo",), "the command cannot be started: No such file or directory"),
        ((PYTHON, "-c", "import time; time.sleep(60)"), "the command took longer than 0.5 s"),
    ],
)
def test_a_command_that_fails_is_not_run_again(
    post: Post, alert: Callable[..., Alert], arguments: tuple[str, ...], problem: str
) -> None:
    """It is run once for each firing, whatever comes of it; that it failed is visible."""
    hook = command(*arguments, timeout=timedelta(seconds=0.5) if "sleep" in str(arguments) else 20 * SECOND)
    post.put(alert())
    [event] = post.deliver(hook)
    assert (event.problem, event.retry_in) == (problem, None)
    post.clock.advance(HOUR)
    assert post.deliver(hook) == []
    assert post.ledger.health("h") is not None
    assert problem in post.ledger.unlanded()[-1][1].summary


def test_a_command_is_not_run_late(post: Post, alert: Callable[..., Alert], tmp_path: Path) -> None:
    """A rollback that waited for longer than `retry_for` is left alone, and said."""
    post.put(alert())
    post.clock.advance(HOUR)
    hook = command(PYTHON, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')", retry_for=timedelta(minutes=10))
    [event] = post.deliver(hook)
    assert event.problem == "the command could not be run in time, and is not run late"
    assert not (tmp_path / "ran").exists()


def test_waiting_grows_to_five_minutes() -> None:
    """Doubling, with up to a half taken off by chance."""
    assert [backoff(n, 0) for n in (1, 2, 3, 9, 10, 1000)] == [1, 2, 4, 256, 300, 300]
    assert backoff(3, 1) == 2
