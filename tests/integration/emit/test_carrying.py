"""Tags on their way to other services and onto Kafka, by real clients and real producers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import aiokafka
import httpx
import pytest
import requests
from confluent_kafka import Consumer, KafkaError, Producer, SerializingProducer
from tests.integration.emit.servers import with_uvicorn
from tests.kafka.brokers import Broker
from tests.kafka.fixtures import Topics

from gnomon.core.tags import Tags, read_tags
from gnomon.emit import carry_tags, tag_aiohttp, tag_aiokafka, tag_confluent, tag_httpx, tag_requests

pytestmark = pytest.mark.integration

TAGS = Tags(request_id="r-1", synthetic="é", flags={"theme": "b", "odd": "a,b"}, as_of="2027-07-12T00:00:00Z")


async def mirror(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the headers that came."""
    if scope["type"] != "http":
        raise LookupError(scope["type"])
    await receive()
    headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
    moved = scope["path"] == "/moved"
    await send(
        {
            "type": "http.response.start",
            "status": 307 if moved else 200,
            "headers": [(b"location", b"/"), (b"content-type", b"application/json")],
        }
    )
    await send({"type": "http.response.body", "body": json.dumps(headers).encode()})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the mirror is."""
    with with_uvicorn(mirror) as address:
        yield address


def by_httpx(url: str, headers: dict[str, str]) -> Any:
    """Ask by `httpx.Client`."""
    with tag_httpx(httpx.Client(trust_env=False, follow_redirects=True)) as client:
        return client.get(url, headers=headers).json()


def by_httpx_later(url: str, headers: dict[str, str]) -> Any:
    """Ask by `httpx.AsyncClient`."""

    async def ask() -> Any:
        async with tag_httpx(httpx.AsyncClient(trust_env=False, follow_redirects=True)) as client:
            return (await client.get(url, headers=headers)).json()

    return asyncio.run(ask())


def by_requests(url: str, headers: dict[str, str]) -> Any:
    """Ask by `requests.Session`."""
    with requests.Session() as session:
        session.trust_env = False
        return tag_requests(session).get(url, headers=headers, timeout=20).json()


def by_aiohttp(url: str, headers: dict[str, str]) -> Any:
    """Ask by `aiohttp.ClientSession`."""

    async def ask() -> Any:
        async with tag_aiohttp(aiohttp.ClientSession()) as session, session.get(url, headers=headers) as response:
            return await response.json()

    return asyncio.run(ask())


CLIENTS = pytest.mark.parametrize("ask", [by_httpx, by_httpx_later, by_requests, by_aiohttp])
Ask = Callable[[str, dict[str, str]], Any]


@CLIENTS
@pytest.mark.parametrize("path", ["/", "/moved"])
def test_calls_carry_the_tags_of_the_request(ask: Ask, url: str, path: str) -> None:
    """The service that is called reads the very same tags, after a redirect too."""
    with carry_tags(TAGS):
        headers = [(name, value) for name, value in ask(url + path, {})]
    assert read_tags(headers) == TAGS
    assert [name for name, _ in headers].count("baggage") == 1
    assert dict(headers)["baggage"].count("synthetic=") == 1


@CLIENTS
def test_what_the_caller_says_wins(ask: Ask, url: str) -> None:
    """A header that is there stays, and baggage of others is kept beside ours."""
    with carry_tags(TAGS):
        headers = dict(ask(url, {"X-Request-ID": "mine", "baggage": "tenant=7"}))
    assert headers["x-request-id"] == "mine"
    assert headers["baggage"].startswith("tenant=7,synthetic=")


@CLIENTS
def test_calls_outside_of_a_request_are_as_they_were(ask: Ask, url: str) -> None:
    """A client that was tagged adds nothing of its own."""
    names = {name for name, _ in ask(url, {})}
    assert not names & {"x-request-id", "x-synthetic", "x-feature-flags", "x-as-of", "baggage"}


def test_a_wrapped_adapter_is_the_adapter_else(url: str) -> None:
    """What a session's adapters have is still to be had."""
    with requests.Session() as session:
        retries = session.get_adapter(url).max_retries  # type: ignore[attr-defined]
        assert tag_requests(session).get_adapter(url).max_retries is retries  # type: ignore[attr-defined]


