"""httpbin under gunicorn on a free loopback port, and a port where nobody listens."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["dead_port", "serving"]

READY_SECONDS = 30
STOP_SECONDS = 10
THREADS = 4


@contextmanager
def serving(python: Path, log: Path) -> Iterator[int]:
    """Run httpbin with the interpreter `python`; yields the port once a request has been answered.

    The socket is made here and handed to gunicorn, so no other process can take the port in between, and a
    request that is sent at once simply waits in its backlog: no polling. One worker process with a fixed number
    of threads: `/bytes/{n}?seed=` seeds a generator that all threads share.

    Raises:
        RuntimeError: The server ended, or did not answer within 30 s; the message is its log.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(python, listener.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[listener.fileno()],
            env=_environment(),
            cwd=log.parent,
        )
    # The server's copy is now the only one: if it dies, waiting connections fail instead of hanging.
    listener.close()
    try:
        _wait_until_answering(port, log)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def dead_port() -> Iterator[int]:
    """A port that refuses connections: bound, so that nobody else gets it, and never listened on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _command(python: Path, descriptor: int) -> list[str]:
    options = {
        "bind": f"fd://{descriptor}",
        "worker-class": "gthread",
        "workers": "1",
        "threads": str(THREADS),
        "graceful-timeout": "1",
        "log-level": "warning",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [str(python), "-m", "gunicorn", *flags, "httpbin:app"]


def _environment() -> dict[str, str]:
    # A fixed hash seed keeps the order of the methods in `Allow`, which comes from a set, the same in every run.
    # Nothing else is handed on: httpbin reads DEBUG, SENTRY_DSN and more.
    return {"PATH": os.environ.get("PATH", os.defpath), "PYTHONHASHSEED": "0", "TZ": "UTC"}


def _wait_until_answering(port: int, log: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
    try:
        connection.request("GET", "/ip", headers={"Connection": "close"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        message = f"httpbin did not answer ({error}); its log:\n{log.read_text()}"
        raise RuntimeError(message) from error
    finally:
        connection.close()
