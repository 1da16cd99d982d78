"""The sample shop that the demo shadows, in two builds: `python -m gnomon.demo.shop BUILD PORT [BROKER TOPIC]`.

Build 2 is the candidate, with the regressions that `demo.planted` lists. Both builds answer with a time and a trace id
of their own, as real services do: that is noise, and the control shows it.

With a broker it puts each order on a topic. The events carry the tags of the request that was served, so an order of a
load test says so, and nobody had to think of that where orders are made.
"""

from __future__ import annotations

import asyncio
import random
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiohttp import web
from aiokafka import AIOKafkaProducer

from gnomon.core.tags import read_tags
from gnomon.emit import carry_tags, tag_aiokafka

__all__ = ["main", "make_app"]

PRODUCTS: Final = 40
ANSWER_SECONDS: Final = 0.03
"""How long each answer takes, as if a database were asked."""
SLOW_SECONDS: Final = 0.06
"""How much longer the candidate searches."""

_WORDS: Final = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty")


def make_app(build: int, broker: str | None = None, topic: str = "") -> web.Application:
    """Make the service.

    Args:
        build: 1 for the version that callers depend on, 2 for the candidate.
        broker: Where orders go as events; they do not by default.
        topic: The topic for them.
    """
    shop = _Shop(build)
    app = web.Application(middlewares=[_keep_tags])
    if broker is not None:
        app.cleanup_ctx.append(shop.events(broker, topic))
    app.add_routes(
        [
            web.get("/products/{id}", shop.product),
            web.get("/carts/{id}", shop.cart),
            web.get("/products/{id}/related", shop.related),
            web.get("/search", shop.search),
            web.get("/stores", shop.stores),
            web.post("/orders", shop.order),
            web.get("/healthz", shop.health),
        ]
    )
    return app


class _Shop:
    def __init__(self, build: int) -> None:
        self._is_candidate = build == 2
        self._producer: AIOKafkaProducer | None = None
        self._topic = ""

    def events(self, broker: str, topic: str) -> Callable[[web.Application], AsyncIterator[None]]:
        """Put orders on a topic while the service runs."""

        async def running(_: web.Application) -> AsyncIterator[None]:
            self._topic = topic
            self._producer = tag_aiokafka(AIOKafkaProducer(bootstrap_servers=broker))
            await self._producer.start()
            yield
            await self._producer.stop()

        return running

    async def product(self, request: web.Request) -> web.Response:
        number = _number(request)
        if number > PRODUCTS:
            return await _answer({"error": "there is no such product", "id": number}, status=404)
        product = _product(number)
        if self._is_candidate:
            product["price"] = f"{product['price']:.2f}"
        return await _answer(product)

    async def cart(self, request: web.Request) -> web.Response:
        number = _number(request)
        rng = random.Random(number)  # noqa: S311 - the same cart each time
        items = [{"id": n, "quantity": rng.randint(1, 5)} for n in sorted(rng.sample(range(1, PRODUCTS), 4))]
        cart: dict[str, Any] = {"id": number, "items": items, "currency": "EUR", "voucher": f"WELCOME{number % 7}"}
        if self._is_candidate:
            del cart["voucher"]
        return await _answer(cart)

    async def related(self, request: web.Request) -> web.Response:
        rng = random.Random(_number(request))  # noqa: S311 - the same products each time
        related = [_product(n)["name"] for n in rng.sample(range(1, PRODUCTS), 5)]
        if self._is_candidate:
            related.insert(0, related.pop())
        return await _answer({"related": related})

    async def search(self, request: web.Request) -> web.Response:
        words = request.query.get("q", "").split()
        if self._is_candidate:
            await asyncio.sleep(SLOW_SECONDS)
        found = [_product(n) for n in range(1, PRODUCTS) if any(word in _product(n)["name"] for word in words)]
        return await _answer({"found": len(found), "products": found[:5]})

    async def stores(self, _: web.Request) -> web.Response:
        return await _answer({"stores": [{"id": n, "city": word.title()} for n, word in enumerate(_WORDS)]})

    async def order(self, request: web.Request) -> web.Response:
        order = await request.json()
        number = str(uuid.uuid4())
        items = order.get("items", [])
        if self._producer is not None:
            total = round(sum(_product(item)["price"] for item in items), 2)
            event = {"order": number, "session": order.get("session"), "items": items, "total": total}
            await self._producer.send_and_wait(self._topic, msgspec.json.encode(event), number.encode())
        return await _answer({"order": number, "items": len(items)}, status=201)

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})


@web.middleware
async def _keep_tags(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Have what is sent while a request is served carry its tags."""
    with carry_tags(read_tags(request.headers.items())):
        return await handler(request)


def _number(request: web.Request) -> int:
    try:
        return int(request.match_info["id"])
    except ValueError:
        raise web.HTTPNotFound from None


def _product(number: int) -> dict[str, Any]:
    rng = random.Random(number)  # noqa: S311 - the same product each time
    name = " ".join(rng.sample(_WORDS, 2))
    return {"id": number, "name": name, "price": rng.randint(100, 99_999) / 100, "stock": rng.randint(0, 90)}


async def _answer(body: dict[str, Any], status: int = 200) -> web.Response:
    await asyncio.sleep(ANSWER_SECONDS)
    noise = {"served_at": datetime.now(UTC).isoformat(), "trace": str(uuid.uuid4())}
    return web.json_response({**body, **noise}, status=status)


def main(arguments: list[str]) -> None:
    """Serve one build on a port of the loopback interface until told to stop."""
    build, port, *orders = arguments
    web.run_app(make_app(int(build), *orders), host="127.0.0.1", port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main(sys.argv[1:])
