"""Made-up traffic for benchmarks: pairs of records of about 2 KB, every other pair differing in two places."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import orjson

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty")


def body(rng: random.Random, number: int) -> dict[str, Any]:
    """Make a response body of about 1.2 KB of JSON: a cart with items."""
    return {
        "cart": {"id": number, "currency": "EUR", "owner": {"name": rng.choice(WORDS), "tier": rng.randint(1, 5)}},
        "items": [
            {
                "id": number * 10 + n,
                "sku": f"{rng.choice(WORDS)}-{rng.randint(100, 999)}",
                "title": " ".join(rng.choices(WORDS, k=4)),
                "price": rng.randint(100, 99_999) / 100,
                "quantity": rng.randint(1, 9),
                "tags": rng.sample(WORDS, 3),
            }
            for n in range(8)
        ],
        "total": rng.randint(1000, 999_999) / 100,
        "notes": " ".join(rng.choices(WORDS, k=12)),
    }


def differing(document: dict[str, Any]) -> dict[str, Any]:
    """Change one price's type and drop one field, as a careless release does."""
    changed = dict(document)
    changed["items"] = [dict(item) for item in document["items"]]
    changed["items"][3]["price"] = str(changed["items"][3]["price"])
    del changed["notes"]
    return changed


def record(role: str, number: int, started_us: int, duration_us: int, document: dict[str, Any]) -> bytes:
    """Make one exchange record as it stands in a capture."""
    data = orjson.dumps(document).decode()
    return orjson.dumps(
        {
            "v": 1,
            "request_id": f"{number:08x}-0000-4000-8000-{number:012x}",
            "role": role,
            "target": "cart@2.4.0-rc1" if role == "shadow" else "cart@2.3.9",
            "service": "cart",
            "started_us": started_us,
            "duration_us": duration_us,
            "request": {
                "method": "GET",
                "path": f"/carts/{number}/items?page={number % 7}",
                "host": "cart.example",
                "headers": [["accept", "application/json"], ["user-agent", "bench/1.0"], ["host", "cart.example"]],
                "body": None,
            },
            "response": {
                "status": 200,
                "headers": [
                    ["content-type", "application/json"],
                    ["date", f"Mon, 23 Nov 2026 17:{number % 60:02d}:{(number + (role == 'shadow')) % 60:02d} GMT"],
                    ["server", "shop"],
                    ["cache-control", "no-store"],
                    ["content-length", str(len(data))],
                ],
                "body": {"data": data, "encoding": "text", "size": len(data), "truncated": False},
            },
            "error": None,
            "synthetic": None,
            "flags": {},
            "as_of": None,
            "emitter": "bench",
        }
    )


def every_other(number: int) -> bool:
    """Whether the request of this number differs: the second, the fourth, ..."""
    return number % 2 == 1


def pairs(count: int, seed: int = 1, differs: Callable[[int], bool] = every_other) -> Iterator[tuple[bytes, bytes]]:
    """Make live and shadow records of `count` requests; `differs` says which differ."""
    rng = random.Random(seed)
    for number in range(count):
        document = body(rng, number)
        started = 1_790_000_000_000_000 + number * 1000
        live, shadow = rng.randint(2_000, 9_000), rng.randint(2_000, 9_500)
        yield (
            record("live", number, started, live, document),
            record("shadow", number, started + 150, shadow, differing(document) if differs(number) else document),
        )
