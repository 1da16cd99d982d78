"""What must survive: who evaluates, where each alert is, and what is still to be sent. One SQLite file.

Every write of the evaluator is one transaction that first looks whether the lease is still its own, so a paused or slow
one that was taken over can write nothing more. A change of state and what is to be sent because of it are written
together. SQLite locks the file: it is for a local disk, or a volume on which file locks work.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

import msgspec

from gnomon.core.alerting import AlertState, hook_alert
from gnomon.errors import DependencyError, FencedError, GnomonError, InputError
from gnomon.model import EPOCH, Alert

__all__ = ["Entry", "HookHealth", "Lease", "Ledger", "Status"]

LEDGER_VERSION: Final = 1
LEASE: Final = timedelta(seconds=10)
"""How long an evaluator that says nothing keeps the lease."""

KEPT: Final = timedelta(days=30)
"""How long what was sent is remembered."""

Status: TypeAlias = Literal["waiting", "started", "delivered", "failed", "unknown"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS lease (one INTEGER PRIMARY KEY CHECK (one = 1), holder TEXT, epoch INTEGER, until INTEGER);
INSERT OR IGNORE INTO lease VALUES (1, NULL, 0, 0);
CREATE TABLE IF NOT EXISTS states (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS alerts (seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, body BLOB NOT NULL,
    landed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, hook TEXT NOT NULL, key TEXT NOT NULL,
    state TEXT NOT NULL, since INTEGER NOT NULL, body BLOB NOT NULL, created INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL,
    detail TEXT NOT NULL DEFAULT '', UNIQUE (hook, key, state, since));
CREATE INDEX IF NOT EXISTS open_entries ON outbox (hook, next) WHERE status IN ('waiting', 'started');
CREATE TABLE IF NOT EXISTS hooks (name TEXT PRIMARY KEY, failures INTEGER NOT NULL, since INTEGER NOT NULL);
"""


class Lease(msgspec.Struct, frozen=True):
    """The right to evaluate; `epoch` grows by one with every taking."""

    holder: str
    epoch: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One alert on its way to one hook. `attempts` counts those that failed."""

    seq: int
    hook: str
    alert: Alert
    created: datetime
    attempts: int

    @property
    def identity(self) -> str:
        """The same for every attempt, and for nothing else: what a receiver tells repeats by."""
        return f"{self.alert.key}:{self.alert.state}:{_us(self.alert.since)}"


class HookHealth(msgspec.Struct, frozen=True):
    """A hook's failures since it last worked, and when the first of them was."""

    failures: int
    since: datetime


