"""Schemas over HTTP, from a stand-in that speaks a registry's API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from tests.registry.server import RegistryServer

from gnomon.config import Registry
from gnomon.core.formats.registered import RegisteredSchema
from gnomon.core.json import Unreadable
from gnomon.core.routing import Event
from gnomon.errors import ConfigError, DependencyError
from gnomon.stream.route import registry as module
from gnomon.stream.route.registry import RegistryClient, Schemas

TEXT = '"string"'


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    """A registry."""
    with RegistryServer() as server:
        yield server


def run(server: RegistryServer, work: Callable[[Schemas], Awaitable[None]], **more: object) -> None:
    """Do something with the Avro schemas of a registry."""

    async def main() -> None:
        settings = msgspec.structs.replace(Registry(url=server.url, timeout=timedelta(seconds=2)), **more)
        client = RegistryClient(settings)
        try:
            await work(Schemas(client, "avro"))
        finally:
            await client.close()

    asyncio.run(main())


def framed(number: int, value: bytes = b"\x02a") -> Event:
    """Give an event whose value names a schema."""
    return Event(b"\x00" + number.to_bytes(4, "big") + value)


def test_each_schema_is_asked_for_once(server: RegistryServer) -> None:
    """With all that it refers to; tombstones and values without an id ask for nothing."""
    server.register("user", '{"type": "record", "name": "User", "fields": [{"name": "id", "type": "string"}]}')
    server.register("the/tags", '{"type": "record", "name": "Tags", "fields": [{"name": "user", "type": "User"}]}',
                    references=[("User", "user", 1)])  # fmt: skip
    number = server.register(
        "order",
        '{"type": "record", "name": "O", "fields": [{"name": "tags", "type": "Tags"}, {"name": "u", "type": "User"}]}',
        references=[("User", "user", 1), ("Tags", "the/tags", 1)],
    )

    async def work(schemas: Schemas) -> None:
        records = [framed(number), Event(None), Event(b"{}"), framed(number)]
        assert schemas.lacking(records) == {number}
        for _ in range(2):
            await schemas.prepare(records)
        assert schemas.read(framed(number, b"\x02a\x02b").value or b"") == {
            "tags": {"user": {"id": "a"}},
            "u": {"id": "b"},
        }
        with pytest.raises(Unreadable, match="does not begin with the id"):
            schemas.read(b"{}")

    run(server, work)
    assert sorted(server.asked) == [
        "/schemas/ids/3",
        "/subjects/the%2Ftags/versions/1",
        "/subjects/user/versions/1",
    ]


def test_schemas_that_are_not_there_make_their_values_unreadable(
    server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a while; then they are asked for again. So do schemas of another kind, and those that lack a reference."""
    server.register("json", "{}", "JSON")
    server.register("broken", "{", "AVRO")
    server.register("lacking", TEXT, references=[("X", "nowhere", 1)])
    server.register("itself", TEXT, references=[("Self", "itself", 1)])
    reasons = ["type JSON", "not JSON", "no subjects/nowhere", "refers to more than", "no schemas/ids/5"]

    async def work(schemas: Schemas) -> None:
        events = [framed(number) for number in range(1, 6)]
        await schemas.prepare(events)
        for event, reason in zip(events, reasons, strict=True):
            with pytest.raises(Unreadable, match=reason):
                schemas.read(event.value or b"")
        assert not schemas.lacking(events)
        assert server.register("late", TEXT) == 5
        monkeypatch.setattr(schemas, "_unknown", {5: ("", 0.0)})
        await schemas.prepare([framed(5)])
        assert schemas.read(framed(5).value or b"") == "a"

    run(server, work)


@pytest.mark.parametrize(
    ("answer", "body", "said"),
    [
        (500, None, "answers 500"),
        (302, None, "answers 302"),
        (429, None, "answers 429"),
        (403, None, "does not let us"),
        (404, b'{"message": "no such page"}', "answers 404"),
        (404, b"<html>", "answers 404"),
        (200, b"<html>", "answers with what is no schema"),
        (200, b"\xff", "answers with what is no schema"),
        (200, b'{"schema": 7}', "answers with what is no schema"),
        ("hang", None, "does not answer: TimeoutError"),
    ],
)
def test_an_answer_that_says_nothing_of_the_schema_is_none(
    server: RegistryServer, answer: int | str, body: bytes | None, said: str
) -> None:
    """It is waited for: nothing is taken for unreadable, let alone for clean."""
    number = server.register("order", TEXT)
    server.answer, server.body = answer, body

    async def work(schemas: Schemas) -> None:
        with pytest.raises(DependencyError, match=said):
            await schemas.prepare([framed(number)])
        server.answer = server.body = None
        await schemas.prepare([framed(number)])
        assert schemas.read(framed(number).value or b"") == "a"

    run(server, work, timeout=timedelta(milliseconds=300 if answer == "hang" else 5_000))


