"""The parts of the demo wired together, and the traffic through them."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from gnomon.config import Verdict
from gnomon.demo.broker import small_broker
from gnomon.demo.envoy import PORTS, find_envoy, write_configuration
from gnomon.demo.findings import Findings, compare_findings
from gnomon.demo.hook import HookServer
from gnomon.demo.orders import Orders
from gnomon.demo.parts import Part, Parts, answers, free_ports
from gnomon.demo.traffic import send
from gnomon.errors import DependencyError, InputError
from gnomon.store import Selection, open_store
from gnomon.verdict import judge_store

__all__ = ["MARK", "DemoOptions", "System"]

START_SECONDS: Final = 40
PARTITIONS: Final = 4

MARK: Final = "# The settings of `gnomon demo`; `gnomon query`, `verdict` and `report` find them in this directory."
"""How the settings file of a demo begins."""

_SETTINGS: Final = """\
{mark}
[kafka]
bootstrap = "{bootstrap}"
topic = "{topic}"
group = "{topic}"

[join]
window = "3s"

[store]
path = "gnomon.store"

[collect]
bind = "127.0.0.1:{collector}"
service = "shop"

[web]
bind = "127.0.0.1:{web}"
url = "http://127.0.0.1:{web}"

[watch]
interval = "2s"

[[alert]]
name = "the candidate diverges"
metric = "divergence_rate"
above = 0.05
severity = "critical"
hooks = ["http://127.0.0.1:{hook}/"]
"""


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to run the demo with; `kafka` and `envoy` stand in for what comes from PyPI."""

    directory: Path
    kafka: str | None = None
    envoy: Path | None = None


class System:
    """The running demo: a context manager that stops all of it.

    Args:
        options: What to run it with.
        tell: Gets a line for each step.

    Raises:
        DependencyError: A part is not installed, cannot be started, or is not ready in time.
        InputError: There is no program at the path given for Envoy.
    """

    def __init__(self, options: DemoOptions, tell: Callable[[str], None]) -> None:
        self.store = options.directory / "gnomon.store"
        self._options = options
        self._tell = tell
        operations = [f"{name} operations" for name in ("collector", "worker", "watch", "route")]
        names = [*PORTS, "broker", "web", "hook", *operations]
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._envoy = find_envoy(options.envoy)
        self._broker = None if options.kafka else small_broker(self._ports["broker"])
        self._parts = Parts(options.directory, {"GNOMON_REDACT_KEY": secrets.token_hex(16)})
        self._hook = HookServer(self._ports["hook"])
        self._traffic = _Traffic(f"http://127.0.0.1:{self._ports['callers']}")

    def __enter__(self) -> Self:
        """Start everything, and the traffic last."""
        with ExitStack() as stack:
            stack.enter_context(self._hook)
            stack.enter_context(self._parts)
            self._start()
            stack.callback(self._traffic.stop)
            self._running = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the traffic, then every part."""
        self._running.close()

    def check(self) -> None:
        """Raise DependencyError when a part has ended by itself."""
        self._parts.check()

    def findings(self) -> Findings | None:
        """What the judge has found so far; None while there is nothing to judge."""
        if not self.store.is_dir():
            return None
        try:
            with open_store(self.store) as store:
                judged = judge_store(store, Selection(), Verdict())
        except InputError:  # nothing has landed yet
            return None
        return compare_findings(judged.verdict.reasons)

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """What the alert hook was sent so far."""
        return self._hook.alerts

    @property
    def url(self) -> str:
        """Where the HTTP API answers."""
        return f"http://127.0.0.1:{self._ports['web']}"

    @property
    def orders(self) -> Orders:
        """The shop's orders, and what the filter makes of them."""
        return self._orders

    def _start(self) -> None:
        ports = self._ports
        bootstrap = self._options.kafka or f"127.0.0.1:{ports['broker']}"
        topic = f"gnomon.demo.{secrets.token_hex(4)}" if self._options.kafka else "gnomon.exchanges"
        settings = _SETTINGS.format(
            mark=MARK,
            bootstrap=bootstrap,
            topic=topic,
            collector=ports["collector"],
            web=ports["web"],
            hook=ports["hook"],
        )
        self._orders = Orders(bootstrap, f"{topic}.orders" if self._options.kafka else "orders")
        (self._options.directory / "gnomon.toml").write_text(settings + self._orders.settings, encoding="utf-8")
        configuration = write_configuration(self._options.directory / "envoy", ports)
        if self._broker is not None:
            self._step("broker", [self._broker])
        self._orders.make()
        self._create_topics()
        live = self._shop("live", 1, bootstrap, self._orders.topic)
        shops = [live, self._shop("shadow", 2), self._shop("control", 1)]
        self._step("shop: live, candidate, control", shops)
        if self._orders.is_split:
            self._step("the filter of the orders", [self._gnomon("route", "route")])
        self._step("collector and worker", [self._gnomon("collect", "collector"), self._gnomon("worker", "worker")])
        command = [str(self._envoy), "-c", configuration.name, "--disable-hot-restart", "--concurrency", "1"]
        ready = f"http://127.0.0.1:{ports['admin']}/ready"
        self._step("Envoy", [Part("envoy", command, lambda: answers(ready), configuration.parent)])
        self._step("alerts and the HTTP API", [self._gnomon("watch", "watch", "healthz"), self._web()])
        self._tell(f"traffic: http://127.0.0.1:{ports['callers']} answers from live and mirrors to the other two")
        self._traffic.start()

    def _create_topics(self) -> None:
        command = [sys.executable, "-m", "gnomon", "topics", "create", "--partitions", str(PARTITIONS)]
        done = subprocess.run(  # noqa: S603 - our own command
            command, cwd=self._options.directory, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DependencyError(
                f"the topics cannot be made: {done.stderr.strip()}", "use another broker with --kafka"
            )

    def _step(self, name: str, parts: list[Part]) -> None:
        self._tell(f"starting {name}")
        for part in parts:
            self._parts.start(part)
        self._parts.wait(START_SECONDS)

    def _shop(self, name: str, build: int, *events: str) -> Part:
        port = self._ports[name]
        command = [sys.executable, "-m", "gnomon.demo.shop", str(build), str(port), *events]
        return Part(f"shop-{name}", command, lambda: answers(f"http://127.0.0.1:{port}/healthz"))

    def _web(self) -> Part:
        return Part("web", [sys.executable, "-m", "gnomon", "web"], lambda: answers(f"{self.url}/healthz"))

    def _gnomon(self, command: str, name: str, ready: str = "readyz") -> Part:
        port = self._ports[f"{name} operations"]
        return Part(
            name,
            [sys.executable, "-m", "gnomon", command],
            lambda: answers(f"http://127.0.0.1:{port}/{ready}"),
            environment={"GNOMON_OPERATIONS_BIND": f"127.0.0.1:{port}"},
        )


class _Traffic:
    """The callers, in a thread with a loop of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.failed = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        self.failed = self._loop.run_until_complete(send(self._url, self._stop))
        self._loop.close()
