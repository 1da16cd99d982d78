"""The ledger: one evaluator at a time, and nothing lost, doubled or torn."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from gnomon.alert import Ledger
from gnomon.alert.ledger import KEPT, LEASE
from gnomon.core.alerting import AlertState
from gnomon.errors import DependencyError, FencedError, InputError
from gnomon.model import Alert
from gnomon.testing import ManualClock

SECOND = timedelta(seconds=1)


def test_one_evaluator_at_a_time(tmp_path: Path, clock: ManualClock) -> None:
    """The second gets the lease when the first has said nothing for its length, and not before."""
    with Ledger(tmp_path / "l") as one, Ledger(tmp_path / "l") as two:
        first = one.take("a", clock())
        assert first is not None
        assert two.take("b", clock()) is None
        clock.advance(LEASE - SECOND)
        one.renew(first, clock())
        clock.advance(LEASE - SECOND)
        assert two.take("b", clock()) is None
        clock.advance(SECOND)
        assert two.take("b", clock()) is not None


def test_one_that_was_taken_over_can_write_nothing_more(
    tmp_path: Path, clock: ManualClock, alert: Callable[..., Alert]
) -> None:
    """A paused evaluator that wakes up after its lease ended is refused, whatever it writes."""
    with Ledger(tmp_path / "l") as one, Ledger(tmp_path / "l") as two:
        old = one.take("a", clock())
        assert old is not None
        one.record(old, {}, [(alert(), ["h"])], clock())
        [entry] = one.due("h", clock())
        clock.advance(LEASE)
        new = two.take("b", clock())
        assert new is not None
        now = clock()
        for write in (
            lambda: one.renew(old, now),
            lambda: one.record(old, {}, [(alert(name="late"), ["h"])], now),
            lambda: one.start(old, entry),
            lambda: one.delivered(old, entry, now),
            lambda: one.failed(old, entry, "no", None, now),
            lambda: one.landed(old, 9),
            lambda: one.forget(old, now),
        ):
            with pytest.raises(FencedError, match="another evaluator has taken over"):
                write()
        one.release(old)
        two.renew(new, clock())
        assert [found.alert.name for found in two.due("h", clock())] == ["prices"]


def test_a_released_lease_is_free_at_once(tmp_path: Path, clock: ManualClock) -> None:
    """Whoever stops in order makes nobody wait."""
    with Ledger(tmp_path / "l") as one, Ledger(tmp_path / "l") as two:
        lease = one.take("a", clock())
        assert lease is not None
        one.release(lease)
        assert two.take("b", clock()) is not None


def test_the_same_firing_is_put_out_once_for_each_hook(
    ledger: Ledger, clock: ManualClock, alert: Callable[..., Alert]
) -> None:
    """Recorded again after a crash it changes nothing; the next firing is another one."""
    lease = ledger.take("a", clock())
    assert lease is not None
    for _ in range(2):
        ledger.record(lease, {}, [(alert(), ["h", "g"])], clock())
    ledger.record(lease, {}, [(alert(key="k2"), ["h"])], clock())
    assert len(ledger.due("h", clock())) == 2
    assert len(ledger.due("g", clock())) == 1
    for entry in ledger.due("h", clock()):
        ledger.delivered(lease, entry, clock())
    ledger.record(lease, {}, [(alert(since=clock() + SECOND), ["h"])], clock())
    assert len(ledger.due("h", clock())) == 1


def test_a_hook_hears_of_one_alert_in_order(ledger: Ledger, clock: ManualClock, alert: Callable[..., Alert]) -> None:
    """While a firing waits for its next attempt its end waits too, and other alerts do not."""
    lease = ledger.take("a", clock())
    assert lease is not None
    ledger.record(lease, {}, [(alert(), ["h"]), (alert(state="resolved"), ["h"]), (alert(key="other"), ["h"])], clock())
    first, other = ledger.due("h", clock())
    assert (first.alert.state, other.alert.key) == ("firing", "other")
    ledger.failed(lease, first, "no", clock() + 60 * SECOND, clock())
    assert [entry.alert.key for entry in ledger.due("h", clock())] == ["other"]
    clock.advance(60 * SECOND)
    [again, _] = ledger.due("h", clock())
    assert (again.attempts, again.identity) == (1, first.identity)
    ledger.delivered(lease, again, clock())
    assert ledger.due("h", clock())[0].alert.state == "resolved"


def test_a_repeated_alert_ends_when_it_is_resolved(
    ledger: Ledger, clock: ManualClock, alert: Callable[..., Alert]
) -> None:
    """What is sent again and again is sent no more after its end, also when the end was put out in the meantime."""
    lease = ledger.take("a", clock())
    assert lease is not None
    ledger.record(lease, {}, [(alert(), ["h"])], clock())
    for _ in range(3):
        [entry] = ledger.due("h", clock())
        ledger.delivered(lease, entry, clock(), again=60 * SECOND)
        assert ledger.due("h", clock()) == []
        assert ledger.waiting() == {}
        clock.advance(60 * SECOND)
    [entry] = ledger.due("h", clock())
    ledger.record(lease, {}, [(alert(state="resolved"), ["h"])], clock())
    ledger.delivered(lease, entry, clock(), again=60 * SECOND)
    clock.advance(60 * SECOND)
    assert [found.alert.state for found in ledger.due("h", clock())] == ["resolved"]
    ledger.record(lease, {}, [(alert(key="k2"), ["h"]), (alert(key="k2", state="resolved"), ["h"])], clock())
    entry = next(found for found in ledger.due("h", clock()) if found.alert.key == "k2")
    ledger.delivered(lease, entry, clock(), again=60 * SECOND)
    assert {found.alert.state for found in ledger.due("h", clock())} == {"resolved"}


def test_a_failing_hook_is_one_alert_until_it_works(
    ledger: Ledger, clock: ManualClock, alert: Callable[..., Alert]
) -> None:
    """The first failure and the recovery are rows for the table of alerts; failures between them are counted."""
    lease = ledger.take("a", clock())
    assert lease is not None
    ledger.record(lease, {}, [(alert(), ["h"])], clock())
    [entry] = ledger.due("h", clock())
    for _ in range(3):
        health = ledger.failed(lease, entry, "it answered 500", clock(), clock())
        clock.advance(SECOND)
    assert health.failures == 3
    assert ledger.health("h") == health
    ledger.delivered(lease, entry, clock())
    assert ledger.health("h") is None
    rows = [found for _, found in ledger.unlanded()]
    assert [(row.key, row.state) for row in rows] == [
        ("prices:0123456789abcdef", "firing"),
        ("hook:h", "firing"),
        ("hook:h", "resolved"),
    ]
    assert rows[1].summary == "hook h fails: it answered 500"


def test_what_was_started_and_not_finished_is_not_done_again(
    ledger: Ledger, clock: ManualClock, alert: Callable[..., Alert]
) -> None:
    """The next evaluator settles it, and the table of alerts says so."""
    lease = ledger.take("a", clock())
    assert lease is not None
    ledger.record(lease, {}, [(alert(), ["undo"])], clock())
    [entry] = ledger.due("undo", clock())
    assert ledger.start(lease, entry)
    assert not ledger.start(lease, entry)
    assert ledger.waiting() == {"undo": 1}
    clock.advance(LEASE)
    lease = ledger.take("b", clock())
    assert lease is not None
    assert ledger.interrupted(lease, clock()) == ["undo"]
    assert ledger.interrupted(lease, clock()) == []
    assert ledger.due("undo", clock()) == []
    assert "whether it finished is not known" in ledger.unlanded()[-1][1].summary


def test_landed_alerts_are_not_given_again_and_forgotten_in_the_end(
    ledger: Ledger, clock: ManualClock, alert: Callable[..., Alert]
) -> None:
    """The ledger does not grow for ever."""
    lease = ledger.take("a", clock())
    assert lease is not None
    ledger.record(lease, {}, [(alert(), ["h"]), (alert(key="k2"), [])], clock())
    (first, _), (second, _) = ledger.unlanded()
    ledger.landed(lease, first)
    assert [number for number, _ in ledger.unlanded()] == [second]
    ledger.landed(lease, second)
    clock.advance(KEPT + SECOND)
    ledger.forget(lease, clock())
    assert (ledger.unlanded(), ledger.waiting()) == ([], {})


def test_states_are_kept_by_key(ledger: Ledger, clock: ManualClock) -> None:
    """A state replaces the one before; None removes it."""
    lease = ledger.take("a", clock())
    assert lease is not None
    state = AlertState(key="k", rule="r", service="s", target="t", phase="pending", since=clock())
    ledger.record(lease, {"k": state}, [], clock())
    assert ledger.states() == {"k": state}
    ledger.record(lease, {"k": None}, [], clock())
    assert ledger.states() == {}


KILLED = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from gnomon.alert import Ledger
from gnomon.core.alerting import AlertState
sys.path.insert(0, sys.argv[2])
from server import make_alert
now = datetime(2027, 1, 15, 8, tzinfo=UTC)
ledger = Ledger(Path(sys.argv[1]))
lease = ledger.take("a", now)
for n in range(1_000_000):
    state = AlertState(key=f"k{n}", rule="r", service="s", target="t", phase="firing", since=now)
    ledger.record(lease, {f"k{n}": state}, [(make_alert(key=f"k{n}"), ["h"])], now)
    print(n, flush=True)
"""


