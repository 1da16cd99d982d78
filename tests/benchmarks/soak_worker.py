"""`make soak`: one worker at full speed for ten minutes, on a real broker, while somebody reads; is its memory flat?

Prints memory every half minute, and at the end rows against pairs sent. MINUTES in the environment changes how long.
Exits 1 when a pair is missing or double, or when memory grew by more than a fifth over the second half.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from confluent_kafka.admin import AdminClient, NewTopic
from traffic import pairs

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kafka.brokers import find_broker_kind, start_broker
from tests.kafka.workers import Reader, Sender, Store, WorkerProcess

MINUTES = float(os.environ.get("MINUTES", "10"))
AHEAD = 50_000
"""How many pairs may wait on Kafka: the worker always has enough to do, the broker's disk is spared."""


def main() -> int:
    """Run it."""
    kind = find_broker_kind()
    if kind is None:
        print("there is no broker: install java (17 or later) and mvn, or set GNOMON_TEST_KAFKA")
        return 2
    with ExitStack() as stack:
        broker = start_broker(kind, stack)
        topic = f"soak-{secrets.token_hex(4)}"
        AdminClient({"bootstrap.servers": broker.bootstrap}).create_topics([NewTopic(topic, 8, 1)])[topic].result(60)
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        store = Store(Path(directory) / "store")
        settings = {"GNOMON_KAFKA": broker.bootstrap, "GNOMON_TOPIC": topic, "GNOMON_GROUP": topic}
        worker = stack.enter_context(WorkerProcess(store.path, settings))
        reader = stack.enter_context(Reader(store))
        sent, memory = _send(Sender(broker.bootstrap, topic), store, psutil.Process(worker.process.pid))
        store.wait_for(sent, 300)
        ((rows, distinct),) = store.rows("SELECT count(*), count(DISTINCT request_id) FROM comparisons")
        print(f"{sent:,} pairs sent, {rows:,} rows of {distinct:,} requests; {reader.asked} queries, {reader.wrong}")
        second_half = memory[len(memory) // 2 :]
        grew = max(second_half) > 1.2 * min(second_half)
        return int(grew or bool(reader.wrong) or not rows == distinct == sent)


def _send(sender: Sender, store: Store, worker: psutil.Process) -> tuple[int, list[float]]:
    """Keep the worker busy; give how many pairs were sent, and its memory in MB over time."""
    began = looked = time.monotonic()
    memory: list[float] = []
    sent = 0
    for live, shadow in pairs(1 << 40):
        key = f"{sent:08x}-0000-4000-8000-{sent:012x}"
        sender.send(live, key=key)
        sender.send(shadow, key=key)
        sent += 1
        if sent % 5000:
            continue
        while sent - (landed := store.count()) > AHEAD:
            time.sleep(0.5)
        now = time.monotonic()
        if now - looked > 30:
            looked = now
            memory.append(worker.memory_info().rss / 1e6)
            print(f"{now - began:5.0f} s: {landed:,} landed, {memory[-1]:,.0f} MB", flush=True)
        if now - began > 60 * MINUTES:
            break
    sender.flush()
    return sent, memory


if __name__ == "__main__":
    sys.exit(main())
