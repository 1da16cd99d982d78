"""A live service, a shadow and a control behind Envoy, with a collector: once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from tests.integration.envoy.parts import (
    COLLECTOR,
    CONTROL_SERVICE,
    LIVE_SERVICE,
    SHADOW_SERVICE,
    CollectorProcess,
    envoy,
    free_ports,
)
from tests.integration.envoy.services import Service, serving


class System(NamedTuple):
    """What is running; `port` is where callers ask."""

    port: int
    live: Service
    shadow: Service
    control: Service
    collector: CollectorProcess
    ports: dict[int, int]


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Everything, started."""
    directory = tmp_path_factory.mktemp("envoy")
    with serving("live") as live, serving("shadow") as shadow, serving("control") as control:
        (port,) = free_ports(1)
        collector = CollectorProcess(directory, port)
        collector.start()
        ports = {
            COLLECTOR: port,
            LIVE_SERVICE: live.port,
            SHADOW_SERVICE: shadow.port,
            CONTROL_SERVICE: control.port,
        }
        with envoy(
            directory, ports, {"mirrored: [GET, HEAD, OPTIONS]": "mirrored: [GET, HEAD, POST /search]"}
        ) as caller:
            yield System(caller, live, shadow, control, collector, ports)
        collector.stop()


@pytest.fixture
def well(system: System) -> Iterator[System]:
    """The same, with every service well before and after."""
    yield system
    for service in (system.live, system.shadow, system.control):
        service.feeling = "well"
