"""What the middleware adds to a request, beside the bare application in one run; prints figures and fails on none.

The application is called in the process, without a server, so nothing else is in the figures. CPU seconds of the
thread that serves are what a request waits for; those of the whole process have the records in them, which the writing
thread makes and redacts meanwhile. `REQUESTS=100000 make bench` measures longer.
"""

from __future__ import annotations

import asyncio
import io
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from gnomon.config import Settings
from gnomon.config.settings import Emit, Redact
from gnomon.emit import ASGIMiddleware, Emitter, WSGIMiddleware
from gnomon.emit.record import Record
from gnomon.emit.transport import Sent

REQUESTS = int(os.environ.get("REQUESTS", "20000"))
ROUNDS = 5
PACED = 2000
PACE = 0.001
BODY = msgspec.json.encode(
    {"id": 7, "items": [{"sku": f"a-{n}", "name": f"article {n}", "price": 9.99, "stock": n} for n in range(16)]}
)
HEADERS = {
    "host": "shop.example",
    "user-agent": "bench/1",
    "accept": "application/json",
    "accept-encoding": "gzip, br",
    "x-request-id": "6c84fb90-12c4-11e1-840d-7b25c5ee775a",
    "x-forwarded-for": "192.0.2.7",
    "content-type": "application/json",
}
ANSWERED = [("content-type", "application/json"), ("content-length", str(len(BODY)))]


class Nowhere:
    """A transport that takes everything at no cost."""

    def send(self, records: Sequence[Record], timeout: float) -> Sent:
        """Take records."""
        del timeout
        return Sent(len(records))

    def close(self, timeout: float) -> None:
        """Do nothing."""

    def forget(self) -> None:
        """Do nothing."""


class Cost(NamedTuple):
    """Microseconds of CPU a request: of the thread that serves, and of the whole process."""

    serving: float
    process: float


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer 1 KB of JSON."""
    del scope
    await receive()
    headers = [(name.encode(), value.encode()) for name, value in ANSWERED]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """Answer the same."""
    del environ
    start_response("200 OK", list(ANSWERED))
    return [BODY]


async def serve_asgi(app: Any, count: int, pace: float = 0) -> list[float]:
    """Call an application so often, `pace` seconds from one call to the next; give how many seconds each took."""
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    scope = {"type": "http", "method": "GET", "path": "/items/7", "raw_path": b"/items/7", "query_string": b"full=1"}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        """Stand for the server."""

    took = []
    due = time.perf_counter()
    for _ in range(count):
        if pace:
            due += pace
            await asyncio.sleep(max(0, due - time.perf_counter()))
        began = time.perf_counter()
        await app({**scope, "headers": headers}, receive, send)
        took.append(time.perf_counter() - began)
    return took


def serve_wsgi(app: Any, count: int) -> None:
    """Call a WSGI application so often."""
    names = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS.items()}
    for _ in range(count):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/items/7", "QUERY_STRING": "full=1", **names}
        result = app({**environ, "wsgi.input": io.BytesIO()}, lambda *_: None)
        for _part in result:
            pass
        if hasattr(result, "close"):
            result.close()


def cost(run: Callable[[], object], emitter: Emitter) -> Cost:
    """Measure a run, and the writing of what it left."""
    process, thread = time.process_time(), time.thread_time()
    run()
    thread = time.thread_time() - thread
    emitter.flush(600)
    process = time.process_time() - process
    return Cost(thread / REQUESTS * 1e6, process / REQUESTS * 1e6)


def best(costs: Sequence[Cost]) -> Cost:
    """Give the least of each: what else the machine does only adds."""
    return Cost(min(one.serving for one in costs), min(one.process for one in costs))


def quantile(values: Sequence[float], share: float) -> float:
    """Give a quantile in microseconds."""
    return sorted(values)[int(share * (len(values) - 1))] * 1e6


def main() -> None:
    """Measure and print."""
    settings = Settings(emit=Emit(queue_records=10 * REQUESTS, queue_bytes=2**32), redact=Redact(key="bench"))
    emitter = Emitter(settings, transport=Nowhere())
    watched, watched_wsgi = ASGIMiddleware(asgi, emitter), WSGIMiddleware(wsgi, emitter)
    for name, bare, with_it in (
        ("ASGI", lambda: asyncio.run(serve_asgi(asgi, REQUESTS)), lambda: asyncio.run(serve_asgi(watched, REQUESTS))),
        ("WSGI", lambda: serve_wsgi(wsgi, REQUESTS), lambda: serve_wsgi(watched_wsgi, REQUESTS)),
    ):
        rounds = [(cost(bare, emitter), cost(with_it, emitter)) for _ in range(ROUNDS)]
        alone, both = best([first for first, _ in rounds]), best([second for _, second in rounds])
        print(f"{name} middleware  {len(BODY):,} bytes of JSON answered, best of {ROUNDS} rounds of {REQUESTS:,}")
        print(f"  bare          {alone.serving:.1f} us of CPU a request")
        print(f"  a request     {both.serving - alone.serving:.1f} us more in the thread that serves (aim: under 60)")
        print(f"  all           {both.process - alone.process:.1f} us more in the process, records made and redacted")
    paced = [asyncio.run(serve_asgi(app, PACED, PACE)) for app in (asgi, watched)]
    for share in (0.5, 0.99):
        bare_us, with_us = (quantile(took, share) for took in paced)
        print(f"  p{share * 100:.0f} at {1 / PACE:,.0f} requests/s: {bare_us:.0f} us bare, {with_us:.0f} us with it")
    emitter.flush(600)
    stats = emitter.stats
    print(f"  written {stats.written:,} of {stats.seen:,}, shed {stats.shed:,}, failed {stats.failed:,}")
    emitter.close()


if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    main()
