from __future__ import annotations

import asyncio
import logging
import socket

import aiohttp
import pytest

from gnomon.config import Operations
from gnomon.errors import ConfigError, DependencyError
from gnomon.operations import OperationsServer, ProcessMetrics, Readiness

FREE = Operations(bind="127.0.0.1:0")


async def ask(address: str, path: str) -> tuple[int, str, str]:
    """Give the status, the content type and the text of an answer."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as answer:
        return answer.status, answer.headers["content-type"], await answer.text()


def test_health_readiness_and_metrics() -> None:
    """/healthz answers while the loop turns, /readyz says why not, /metrics is Prometheus' text."""

    async def look() -> None:
        readiness = Readiness(["store"])
        async with OperationsServer(FREE, readiness, ProcessMetrics("worker", readiness)) as server:
            assert await ask(server.address, "/healthz") == (200, "application/json", '{"status":"ok"}\n')
            readiness.not_ready("store", "the disk is full: </script>\n")
            reasons = '{"ready":false,"reasons":{"store":"the disk is full: </script>\\n"}}\n'
            assert await ask(server.address, "/readyz") == (503, "application/json", reasons)
            readiness.ready("store")
            assert (await ask(server.address, "/readyz"))[0] == 200
            status, kind, text = await ask(server.address, "/metrics")
            assert (status, kind.partition(";")[0]) == (200, "text/plain")
            assert 'gnomon_ready{part="store"} 1.0' in text
            assert (await ask(server.address, "/"))[0] == 404

    asyncio.run(look())


def test_a_default_that_is_taken_gives_way_to_a_free_port(caplog: pytest.LogCaptureFixture) -> None:
    """Two workers on one machine both have their endpoint; the log says where the second one's is."""

    async def look(taken: str) -> None:
        readiness = Readiness([])
        metrics = ProcessMetrics("worker", readiness)
        async with OperationsServer(Operations(bind=taken), readiness, metrics, chosen=False) as server:
            assert server.address != taken
            assert (await ask(server.address, "/healthz"))[0] == 200
            assert f"health and metrics are at http://{server.address}" in caplog.text

    with socket.create_server(("127.0.0.1", 0)) as other, caplog.at_level(logging.INFO):
        asyncio.run(look(f"127.0.0.1:{other.getsockname()[1]}"))
    assert "is taken, so a free port is used" in caplog.text


def test_a_chosen_address_that_is_taken_is_an_error() -> None:
    """Who chose the address is told that another process has it."""
    readiness = Readiness([])
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        server = OperationsServer(Operations(bind=bind), readiness, ProcessMetrics("worker", readiness))
        with pytest.raises(DependencyError, match=f"operations.bind: {bind} is taken by another process"):
            asyncio.run(server.start())


def test_an_address_of_another_machine_is_an_error() -> None:
    """An address that cannot be listened on is a wrong setting."""
    readiness = Readiness([])
    server = OperationsServer(Operations(bind="192.0.2.1:6066"), readiness, ProcessMetrics("worker", readiness))
    with pytest.raises(ConfigError, match=r"operations.bind: cannot listen on 192.0.2.1:6066"):
        asyncio.run(server.start())


def test_ipv6_addresses_are_taken_too() -> None:
    """`[::1]:0` is an address like any other, where the machine has IPv6."""

    async def look() -> None:
        readiness = Readiness([])
        async with OperationsServer(Operations(bind="[::1]:0"), readiness, ProcessMetrics("w", readiness)) as server:
            assert (await ask(server.address, "/healthz"))[0] == 200

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return
    asyncio.run(look())