class Ledger:
    """The file; a context manager.

    Args:
        path: Where it is; made if it is not there.

    Raises:
        DependencyError: It cannot be opened.
        InputError: It is not a ledger, or one of a newer version of Gnomon.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(path, timeout=5, isolation_level=None)
            self._prepare()
        except sqlite3.Error as error:
            raise self._meaning(error) from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA synchronous = FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > LEDGER_VERSION:
            self._db.close()
            raise InputError(f"{self.path} is of version {version}, this program knows {LEDGER_VERSION}", "upgrade it")
        with self._transaction():
            for statement in _SCHEMA.split(";\n"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {LEDGER_VERSION}")

    def __enter__(self) -> Self:
        """The ledger itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def take(self, holder: str, now: datetime) -> Lease | None:
        """Take the lease if nobody has it; None while another evaluator does. `holder` is unique to a process."""
        with self._transaction():
            owner, epoch, until = self._db.execute("SELECT holder, epoch, until FROM lease").fetchone()
            if owner not in {None, holder} and until > _us(now):
                return None
            lease = Lease(holder, epoch + 1)
            self._db.execute(
                "UPDATE lease SET holder = ?, epoch = ?, until = ?", (holder, lease.epoch, _us(now + LEASE))
            )
            return lease

    def renew(self, lease: Lease, now: datetime) -> None:
        """Keep the lease. Raises FencedError when another evaluator has it."""
        with self._owned(lease):
            self._db.execute("UPDATE lease SET until = ?", (_us(now + LEASE),))

    def release(self, lease: Lease) -> None:
        """Give the lease back, so that another evaluator need not wait."""
        with self._transaction():
            self._db.execute(
                "UPDATE lease SET holder = NULL, until = 0 WHERE holder = ? AND epoch = ?", (lease.holder, lease.epoch)
            )

    def states(self) -> dict[str, AlertState]:
        """Give every pending and firing alert by key."""
        rows = self._all("SELECT key, body FROM states")
        return {key: msgspec.json.decode(body, type=AlertState) for key, body in rows}

    def record(
        self,
        lease: Lease,
        changed: dict[str, AlertState | None],
        alerts: Sequence[tuple[Alert, Sequence[str]]],
        now: datetime,
    ) -> None:
        """Write what an evaluation found: states by key (None: gone), and each alert with the hooks it goes to.

        An alert that was already put out for a hook is not put out again. A firing alert that is still sent again and
        again is not, once it is resolved.

        Raises:
            FencedError: Another evaluator has the lease; nothing is written.
        """
        with self._owned(lease):
            for key, state in changed.items():
                if state is None:
                    self._db.execute("DELETE FROM states WHERE key = ?", (key,))
                else:
                    body = msgspec.json.encode(state)
                    self._db.execute("INSERT OR REPLACE INTO states VALUES (?, ?)", (key, body))
            for alert, hooks in alerts:
                self._keep(alert)
                for hook in hooks:
                    self._put_out(hook, alert, now)

    def _keep(self, alert: Alert) -> None:
        self._db.execute("INSERT INTO alerts (at, body) VALUES (?, ?)", (_us(alert.at), msgspec.json.encode(alert)))

    def _put_out(self, hook: str, alert: Alert, now: datetime) -> None:
        if alert.state == "resolved":
            self._db.execute(
                "UPDATE outbox SET status = 'delivered' WHERE hook = ? AND key = ? AND status = 'waiting'"
                " AND detail = 'repeats'",
                (hook, alert.key),
            )
        self._db.execute(
            "INSERT OR IGNORE INTO outbox (hook, key, state, since, body, created, next) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (hook, alert.key, alert.state, _us(alert.since), msgspec.json.encode(alert), _us(now), _us(now)),
        )

    def due(self, hook: str, now: datetime) -> list[Entry]:
        """Give what is to be sent to a hook now: of each key the oldest that waits, if its time has come."""
        rows = self._all(
            "SELECT o.seq, o.hook, o.body, o.created, o.attempts FROM outbox AS o WHERE o.hook = ? AND o.next <= ?"
            " AND o.status = 'waiting' AND o.seq = (SELECT min(p.seq) FROM outbox AS p WHERE p.hook = o.hook"
            " AND p.key = o.key AND p.status = 'waiting') ORDER BY o.seq LIMIT 100",
            hook,
            _us(now),
        )
        return [
            Entry(
                seq=seq,
                hook=name,
                alert=msgspec.json.decode(body, type=Alert),
                created=_moment(created),
                attempts=attempts,
            )
            for seq, name, body, created, attempts in rows
        ]

    def delivered(self, lease: Lease, entry: Entry, now: datetime, *, again: timedelta | None = None) -> None:
        """Note that an attempt worked; with `again` the same is sent once more after that time.

        When the hook had been failing, that it works again becomes an alert.
        """
        with self._owned(lease):
            if again is None or self._has_newer(entry):
                self._settle(entry, "delivered", "")
            else:
                self._db.execute(
                    "UPDATE outbox SET next = ?, created = ?, attempts = 0, detail = 'repeats'"
                    " WHERE seq = ? AND status = 'waiting'",
                    (_us(now + again), _us(now), entry.seq),
                )
            health = self.health(entry.hook)
            self._db.execute("DELETE FROM hooks WHERE name = ?", (entry.hook,))
            if health is not None:
                self._keep(hook_alert(entry.hook, None, health.since, health.failures, now))

    def failed(self, lease: Lease, entry: Entry, problem: str, retry: datetime | None, now: datetime) -> HookHealth:
        """Note that an attempt failed, and when the next one is (None: never). The first failure becomes an alert."""
        with self._owned(lease):
            if retry is None:
                self._settle(entry, "failed", problem)
            else:
                self._db.execute(
                    "UPDATE outbox SET attempts = attempts + 1, next = ? WHERE seq = ?", (_us(retry), entry.seq)
                )
            return self._fails(entry.hook, problem, now)

    def start(self, lease: Lease, entry: Entry) -> bool:
        """Note that something that must not happen twice is about to be done; False if it was noted before."""
        with self._owned(lease):
            done = self._db.execute(
                "UPDATE outbox SET status = 'started' WHERE seq = ? AND status = 'waiting'", (entry.seq,)
            )
            return done.rowcount == 1

    def interrupted(self, lease: Lease, now: datetime) -> list[str]:
        """Settle what an evaluator before this one had started and did not finish; gives the hooks.

        Whether it was done is not known, so it is not done again, and the alerts say so.
        """
        with self._owned(lease):
            rows = self._db.execute("SELECT seq, hook FROM outbox WHERE status = 'started'").fetchall()
            for seq, hook in rows:
                problem = "the evaluator ended while it ran; whether it finished is not known, and it is not run again"
                self._db.execute("UPDATE outbox SET status = 'unknown', detail = ? WHERE seq = ?", (problem, seq))
                self._fails(hook, problem, now)
            return [hook for _, hook in rows]

    def health(self, hook: str) -> HookHealth | None:
        """Give the failures of a hook since it last worked; None when it works."""
        rows = self._all("SELECT failures, since FROM hooks WHERE name = ?", hook)
        return HookHealth(rows[0][0], _moment(rows[0][1])) if rows else None

    def waiting(self) -> dict[str, int]:
        """Count what is still to be sent, by hook; what was sent and is repeated does not count."""
        rows = self._all(
            "SELECT hook, count(*) FROM outbox WHERE status IN ('waiting', 'started') AND detail != 'repeats'"
            " GROUP BY hook"
        )
        return dict(rows)

    def unlanded(self, limit: int = 1000) -> list[tuple[int, Alert]]:
        """Give alerts that are not in the store's table yet, the oldest first, with their numbers."""
        rows = self._all("SELECT seq, body FROM alerts WHERE NOT landed ORDER BY seq LIMIT ?", limit)
        return [(seq, msgspec.json.decode(body, type=Alert)) for seq, body in rows]

    def landed(self, lease: Lease, upto: int) -> None:
        """Note that all alerts up to a number are in the store's table."""
        with self._owned(lease):
            self._db.execute("UPDATE alerts SET landed = 1 WHERE seq <= ? AND NOT landed", (upto,))

    def forget(self, lease: Lease, now: datetime) -> None:
        """Remove what is older than `KEPT`, for hooks that are no longer there too."""
        before = _us(now - KEPT)
        with self._owned(lease):
            self._db.execute("DELETE FROM alerts WHERE landed AND at < ?", (before,))
            self._db.execute("DELETE FROM outbox WHERE created < ?", (before,))

    def _fails(self, hook: str, problem: str, now: datetime) -> HookHealth:
        """Count a failure; the first one becomes an alert."""
        before = self.health(hook)
        health = HookHealth(before.failures + 1, before.since) if before else HookHealth(1, now)
        self._db.execute("INSERT OR REPLACE INTO hooks VALUES (?, ?, ?)", (hook, health.failures, _us(health.since)))
        if before is None:
            self._keep(hook_alert(hook, problem, health.since, health.failures, now))
        return health

    def _has_newer(self, entry: Entry) -> bool:
        sql = "SELECT 1 FROM outbox WHERE hook = ? AND key = ? AND seq > ? AND status = 'waiting'"
        return bool(self._all(sql, entry.hook, entry.alert.key, entry.seq))

    def _settle(self, entry: Entry, status: Status, detail: str) -> None:
        self._db.execute("UPDATE outbox SET status = ?, detail = ? WHERE seq = ?", (status, detail, entry.seq))

    def _all(self, sql: str, *values: object) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._meaning(error) from error

    @contextmanager
    def _owned(self, lease: Lease) -> Iterator[None]:
        with self._transaction():
            holder, epoch = self._db.execute("SELECT holder, epoch FROM lease").fetchone()
            if (holder, epoch) != (lease.holder, lease.epoch):
                raise FencedError(f"another evaluator has taken over {self.path}", "this one waits for its turn")
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._meaning(error) from error

    def _meaning(self, error: sqlite3.Error) -> GnomonError:
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            return InputError(f"{self.path} is not a ledger of alerts: {error}", "move it away")
        return DependencyError(f"{self.path} cannot be used: {error}", "look whether its disk is full or read-only")


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)
