"""The synthetic filter on a real Kafka: what comes out is each event once, in order, where it belongs."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.kafka.brokers import KafkaProcess, start_broker, wait_for
from tests.kafka.fixtures import Topics
from tests.kafka.routers import (
    Business,
    EventSender,
    Outcome,
    RouteProcess,
    Split,
    Start,
    business,
    check,
    read_all,
    sending,
)
from tests.kafka.workers import Store

pytestmark = pytest.mark.apache_kafka

EVENTS = int(os.environ.get("GNOMON_TEST_ROUTE_EVENTS", "100000"))
KILLS = int(os.environ.get("GNOMON_TEST_ROUTE_KILLS", "6"))


def test_each_event_goes_once_in_order_to_where_its_tags_say(
    kafka_process: KafkaProcess,
    split: Split,
    store: Store,
    sender: EventSender,
    start: Start,
    done: Callable[..., None],
) -> None:
    """Tags in every place and odd shape, a BOM now and then: keys, headers, timestamps and partitions are kept."""
    events = list(business(EVENTS))
    with sending(sender, events, 0):
        worker = start()
    done(EVENTS, 300)
    assert worker.stop() == 0
    check(kafka_process, split, events)
    rows = store.rows("SELECT destination, sum(events)::BIGINT FROM routed GROUP BY 1")
    synthetic = sum(event.synthetic for event in events)
    assert dict(rows) == {"clean": EVENTS - synthetic, "synthetic": synthetic}
    (kept,) = store.rows("SELECT count(DISTINCT rule) FROM routed WHERE destination = 'synthetic'")
    assert kept == (8,)


def test_a_filter_that_is_killed_at_random_moments_loses_and_doubles_nothing(
    kafka_process: KafkaProcess, split: Split, sender: EventSender, start: Start, done: Callable[..., None]
) -> None:
    """kill -9 of one of two, again and again, while events come."""
    rng = random.Random(3)
    events = list(business(EVENTS // 4, share=0.1))
    with sending(sender, events, 5 * KILLS):
        pair = [start(), start()]
        done(100)
        for _ in range(KILLS):
            wait_for("a random moment", lambda: rng.random() < 0.02, 60)
            victim = rng.choice(pair)
            victim.kill()
            victim.again()
    done(len(events))
    check(kafka_process, split, events)


def test_a_broker_that_is_restarted_is_waited_for(
    kafka_process: KafkaProcess, split: Split, sender: EventSender, start: Start, done: Callable[..., None]
) -> None:
    """Once in order, once killed, under load."""
    events = list(business(EVENTS // 5))
    worker = start()
    with sending(sender, events, 20):
        done(1_000)
        kafka_process.stop()
        kafka_process.start()
        done(6_000)
        kafka_process.kill()
        kafka_process.start()
    done(len(events), 240)
    assert worker.process.poll() is None
    check(kafka_process, split, events)


def test_a_filter_that_slept_past_its_session_sends_nothing_when_it_wakes(
    kafka_process: KafkaProcess, split: Split, sender: EventSender, start: Start, done: Callable[..., None]
) -> None:
    """SIGSTOP in the middle of a transaction, until another has taken over; it works on when the other has gone."""
    events = list(business(EVENTS // 5))
    half = len(events) // 2
    sleeper = start()
    with sending(sender, events[:half], 10):
        done(half // 4)
        sleeper.pause()
        heir = start()
    done(half)
    sleeper.resume()
    with sending(sender, events[half:], 5):
        done(half + 500)
        heir.kill()
    done(len(events))
    assert sleeper.process.poll() is None
    check(kafka_process, split, events)


def test_partitions_of_a_killed_filter_are_taken_over_within_fifteen_seconds(
    sender: EventSender, start: Start, done: Callable[..., None]
) -> None:
    """With a session timeout of 2 s here; the default of 8 s leaves as much for the rest."""
    events = list(business(2_000))
    first, _ = start(), start()
    with sending(sender, events[:1_000], 0):
        done(1_000)
    first.kill()
    with sending(sender, events[1_000:], 0):
        pass
    done(2_000, 15)


def test_poison_goes_to_quarantine_and_tombstones_go_both_ways(
    kafka_process: KafkaProcess, split: Split, sender: EventSender, start: Start, done: Callable[..., None]
) -> None:
    """Whatever its headers say, what cannot be read is neither clean nor synthetic, and stops nothing."""
    name: list[tuple[str, bytes | None]] = [("n", b"0")]
    large = b'{"padding": "' + base64.b64encode(random.Random(1).randbytes(680_000)) + b'"}'
    poison = [b"", b"{", b"\x00\x00\x00\x00\x01{}", b"[" * 100_000, b"\xff\xfe{\x00}\x00", b'{"a": NaN}', large[:-1]]
    many: list[tuple[str, bytes | None]] = [*name, *[(f"h{n}", b"x") for n in range(2_000)]]
    events = [Business(0, b"k", value, [("x-synthetic", b"load"), *name], True) for value in poison]
    events += [Business(0, b"k", b"{}", many, True)]
    events += [Business(0, key, None, [("x-synthetic", b"load"), *name], True) for key in (b"k", b"", None)]
    events += [
        Business(0, None, b"{}", name, False),
        Business(0, b"k", large, name, False),
        Business(0, b"k", b"3", [("synthetic", b"x"), ("baggage", None), *name], False),
        Business(0, b"k", b"{}", [("X-Synthetic", None), ("x-synthetic", b"\x00"), *name], True),
    ]
    for event in events:
        sender.send(event, partition=2, timestamp=1_700_000_000_000)
    sender.flush()
    start()
    done(len(events))

    def values(topic: str) -> list[bytes | None]:
        return [one.value for one in read_all(kafka_process.bootstrap, topic)]

    refused = read_all(kafka_process.bootstrap, split.quarantine)
    assert [one.value for one in refused] == [*poison, b"{}"]
    assert values(split.clean) == [None, None, None, b"{}", large, b"3"]
    assert values(split.synthetic) == [None, None, None, b"{}"]
    for offset, one in enumerate(refused):
        said = dict(one.headers)
        assert said["reason"]
        assert (said["topic"], said["partition"], said["offset"]) == (
            split.source.encode(),
            b"2",
            str(offset).encode(),
        )
        assert (one.partition, one.key, one.timestamp) == (2, b"k", 1_700_000_000_000)


def test_poison_as_large_as_a_topic_takes_goes_to_quarantine_without_our_headers(
    kafka_process: KafkaProcess, split: Split, sender: EventSender, start: Start, done: Callable[..., None]
) -> None:
    """Whoever fills a record to the last byte stops nothing."""
    sizes = range(1_048_588 - 200, 1_048_588)
    junk = random.Random(2).randbytes(max(sizes))
    producer = Producer({"bootstrap.servers": kafka_process.bootstrap, "message.max.bytes": 2_000_000})
    answers: list[object] = []
    for size in reversed(sizes):  # the largest that the broker takes
        producer.produce(split.source, junk[:size], b"k", 1, callback=lambda error, _: answers.append(error))
        producer.flush(30)
        if answers[-1] is None:
            break
    taken = [junk[: max(sizes) + 1 - len(answers)]]
    sender.send(Business(0, b"k", b"{", [], True), partition=1)
    sender.flush()
    worker = start()
    done(2)
    refused = read_all(kafka_process.bootstrap, split.quarantine)
    assert [one.value for one in refused] == [*taken, b"{"]
    assert refused[0].headers == []
    assert dict(refused[1].headers)["offset"] == b"1"
    assert "too large" in worker.log.read_text()


def test_events_of_a_transaction_that_was_taken_back_are_not_sent_on(
    kafka_process: KafkaProcess, split: Split, sender: EventSender, start: Start, done: Callable[..., None]
) -> None:
    """The filter reads committed events alone."""
    producer = Producer({"bootstrap.servers": kafka_process.bootstrap, "transactional.id": split.source})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(split.source, b'{"taken": "back"}', partition=0)
    producer.flush(30)
    producer.abort_transaction(30)
    event = next(business(1, share=0))
    sender.send(event, partition=0)
    sender.flush()
    start()
    done(1)
    found: list[Outcome] = []

    def sent_on() -> bool:
        found[:] = read_all(kafka_process.bootstrap, split.clean)
        return bool(found)

    wait_for("it was sent on", sent_on, 60)
    assert [one.value for one in found] == [event.value]


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    kafka_process: KafkaProcess,
    split: Split,
    sender: EventSender,
    start: Start,
    done: Callable[..., None],
    process_topics: Topics,
) -> None:
    """While it runs; the broker has dropped the position with the topic, so nothing is there twice."""

    def send(*numbers: int) -> None:
        for number in numbers:
            sender.send(Business(number, b"k", b"%d" % number, [], False), partition=2)
        sender.flush()

    send(*range(50))
    worker = start()
    done(50)
    admin = process_topics.admin

    def topic_id() -> str | None:
        with suppress(KafkaException):
            return str(admin.describe_topics(TopicCollection([split.source]))[split.source].result(30).topic_id)
        return None

    before = topic_id()
    admin.delete_topics([split.source], operation_timeout=30)[split.source].result(60)

    def is_made_anew() -> bool:
        """By us, or by the broker for whoever asked for it meanwhile: with as many partitions."""
        with suppress(KafkaException):
            admin.create_topics([NewTopic(split.source, 4, 1)], operation_timeout=30)[split.source].result(60)
        return topic_id() not in (None, before)

    wait_for("the topic is made anew", is_made_anew, 120)
    send(*range(50, 60))

    def routed() -> list[int]:
        return [int(one.value or b"") for one in read_all(kafka_process.bootstrap, split.clean)]

    wait_for("the new events are routed", lambda: len(routed()) >= 60, 120)
    assert routed() == list(range(60))
    assert worker.process.poll() is None


def test_a_position_past_the_end_of_a_topic_is_an_operators_to_set(
    kafka_process: KafkaProcess, split: Split, sender: EventSender, start: Start, group: str, done: Callable[..., None]
) -> None:
    """Events are neither sent twice nor left out: the partition waits, and says why."""

    def commit(offset: int) -> None:
        consumer = Consumer({"bootstrap.servers": kafka_process.bootstrap, "group.id": f"{group}-route"})
        consumer.commit(offsets=[TopicPartition(split.source, 2, offset)], asynchronous=False)
        consumer.close()

    def put(value: bytes, partition: int) -> None:
        sender.send(Business(0, b"k", value, [], False), partition=partition)
        sender.flush()

    commit(50)
    put(b"1", 2)
    put(b"2", 3)
    worker = start()
    wait_for("it says so", lambda: "it ends at 1, and was read to 50" in worker.log.read_text(), 60)
    wait_for(
        "others go on", lambda: [one.value for one in read_all(kafka_process.bootstrap, split.clean)] == [b"2"], 60
    )
    assert worker.stop() == 0
    commit(0)
    start()
    done(2)
    assert {one.value for one in read_all(kafka_process.bootstrap, split.clean)} == {b"1", b"2"}


def test_users_are_read_again_when_their_file_changes(
    split: Split,
    sender: EventSender,
    start: Start,
    done: Callable[..., None],
    tmp_path: Path,
    kafka_process: KafkaProcess,
) -> None:
    """A broken new file keeps the old users, and the log says so."""
    users = tmp_path / "users.txt"
    users.write_text("\ufeff7\r\n\r\n  u-8 \n")
    worker = start(f'users_file = "{users}"\nusers_paths = ["/user/id", "/buyer"]')

    def said(word: str) -> Callable[[], bool]:
        return lambda: word in worker.log.read_text()

    def send(*values: bytes) -> None:
        for value in values:
            sender.send(Business(0, b"k", value, [], False), partition=0)
        sender.flush()

    send(b'{"user": {"id": 7}, "t": 1}', b'{"buyer": "u-8", "t": 2}', b'{"buyer": "u-9", "t": 3}')
    done(3)
    users.write_text("\n\n")
    wait_for("the broken file was looked at", said("stay in force"), 60)
    send(b'{"buyer": "u-8", "t": 4}')
    done(4)
    (tmp_path / "new").write_text("u-9\n")
    (tmp_path / "new").rename(users)
    wait_for("the new file was read", said("1 users were read"), 60)
    send(b'{"buyer": "u-8", "t": 5}', b'{"buyer": "u-9", "t": 6}')
    done(6)
    clean = [(one.value or b"")[-2:-1] for one in read_all(kafka_process.bootstrap, split.clean)]
    assert clean == [b"3", b"5"]


def test_a_preview_says_where_events_would_go_and_sends_nothing(
    kafka_process: KafkaProcess, split: Split, tmp_path: Path
) -> None:
    """By destination and rule, in order and with taint, as the filter would; outputs stay as they are."""
    route = split.configure(
        tmp_path, 'tags = [{ path = "/probe", equals = true }]\ntaint = { path = "/s", for = "1h" }'
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    environment |= {"GNOMON_KAFKA": kafka_process.bootstrap, "GNOMON_CONFIG": str(route)}

    def preview(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gnomon", "route", "preview", *more]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    sender = EventSender(kafka_process.bootstrap, split.source)
    values = [b'{"s": "a"}', b'{"s": "a", "probe": true}', b'{"s": "a", "n": 2}', b'{"s": "b"}', b"{", None]
    for value in values:
        sender.send(Business(0, b"k", value, [], False), partition=1)
    sender.flush()
    ran = preview("--from", split.source, "--json")
    [told] = json.loads(ran.stdout)["topics"]
    found = {(row["destination"], row["rule"]): (row["events"], row["samples"][:1]) for row in told["events"]}
    place = f"{split.source}[1]@"
    assert found == {
        ("clean", ""): (2, [f"{place}0"]),
        ("synthetic", "path /probe equals true"): (1, [f"{place}1"]),
        ("synthetic", "taint /s (not the key: best effort)"): (1, [f"{place}2"]),
        ("quarantine", "value"): (1, [f"{place}4"]),
        ("both", "tombstone"): (1, [f"{place}5"]),
        ("correction", "path /probe equals true"): (1, [f"{place}0"]),
    }
    ran = preview()
    assert (ran.returncode, ran.stdout.splitlines()[0].split()[:2]) == (0, ["topic", "would"])
    assert "correction" not in ran.stdout
    late = "1 event of those to clean came before the tag that would have held them back (path /probe equals true)"
    assert ran.stdout.endswith(f"\n{late}: the first is {place}0\n")
    assert re.search(r"clean and synthetic +tombstone +1 ", ran.stdout)
    assert read_all(kafka_process.bootstrap, split.clean) == []
    ran = preview("--from", "nowhere")
    assert ran.returncode == 2
    assert f"no [[route]] has from = 'nowhere'; topics: {split.source}" in ran.stderr


def test_the_audit_finds_what_todays_rules_would_not_let_through(
    kafka_process: KafkaProcess, split: Split, tmp_path: Path
) -> None:
    """By rule, offset and key; 1 when there is anything, also where a transaction is still open behind it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    environment |= {"GNOMON_KAFKA": kafka_process.bootstrap, "GNOMON_CONFIG": str(split.configure(tmp_path))}

    def audit(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gnomon", "route", "audit", "--clean", *more]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    clean = EventSender(kafka_process.bootstrap, split.clean)
    for event in business(300, share=0):
        clean.send(event)
    clean.send(Business(0, b"gone", None, [], False))
    clean.flush()
    ran = audit(split.clean)
    assert (ran.returncode, ran.stdout) == (0, f"{split.clean}: 301 events, 0 that should not be there\n")
    clean.send(Business(0, b"order-7", b'{"probe": true}', [], True), partition=1)
    clean.send(Business(0, b"\x1b[2J", b"{", [], True), partition=1)
    clean.flush()
    producer = Producer({"bootstrap.servers": kafka_process.bootstrap, "transactional.id": split.clean})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(split.clean, b"{}", partition=1)
    producer.flush(30)
    ran = audit(split.clean)
    assert ran.returncode == 1
    assert "303 events, 2 that should not be there" in ran.stdout
    assert "path /probe equals true: 1" in ran.stdout
    assert "key order-7" in ran.stdout
    assert "\x1b" not in ran.stdout
    ran = audit(split.clean, "--json")
    told = json.loads(ran.stdout)
    assert (told["events"], told["leaks"], {rule["rule"] for rule in told["rules"]}) == (
        303,
        2,
        {"path /probe equals true", "unreadable value"},
    )
    producer.abort_transaction(30)
    ran = audit("nowhere")
    assert ran.returncode == 2
    assert f"no [[route]] has clean = 'nowhere'; clean topics: {split.clean}" in ran.stderr


def test_an_audit_that_follows_counts_each_leak_once_over_restarts(
    kafka_process: KafkaProcess, split: Split, store: Store, tmp_path: Path
) -> None:
    """As rows of `routed` with the destination leak, for alerts, and as a metric."""
    settings = {"GNOMON_KAFKA": kafka_process.bootstrap, "GNOMON_CONFIG": str(split.configure(tmp_path))}
    clean = EventSender(kafka_process.bootstrap, split.clean)

    class Follower(RouteProcess):
        command = ("route", "audit", "--clean", split.clean, "--follow")

    def leaks() -> int:
        rows = store.rows("SELECT coalesce(sum(events), 0)::BIGINT FROM routed WHERE destination = 'leak'")
        return sum(count for (count,) in rows)

    with Follower(store.path, settings) as follower:
        for total in (1, 2):
            clean.send(Business(0, b"k", b'{"probe": true}', [], True), partition=3)
            clean.flush()
            wait_for("it was told", lambda total=total: follower.log.read_text().count("[3]@") == total, 60)
            address = follower.log.read_text().rpartition("are at http://")[2].split('"')[0]
            connection = HTTPConnection(address, timeout=10)
            connection.request("GET", "/metrics")
            exposition = connection.getresponse().read().decode()
            connection.close()
            wanted = f'gnomon_synthetic_leaks_total{{rule="path /probe equals true",topic="{split.clean}"}} 1.0'
            assert wanted in exposition
            assert follower.stop() == 0
            assert leaks() == total
            follower.again()


def test_outputs_that_do_not_fit_are_refused_before_anything_is_read(
    split: Split, process_topics: Topics, start: Start
) -> None:
    """With what to do about it, and the exit code of a configuration that is wrong."""
    few = process_topics.make("few", partitions=3)
    worker = start(split._replace(quarantine=few))
    assert worker.process.wait(60) == 2
    assert f"'{few}' has 3 partitions, '{split.source}' has 4" in worker.log.read_text()


@pytest.mark.demo
def test_a_broker_without_transactions_is_told_before_anything_is_read(tmp_path: Path) -> None:
    """It is named, with what would do: events could not be sent on exactly once."""
    with ExitStack() as stack:
        broker = start_broker("pypi", stack)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        names = ["orders", "orders.clean", "orders.synthetic", "orders.quarantine"]
        for made in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
            made.result(30)
        (tmp_path / "gnomon.toml").write_text('[[route]]\nfrom = "orders"\n')
        ran = subprocess.run(
            [sys.executable, "-m", "gnomon", "route"],
            env={**os.environ, "GNOMON_KAFKA": broker.bootstrap},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode == 4
    assert f"the brokers at {broker.bootstrap} let gnomon route have no transactions" in ran.stderr
