"""Servers as processes of their own, with workers that are forked, ended by the signal that ends them in production."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.kafka.brokers import free_port, is_listening, wait_for

from gnomon.core.decode import decode_exchange
from gnomon.model import Exchange, Place

pytestmark = pytest.mark.integration

FLASK = """
    import os
    from flask import Flask
    from gnomon.emit import WSGIMiddleware, current_tags

    app = Flask(__name__)
    app.wsgi_app = WSGIMiddleware(app.wsgi_app)

    @app.get("/process")
    def process():
        return {"pid": os.getpid(), "id": current_tags().id}
"""
STARLETTE = """
    import os
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    from gnomon.emit import ASGIMiddleware, current_tags

    async def process(request):
        return JSONResponse({"pid": os.getpid(), "id": current_tags().id})

    app = Starlette(routes=[Route("/process", process)], middleware=[Middleware(ASGIMiddleware)])
"""


@contextmanager
def running(directory: Path, app: str, *command: str) -> Iterator[str]:
    """Run a server on an application until the block ends, then end it as an orchestrator does."""
    (directory / "service.py").write_text(textwrap.dedent(app), encoding="utf-8")
    port = free_port()
    environment = {
        **os.environ,
        "GNOMON_EMIT_OUT": str(directory / "out.ndjson"),
        "GNOMON_REDACT_KEY": "k",
        "GNOMON_SERVICE": "shop",
        "GNOMON_ROLE": "shadow",
    }
    arguments = [sys.executable, "-m", *[part.format(port=port) for part in command]]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(arguments, cwd=directory, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            wait_for("the server listens", lambda: is_listening(f"127.0.0.1:{port}"), 60)
            yield f"http://127.0.0.1:{port}"
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        finally:
            process.kill()


def ask(url: str, count: int) -> tuple[set[int], set[str]]:
    """Ask so often, and give the processes that answered, and the ids that they saw."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get("/process", headers={"connection": "close"}).json(), range(count)))
    return {answer["pid"] for answer in answers}, {answer["id"] for answer in answers}


def recorded(directory: Path) -> list[Exchange]:
    """What was written."""
    lines = (directory / "out.ndjson").read_bytes().splitlines()
    found = [decode_exchange(line, Place("out")) for line in lines]
    assert all(isinstance(exchange, Exchange) for exchange in found), found
    return [exchange for exchange in found if isinstance(exchange, Exchange)]


GUNICORN = ("gunicorn", "service:app", "--bind", "127.0.0.1:{port}", "--workers", "2")
UVICORN = ("uvicorn", "service:app", "--port", "{port}")


@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn forks")
@pytest.mark.parametrize("more", [(), ("--preload",), ("--threads", "4")], ids=["plain", "preload", "threads"])
def test_each_worker_of_gunicorn_records_what_it_serves(tmp_path: Path, more: tuple[str, ...]) -> None:
    """With the application loaded before the fork too; ending the server loses nothing."""
    with running(tmp_path, FLASK, *GUNICORN, *more) as url:
        _, ids = ask(url, 200)
    exchanges = recorded(tmp_path)
    assert {exchange.request_id for exchange in exchanges} == ids
    assert len(exchanges) == len(ids) == 200
    assert {(exchange.service, exchange.role) for exchange in exchanges} == {("shop", "shadow")}


@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["plain", "workers"])
def test_uvicorn_ends_by_its_signal_and_loses_nothing(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Under a framework that speaks lifespan, what waits is written before the process is gone."""
    with running(tmp_path, STARLETTE, *UVICORN, *more) as url:
        _, ids = ask(url, 200)
    assert {exchange.request_id for exchange in recorded(tmp_path)} == ids
    assert len(ids) == 200


def run(directory: Path, code: str) -> str:
    """Run a script to its end."""
    environment = {**os.environ, "GNOMON_EMIT_OUT": str(directory / "out.ndjson"), "GNOMON_REDACT_KEY": "k"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


SERVE_ONE = """
    import io
    from gnomon.emit import WSGIMiddleware
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"hello"]
    app = WSGIMiddleware(app)
    def serve(name):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": io.BytesIO(), "HTTP_X_REQUEST_ID": name}
        result = app(environ, lambda *_: None)
        list(result)
        result.close()
"""


def test_a_process_that_ends_at_once_loses_nothing(tmp_path: Path) -> None:
    """The interpreter's end waits for what waits."""
    run(tmp_path, SERVE_ONE + "    serve('r-1')\n")
    assert [exchange.request_id for exchange in recorded(tmp_path)] == ["r-1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_that_forks_amid_requests_writes_each_record_once(tmp_path: Path) -> None:
    """The child has none of the parent's queue, and a thread of its own."""
    code = """
        import os
        for round in range(20):
            serve(f"parent-{round}")
            child = os.fork()
            if not child:
                serve(f"child-{round}")
                break
            os.waitpid(child, 0)
    """
    run(tmp_path, textwrap.dedent(SERVE_ONE) + textwrap.dedent(code))
    ids = sorted(exchange.request_id for exchange in recorded(tmp_path))
    assert ids == sorted([*(f"parent-{n}" for n in range(20)), *(f"child-{n}" for n in range(20))])


def test_a_broker_that_is_down_does_not_keep_a_process_from_ending(tmp_path: Path) -> None:
    """It waits as long as the setting says, then it ends as ever, and says nothing more than that in the log."""
    code = f"""
        import os
        os.environ |= {{"GNOMON_KAFKA": "127.0.0.1:{free_port()}", "GNOMON_EMIT_DRAIN": "1s", "GNOMON_REDACT_KEY": "k"}}
        del os.environ["GNOMON_EMIT_OUT"]
        import logging
        logging.basicConfig(level="INFO", format="%(name)s", filename=r"{tmp_path / "log"}")
    """
    done = run(tmp_path, textwrap.dedent(code) + textwrap.dedent(SERVE_ONE) + "serve('r-1')\n")
    assert done == ""
    assert (tmp_path / "log").read_text().split() == ["gnomon.emit"]
