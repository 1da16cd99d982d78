"""Sends one request and writes down what came back, as an exchange record.

Only the standard library: what is recorded must not depend on what reads it later.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import time
from dataclasses import dataclass
from typing import Any

from tests.integration.httpbin.cases import Case

__all__ = ["HOST", "Side", "record"]

HOST = "httpbin.test"
"""Sent to both sides whatever their port is, as a mirror does: otherwise every echoed URL would differ."""

EMITTER = "httpbin-recorder"
CHUNK_BYTES = 4096


@dataclass(frozen=True)
class Side:
    """Who is asked: a role, the name of its build, and a port on the loopback interface."""

    role: str
    target: str
    port: int


def record(case: Case, side: Side) -> dict[str, Any]:
    """Send the case's request to one side and return the exchange record, whatever happens to it."""
    headers = _request_headers(case)
    exchange: dict[str, Any] = {
        "v": 1,
        "request_id": case.id,
        "role": side.role,
        "target": side.target,
        "service": "httpbin",
        "started_us": time.time_ns() // 1000,
    }
    started = time.perf_counter_ns()
    answer = _send(case, side.port, headers)
    exchange["duration_us"] = (time.perf_counter_ns() - started) // 1000
    exchange["request"] = {
        "method": case.method,
        "path": case.path,
        "host": HOST,
        "headers": [list(header) for header in headers],
        "body": _body(case.body or b""),
    }
    return {**exchange, **answer, "emitter": EMITTER}


def _request_headers(case: Case) -> list[tuple[str, str]]:
    framing = []
    if case.body is not None:
        framing = [("Transfer-Encoding", "chunked")] if case.chunked else [("Content-Length", str(len(case.body)))]
    return [("Host", HOST), ("Connection", "close"), ("X-Request-Id", case.id), *case.headers, *framing]


def _send(case: Case, port: int, headers: list[tuple[str, str]]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=case.timeout)
    try:
        connection.putrequest(case.method, case.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode())
        connection.endheaders(_chunks(case), encode_chunked=case.chunked)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return {"response": None, "error": {"kind": _error_kind(error), "message": str(error)}}
    finally:
        connection.close()
    return {
        "response": {"status": response.status, "headers": _response_headers(response), "body": _body(body)},
        "error": None,
    }


def _chunks(case: Case) -> bytes | list[bytes] | None:
    if case.body is None or not case.chunked:
        return case.body
    return [case.body[start : start + CHUNK_BYTES] for start in range(0, len(case.body), CHUNK_BYTES)]


def _response_headers(response: http.client.HTTPResponse) -> list[list[str]]:
    return [[name, value] for name, value in response.headers.items()]


def _error_kind(error: Exception) -> str:
    """What the caller of a real client would have seen (`RemoteDisconnected` is a `ConnectionResetError`)."""
    if isinstance(error, ConnectionRefusedError):
        return "connect"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError | http.client.IncompleteRead):
        return "reset"
    return "protocol"


def _body(data: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    try:
        text, encoding = data.decode(), "text"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(data).decode("ascii"), "base64"
    return {"data": text, "encoding": encoding, "size": len(data), "hash": digest, "truncated": False}
