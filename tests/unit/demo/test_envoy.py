"""Envoy's configuration for the demo is that of deploy/envoy, with other ports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gnomon.demo.envoy import PORTS, find_envoy, write_configuration
from gnomon.errors import DependencyError, InputError


def test_every_port_of_the_configuration_is_replaced(tmp_path: Path) -> None:
    """No port of the file stays, and nothing listens beyond the loopback interface."""
    ports = {name: 20_000 + number for number, name in enumerate(PORTS)}
    text = write_configuration(tmp_path / "envoy", ports).read_text()
    assert {int(port) for port in re.findall(r"port_value: (\d+)", text)} == set(ports.values())
    assert "0.0.0.0" not in text  # noqa: S104 - it is not
    assert (tmp_path / "envoy" / "edge.lua").exists()


def test_an_envoy_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    """The one that is named has to exist."""
    with pytest.raises(InputError, match="there is no Envoy at .*nowhere; name the program with --envoy"):
        find_envoy(tmp_path / "nowhere")


def test_without_any_envoy_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a platform without wheels the way out is named."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(DependencyError, match=r"Envoy is not installed; .*name it with --envoy"):
        find_envoy(None)
