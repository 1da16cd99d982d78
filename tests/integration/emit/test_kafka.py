"""Records on a real Kafka; and a broker that is stopped, slow or picky under a service that notices nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from confluent_kafka import Consumer
from confluent_kafka import Producer as ConfluentProducer
from tests.integration.emit.asgi_app import ANSWER, Shop
from tests.integration.emit.servers import with_uvicorn
from tests.kafka.brokers import Broker, KafkaProcess, free_port, start_broker, wait_for
from tests.kafka.fixtures import Topics

from gnomon.config import Kafka, Settings
from gnomon.config.settings import Emit, Redact
from gnomon.core.decode import decode_exchange
from gnomon.core.tags import Tags
from gnomon.emit import ASGIMiddleware, Emitter
from gnomon.emit.kafka import KafkaTransport
from gnomon.emit.observed import Observed
from gnomon.emit.record import Record
from gnomon.model import Exchange, Place

pytestmark = pytest.mark.integration


@pytest.fixture
def emitting() -> Iterator[Callable[..., Emitter]]:
    """Make emitters to a topic of a broker; all are closed in the end."""
    made: list[Emitter] = []

    def make(bootstrap: str, topic: str, **fields: Any) -> Emitter:
        settings = Settings(
            kafka=Kafka(bootstrap=bootstrap, topic=topic),
            emit=msgspec.structs.replace(Emit(drain=timedelta(seconds=1)), **fields),
            redact=Redact(key="k"),
        )
        made.append(Emitter(settings))
        return made[-1]

    yield make
    for emitter in made:
        emitter.close()


def consume(bootstrap: str, topic: str, group: str, count: int) -> list[Any]:
    """Read so many messages of a topic from its beginning, and see that there are no more."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        messages: list[Any] = []
        while len(messages) < count:
            found = consumer.consume(count - len(messages), timeout=30)
            assert found, f"{len(messages)} of {count} messages came"
            messages += found
        assert consumer.consume(1, timeout=0.5) == []
        return messages
    finally:
        consumer.close()


def exchange_of(message: Any) -> Exchange:
    """The record in a message."""
    exchange = decode_exchange(message.value(), Place("kafka"))
    assert isinstance(exchange, Exchange), exchange
    return exchange


def put(emitter: Emitter, request_id: str, answer: bytes = b"{}") -> None:
    """Have an exchange emitted."""
    seen = Observed(emitter.identity("shop", ""), Tags(request_id=request_id), emitter.body(), emitter.body())
    seen.method, seen.path, seen.status = "GET", b"/", 200
    assert seen.response_body is not None
    seen.response_body.add(answer)
    seen.response_body.whole = True
    emitter.put(seen)


