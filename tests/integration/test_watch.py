"""`gnomon watch` as processes: real databases, real hooks, kill -9, a real Alertmanager."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.hooks.server import HookServer

from gnomon.capture import Source
from gnomon.compare import CompareRequest, compare_captures
from gnomon.config import Settings
from gnomon.core.rules import parse_rules
from gnomon.model import Exchange
from gnomon.store import run_query
from gnomon.store.log import TableWriter
from gnomon.testing import pair

pytestmark = pytest.mark.integration

RULE = """
[watch]
interval = "200ms"
[[alert]]
name = "prices"
metric = "divergence_rate"
above = 0.05
severity = "critical"
hooks = [{hooks}]
"""


def traffic(broken: bool, count: int = 300) -> list[Exchange]:
    """Requests of the last minute to ten endpoints; every second price differs where the build is broken."""
    start = int((datetime.now(UTC) - timedelta(minutes=1)).timestamp() * 1_000_000)
    records: list[Exchange] = []
    for n in range(count):
        live = {"id": n, "price": 10}
        shadow = live | ({"price": "10"} if broken and n % 2 else {})
        records += pair(f"r-{n}", live, shadow, path=f"/shop{n % 10}/{n}", started_us=start + n * 1000)
    return records


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database of a broken build's traffic."""
    capture = tmp_path / "capture.ndjson"
    capture.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in traffic(broken=True)))
    path = tmp_path / "g.duckdb"
    compare_captures(
        CompareRequest(sources=[Source(str(capture))], db=path, rules=parse_rules(""), settings=Settings())
    )
    return path


def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a command that listens on a port of its own."""
    return {
        **os.environ,
        "GNOMON_OPERATIONS_BIND": f"127.0.0.1:{free_port()}",
        "GNOMON_CONFIG": str(tmp_path / "g.toml"),
    }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configure(tmp_path: Path, *hooks: str) -> None:
    """Write the settings, with hooks as TOML."""
    (tmp_path / "g.toml").write_text(RULE.format(hooks=", ".join(hooks)), encoding="utf-8")


def gnomon(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gnomon", *arguments],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def watching(tmp_path: Path, db: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """An evaluator, and its log; it is stopped at the end."""
    environ = environment(tmp_path)
    log = tmp_path / f"watch-{time.monotonic_ns()}.log"
    with (
        log.open("w", encoding="utf-8") as stream,
        subprocess.Popen(
            [sys.executable, "-m", "gnomon", "watch", "--db", str(db)],
            env=environ,
            cwd=tmp_path,
            stderr=stream,
            text=True,
        ) as process,
    ):
        process.address = environ["GNOMON_OPERATIONS_BIND"]  # type: ignore[attr-defined]
        try:
            yield process, log
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def wait_for(what: str, holds: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait until something holds, and give it."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return found


def in_ledger(db: Path, sql: str) -> list[Any]:
    """What the ledger holds."""
    path = db.with_name(f"{db.name}.watch")
    if not path.exists():
        return []
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []


def test_a_broken_build_is_one_message_and_one_row(tmp_path: Path, db: Path, hook_server: HookServer) -> None:
    """Ten broken endpoints are one alert with patterns, requests and a link; again there is nothing new to say."""
    configure(tmp_path, f'"{hook_server.url}/hook"')
    for _ in range(2):
        done = gnomon(tmp_path, "watch", "--once", "--db", str(db))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    [received] = hook_server.received
    alert = received.json
    assert (alert["name"], alert["state"], alert["service"]) == ("prices", "firing", "shop")
    assert alert["patterns"] == ["/body/price"]
    assert set(alert["request_ids"]) <= {f"r-{n}" for n in range(1, 300, 2)}
    assert alert["interval"][0] > 0.05
    rows = [tuple(row) for row in run_query(db, "SELECT name, state, severity, patterns FROM alerts").rows]
    assert rows == [("prices", "firing", "critical", ["/body/price"])]


def test_health_and_metrics_say_what_the_evaluator_does(tmp_path: Path, db: Path, hook_server: HookServer) -> None:
    """A failing hook is seen in the metrics and in the log, and the evaluator stays ready."""
    hook_server.answers = [500]
    configure(tmp_path, f'"{hook_server.url}/hook?token=hidden"')
    with watching(tmp_path, db) as (process, log):
        hook_server.wait(2)
        metrics = wait_for("metrics", lambda: fetch(f"http://{process.address}/metrics").partition("hook_failing{")[2])
        assert "} 1.0" in metrics
        assert "gnomon_watch_leader 1.0" in fetch(f"http://{process.address}/metrics")
        assert fetch(f"http://{process.address}/readyz") == '{"ready":true,"reasons":{}}\n'
        process.terminate()
        assert process.wait(30) == 0
    said = log.read_text(encoding="utf-8")
    assert "hook failed, tried again in" in said
    assert "it answered 500" in said
    assert "hidden" not in said


def fetch(url: str) -> str:
    """Ask a server of this machine."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http alone
        return str(answer.read().decode())


def test_of_two_evaluators_one_works_and_the_other_takes_over(
    tmp_path: Path, db: Path, hook_server: HookServer
) -> None:
    """When the one that works is killed, the other sends what it could not send; nothing is sent by both."""
    hook_server.answers = [500]
    configure(tmp_path, f'"{hook_server.url}/hook"')
    with watching(tmp_path, db) as (one, _), watching(tmp_path, db) as (two, _):
        hook_server.wait(1)
        [(holder,)] = in_ledger(db, "SELECT holder FROM lease")
        leader = next(process for process in (one, two) if f":{process.pid}:" in holder)
        leader.send_signal(signal.SIGKILL)
        leader.wait()
        with hook_server.arrived:
            before = len(hook_server.received)
            hook_server.answers = [200]
        wait_for("delivery", lambda: in_ledger(db, "SELECT 1 FROM outbox WHERE status = 'delivered'"))
        bodies = {received.body for received in hook_server.received}
        assert len(hook_server.received) == before + 1
        assert len(bodies) == 1
        [(holder,)] = in_ledger(db, "SELECT holder FROM lease")
        assert f":{leader.pid}:" not in holder


def test_a_rollback_runs_once_though_its_evaluator_is_killed(tmp_path: Path, db: Path) -> None:
    """Killed while the command runs: the command goes on, the next evaluator does not run it again, and says so."""
    out = tmp_path / "runs"
    script = tmp_path / "undo.sh"
    script.write_text(
        f"cat > {tmp_path}/alert.json\necho begin >> {out}\nsleep 2\necho end >> {out}\n", encoding="utf-8"
    )
    configure(tmp_path, f'{{ command = ["sh", "{script}"] }}')
    with watching(tmp_path, db) as (process, _):
        wait_for("the command", out.exists)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with watching(tmp_path, db):
        wait_for("the word of it", lambda: in_ledger(db, "SELECT 1 FROM outbox WHERE status = 'unknown'"))
        wait_for("its end", lambda: out.read_text(encoding="utf-8").endswith("end\n"))
    gnomon(tmp_path, "watch", "--once", "--db", str(db))
    assert out.read_text(encoding="utf-8") == "begin\nend\n"
    assert json.loads((tmp_path / "alert.json").read_text(encoding="utf-8"))["name"] == "prices"
    said = [row[0] for row in run_query(db, "SELECT summary FROM alerts WHERE metric = 'hook_failures'").rows]
    assert any("whether it finished is not known" in str(sentence) for sentence in said)


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """A real Alertmanager; gives its URL."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    assert program is not None
    config = tmp_path / "am.yml"
    config.write_text("route:\n  receiver: none\nreceivers:\n  - name: none\n", encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    with subprocess.Popen(
        [
            program,
            f"--config.file={config}",
            f"--storage.path={tmp_path / 'am'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_for("Alertmanager", lambda: answers(f"http://{address}/-/ready"))
            yield f"http://{address}"
        finally:
            process.terminate()


def answers(url: str) -> bool:
    """Whether somebody answers there."""
    try:
        fetch(url)
    except OSError:
        return False
    return True


@pytest.mark.alertmanager
def test_an_alertmanager_receives_and_resolves(tmp_path: Path, db: Path, alertmanager: str) -> None:
    """It lists the alert with labels, requests and link while it fires, and not once it is resolved."""
    configure(tmp_path, f'{{ type = "alertmanager", url = "{alertmanager}" }}')

    def active() -> list[Any]:
        return list(json.loads(fetch(f"{alertmanager}/api/v2/alerts?active=true")))

    done = gnomon(tmp_path, "watch", "--once", "--db", str(db))
    assert done.returncode == 0, done.stderr
    [alert] = wait_for("the alert", active)
    assert alert["labels"]["alertname"] == "prices"
    assert alert["labels"]["severity"] == "critical"
    assert "/body/price" in alert["annotations"]["patterns"]
    assert alert["generatorURL"].startswith("http://127.0.0.1:8080/api/differences?since=")
    (tmp_path / "g.toml").write_text(
        RULE.format(hooks=f'{{ type = "alertmanager", url = "{alertmanager}" }}').replace("0.05", "0.9"),
        encoding="utf-8",
    )
    done = gnomon(tmp_path, "watch", "--once", "--db", str(db))
    assert done.returncode == 0, done.stderr
    wait_for("its end", lambda: not active())
    tested = gnomon(tmp_path, "alerts", "test", "prices")
    assert tested.returncode == 0, tested.stderr
    assert tested.stdout.endswith(": delivered\n")


def test_a_store_that_is_not_there_yet_is_made(tmp_path: Path, hook_server: HookServer) -> None:
    """Watching may begin before anything lands; what fires lands in the store's table."""
    (tmp_path / "g.toml").write_text(
        f'[kafka]\nalerts = ""\n[[alert]]\nmetric = "synthetic_leaks"\nabove = 0\nhooks = ["{hook_server.url}/x"]\n',
        encoding="utf-8",
    )
    assert gnomon(tmp_path, "watch", "--once").returncode == 0
    row = {"minute": datetime.now(UTC), "topic": "orders", "partition": 0, "rule": "users", "destination": "leak"}
    counts = {"events": 3, "first_offset": 1, "last_offset": 9, "samples": ["orders[0]@1"]}
    TableWriter(tmp_path / "gnomon.store", "routed", "audit").land([row | counts])
    assert gnomon(tmp_path, "watch", "--once").returncode == 0
    assert hook_server.received[0].json["value"] == 3
    rows = [tuple(row) for row in run_query(tmp_path / "gnomon.store", "SELECT name, state FROM alerts").rows]
    assert rows == [("synthetic_leaks", "firing")]


def test_a_typo_in_a_rule_names_the_key_and_the_closest_one(tmp_path: Path) -> None:
    """Before anything is evaluated."""
    (tmp_path / "g.toml").write_text('[[alert]]\nmetric = "missing_rate"\nabowe = 1\n', encoding="utf-8")
    done = gnomon(tmp_path, "watch", "--once")
    assert done.returncode == 2
    assert "[[alert]] number 1: no such key: 'abowe'; did you mean 'above'?" in done.stderr


def test_samples_say_which_hook_failed(tmp_path: Path, hook_server: HookServer) -> None:
    """Exit code 0 when all were delivered, 4 when one failed, 2 for a name that there is not."""
    configure(tmp_path, f'"{hook_server.url}/hook"')
    assert gnomon(tmp_path, "alerts", "test", "prices").returncode == 0
    configure(tmp_path, f'"{hook_server.url}/hook"', '"http://127.0.0.1:9/"')
    failed = gnomon(tmp_path, "alerts", "test", "prices")
    assert (failed.returncode, failed.stderr.count("1 of 2 hooks failed")) == (4, 1)
    wrong = gnomon(tmp_path, "alerts", "test", "price")
    assert (wrong.returncode, "did you mean 'prices'?" in wrong.stderr) == (2, True)
