"""What callers feel of mirroring and collecting: latencies through a real Envoy, under an open-loop load.

Requests are due at a fixed rate, 40 % of what one thread of Envoy carries here while it mirrors to two targets and
reports to the collector, and a latency counts from the time a request was due: a stall is felt by all whom it delays
(as wrk2 measures; Gil Tene, "How not to measure latency"). Where there are two CPUs, Envoy has one and all others share
the other, in which callers and the live service come first: the shadow, the control, the collector and Kafka, which are
on other machines in production, have of it what those leave. Each case is SECONDS long. It prints figures and fails on
none.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.integration.envoy.parts import (
    COLLECTOR,
    CONTROL_SERVICE,
    DEPLOY,
    LIVE_SERVICE,
    SHADOW_SERVICE,
    CollectorProcess,
    ask,
    envoy,
    find_envoy,
    free_ports,
    wait_for,
)
from tests.kafka.brokers import KafkaProcess, has_maven

SECONDS = float(os.environ.get("SECONDS", "5"))
CONNECTIONS = 64
SHARE_OF_CAPACITY = 0.4
BODY = '{"items":[' + ",".join(f'{{"sku":"s{n}","price":{n}.5,"name":"product {n}"}}' for n in range(12)) + "]}"
PINNED = (os.cpu_count() or 1) > 1 and hasattr(os, "sched_setaffinity")
ENVOY_CPU, OTHERS_CPU = (0, 1) if PINNED else (None, None)

CAPTURE = re.findall(
    r"          - name: gnomon.capture\n.*?capture.lua\}\n", (DEPLOY / "envoy.yaml").read_text(), re.DOTALL
)[0]
SERVICE = """
- address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
  filter_chains:
  - filters:
    - name: http
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: service
        route_config:
          virtual_hosts:
          - name: all
            domains: ["*"]
            routes: [{{match: {{prefix: /}}, direct_response: {{status: 200, body: {{inline_string: '{body}'}}}}}}]
        http_filters:
        - name: envoy.filters.http.router
          typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"""


class Load(NamedTuple):
    """Latencies in milliseconds, sorted, and how many requests went wrong."""

    latencies: list[float]
    errors: int

    def quantile(self, q: float) -> float:
        """Give a quantile, infinite where nothing was answered."""
        return (
            self.latencies[min(len(self.latencies) - 1, int(q * len(self.latencies)))]
            if self.latencies
            else float("inf")
        )


class _Caller(asyncio.Protocol):
    """One connection: sends a request when told, says when its answer is there."""

    def __init__(self, done: Callable[[_Caller, bool], None]) -> None:
        self.done = done
        self.due = 0.0
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, due: float) -> None:
        """Send a request that was due then."""
        self.due = due
        self.transport.write(b"GET /items/7?q=1 HTTP/1.1\r\nhost: shop.example\r\naccept: */*\r\n\r\n")  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if end and len(body) >= len(BODY):
            is_well = head.startswith(b"HTTP/1.1 200") and body == BODY.encode()
            self._buffer = b""
            self.done(self, is_well)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - whatever it was
        self.done(self, False)


def offer(port: int, rate: float, seconds: float, cpu: int | None) -> Load:
    """Offer requests at a rate; at rate 0 as many as 64 connections carry."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    return asyncio.run(_offer(port, rate, seconds))


class _Callers:
    """The connections of one load, and what came back."""

    def __init__(self, until: float | None) -> None:
        self.latencies: list[float] = []
        self.errors = 0
        self.idle: list[_Caller] = []
        self._waiting: deque[float] = deque()
        self._until = until

    async def connect(self, port: int) -> None:
        """Open all connections."""
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, caller = await loop.create_connection(lambda: _Caller(self._done), "127.0.0.1", port)
            self.idle.append(caller)

    def ask(self, due: float) -> None:
        """Send a request that was due then, or have it wait for a connection."""
        if self.idle:
            self.idle.pop().ask(due)
        else:
            self._waiting.append(due)

    def _done(self, caller: _Caller, is_well: bool) -> None:
        now = time.perf_counter()
        if is_well:
            self.latencies.append((now - caller.due) * 1000)
        else:
            self.errors += 1
        if self._until is not None and now < self._until:
            caller.ask(now)
        elif self._waiting:
            caller.ask(self._waiting.popleft())
        else:
            self.idle.append(caller)

    async def finish(self) -> Load:
        """Wait for the answers that are out, three seconds at most; what is missing then is an error."""
        for _ in range(300):
            if len(self.idle) >= CONNECTIONS:
                break
            await asyncio.sleep(0.01)
        return Load(sorted(self.latencies), self.errors + max(0, CONNECTIONS - len(self.idle)))


async def _offer(port: int, rate: float, seconds: float) -> Load:
    callers = _Callers(None if rate else time.perf_counter() + seconds)
    await callers.connect(port)
    started = time.perf_counter()
    if not rate:
        while callers.idle:
            callers.ask(started)
        await asyncio.sleep(seconds)
    for number in range(int(rate * seconds)):
        due = started + number / rate
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        callers.ask(due)
    return await callers.finish()


