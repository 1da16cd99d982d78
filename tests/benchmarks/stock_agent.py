"""What one would write first: a stock Faust agent that joins pairs by request id and runs DeepDiff on each.

It lands nothing: what it takes is joining and comparing alone. Run by bench_worker.py, which passes its settings in the
environment; ends by itself after STOCK_PAIRS pairs and prints what they took.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import faust
import orjson
from deepdiff import DeepDiff

PAIRS = int(os.environ["STOCK_PAIRS"])

app = faust.App(
    os.environ["STOCK_GROUP"],
    broker=f"kafka://{os.environ['STOCK_KAFKA']}",
    store="memory://",
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,
    consumer_auto_offset_reset="earliest",
    autodiscover=False,
)
topic = app.topic(os.environ["STOCK_TOPIC"], value_serializer="raw", key_serializer="raw")
waiting: dict[str, dict[str, Any]] = {}


def document(record: dict[str, Any]) -> dict[str, Any]:
    """What is compared of one side."""
    response = record["response"]
    headers = {name: value for name, value in response["headers"] if name != "date"}
    return {"status": response["status"], "headers": headers, "body": orjson.loads(response["body"]["data"])}


@app.agent(topic)
async def compare(stream: Any) -> None:
    """Join and compare, record by record."""
    count = differing = 0
    began = cpu = 0.0
    async for value in stream:
        record = orjson.loads(value)
        other = waiting.pop(record["request_id"], None)
        if other is None:
            waiting[record["request_id"]] = record
            continue
        if not count:
            began, cpu = time.perf_counter(), time.process_time()
        differing += bool(DeepDiff(document(other), document(record)))
        count += 1
        if count == PAIRS:
            took = {"pairs": count - 1, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
            print(json.dumps(took), flush=True)
            os._exit(0)


if __name__ == "__main__":
    faust.Worker(app, loglevel="error", quiet=True, redirect_stdouts=False).execute_from_commandline()
