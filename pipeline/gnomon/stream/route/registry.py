"""Schemas from a Schema Registry: asked for by id over HTTP, and kept.

What a registry says is there for good: a schema never changes under its id. What it says is not there is asked for
again after a while. A registry that does not answer is not an answer: whoever needs the schema has to wait.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Final
from urllib.parse import quote

import aiohttp
import msgspec

from gnomon.config import Registry
from gnomon.core.formats.framing import split_frame
from gnomon.core.formats.registered import RegisteredSchema, SchemaKind, ValueReader, schema_reader
from gnomon.core.json import Unreadable
from gnomon.core.routing import EventLike
from gnomon.errors import ConfigError, DependencyError
from gnomon.model import JsonValue

__all__ = ["RegistryClient", "Schemas"]

MAX_SCHEMAS: Final = 1_000
MAX_UNKNOWN: Final = 10_000
MAX_REFERENCES: Final = 200
MAX_ANSWER: Final = 8 * 2**20
"""Bytes of an answer."""
UNKNOWN_SECONDS: Final = 60.0
"""How long a schema that is not there is not asked for again."""
REQUESTS_A_SECOND: Final = 100
"""How often a registry is asked at most, after a burst of as many: values may name any number of schemas."""
_AT_ONCE: Final = 8
_GRACE_SECONDS: Final = 1.0
_NOT_THERE: Final = frozenset({40401, 40402, 40403})
"""The registry's own words for: no such subject, version, schema."""


class _Reference(msgspec.Struct, frozen=True):
    name: str
    subject: str
    version: int


class _Answer(msgspec.Struct, frozen=True):
    text: str = msgspec.field(name="schema")
    kind: str = msgspec.field(name="schemaType", default="AVRO")
    references: list[_Reference] = []


class _Refusal(msgspec.Struct, frozen=True):
    error_code: int = 0


class RegistryClient:
    """Asks a registry; connections are kept until `close`.

    Args:
        settings: Where it is, and who asks.

    Raises:
        ConfigError: A file that the settings name cannot be read.
    """

    def __init__(self, settings: Registry) -> None:
        self._settings = settings
        self._url = settings.url.rstrip("/")
        password = settings.read_password()
        self._headers = {
            "accept": "application/vnd.schemaregistry.v1+json, application/json",
            "user-agent": "gnomon",
        }
        if settings.username is not None:
            known = f"{settings.username}:{password or ''}".encode()
            self._headers["authorization"] = f"Basic {base64.b64encode(known).decode()}"
        self._tls = _trusting(settings)
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._asked_until = 0.0

    async def fetch(self, number: int, kind: SchemaKind) -> RegisteredSchema:
        """Ask for a schema and all that it refers to.

        Raises:
            Unreadable: There is none of that id.
            DependencyError: The registry did not say.
        """
        answer = await self._ask(f"/schemas/ids/{number}", kind)
        found: dict[str, str] = {}
        await self._follow(answer.references, kind, found, ())
        return RegisteredSchema(answer.kind, answer.text, list(found.items()))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    async def _follow(
        self, references: Sequence[_Reference], kind: SchemaKind, found: dict[str, str], above: tuple[str, ...]
    ) -> None:
        for reference in references:
            if reference.name in found:
                continue
            if reference.name in above or len(found) + len(above) >= MAX_REFERENCES:
                raise Unreadable(f"its schema refers to more than {MAX_REFERENCES} others, or to itself")
            place = f"/subjects/{quote(reference.subject, safe='')}/versions/{reference.version}"
            answer = await self._ask(place, kind)
            await self._follow(answer.references, kind, found, (*above, reference.name))
            found[reference.name] = answer.text

    async def _ask(self, place: str, kind: SchemaKind) -> _Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout.total_seconds()),
            )
        query = {"format": "serialized"} if kind == "protobuf" else {}
        await self._wait_for_turn()
        try:
            async with (
                self._turns,
                self._session.get(
                    self._url + place, params=query, ssl=self._tls or True, allow_redirects=False
                ) as response,
            ):
                body = await response.content.read(MAX_ANSWER + 1)
                while len(body) <= MAX_ANSWER and (more := await response.content.read(MAX_ANSWER + 1 - len(body))):
                    body += more
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._silent(f"does not answer: {type(error).__name__}: {error}".rstrip(": ")) from error
        return self._read(place, status, body)

    async def _wait_for_turn(self) -> None:
        now = time.monotonic()
        self._asked_until = max(self._asked_until, now) + 1 / REQUESTS_A_SECOND
        early = self._asked_until - now - 1
        if early > 0:
            await asyncio.sleep(early)

    def _read(self, place: str, status: int, body: bytes) -> _Answer:
        try:
            if status == 404 and msgspec.json.decode(body, type=_Refusal).error_code in _NOT_THERE:
                raise Unreadable(f"the registry has no {place.removeprefix('/')}")
            if status == 200 and len(body) <= MAX_ANSWER:
                return msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            status = status if status == 404 else 0
        what = {
            0: "answers with what is no schema",
            200: f"answers with more than {MAX_ANSWER:,} bytes",
            401: "asks who is there (401)",
            403: "does not let us (403)",
        }
        raise self._silent(what.get(status, f"answers {status}"))

    def _silent(self, what: str) -> DependencyError:
        return DependencyError(
            f"the schema registry at {self._url} {what}", "look whether it is well, or correct [registry]"
        )