@contextmanager
def services(directory: Path, ports: list[int], *, beside: bool) -> Iterator[None]:
    """Answer at once on these ports: an Envoy too, so that the services are not what is measured."""
    (admin,) = free_ports(1)
    text = "static_resources:\n  listeners:" + "".join(SERVICE.format(port=p, body=BODY) for p in ports).replace(
        "\n", "\n  "
    )
    file = directory / f"services-{ports[0]}.yaml"
    file.write_text(f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}\n{text}\n")
    command = [str(find_envoy()), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    with subprocess.Popen(command) as process:
        try:
            wait_for(lambda: all(_answers(port) for port in ports), "the services")
            pin(process.pid, beside=beside)
            yield
        finally:
            process.kill()


def pin(pid: int, *, beside: bool) -> None:
    """Keep a process away from Envoy's CPU; what is beside production runs only when nothing else wants to."""
    if OTHERS_CPU is None:
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {OTHERS_CPU})
        if beside:
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))


def _answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/").status == 200
    except OSError:
        return False


class Bench:
    """The parts that all cases share."""

    def __init__(self, directory: Path, kafka: KafkaProcess) -> None:
        self.directory = directory
        self.kafka = kafka
        self.live, self.shadow, self.control = free_ports(3)
        self.rate = 0.0
        self._cases = 0

    def case(
        self,
        name: str,
        *,
        mirroring: bool = True,
        shadow: int | None = None,
        during: Callable[[CollectorProcess], None] | None = None,
    ) -> Load:
        """Measure one case in an Envoy and with a collector of its own; `during` happens after a third of it."""
        self._cases += 1
        directory = self.directory / str(self._cases)
        directory.mkdir()
        (collector_port,) = free_ports(1)
        ports: Mapping[int, int] = {
            LIVE_SERVICE: self.live,
            SHADOW_SERVICE: shadow or self.shadow,
            CONTROL_SERVICE: self.control,
            COLLECTOR: collector_port,
        }
        collector = CollectorProcess(
            directory, collector_port, out=False, environment={"GNOMON_KAFKA": self.kafka.bootstrap}
        )
        collector.start()
        pin(collector.pid, beside=True)
        # Without mirroring nothing is recorded either
        changes = {} if mirroring else {"share: 1.0": "share: 0.0", CAPTURE: ""}
        try:
            with envoy(directory, ports, changes, cpu=ENVOY_CPU) as port, Pool(1) as pool:
                pool.apply(offer, (port, self.rate or 500, 1.0, None))
                running = pool.apply_async(offer, (port, self.rate, SECONDS, OTHERS_CPU))
                running.wait(SECONDS / 3)
                if during is not None:
                    during(collector)
                load = running.get(SECONDS * 10)
        finally:
            collector.kill()
        print(
            f"{name:28} p50 {load.quantile(0.5):7.2f} ms   p99 {load.quantile(0.99):7.2f} ms   errors {load.errors}"
            f"   answered {len(load.latencies)}"
        )
        return load


def main() -> None:
    """Measure all cases."""
    if find_envoy() is None or not has_maven():
        print("bench_live_path: Envoy and a Kafka that can be stopped (java, mvn) are needed")
        return
    print(
        f"live path; {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {SECONDS:.0f} s a case"
    )
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = stack.enter_context(KafkaProcess())
        bench = Bench(directory, kafka)
        pin(kafka.pid, beside=True)
        stack.enter_context(services(directory, [bench.live], beside=False))
        stack.enter_context(services(directory, [bench.shadow, bench.control], beside=True))
        bench.case("as many as it carries", mirroring=False)
        capacity = len(bench.case("the same, mirrored").latencies) / SECONDS
        bench.rate = capacity * SHARE_OF_CAPACITY
        print(f"at {bench.rate:,.0f} requests/s, {SHARE_OF_CAPACITY:.0%} of that:")
        off = bench.case("mirroring off", mirroring=False)
        hung = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000))
        (nobody,) = free_ports(1)
        loads = {
            "mirrored and collected": bench.case("mirrored and collected"),
            "collector killed": bench.case("collector killed", during=lambda c: c.stop(signal.SIGKILL) and None),
            "shadow hung": bench.case("shadow hung", shadow=hung.getsockname()[1]),
            "shadow down": bench.case("shadow down", shadow=nobody),
            "Kafka down": bench.case("Kafka down", during=lambda _: kafka.kill()),
        }
        bound = off.quantile(0.99) * 1.1 + 1
        for name, load in loads.items():
            more = load.quantile(0.99) - off.quantile(0.99)
            holds = "within" if load.quantile(0.99) <= bound else "above"
            print(f"{name:28} p99 {more:+.2f} ms beside mirroring off: {holds} 10 % + 1 ms; errors {load.errors}")


if __name__ == "__main__":
    main()