@pytest.mark.integration
def test_a_killed_evaluator_leaves_whole_records(tmp_path: Path, clock: ManualClock) -> None:
    """After kill -9 everything acknowledged is there, and each state with what is to be sent because of it."""
    path = tmp_path / "l"
    for round_ in range(3):
        here = str(Path(__file__).parents[2] / "hooks")
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), here], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            done = [int(process.stdout.readline()) for _ in range(20 + round_)][-1]
            process.send_signal(signal.SIGKILL)
        with Ledger(path) as ledger:
            states = ledger.states()
            assert len(states) > done
            assert len(ledger.unlanded(10**6)) >= len(states)
            assert ledger.waiting() == {"h": len(states)}
            assert ledger.take("b", clock()) is None
        path.unlink()


def test_what_is_no_ledger_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Other files, newer ledgers and places that cannot be written are told apart."""
    (tmp_path / "text").write_text("not a database, " * 100, encoding="utf-8")
    with pytest.raises(InputError, match="text is not a ledger of alerts"):
        Ledger(tmp_path / "text")
    with sqlite3.connect(tmp_path / "newer") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(InputError, match="newer is of version 99, this program knows 1"):
        Ledger(tmp_path / "newer")
    with pytest.raises(DependencyError, match="cannot be used: unable to open"):
        Ledger(tmp_path / "no" / "where")
