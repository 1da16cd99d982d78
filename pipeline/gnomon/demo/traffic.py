"""The callers of the demo's shop: a steady mix of requests through Envoy, a few of them a load test's."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from itertools import count
from typing import Any, Final, NamedTuple

import aiohttp

__all__ = ["Call", "calls", "send"]

RATE: Final = 60
"""Requests a second."""

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_WORDS: Final = ("amber", "birch", "cedar", "delta")


class Call(NamedTuple):
    """One request of a caller."""

    request_id: str
    method: str
    path: str
    body: dict[str, Any] | None = None
    synthetic: str | None = None


def calls(seed: int = 7) -> Iterator[Call]:
    """Give the requests, without end; the same ones each time. One order of three is a load test's."""
    rng = random.Random(seed)  # noqa: S311 - traffic is made up
    for number in count(1):
        request_id = f"demo-{number:05d}"
        kind = number % 8
        if kind in (0, 5):
            yield Call(request_id, "GET", f"/products/{rng.randint(1, 42)}")
        elif kind in (1, 6):
            yield Call(request_id, "GET", f"/carts/{rng.randint(100, 999)}")
        elif kind == 2:
            yield Call(request_id, "GET", f"/products/{rng.randint(1, 40)}/related")
        elif kind in (3, 7):
            yield Call(request_id, "GET", f"/search?q={rng.choice(_WORDS)}")
        elif number % 40 == 36:
            yield Call(request_id, "GET", f"/products/{rng.randint(1, 40)}", synthetic="load-test")
        elif number % 40 == 20:
            yield Call(request_id, "GET", "/stores")
        else:
            order = {"session": f"s-{rng.randint(1, 500)}", "items": rng.choices(range(1, 41), k=3)}
            is_real = number % 40 != 12
            if not is_real:
                order["session"] = "load-test"
            yield Call(request_id, "POST", "/orders", order, None if is_real else "load-test")


async def send(url: str, stop: asyncio.Event) -> int:
    """Send calls at a steady rate until told to stop; give how many a caller did not get an answer to."""
    failed = 0

    async def one(session: aiohttp.ClientSession, call: Call) -> None:
        nonlocal failed
        headers = {"x-request-id": call.request_id}
        if call.synthetic is not None:
            headers["x-synthetic"] = call.synthetic
        try:
            async with session.request(call.method, url + call.path, json=call.body, headers=headers) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError):
            failed += 1

    started = time.monotonic()
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, asyncio.TaskGroup() as group:
        for number, call in enumerate(calls()):
            # Due when it is due, however long the ones before it take
            delay = started + number / RATE - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)
            if stop.is_set():
                break
            group.create_task(one(session, call))
    return failed
