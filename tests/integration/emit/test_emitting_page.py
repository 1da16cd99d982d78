"""The examples of docs/emitting.md run, in their order, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer
from tests.integration.emit.servers import with_uvicorn
from tests.kafka.brokers import Broker
from tests.kafka.fixtures import Topics

from gnomon.core.decode import decode_exchange
from gnomon.core.tags import read_tags
from gnomon.emit import shared_emitter
from gnomon.model import Exchange, Place

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[3] / "docs" / "emitting.md"
BLOCK = re.compile(r"^<!-- tested -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_example_is_tested() -> None:
    """No block of Python is without its mark."""
    text = PAGE.read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) == text.count("```python") == 5


def test_the_examples_run(
    kafka: Broker, topics: Topics, group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one program; then its services are asked, and what they recorded and sent is looked at."""
    topic = topics.make("orders")
    out = tmp_path / "out.ndjson"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GNOMON_EMIT_OUT", str(out))
    monkeypatch.setenv("GNOMON_REDACT_KEY", "k")
    shared_emitter.cache_clear()
    text = "\n".join(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    program: dict[str, Any] = {}
    exec(  # noqa: S102 - it is our own page
        compile(text.replace("127.0.0.1:9092", kafka.bootstrap).replace('"orders"', f'"{topic}"'), str(PAGE), "exec"),
        program,
    )
    with with_uvicorn(program["app"]) as url, httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.get("/carts/7", headers={"x-request-id": "r-7", "x-feature-flags": "theme=b"})
    assert answer.json() == {"id": "7", "theme": "b"}
    with program["shop"].test_client().get("/items/3", headers={"x-request-id": "r-3"}) as response:  # servers close it
        assert response.json["price"] == 9.99
    assert program["emitter"].close(20)
    program["session"].close()
    exchanges = [decode_exchange(line, Place("out")) for line in out.read_bytes().splitlines()]
    found = {e.request_id: (e.service, e.target, e.flags) for e in exchanges if isinstance(e, Exchange)}
    assert found == {"r-7": ("cart", "cart@2.4.0-rc1", {"theme": "b"}), "r-3": ("shop", "", {})}
    shared_emitter.cache_clear()

    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    messages = [*consumer.consume(1, timeout=30), *consumer.consume(1, timeout=30)]
    consumer.close()
    tags = [read_tags([(name, (value or b"").decode()) for name, value in m.headers() or []]) for m in messages]
    assert [(tag.id, tag.synthetic) for tag in tags] == [("r-1", "load-test")] * 2
