"""Callers are never affected: by a shadow that hangs or is gone, or by a collector that hangs, dies or is gone."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.integration.envoy.conftest import System
from tests.integration.envoy.parts import (
    COLLECTOR,
    SHADOW_SERVICE,
    Answer,
    CollectorProcess,
    ask,
    envoy,
    free_ports,
    wait_for,
)
from tests.integration.envoy.services import LARGE

pytestmark = [pytest.mark.integration, pytest.mark.envoy]


def ask_many(port: int, path: str, count: int = 60) -> list[Answer]:
    """Ask this often, twenty at a time."""
    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(lambda number: ask(port, "GET", f"{path}/{number}"), range(count)))


def are_well(answers: list[Answer]) -> bool:
    """Whether callers got live's answers. Who waited for what hangs, a minute, would get none."""
    return {answer.status for answer in answers} == {200}


def test_a_shadow_that_hangs_holds_nobody_up(well: System, tmp_path: Path) -> None:
    """Neither requests without a body nor uploads of 5 MB, which the shadow does not even read."""
    patient = {"timeout: 1.5s": "timeout: 60s", "timeout: 2s": "timeout: 60s"}
    with envoy(tmp_path, well.ports, {**patient, "[GET, HEAD, OPTIONS]": "[GET, POST /search]"}) as port:
        well.shadow.feeling = "hang"
        assert are_well(ask_many(port, "/hung"))
        assert are_well([ask(port, "POST", f"/search?hung={number}", b"x" * LARGE) for number in range(6)])
        wait_for(lambda: [a for a in well.shadow.asked if a.target == "/search?hung=5"], "the shadow is asked too")
        assert set(well.collector.wait("/hung/0", ("live", "control"))) == {"live", "control"}


def test_a_shadow_that_hangs_is_a_timeout(well: System) -> None:
    """The record of an upload that was not read says so too."""
    well.shadow.feeling = "hang"
    assert are_well([ask(well.port, "POST", "/search?unread", b"x" * LARGE)])
    assert well.collector.wait("/search?unread")["shadow"]["error"]["kind"] == "timeout"


def test_an_upload_larger_than_the_hop_s_buffer_is_live_s_alone(well: System) -> None:
    """Live gets all of it; that the target was not sent it is an error of the proxy's, not an answer."""
    answer = ask(well.port, "POST", "/search?huge", b"x" * 20_000_000)
    assert (answer.status, json.loads(answer.body)["got"]) == (200, 20_000_000)
    records = well.collector.wait("/search?huge")
    assert (records["live"]["request"]["body"]["size"], records["live"]["response"]["status"]) == (20_000_000, 200)
    assert (records["shadow"]["response"], records["shadow"]["error"]["kind"]) == (None, "overload")
    assert not [asked for asked in well.shadow.asked if asked.target == "/search?huge"]


def test_a_sick_shadow_is_cut_off(well: System, tmp_path: Path) -> None:
    """After failures in a row it gets no requests for a while; the records go on and say why."""
    with envoy(tmp_path, well.ports) as port:
        well.shadow.feeling = "reset"
        ask_many(port, "/sick", 20)
        wait_for(
            lambda: (
                [r for r in well.collector.records() if r["error"] and "no_healthy" in r["error"]["message"]]
                or are_well(ask_many(port, "/sicker", 5)) is None
            ),
            "the shadow is cut off",
        )
        before = len(well.shadow.asked)
        assert are_well(ask_many(port, "/cut", 20))
        record = well.collector.wait("/cut/0")["shadow"]
    assert record["error"]["kind"] == "connect"
    assert len(well.shadow.asked) == before


def test_a_shadow_answering_500_is_not_cut_off(well: System, tmp_path: Path) -> None:
    """Its 500s are what we want to see: every one of them is recorded as its answer."""
    with envoy(tmp_path, well.ports) as port:
        well.shadow.feeling = "ill"
        assert are_well(ask_many(port, "/ill"))
        for number in range(60):
            assert well.collector.wait(f"/ill/{number}")["shadow"]["response"]["status"] == 500