class Schemas:
    """The schemas of one kind of values, as far as they are known.

    Args:
        client: Who is asked.
        kind: What the schemas have to be.
    """

    def __init__(self, client: RegistryClient, kind: SchemaKind) -> None:
        self._client = client
        self._kind: SchemaKind = kind
        self._readers: dict[int, ValueReader] = {}
        self._unknown: dict[int, tuple[str, float]] = {}
        self._wanted: list[set[int]] = []

    def lacking(self, records: Iterable[EventLike]) -> set[int]:
        """Give the ids of schemas that have to be asked for before `read` can read these records."""
        now = time.monotonic()
        return {
            number
            for number in _wanted(records)
            if number not in self._readers and (number not in self._unknown or self._unknown[number][1] < now)
        }

    async def prepare(self, records: Collection[EventLike]) -> None:
        """Ask for what is lacking, once each. Until something else is awaited, `read` can read these records.

        What was not there is known as that from the end on, however long it took to ask.

        Raises:
            DependencyError: The registry did not say; some may have been asked for.
        """
        lacking = self.lacking(records)
        if not lacking:
            return
        wanted = _wanted(records)
        self._wanted.append(wanted)  # others that prepare meanwhile must not forget it
        try:
            await self._ask_for(lacking)
        finally:
            self._wanted = [others for others in self._wanted if others is not wanted]
        now = time.monotonic()
        for number in wanted & self._unknown.keys():
            reason, until = self._unknown[number]
            until = now + UNKNOWN_SECONDS if number in lacking else max(until, now + _GRACE_SECONDS)
            self._unknown[number] = reason, until
        self._trim(wanted.union(*self._wanted))

    def read(self, value: bytes) -> JsonValue:
        """Read a value (see `prepare`).

        Raises:
            Unreadable: It has no schema's id, its schema cannot be read, or it is no value of it.
        """
        frame = split_frame(value)
        if frame is None:
            raise Unreadable("it does not begin with the id of a schema")
        number, data = frame
        reader = self._readers.get(number)
        if reader is None:
            raise Unreadable(self._unknown[number][0] if number in self._unknown else "its schema was not asked for")
        return reader(data)

    async def _ask_for(self, lacking: Iterable[int]) -> None:
        """Ask for schemas, some at once, until the registry does not say."""
        failed: list[DependencyError] = []
        left = iter(sorted(lacking))

        async def ask() -> None:
            for number in left:
                try:
                    await self._fetch(number)
                except DependencyError as error:
                    failed.append(error)
                if failed:
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(ask())
        if failed:
            raise failed[0]

    async def _fetch(self, number: int) -> None:
        try:
            schema = await self._client.fetch(number, self._kind)
            # A hostile one may take a second
            self._readers[number] = await asyncio.to_thread(schema_reader, self._kind, schema)
        except Unreadable as unreadable:
            self._unknown[number] = (f"schema {number}: {unreadable.reason}", time.monotonic() + UNKNOWN_SECONDS)

    def _trim(self, wanted: Collection[int]) -> None:
        """Forget what was asked for first, but nothing that is wanted now."""
        for kept, most in ((self._readers, MAX_SCHEMAS), (self._unknown, MAX_UNKNOWN)):
            for number in [number for number in kept if number not in wanted][: max(len(kept) - most, 0)]:
                del kept[number]


def _wanted(records: Iterable[EventLike]) -> set[int]:
    frames = (split_frame(record.value) for record in records if record.value)
    return {frame[0] for frame in frames if frame is not None}


def _trusting(settings: Registry) -> ssl.SSLContext | None:
    if settings.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(settings.ca))
    except OSError as error:  # ssl.SSLError is one
        what = f"registry.ca {settings.ca} cannot be used: {error.strerror or error}"
        raise ConfigError(what, "correct the path") from error
