"""`gnomon.emit`: what a Python service needs to take part. It imports nothing heavy.

- `ASGIMiddleware` and `WSGIMiddleware` record each exchange and carry its tags through the code that serves it.
- `tag_httpx`, `tag_requests`, `tag_aiohttp`, `tag_aiokafka` and `tag_confluent` have clients and producers take the
  tags along; `current_tags` and `outgoing_headers` give them to anything else.
- `Emitter` writes the records in the background, to Kafka or to a file, and never stands in a request's way.
"""

from __future__ import annotations

from gnomon.core.tags import Tags
from gnomon.emit.asgi import ASGIMiddleware
from gnomon.emit.context import carry_tags, current_tags, outgoing_headers
from gnomon.emit.emitter import EmitStats, Emitter, shared_emitter
from gnomon.emit.outgoing import tag_aiohttp, tag_httpx, tag_requests
from gnomon.emit.producers import tag_aiokafka, tag_confluent
from gnomon.emit.wsgi import WSGIMiddleware

__all__ = [
    "ASGIMiddleware",
    "EmitStats",
    "Emitter",
    "Tags",
    "WSGIMiddleware",
    "carry_tags",
    "current_tags",
    "outgoing_headers",
    "shared_emitter",
    "tag_aiohttp",
    "tag_aiokafka",
    "tag_confluent",
    "tag_httpx",
    "tag_requests",
]
