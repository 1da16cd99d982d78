"""The processes that the demo is made of: started, waited for, watched and stopped together."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from gnomon.demo.leash import leashed
from gnomon.errors import DependencyError

__all__ = ["Part", "Parts", "answers", "free_ports", "listens"]

STOP_SECONDS: Final = 10
_POLL_SECONDS: Final = 0.05
_LOG_LINES: Final = 8


class Part(msgspec.Struct, frozen=True):
    """One process: what it is called, its command, and whether it can be used yet."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    directory: Path | None = None
    environment: Mapping[str, str] = {}


class Parts:
    """Runs parts; a context manager that stops all of them, the last started first.

    Each writes to a log file of its own, and none gets the terminal's signals: they are stopped in order. On Linux they
    end too when this process ends in a way that leaves it no time to stop them.

    Args:
        directory: Where logs go, and where parts run that name no directory.
        environment: Variables beside this process's own.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = {**os.environ, **environment}
        self._running: list[tuple[Part, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every part and wait until it has gone."""
        for _, process in reversed(self._running):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, part: Part) -> None:
        """Start a part; it need not be ready when this returns.

        Raises:
            DependencyError: Its program cannot be run.
        """
        try:
            _check_program(part.command[0])
            with self._log(part).open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - our own commands
                    leashed(part.command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=part.directory or self._directory,
                    env={**self._environment, **part.environment},
                    start_new_session=True,
                )
        except OSError as error:
            what = f"{part.name} cannot be started: {part.command[0]}: {error.strerror}"
            raise DependencyError(what, "check that it is there and may be run") from error
        self._running.append((part, process))

    def wait(self, seconds: float) -> None:
        """Wait until every part that was started is ready.

        Raises:
            DependencyError: One ended, or is not ready in time; says which, with the end of its log.
        """
        deadline = time.monotonic() + seconds
        for part, _ in self._running:
            while not part.is_ready():
                self.check()
                if time.monotonic() > deadline:
                    raise self._failed(part, f"is not ready after {seconds:.0f} s")
                time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raise DependencyError when a part has ended by itself."""
        for part, process in self._running:
            code = process.poll()
            if code is not None:
                raise self._failed(part, f"ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")

    def _log(self, part: Part) -> Path:
        return self._directory / f"{part.name}.log"

    def _failed(self, part: Part, what: str) -> DependencyError:
        log = self._log(part)
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        said = "its log is empty" if not lines else "its log ends: " + " | ".join(line.strip() for line in lines)
        return DependencyError(f"the {part.name} {what}; {said}", f"look into {log}")


def _check_program(name: str) -> None:
    """Raise OSError where there is no such program, or it may not be run."""
    if shutil.which(name) is None:
        code = errno.EACCES if Path(name).exists() else errno.ENOENT
        raise OSError(code, os.strerror(code))


def free_ports(count: int) -> list[int]:
    """Find ports of the loopback interface that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def listens(address: str) -> bool:
    """Whether somebody accepts connections at `host:port`."""
    host, _, port = address.rpartition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def answers(url: str) -> bool:
    """Whether a URL of this machine answers with a 2xx."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=1) as response:  # noqa: S310 - our own parts
        return bool(200 <= response.status < 300)
    return False