def test_records_arrive_keyed_by_request_id(
    kafka: Broker, topics: Topics, group: str, emitting: Callable[..., Emitter]
) -> None:
    """A service's exchanges are on the topic, each once, in the partition that Kafka's own clients would choose."""
    topic = topics.make(partitions=4)
    emitter = emitting(kafka.bootstrap, topic)
    with (
        with_uvicorn(ASGIMiddleware(Shop(), emitter, service="shop")) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        for number in range(50):
            assert client.get("/plain", headers={"x-request-id": f"r-{number}"}).content == ANSWER
    assert emitter.flush(30), emitter.stats
    messages = consume(kafka.bootstrap, topic, group, 50)
    assert sorted(message.key() for message in messages) == sorted(b"r-%d" % number for number in range(50))
    assert all(exchange_of(message).request_id.encode() == message.key() for message in messages)

    placed: dict[bytes, int] = {}
    producer = ConfluentProducer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
    other = topics.make(partitions=4)
    for message in messages:
        producer.produce(other, b"", message.key(), on_delivery=lambda _, m: placed.update({m.key(): m.partition()}))
    assert producer.flush(30) == 0
    assert placed == {message.key(): message.partition() for message in messages}
    assert len(set(placed.values())) > 1


def test_many_records_arrive_once_and_compressed(
    kafka: Broker, topics: Topics, group: str, emitting: Callable[..., Emitter]
) -> None:
    """Whatever batches they were sent in."""
    topic = topics.make(partitions=2)
    emitter = emitting(kafka.bootstrap, topic)
    for number in range(5000):
        put(emitter, f"r-{number}", b"x" * 500)
    assert emitter.flush(60), emitter.stats
    keys = [message.key() for message in consume(kafka.bootstrap, topic, group, 5000)]
    assert len(set(keys)) == 5000


def test_a_broker_without_idempotent_producers_gets_records_all_the_same(
    group: str, emitting: Callable[..., Emitter], caplog: pytest.LogCaptureFixture
) -> None:
    """The small broker of the demo is one; the log says what that may cost."""
    with ExitStack() as stack:
        broker = start_broker("pypi", stack)
        topic = Topics(broker.bootstrap).make(partitions=2)
        emitter = emitting(broker.bootstrap, topic)
        for number in range(20):
            put(emitter, f"r-{number}")
        assert emitter.flush(30), emitter.stats
        assert "no idempotent producers" in caplog.text
        assert len({message.key() for message in consume(broker.bootstrap, topic, group, 20)}) == 20


@pytest.mark.apache_kafka
def test_a_record_that_the_topic_does_not_take_is_cut(
    kafka: Broker, topics: Topics, group: str, emitting: Callable[..., Emitter]
) -> None:
    """And those beside it arrive as they are."""
    topic = topics.make(config={"max.message.bytes": "20000", "compression.type": "uncompressed"})
    emitter = emitting(kafka.bootstrap, topic)
    noise = "".join(chr(33 + (n * n * 7919) % 90) for n in range(60_000)).encode()
    for request_id, answer in (("a", b"1"), ("large", noise), ("b", b"2")):
        put(emitter, request_id, answer)
    assert emitter.flush(60), emitter.stats
    found = {exchange.request_id: exchange for exchange in map(exchange_of, consume(kafka.bootstrap, topic, group, 3))}
    cut = found["large"].response
    assert cut is not None
    assert cut.body is not None
    assert (cut.body.size, cut.body.truncated) == (60_000, True)
    assert (cut.body.hash or "").startswith("hmac-sha256:")
    assert emitter.stats.failed == 0


def ask(client: httpx.Client, emitter: Emitter, count: int) -> None:
    """Ask for something, see that it is answered as ever, and wait until the emitter has seen all of it."""
    before = emitter.stats.seen
    for _ in range(count):
        response = client.get("/plain")
        assert (response.status_code, response.content) == (200, ANSWER)
    wait_for("all was seen", lambda: emitter.stats.seen == before + count, 20)


def test_a_service_does_not_notice_that_there_is_no_broker(emitting: Callable[..., Emitter]) -> None:
    """It is answered as ever, the queue fills and the rest is counted; memory is bounded."""
    emitter = emitting(f"127.0.0.1:{free_port()}", "gnomon.exchanges", queue_records=10)
    with (
        with_uvicorn(ASGIMiddleware(Shop(), emitter)) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        ask(client, emitter, 50)
        wait_for("the emitter knows", lambda: bool(emitter.stats.problem), 30)
        ask(client, emitter, 50)
        stats = emitter.stats
        assert (stats.seen, stats.written, stats.shed, stats.failed) == (100, 0, 90, 0)
        assert "takes no records" in stats.problem
    assert not emitter.close()
    assert emitter.stats.shed == 100


def test_a_service_does_not_notice_a_broker_that_stops_and_comes_back(
    kafka_process: KafkaProcess, process_topics: Topics, group: str, emitting: Callable[..., Emitter]
) -> None:
    """What is asked meanwhile is answered as ever, and its records arrive when the broker is back."""
    topic = process_topics.make(partitions=2)
    emitter = emitting(kafka_process.bootstrap, topic)
    with (
        with_uvicorn(ASGIMiddleware(Shop(), emitter)) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        ask(client, emitter, 20)
        assert emitter.flush(30)
        kafka_process.kill()
        ask(client, emitter, 20)
        wait_for("the emitter waits", lambda: emitter.stats.waiting == 20, 30)
        kafka_process.start()
        ask(client, emitter, 20)
        assert emitter.flush(60), emitter.stats
    assert emitter.stats.written == 60
    keys = [message.key() for message in consume(kafka_process.bootstrap, topic, group, 60)]
    assert len(set(keys)) == 60


def test_a_service_does_not_notice_a_broker_that_hangs(
    kafka_process: KafkaProcess, process_topics: Topics, emitting: Callable[..., Emitter]
) -> None:
    """A paused broker keeps connections and answers nothing: the queue fills, the service goes on."""
    topic = process_topics.make()
    emitter = emitting(kafka_process.bootstrap, topic, queue_records=30)
    with (
        with_uvicorn(ASGIMiddleware(Shop(), emitter)) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        ask(client, emitter, 5)
        assert emitter.flush(30)
        kafka_process.pause()
        try:
            ask(client, emitter, 100)
            assert emitter.stats.shed == 70
        finally:
            kafka_process.resume()
        assert emitter.flush(60), emitter.stats
    assert emitter.stats.written == 35


def test_what_a_producer_gives_up_is_handed_back() -> None:
    """A transport loses nothing by itself and raises nothing."""
    transport = KafkaTransport(Kafka(bootstrap=f"127.0.0.1:{free_port()}", topic="t"))
    records = [Record(b"k", b"v")]
    sent = transport.send(records, 5)
    assert (sent.written, list(sent.again), list(sent.too_large)) == (0, records, [])
    assert "takes no records" in sent.problem
    transport.close(1)
