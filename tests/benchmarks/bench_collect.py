"""`gnomon collect` onto a real Kafka, fed by as many streams as Envoy has workers; prints figures and fails on none.

Each rate offers exchanges of 1.5 KB, live on one stream and shadow on the other, for SECONDS; what the collector could
not take is shed and counted. RATES=0 offers as many as gRPC carries. The broker is that of the tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from multiprocessing import Process
from pathlib import Path
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

import grpc.aio
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.integration.envoy.parts import free_ports, wait_for
from tests.kafka.brokers import find_broker_kind, start_broker
from tests.kafka.fixtures import Topics
from tests.unit.collect.entries import encoded, head, message

from gnomon.collect.wire import METHOD, SERVICE

SECONDS = float(os.environ.get("SECONDS", "5"))
RATES = [int(rate) for rate in os.environ.get("RATES", "2500,5000,10000,0").split(",")]
STREAMS = 2
ENTRIES = 40
"""In one message: Envoy sends 64 KiB at a time."""
VARIANTS = 200


class Cost(NamedTuple):
    """What one run came to; `cpu` in seconds, `memory` in MB at the peak."""

    offered: int
    written: int
    shed: int
    cpu: float
    memory: float


def messages(stream: int) -> list[bytes]:
    """Make messages to send again and again, each of its own ids."""
    body = json.dumps(
        {"id": 7, "items": [{"sku": f"s{n}", "price": n * 1.5, "name": f"product {n}"} for n in range(9)]}
    )
    made = []
    for variant in range(VARIANTS):
        sent = message({"response_body": encoded(body), "expect": "shadow:shop@2"})
        (template,) = sent.http_logs.log_entry
        for number in range(ENTRIES):
            request_id = str(uuid5(NAMESPACE_URL, f"{variant}-{number}"))
            entry = sent.http_logs.log_entry.add()
            entry.CopyFrom(template)
            entry.request.request_id = request_id
            headers = head(
                _authority="shop.example",
                _path=f"/items/{number}?page=1",
                _method="GET",
                user_agent="bench/1.0",
                accept="application/json",
                x_request_id=request_id,
                x_forwarded_for="192.0.2.7",
                authorization=f"Bearer of-user-{number}",
            )
            entry.common_properties.metadata.filter_metadata["gnomon"].fields["request"].string_value = headers
        del sent.http_logs.log_entry[0]
        sent.identifier.log_name = "live" if stream % 2 == 0 else "shadow:shop@2"
        made.append(sent.SerializeToString())
    return made


def feed(port: int, stream: int, rate: float, sent: str) -> None:
    """Offer this many exchanges a second on one stream, by the clock and not by what is taken."""
    made = messages(stream)

    async def due() -> AsyncIterator[bytes]:
        started, count = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < SECONDS:
            if rate and count * ENTRIES > elapsed * rate:
                await asyncio.sleep(0.002)
                continue
            yield made[count % VARIANTS]
            count += 1
        total.append(count * ENTRIES)

    async def run() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await channel.stream_unary(f"/{SERVICE}/{METHOD}")(due())

    total: list[int] = []
    asyncio.run(run())
    Path(sent).write_text(str(total[0]))


def measure(kafka: str, topic: str, rate: int, directory: Path) -> Cost:
    """Run a collector and the streams that feed it."""
    port, operations = free_ports(2)
    environment = {
        **os.environ,
        "GNOMON_KAFKA": kafka,
        "GNOMON_TOPIC": topic,
        "GNOMON_REDACT_KEY": "bench",
        "GNOMON_COLLECT_BIND": f"127.0.0.1:{port}",
        "GNOMON_OPERATIONS_BIND": f"127.0.0.1:{operations}",
        "GNOMON_COLLECT_DRAIN": "60s",
    }
    command = [sys.executable, "-m", "gnomon", "collect"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=directory) as collector:
        process = psutil.Process(collector.pid)
        wait_for(lambda: port in {c.laddr.port for c in process.net_connections() if c.status == "LISTEN"}, "collector")
        before = sum(process.cpu_times()[:2])
        files = [str(directory / f"sent-{stream}") for stream in range(STREAMS)]
        feeders = [Process(target=feed, args=(port, n, rate / STREAMS, files[n])) for n in range(STREAMS)]
        for feeder in feeders:
            feeder.start()
        for feeder in feeders:
            feeder.join()
        collector.send_signal(signal.SIGTERM)
        cpu, memory = 0.0, 0.0
        while collector.poll() is None:
            try:
                cpu, memory = sum(process.cpu_times()[:2]), max(memory, process.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.005)
        assert collector.stderr is not None
        said = collector.stderr.read()
    counts = {name: int(count) for count, name in re.findall(r"(\d+) (written|shed|lost)", said)}
    offered = sum(int(Path(file).read_text()) for file in files)
    return Cost(offered, counts.get("written", 0), counts.get("shed", 0), cpu - before, memory)


def main() -> None:
    """Measure each rate."""
    kind = find_broker_kind()
    if kind is None:
        print("bench_collect: no broker can be started here")
        return
    load = os.getloadavg()[0]
    print(f"gnomon collect onto Kafka ({kind}); {platform.machine()}, {os.cpu_count()} CPUs, load {load:.1f}")
    with ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        broker = start_broker(kind, stack)
        topic = Topics(broker.bootstrap).make("bench", partitions=8)
        for rate in RATES:
            cost = measure(broker.bootstrap, topic, rate, Path(directory))
            each = cost.cpu / max(1, cost.written) * 1e6
            print(
                f"offered {cost.offered / SECONDS:,.0f}/s: {cost.written:,} written, {cost.shed:,} shed,"
                f" {each:.0f} us of CPU each, {1e6 / each:,.0f}/s a core, {cost.memory:.0f} MB"
            )


if __name__ == "__main__":
    main()