def test_a_registry_that_is_down_or_wants_a_password_says_so(server: RegistryServer, tmp_path: Path) -> None:
    """By its address, without the password."""
    number = server.register("order", TEXT)
    server.password = "correct horse"
    (tmp_path / "password").write_text("correct horse\n")

    async def refused(schemas: Schemas) -> None:
        with pytest.raises(DependencyError, match=f"{server.url} asks who is there"):
            await schemas.prepare([framed(number)])

    async def let_in(schemas: Schemas) -> None:
        await schemas.prepare([framed(number)])
        server.stop()
        await schemas.prepare([framed(number)])
        with pytest.raises(DependencyError, match=f"{server.url} does not answer") as down:
            await schemas.prepare([framed(number + 1)])
        assert "horse" not in str(down.value)

    run(server, refused)
    run(server, refused, username="gnomon", password="wrong")
    run(server, let_in, username="gnomon", password_file=tmp_path / "password")


def test_memory_for_schemas_is_bounded(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is needed now stays, be it more than that."""
    monkeypatch.setattr(module, "MAX_SCHEMAS", 2)
    monkeypatch.setattr(module, "MAX_UNKNOWN", 2)
    for number in range(4):
        server.register(f"order-{number}", TEXT)

    async def work(schemas: Schemas) -> None:
        many = [framed(number) for number in range(1, 9)]
        await schemas.prepare(many)
        assert not schemas.lacking(many)
        await schemas.prepare([framed(9)])
        assert len(schemas.lacking(many)) == 4 - 2 + 4 - 1

    run(server, work)


def test_authorities_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """Before anything is asked."""
    with pytest.raises(ConfigError, match="registry.ca"):
        RegistryClient(Registry(url="https://registry", ca=tmp_path / "none.pem"))


class Slow(RegistryClient):
    """A registry that is a function of the id; it takes a while."""

    def __init__(self, answer: Callable[[int], Awaitable[RegisteredSchema]]) -> None:
        self.asked: list[int] = []
        self._answer = answer

    async def fetch(self, number: int, kind: object) -> RegisteredSchema:
        """Answer."""
        assert kind == "avro"
        self.asked.append(number)
        return await self._answer(number)


def test_ids_that_nobody_has_are_asked_for_once_however_long_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the first would have to be asked for again when the last is known, and so on for ever."""
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    async def missing(number: int) -> RegisteredSchema:
        clock[0] += module.UNKNOWN_SECONDS * 0.7
        raise Unreadable(f"the registry has no {number}")

    async def main() -> None:
        client = Slow(missing)
        schemas = Schemas(client, "avro")
        await schemas.prepare([framed(9)])
        clock[0] += module.UNKNOWN_SECONDS * 0.9
        poison = [framed(number) for number in range(1, 10)]
        await schemas.prepare(poison)
        assert sorted(client.asked) == [*range(1, 9), 9]
        assert not schemas.lacking(poison)
        for event in poison:
            with pytest.raises(Unreadable, match="has no"):
                schemas.read(event.value or b"")
        clock[0] += module.UNKNOWN_SECONDS + 1
        assert schemas.lacking(poison) == set(range(1, 10))

    asyncio.run(main())


def test_a_registry_that_does_not_answer_is_not_asked_for_all_the_rest() -> None:
    """One failure ends the round."""

    async def silent(_: int) -> RegisteredSchema:
        await asyncio.sleep(0)
        raise DependencyError("it does not answer")

    async def main() -> None:
        client = Slow(silent)
        with pytest.raises(DependencyError):
            await Schemas(client, "avro").prepare([framed(number) for number in range(1, 1_000)])
        assert len(client.asked) <= 8

    asyncio.run(main())


def test_what_one_partition_prepares_is_not_forgotten_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for schemas is shared, and small here."""
    monkeypatch.setattr(module, "MAX_SCHEMAS", 1)
    late = asyncio.Event()

    async def answer(number: int) -> RegisteredSchema:
        if number == 2:
            await late.wait()
        return RegisteredSchema("AVRO", TEXT)

    async def main() -> None:
        schemas = Schemas(Slow(answer), "avro")
        events = [framed(1), framed(2)]
        first = asyncio.create_task(schemas.prepare(events))
        while schemas.lacking(events) != {2}:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
        await schemas.prepare([framed(3)])
        late.set()
        await first
        assert not schemas.lacking(events)

    asyncio.run(main())


def test_a_registry_is_asked_so_often_a_second_and_no_more(
    server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values may name any number of schemas that nobody has."""
    monkeypatch.setattr(module, "REQUESTS_A_SECOND", 10)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 100.0))
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async def work(schemas: Schemas) -> None:
        monkeypatch.setattr(asyncio, "sleep", note)
        await schemas.prepare([framed(number) for number in range(1, 31)])

    run(server, work)
    assert len(server.asked) == 30
    assert len(pauses) == 20
    assert max(pauses) == pytest.approx(2)
