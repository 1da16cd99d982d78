"""What one would write first: a stock Faust agent with `exactly_once`. Run by bench_route.py."""

from __future__ import annotations

import json
import os
from typing import Any

import faust
import orjson

SOURCE, CLEAN, SYNTHETIC, _ = json.loads(os.environ["STOCK_TOPICS"])

app = faust.App(
    os.environ["STOCK_GROUP"],
    broker=f"kafka://{os.environ['STOCK_KAFKA']}",
    datadir=os.environ["STOCK_DATA"],
    processing_guarantee="exactly_once",
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,
    consumer_auto_offset_reset="earliest",
    broker_commit_interval=1.0,
    autodiscover=False,
)
source = app.topic(SOURCE, value_serializer="raw", key_serializer="raw")
clean = app.topic(CLEAN, value_serializer="raw", key_serializer="raw")
synthetic = app.topic(SYNTHETIC, value_serializer="raw", key_serializer="raw")


@app.agent(source)
async def split(stream: Any) -> None:
    """Send each event on, to the same partition."""
    async for event in stream.events():
        user = orjson.loads(event.value.removeprefix(b"\xef\xbb\xbf")).get("user") or {}
        tagged = isinstance(user, dict) and str(user.get("id")).startswith("synthetic-")
        await (synthetic if tagged else clean).send(
            key=event.key, value=event.value, partition=event.message.partition, headers=event.message.headers
        )


if __name__ == "__main__":
    faust.Worker(app, loglevel="error", quiet=True, redirect_stdouts=False).execute_from_commandline()
