"""Workers and brokers die, stop or stand still: rows = distinct pairs = what was sent, whatever readers do.

Everything here runs on a broker of the tests' own, whose groups allow short session timeouts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.kafka.brokers import KafkaProcess, wait_for
from tests.kafka.fixtures import Topics
from tests.kafka.workers import Reader, Sender, Store, WorkerProcess, pairs, sending

Start = Callable[[], WorkerProcess]
SESSION = "3s"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that is not there yet."""
    return Store(tmp_path / "store")


@pytest.fixture
def sender(kafka_process: KafkaProcess, process_topics: Topics) -> Sender:
    """Puts pairs on a topic of eight partitions."""
    return Sender(kafka_process.bootstrap, process_topics.make("exchanges", partitions=8))


@pytest.fixture
def start(kafka_process: KafkaProcess, sender: Sender, group: str, store: Store) -> Iterator[Start]:
    """Start workers of one group."""
    with ExitStack() as stack:
        settings = {
            "GNOMON_KAFKA": kafka_process.bootstrap,
            "GNOMON_TOPIC": sender.topic,
            "GNOMON_GROUP": group,
            "GNOMON_KAFKA_SESSION_TIMEOUT": SESSION,
            "GNOMON_JOIN_WINDOW": "10m",  # nobody is missing, however long a fault lasts
        }
        yield lambda: stack.enter_context(WorkerProcess(store.path, settings))


def test_a_worker_that_is_killed_at_random_moments_loses_and_doubles_nothing(
    sender: Sender, store: Store, start: Start
) -> None:
    """kill -9, twenty times, while records come."""
    rng = random.Random(5)
    with Reader(store) as reader, sending(sender, 10_000, seconds=40):
        worker = start()
        for kill in range(20):
            if kill % 2:  # every other one has come to reading when it dies
                worker.wait_until_it_reads()
            wait_for("a random moment", lambda: rng.random() < 0.1, 60)
            worker.kill()
            worker.again()
    store.wait_for(10_000, 120)
    store.check_pairs(10_000)
    assert reader.asked
    assert reader.wrong == []


def test_workers_come_and_go_during_load(sender: Sender, store: Store, start: Start) -> None:
    """Partitions move from one to two workers and back, in order and not, and every pair lands once."""
    with Reader(store) as reader, sending(sender, 12_000, seconds=20):
        first = start()
        store.wait_for(500, 60)
        second = start()
        second.wait_until_it_reads()
        assert second.stop() == 0
        second.again()
        second.wait_until_it_reads()
        first.kill()
    store.wait_for(12_000, 120)
    store.check_pairs(12_000)
    assert reader.wrong == []


def test_a_broker_that_is_away_for_half_a_minute_is_waited_for(
    kafka_process: KafkaProcess, sender: Sender, store: Store, start: Start
) -> None:
    """The worker goes on by itself when it is back."""
    worker = start()
    with Reader(store) as reader, sending(sender, 6_000, seconds=35):
        store.wait_for(500, 60)
        kafka_process.stop()
        with pytest.raises(TimeoutError):
            wait_for("the end of the outage", lambda: worker.process.poll() is not None, 30)
        kafka_process.start()
    store.wait_for(6_000, 120)
    store.check_pairs(6_000)
    assert worker.process.poll() is None
    assert reader.wrong == []


def test_a_worker_that_slept_past_its_session_does_not_write_when_it_wakes(
    sender: Sender, store: Store, start: Start
) -> None:
    """SIGSTOP, until another has taken over; then SIGCONT. It lands nothing of what it had, and works on."""
    with Reader(store) as reader:
        sleeper = start()
        with sending(sender, 3_000, seconds=5):
            store.wait_for(500, 60)
            sleeper.pause()
        heir = start()
        store.wait_for(3_000, 60)
        sleeper.resume()
        for live, shadow in pairs(1_000, first=3_000):
            sender.send(live)
            sender.send(shadow)
        sender.flush()
        store.wait_for(4_000, 60)
        heir.kill()  # and the one that slept takes over again
        for live, shadow in pairs(1_000, first=4_000):
            sender.send(live)
            sender.send(shadow)
        sender.flush()
        store.wait_for(5_000, 60)
    store.check_pairs(5_000)
    assert sleeper.process.poll() is None
    assert reader.wrong == []


def test_the_partitions_of_a_killed_worker_are_taken_over(sender: Sender, store: Store, start: Start) -> None:
    """By the one that is left, when the session timeout is over."""
    first, second = start(), start()
    first.wait_until_it_reads()
    second.wait_until_it_reads()
    for live, shadow in pairs(500):
        sender.send(live)
        sender.send(shadow)
    sender.flush()
    store.wait_for(500, 60)
    first.kill()
    for live, shadow in pairs(500, first=500):
        sender.send(live)
        sender.send(shadow)
    sender.flush()
    store.wait_for(1_000, 60)
    store.check_pairs(1_000)


def test_a_store_that_is_gone_for_a_while_is_waited_for(sender: Sender, store: Store, start: Start) -> None:
    """Nothing is lost, and nobody has to start anything again."""
    worker = start()
    aside = store.path.with_name("aside")
    with sending(sender, 4_000, seconds=8):
        store.wait_for(500, 60)
        store.path.rename(aside)
        with pytest.raises(TimeoutError):
            wait_for("the end of the outage", lambda: worker.process.poll() is not None, 5)
        aside.rename(store.path)
    store.wait_for(4_000, 60)
    store.check_pairs(4_000)
    assert worker.stop() == 0


def test_a_worker_that_is_asked_to_end_lands_what_is_complete(sender: Sender, store: Store, start: Start) -> None:
    """Within thirty seconds of SIGTERM, and its exit code says that all is well."""
    worker = start()
    for live, shadow in pairs(2_000):
        sender.send(live)
        sender.send(shadow)
    sender.flush()
    store.wait_for(1, 60)
    assert worker.stop() == 0
    landed = store.count()
    assert landed
    worker.again()
    store.wait_for(2_000, 60)
    store.check_pairs(2_000)


@pytest.mark.parametrize("seconds", [0.7, 1.5, 3.0])
def test_a_worker_that_is_asked_to_end_while_it_starts_ends_in_order(start: Start, seconds: float) -> None:
    """Whatever it has come to: exit code 0, and nothing is left behind."""
    worker = start()
    with pytest.raises(TimeoutError):
        wait_for("a while", lambda: worker.process.poll() is not None, seconds)
    assert worker.stop() == 0