def consume(bootstrap: str, topic: str, group: str, count: int) -> list[tuple[bytes, list[tuple[str, str]]]]:
    """Read the values and headers of so many messages, in the order of their values."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        found: list[tuple[bytes, list[tuple[str, str]]]] = []
        while len(found) < count:
            messages = consumer.consume(count - len(found), timeout=30)
            assert messages, f"{len(found)} of {count} messages came"
            found += [
                (message.value(), [(name, (value or b"").decode()) for name, value in message.headers() or []])
                for message in messages
            ]
        return sorted(found)
    finally:
        consumer.close()


def test_messages_of_aiokafka_carry_the_tags(kafka: Broker, topics: Topics, group: str) -> None:
    """By send, by send_and_wait and in batches; the caller's headers stay, and win."""
    topic = topics.make()

    async def produce() -> None:
        producer = tag_aiokafka(aiokafka.AIOKafkaProducer(bootstrap_servers=kafka.bootstrap))
        async with producer:
            await producer.send_and_wait(topic, b"0 outside")
            with carry_tags(TAGS):
                await (await producer.send(topic, b"1 send", key=b"k"))
                await producer.send_and_wait(topic, b"2 own", headers=[("X-Synthetic", b"own"), ("a", b"b")])
                await producer.send_and_wait(topic, b"4 others", headers=[("baggage", b"tenant=7")])
                await producer.send_and_wait(topic, b"5 empty", headers=[("x-synthetic", b" "), ("X-Synthetic", None)])
                batch = producer.create_batch()
                batch.append(key=None, value=b"3 batch", timestamp=None)
                await (await producer.send_batch(batch, topic, partition=0))
            with carry_tags(Tags(synthetic="load")):
                await producer.send_and_wait(topic, b"6 plain", headers=[("x-synthetic", b"")])

    asyncio.run(produce())
    found = dict(consume(kafka.bootstrap, topic, group, 7))
    assert found[b"0 outside"] == []
    assert read_tags(found[b"1 send"]) == read_tags(found[b"3 batch"]) == TAGS
    assert found[b"2 own"][:2] == [("X-Synthetic", "own"), ("a", "b")]
    assert read_tags(found[b"2 own"]).synthetic == "own"
    assert found[b"4 others"][0] == ("baggage", "tenant=7")
    assert read_tags(found[b"4 others"]) == read_tags(found[b"5 empty"]) == TAGS
    assert read_tags(found[b"6 plain"]).synthetic == "load"


def test_messages_of_confluent_kafka_carry_the_tags(kafka: Broker, topics: Topics, group: str) -> None:
    """Of a plain producer and of one that serializes, whatever way the headers were given in."""
    topic = topics.make()
    plain = tag_confluent(Producer({"bootstrap.servers": kafka.bootstrap}))
    typed = tag_confluent(
        SerializingProducer(
            {"bootstrap.servers": kafka.bootstrap, "value.serializer": lambda value, _context: value.encode()}
        )
    )
    told: list[KafkaError | None] = []
    plain.produce(topic, b"0 outside")
    with carry_tags(TAGS):
        plain.produce(topic, b"1 plain", b"k", on_delivery=lambda error, _message: told.append(error))
        plain.produce(topic, value=b"2 own", headers={"x-synthetic": b"own"})
        plain.produce(topic, value=b"7 others", headers={"Baggage": b"tenant=7", "x-synthetic": None})
        typed.produce(topic, None, "3 typed", -1, None, 0, [("a", b"b")])
        messages = [{"value": b"4 batch", "callback": lambda error, _message: told.append(error)}, {"value": 5}]
        assert plain.produce_batch(topic, messages) == 1
        assert "_error" in messages[1]
    assert plain.produce_batch(topic, [{"value": b"6 outside"}]) == 1
    assert len(plain) > 0
    assert plain.flush(30) == 0
    assert typed.flush(30) == 0
    assert told == [None, None]
    found = dict(consume(kafka.bootstrap, topic, group, 7))
    assert found[b"0 outside"] == found[b"6 outside"] == []
    assert read_tags(found[b"1 plain"]) == read_tags(found[b"3 typed"]) == read_tags(found[b"4 batch"]) == TAGS
    assert read_tags(found[b"2 own"]).synthetic == "own"
    assert read_tags(found[b"7 others"]) == TAGS
    assert found[b"3 typed"][0] == ("a", "b")
