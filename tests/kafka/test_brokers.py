"""The brokers that other tests are made of do what is said of them."""

from __future__ import annotations

from confluent_kafka import Consumer, Producer
from tests.kafka.brokers import Broker, KafkaProcess
from tests.kafka.fixtures import Topics


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    """Send values, and wait until all are acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def consume(bootstrap: str, topic: str, group: str, count: int) -> list[bytes | None]:
    """Read as many values of a topic from its beginning, as a member of a group, and commit them."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        values: list[bytes | None] = []
        while len(values) < count:
            messages = consumer.consume(count - len(values), timeout=30)
            assert messages, f"{len(values)} of {count} records came"
            values += [message.value() for message in messages]
        consumer.commit(asynchronous=False)
        return values
    finally:
        consumer.close()


def test_the_shared_broker_serves_records_to_groups(kafka: Broker, topics: Topics, group: str) -> None:
    """What is produced to a topic is read from it, and what was committed is not read again."""
    topic = topics.make(partitions=2)
    assert len(topics.admin.list_topics(topic, 30).topics[topic].partitions) == 2
    produce(kafka.bootstrap, topic, [b"1", b"2", b"3"])
    assert sorted(consume(kafka.bootstrap, topic, group, 3)) == [b"1", b"2", b"3"]
    produce(kafka.bootstrap, topic, [b"4"])
    assert consume(kafka.bootstrap, topic, group, 1) == [b"4"]


def test_a_broker_that_was_stopped_or_killed_comes_back_with_its_records(
    kafka_process: KafkaProcess, process_topics: Topics, group: str
) -> None:
    """Stopped, killed or paused, the broker is there again at the same address with what was acknowledged."""
    topic = process_topics.make()
    for number, end in enumerate((kafka_process.stop, kafka_process.kill)):
        produce(kafka_process.bootstrap, topic, [b"%d" % number])
        end()
        assert not kafka_process.is_running
        kafka_process.start()
    kafka_process.pause()
    kafka_process.resume()
    assert consume(kafka_process.bootstrap, topic, group, 2) == [b"0", b"1"]
