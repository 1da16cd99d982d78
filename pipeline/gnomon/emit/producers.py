"""Kafka producers whose messages keep the tags of the current request: aiokafka, confluent-kafka.

The tags are Kafka headers of the names that HTTP has, so `gnomon route` finds what is synthetic whatever the value is
encoded in. A header that the caller has set wins, unless it is empty. Neither library is imported here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

from gnomon.emit.context import outgoing_headers

__all__ = ["TaggedProducer", "tag_aiokafka", "tag_confluent"]

Producer = TypeVar("Producer")
_Headers: TypeAlias = "Iterable[tuple[str, Any]] | Mapping[str, Any] | None"

_PARAMETERS = {name: name for name in ("value", "key", "partition", "timestamp")} | {"callback": "on_delivery"}
_HEADERS_AT = 6
"""From which position on an argument of `produce` may be the headers."""


def tag_aiokafka(producer: Producer) -> Producer:
    """Have an `AIOKafkaProducer` put the current tags on every message: of `send`, `send_and_wait` and batches."""
    kafka: Any = producer
    send, create_batch = kafka.send, kafka.create_batch

    async def tagged_send(
        topic: str,
        value: Any = None,  # noqa: ANN401 - whatever its serializers take
        key: Any = None,  # noqa: ANN401
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: _Headers = None,
    ) -> Any:  # noqa: ANN401
        return await send(topic, value, key, partition, timestamp_ms, _tagged(headers))

    def tagged_batch() -> Any:  # noqa: ANN401 - an aiokafka BatchBuilder
        batch = create_batch()
        append = batch.append

        def tagged_append(*, timestamp: Any, key: Any, value: Any, headers: _Headers = None) -> Any:  # noqa: ANN401
            return append(timestamp=timestamp, key=key, value=value, headers=_tagged(headers))

        batch.append = tagged_append
        return batch

    kafka.send, kafka.create_batch = tagged_send, tagged_batch
    return producer


def tag_confluent(producer: Any) -> TaggedProducer:  # noqa: ANN401 - confluent_kafka has several kinds of producers
    """Wrap a `confluent_kafka.Producer`, or one of its serializing kinds: every message has the current tags."""
    return TaggedProducer(producer)


class TaggedProducer:
    """A confluent-kafka producer that puts the current tags on every message; all else is the producer's own."""

    def __init__(self, producer: Any) -> None:  # noqa: ANN401 - see `tag_confluent`
        self._producer = producer

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the producer has
        """Give what else the producer has."""
        return getattr(self._producer, name)

    def __len__(self) -> int:
        """How many messages and requests wait in the producer."""
        return len(self._producer)

    def produce(self, *args: Any, headers: _Headers = None, **options: Any) -> None:  # noqa: ANN401 - the producer's own
        """Produce one message, as the producer's `produce` does."""
        if len(args) > _HEADERS_AT and isinstance(args[-1], list | dict):
            args, headers = args[:-1], args[-1]
        tagged = _tagged(headers)
        if tagged:
            options["headers"] = tagged
        self._producer.produce(*args, **options)

    def produce_batch(self, topic: str, messages: list[dict[str, Any]], **options: Any) -> int:  # noqa: ANN401
        """Produce several messages, as `produce_batch` does; one by one with tags: a batch has no headers."""
        if not outgoing_headers():
            count: int = self._producer.produce_batch(topic, messages, **options)
            return count
        sent = 0
        for message in messages:
            own = {_PARAMETERS[name]: value for name, value in message.items() if name in _PARAMETERS}
            try:
                self.produce(topic, **{**options, **own})
                sent += 1
            except Exception as error:  # noqa: BLE001 - as in produce_batch, the failure of one is its own
                message["_error"] = error
        return sent


def _tagged(headers: _Headers) -> list[tuple[str, Any]]:
    """Give a message's headers with the current tags after them, where it has none of that name that says something.

    Baggage goes as one more header: the caller's is of others (OpenTelemetry's), and whoever reads tags reads all.
    """
    own = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    said = {name.lower() for name, value in own if _says_something(value)} - {"baggage"}
    return [*own, *((name, value.encode()) for name, value in outgoing_headers() if name not in said)]


def _says_something(value: Any) -> bool:  # noqa: ANN401 - whatever the producer takes
    return bool(value.strip() if isinstance(value, str | bytes | bytearray) else value)
