"""Workers as processes of the tests' own, what they are sent, and what of it has landed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from confluent_kafka import Producer
from tests.kafka.brokers import wait_for

from gnomon.model import Exchange
from gnomon.store import run_query
from gnomon.testing import pair

SECOND: Final = 1_000_000


def now_us() -> int:
    """What the clock shows."""
    return time.time_ns() // 1000


class WorkerProcess:
    """A `gnomon worker`; a context manager that kills it at its end.

    Args:
        store: Where it lands.
        settings: Its environment beside what it inherits.
    """

    command: tuple[str, ...] = ("worker",)

    def __init__(self, store: Path, settings: Mapping[str, str]) -> None:
        self.log = Path(tempfile.mkstemp(prefix="gnomon-worker-", suffix=".log")[1])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
        self._environment = inherited | {
            "GNOMON_STORE": str(store),
            "GNOMON_REDACT_KEY": "test",
            "GNOMON_KAFKA_SESSION_TIMEOUT": "6s",
            **settings,
        }
        self.process = self._start()

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it, and say what it said: pytest shows that where a test failed."""
        self.kill()
        print(self.log.read_text(errors="replace")[-4000:], file=sys.stderr)  # noqa: T201 - see above
        self.log.unlink()

    def wait_until_it_reads(self, seconds: float = 60) -> None:
        """Wait until it has partitions to read, again where it was started again."""
        seen = self._seen
        wait_for("the worker reads", lambda: b"is read from" in self.log.read_bytes()[seen:], seconds)

    def again(self) -> None:
        """Start it anew, after its end."""
        self.process = self._start()

    def kill(self) -> None:
        """Kill it, as a machine that dies would."""
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        """Ask it to end; give its exit code."""
        self.process.terminate()
        return self.process.wait(40)

    def pause(self) -> None:
        """Let it stand still."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self._seen = log.tell()
            return subprocess.Popen(
                [sys.executable, "-m", "gnomon", *self.command],
                env=self._environment,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


class Sender:
    """Puts exchanges on a topic, keyed by request id as any producer does."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 5, "acks": "all"}
        )

    def send(self, value: Exchange | bytes, *, key: str = "", partition: int = -1) -> None:
        """Send one record; `flush` says when it is there."""
        data = msgspec.json.encode(value) if isinstance(value, Exchange) else value
        name = value.request_id if isinstance(value, Exchange) else key
        while True:
            try:
                self._producer.produce(self.topic, data, name.encode(), partition=partition)
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker has it all, also over a restart of the broker."""
        assert self._producer.flush(120) == 0


def pairs(count: int, first: int = 0) -> Iterator[tuple[Exchange, Exchange]]:
    """Make pairs that are complete now; every other one differs."""
    for number in range(first, first + count):
        body = {"id": number, "items": [{"id": n, "price": n * 1.5} for n in range(3)]}
        other = body if number % 2 else {**body, "id": str(number)}
        yield pair(f"request-{number}", body, other, started_us=now_us(), duration_us=1000)


@contextmanager
def sending(sender: Sender, count: int, seconds: float, seed: int = 1) -> Iterator[None]:
    """Send that many pairs in the background, over some seconds, the sides somewhat apart; wait for them at the end."""
    ended = threading.Event()

    def run() -> None:
        rng, waiting = random.Random(seed), list[Exchange]()
        began = time.monotonic()
        for number, (live, shadow) in enumerate(pairs(count)):
            sender.send(live)
            waiting.append(shadow)
            while len(waiting) > rng.randint(0, 40):
                sender.send(waiting.pop(rng.randrange(len(waiting))))
            ended.wait(max(began + seconds * number / count - time.monotonic(), 0))
        for one in waiting:
            sender.send(one)
        sender.flush()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    except BaseException:
        ended.set()
        raise
    finally:
        thread.join()


class Store:
    """What has landed, asked anew each time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask; before the store is there, there is nothing."""
        if not (self.path / "store.json").exists():
            return []
        return list(run_query(self.path, sql).rows)

    def count(self) -> int:
        """How many comparisons there are."""
        return sum(number for (number,) in self.rows("SELECT count(*) FROM comparisons"))

    def check_pairs(self, expected: int) -> None:
        """See that every pair is there once, and compared: rows = distinct pairs = expected."""
        (counts,) = self.rows(
            "SELECT count(*), count(DISTINCT (request_id, target, role)), count(*) FILTER (outcome = 'match'), "
            "count(*) FILTER (outcome = 'diff') FROM comparisons"
        )
        assert counts == (expected, expected, expected // 2, expected - expected // 2)

    def wait_for(self, expected: int, seconds: float) -> None:
        """Wait until that many comparisons have landed."""
        wait_for(f"{expected} comparisons landed", lambda: self.count() >= expected, seconds)


class Reader:
    """Asks in a loop, as an analyst would, and remembers what must never be: a count that goes back, a pair twice."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.asked = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        """Start asking."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop asking."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        last = 0
        while not self._ended.wait(0.3):
            try:
                rows = self._store.rows(
                    "SELECT count(*), count(DISTINCT (request_id, target, role)) FROM comparisons"
                ) or [(0, 0)]
            except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                self.wrong.append(repr(error))
                continue
            self.asked += 1
            ((count, distinct),) = rows
            if count != distinct:
                self.wrong.append(f"{count} rows of {distinct} pairs")
            if count < last:
                self.wrong.append(f"{count} rows after {last}")
            last = count


def in_order(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sort rows of any types."""
    return sorted(rows, key=repr)
