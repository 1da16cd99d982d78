"""The demo's callers and its shop."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gnomon.demo.shop import make_app
from gnomon.demo.traffic import calls

NOISE = ("served_at", "trace")


def test_the_same_calls_are_made_each_time() -> None:
    """Ids are unique, and each endpoint of the shop is asked for."""
    first, again = list(islice(calls(), 400)), list(islice(calls(), 400))
    assert first == again
    assert len({call.request_id for call in first}) == 400
    assert {call.method for call in first} == {"GET", "POST"}
    assert {call.path.split("/")[1].partition("?")[0] for call in first} == {
        "products",
        "carts",
        "search",
        "stores",
        "orders",
    }
    orders = [call for call in first if call.path == "/orders"]
    assert [bool(call.synthetic) for call in orders].count(True) == len(orders) / 3 == 10


def answers(path: str) -> list[Any]:
    """Ask build 1 twice and build 2 once; give the bodies without noise."""

    async def ask() -> list[Any]:
        bodies = []
        for build in (1, 1, 2):
            async with TestClient(TestServer(make_app(build))) as client, client.get(path) as response:
                body = await response.json()
                assert all(body.pop(name) for name in NOISE)
                bodies.append(body)
        return bodies

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ["/products/7", "/carts/120", "/products/7/related", "/search?q=amber", "/stores"])
def test_one_build_always_answers_alike(path: str) -> None:
    """All that differs between two instances of one build is the noise."""
    live, control, _ = answers(path)
    assert live == control


def test_the_candidate_has_the_planted_regressions_and_no_other() -> None:
    """Price as text, no voucher, the last related first; stores and what is found are the same."""
    live, _, shadow = answers("/products/7")
    assert shadow == {**live, "price": f"{live['price']:.2f}"}
    live, _, shadow = answers("/carts/120")
    assert shadow == {name: value for name, value in live.items() if name != "voucher"}
    live, _, shadow = answers("/products/7/related")
    assert shadow["related"] == [live["related"][-1], *live["related"][:-1]]
    for path in ("/stores", "/search?q=amber", "/products/99"):
        live, _, shadow = answers(path)
        assert shadow == live