def test_more_requests_than_the_shadow_may_have_at_once_are_overload(well: System, tmp_path: Path) -> None:
    """The breaker keeps a slow shadow's queue short; what it turns away is an error, not an answer."""
    narrow = "max_connections: 128, max_pending_requests: 128, max_requests: 128"
    with envoy(tmp_path, well.ports, {narrow: "max_connections: 2, max_pending_requests: 1, max_requests: 2"}) as port:
        well.shadow.feeling = "hang"
        assert are_well(ask_many(port, "/narrow"))
        kinds = {well.collector.wait(f"/narrow/{n}", ("live", "shadow"))["shadow"]["error"]["kind"] for n in range(60)}
    assert kinds >= {"overload", "timeout"}


def test_a_shadow_that_is_not_there_is_a_connection_error(well: System, tmp_path: Path) -> None:
    """Callers do not notice; the record says that nobody answered."""
    (nobody,) = free_ports(1)
    with envoy(tmp_path, {**well.ports, SHADOW_SERVICE: nobody}) as port:
        assert are_well(ask_many(port, "/gone"))
        record = well.collector.wait("/gone/0")["shadow"]
    assert (record["response"], record["error"]["kind"]) == (None, "connect")


def test_live_that_is_not_there_is_live_s_error_alone(well: System, tmp_path: Path) -> None:
    """Envoy's 503 to the caller is nobody's answer; the shadow was asked all the same."""
    (nobody,) = free_ports(1)
    live = next(name for name, port in well.ports.items() if port == well.live.port)
    with envoy(tmp_path, {**well.ports, live: nobody}) as port:
        assert ask(port, "GET", "/no-live").status == 503
        records = well.collector.wait("/no-live")
    assert records["live"]["error"]["kind"] == "connect"
    assert records["live"]["expect"] == ["shadow:shop@2", "control"]
    assert records["shadow"]["response"]["status"] == 200


def test_what_live_was_never_asked_nobody_was(well: System, tmp_path: Path) -> None:
    """Where live has no host at all the proxy answers before it mirrors, and the record expects nobody."""
    address = f"{{socket_address: {{address: 127.0.0.1, port_value: {well.live.port}}}}}"
    endpoints = f"endpoints: [{{lb_endpoints: [{{endpoint: {{address: {address}}}}}]}}]"
    with envoy(tmp_path, well.ports, {endpoints: "endpoints: []"}) as port:
        assert ask(port, "GET", "/nowhere").status == 503
        record = well.collector.wait("/nowhere", ("live",))["live"]
    assert (record["error"]["kind"], record["expect"]) == ("connect", [])
    assert not [asked for asked in well.shadow.asked if asked.path == "/nowhere"]


@pytest.fixture
def own(system: System, tmp_path: Path) -> Iterator[tuple[int, CollectorProcess]]:
    """An Envoy with a collector of its own, not started yet."""
    (port,) = free_ports(1)
    collector = CollectorProcess(tmp_path, port)
    with envoy(tmp_path, {**system.ports, COLLECTOR: port}) as caller:
        yield caller, collector


def test_a_collector_that_dies_and_comes_back_is_not_noticed(own: tuple[int, CollectorProcess]) -> None:
    """Without one, with one killed in the middle, and with a new one, callers are answered; the new one records."""
    port, collector = own
    assert are_well(ask_many(port, "/before"))
    collector.start()
    wait_for(lambda: ask(port, "GET", "/first") and collector.of("/first").get("live"), "the first record")
    assert collector.stop(signal.SIGKILL) == -signal.SIGKILL
    assert are_well(ask_many(port, "/without", 200))
    collector.start()
    wait_for(lambda: ask(port, "GET", "/again") and collector.of("/again").get("live"), "records again")
    assert collector.stop() == 0


def test_a_collector_that_reads_nothing_is_not_noticed(system: System, tmp_path: Path) -> None:
    """A connection that is taken and never read fills a buffer, no more."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as deaf:
        port = deaf.getsockname()[1]
        with envoy(tmp_path, {**system.ports, COLLECTOR: port}) as caller:
            for _ in range(30):
                assert are_well([ask(caller, "GET", "/large")])
            assert are_well(ask_many(caller, "/deaf", 200))


def test_what_waits_is_written_before_the_collector_ends(own: tuple[int, CollectorProcess]) -> None:
    """SIGTERM loses nothing that was received, and says in a line what became of the exchanges."""
    port, collector = own
    collector.start()
    assert are_well(ask_many(port, "/drain"))
    for number in range(60):
        collector.wait(f"/drain/{number}")
    assert collector.stop() == 0
    assert "180 exchanges received, 180 written" in collector.log.read_text()
