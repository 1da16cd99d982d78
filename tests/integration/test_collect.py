"""`gnomon collect` as a program: its output, its end, and what it says of wrong use."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.envoy.parts import free_ports, wait_for
from tests.kafka.test_collect import Feed

pytestmark = pytest.mark.integration

GNOMON = str(Path(sys.executable).with_name("gnomon"))


def environment(port: int) -> dict[str, str]:
    """Settings for a collector on this port."""
    mine = {"GNOMON_COLLECT_BIND": f"127.0.0.1:{port}", "GNOMON_OPERATIONS_BIND": "127.0.0.1:0"}
    return {**{name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}, **mine}


def listens(port: int) -> bool:
    """Whether somebody does on this port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_records_go_to_standard_output_until_it_is_told_to_stop(number: int, tmp_path: Path) -> None:
    """A line each as soon as it is there; Ctrl-C and SIGTERM end it in order."""
    (port,) = free_ports(1)
    command = [GNOMON, "collect", "--out", "-"]
    with subprocess.Popen(
        command, env=environment(port), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: listens(port), "the collector's start")
        feed = Feed(port, "control")
        feed.send(["a", "b"])
        assert process.stdout is not None
        records = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        feed.drop()
    assert [(record["request_id"], record["role"]) for record in records] == [("a", "control"), ("b", "control")]
    assert process.returncode == 0
    assert "GNOMON_REDACT_KEY" in said
    assert "2 exchanges received, 2 written" in said


def test_it_ends_when_nobody_reads_any_more(tmp_path: Path) -> None:
    """As any program in a pipe does."""
    (port,) = free_ports(1)
    command = [GNOMON, "collect", "--out", "-"]
    with subprocess.Popen(
        command, env=environment(port), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: listens(port), "the collector's start")
        feed = Feed(port, "live")
        assert process.stdout is not None
        feed.send(["a"])
        process.stdout.readline()
        process.stdout.close()
        wait_for(lambda: feed.send(["b"]) or process.poll() is not None, "its end")
        feed.drop()
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--out", "records.ndjson.zst"], 2, "compress"),
        (["--out", "nowhere/records.ndjson"], 2, "nowhere"),
        (["--out", "."], 2, "directory"),
    ],
)
def test_wrong_use_is_said_in_a_sentence(arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    """Before anything is listened on."""
    ended = subprocess.run(
        [GNOMON, "collect", *arguments],
        env=environment(free_ports(1)[0]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr
