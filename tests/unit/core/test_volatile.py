"""Volatile fields: what is learned from values, and what is refused."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gnomon.core.volatile import FieldSample, Observation, Refusal, VolatileField, learn_volatile

STARTED = datetime(2027, 1, 15, 8, tzinfo=UTC)
STARTED_US = 1_800_000_000_000_000
COUNT = 60

Value = Callable[[int, random.Random], Any]


def sample(live: Value, shadow: Value | None = None, **changes: Any) -> FieldSample:
    """A field of 60 pairs, a second apart, at each of which values differ; every request is its own."""
    one, other = random.Random(1), random.Random(2)
    request: Callable[[int], str] = changes.pop("request", lambda number: f"GET /items/{1_000 + number}")
    path: Callable[[int], str] = changes.pop("path", lambda _: "/body/value")
    fields: dict[str, Any] = {
        "service": "shop",
        "endpoint": "GET /items/{id}",
        "pattern": "/body/value",
        "pairs": COUNT,
        "requests": COUNT,
        "kinds": frozenset({"changed"}),
        "observations": [
            Observation(
                f"r-{number}",
                request(number),
                STARTED_US + number * 1_000_000,
                path(number),
                msgspec.json.encode(live(number, one)).decode(),
                msgspec.json.encode((shadow or live)(number, other)).decode(),
            )
            for number in range(COUNT)
        ],
    }
    return FieldSample(**{**fields, **changes})


def a_uuid(_: int, rng: random.Random) -> str:
    """A random UUID."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def a_time(number: int, rng: random.Random) -> str:
    """The time of the request, with a part of a second."""
    return (STARTED + timedelta(seconds=number, milliseconds=rng.randrange(900))).isoformat()


def an_hmac(_: int, rng: random.Random) -> str:
    """Twenty random bytes in hexadecimal."""
    return rng.randbytes(20).hex()


def an_instance(_: int, rng: random.Random) -> str:
    """One of four hosts."""
    return f"cart-7d9f-{rng.randrange(4)}:8080"


def a_number(_: int, rng: random.Random) -> float:
    """A random number."""
    return rng.random()


def seen_again(number: int) -> str:
    """One of twenty requests."""
    return f"GET /items/{number % 20}"


@pytest.mark.parametrize(
    ("field", "kind", "aspect", "value"),
    [
        (sample(a_uuid), "uuid", "treat_as", "uuid"),
        (sample(a_time), "timestamp", "time_tolerance", "2m"),
        (
            sample(lambda n, rng: STARTED_US // 1_000_000 + n + rng.randrange(3), requests=25),
            "timestamp",
            "time_tolerance",
            "2m",
        ),
        (sample(lambda n, _: 500 + n, lambda n, _: 900 + 3 * n), "counter", "treat_as", "type"),
        (sample(an_hmac), "signature", "match", "^[0-9a-f]{40}$"),
        (sample(lambda n, rng: f"redacted:hmac-sha256:{an_hmac(n, rng)[:16]}"), "secret", "treat_as", "type"),
        (sample(an_instance, requests=45, request=seen_again), "instance", "treat_as", "type"),
        (sample(a_number, request=seen_again), "unique", "treat_as", "type"),
        (
            sample(a_uuid, pattern="/body/items/*/id", path=lambda n: f"/body/items/{n % 2}/id"),
            "uuid",
            "treat_as",
            "uuid",
        ),
    ],
)
def test_volatile_values_are_learned(field: FieldSample, kind: str, aspect: str, value: str) -> None:
    """Each kind of value that is made anew gets the narrowest rule that lets it through."""
    learned = learn_volatile(field)
    assert isinstance(learned, VolatileField), learned
    assert (learned.kind, learned.aspect, learned.value) == (kind, aspect, value)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (sample(lambda _, rng: rng.choice([200, 500]), pattern="/status"), "how the request ended"),
        (sample(a_uuid, pattern="/trailers/grpc-status-details"), "how the request ended"),
        (sample(a_uuid, pattern="/body"), "whole document"),
        (sample(lambda _, rng: {"id": rng.random()}), "whole objects"),
        (sample(a_uuid, kinds=frozenset({"changed", "removed"})), r"structure differs too \(removed\)"),
        (sample(a_uuid, kinds=frozenset({"added"}), observations=[]), "structure differs too"),
        (sample(a_uuid, requests=19), "20 are needed"),
        (sample(a_uuid, pattern="/body/*/id", path=lambda _: "/body/0/id"), "wider than the evidence"),
        (sample(a_uuid, endpoint="GET /files/*"), "would hold for others too"),
        (sample(a_uuid, requests=50), "equal in 10 of 60 pairs"),
        (sample(lambda n, _: f"{n % 20:032x}", an_hmac, request=seen_again), "the same value 40 times"),
        (sample(lambda n, _: 1_000 + n, a_number), "comes from the request"),
        (sample(a_number), "no known kind"),
        (sample(lambda n, rng: rng.random() < n), "no one type"),
        (sample(lambda n, _: n % 3, a_number), "values repeat"),
        (sample(lambda _, rng: rng.choice(["small-1", "large-2"])), "values repeat"),
        (sample(lambda _, rng: f"name-of-a-thing-{rng.randrange(10**4):05}"), "no known kind"),
        (sample(lambda _, rng: str(rng.random()) * 500), "long texts"),
    ],
)
def test_what_could_be_a_finding_is_refused(field: FieldSample, reason: str) -> None:
    """Status codes, structure, whole documents, what is wider than the evidence, and what is equal elsewhere."""
    learned = learn_volatile(field)
    assert isinstance(learned, Refusal), learned
    assert re.search(reason, learned.reason)


def test_requests_with_bodies_are_not_known_to_be_the_same() -> None:
    """Posts to one path answered with other values prove nothing; that they got the same value does."""
    anew = sample(a_number, request=lambda _: "POST /orders")
    assert isinstance(learn_volatile(anew), Refusal)
    kept = sample(lambda n, _: f"{n // 2:040x}", an_hmac, request=lambda _: "POST /orders")
    refused = learn_volatile(kept)
    assert isinstance(refused, Refusal)
    assert "same value 30 times" in refused.reason


def test_values_that_were_cut_are_refused() -> None:
    """What is not whole cannot be told to be unique."""
    cut = [Observation(f"r-{n}", "GET /", STARTED_US, "/body/a", f'"{n}abc...', '"x"') for n in range(COUNT)]
    refused = learn_volatile(sample(a_uuid, observations=cut))
    assert refused == Refusal("its values were too long to be kept whole")
