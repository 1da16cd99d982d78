from __future__ import annotations

import subprocess
import sys

import pytest

import gnomon.emit

HEAVY = (
    "aiohttp",
    "aiokafka",
    "asyncio",
    "click",
    "confluent_kafka",
    "duckdb",
    "faust",
    "google.protobuf",
    "httpx",
    "lxml",
    "numpy",
    "pandas",
    "pyarrow",
    "requests",
    "rich",
)
MIDDLEWARE = """
import io, os
os.environ |= {"GNOMON_EMIT_OUT": os.devnull, "GNOMON_REDACT_KEY": "k"}
from gnomon.emit import WSGIMiddleware, shared_emitter
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"a": 1}']
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": io.BytesIO()}
result = WSGIMiddleware(app)(environ, lambda *_: None)
assert list(result) == [b'{"a": 1}']
result.close()
assert shared_emitter().close()
assert shared_emitter().stats.written == 1
"""
KAFKA = """
import os
os.environ["GNOMON_REDACT_KEY"] = "k"
from gnomon.emit import Emitter
Emitter()
"""


def loaded_after(code: str) -> set[str]:
    """Run code in a fresh interpreter and give the heavy modules that it loaded."""
    script = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("code", ["import gnomon.emit", MIDDLEWARE])
def test_a_service_gets_nothing_heavy(code: str) -> None:
    """Neither by the import nor by recording to a file; a WSGI service does not even get asyncio."""
    assert loaded_after(code) == set()


def test_kafkas_client_is_loaded_by_those_who_write_to_kafka() -> None:
    """At the start, not in the middle of the first request."""
    assert loaded_after(KAFKA) == {"aiokafka", "asyncio"}


def test_each_public_name_is_there() -> None:
    """`__all__` is what is exported."""
    for name in gnomon.emit.__all__:
        assert getattr(gnomon.emit, name) is not None
    assert len(set(gnomon.emit.__all__)) == len(gnomon.emit.__all__)
