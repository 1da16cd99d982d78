"""The files of deploy/ name settings, commands and metrics that there are, and Prometheus takes its own."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from gnomon.cli.app import app
from gnomon.config import load_settings
from gnomon.config.load import keys
from gnomon.operations import METRICS

DEPLOY = Path(__file__).parents[3] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
PARTS = ("", "_bucket", "_sum", "_count")
RECORDED = {"gnomon:raw_divergence:ratio_rate5m"}


def expressions() -> dict[str, str]:
    """Every PromQL expression, by the rule or the panel that it is of."""
    rules = yaml.safe_load((PROMETHEUS / "gnomon.rules.yaml").read_text())["groups"][0]["rules"]
    board = json.loads((DEPLOY / "grafana" / "gnomon.json").read_text())
    return {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules} | {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in board["panels"]
        for target in panel["targets"]
    }


@pytest.mark.parametrize(
    ("where", "expression"), expressions().items(), ids=lambda value: value if len(value) < 40 else ""
)
def test_rules_and_panels_ask_for_metrics_that_there_are(where: str, expression: str) -> None:
    """Every metric of a rule or a panel is one that a command exposes, and its labels are that metric's."""
    known = {metric.name + part: metric for metric in METRICS for part in PARTS}
    for name, selector in re.findall(r"\b((?:gnomon|process)[\w:]*)(?:\{([^}]*)\})?", expression):
        if name.startswith("process_") or name in RECORDED:
            continue
        assert name in known, where
        labels = set(re.findall(r"(\w+)\s*[=!]~?", selector)) - {"job", "instance"}
        assert labels <= set(known[name].labels), where


@pytest.mark.prometheus
@pytest.mark.parametrize(
    "arguments", [["check", "rules", "gnomon.rules.yaml"], ["test", "rules", "gnomon.rules.test.yaml"]]
)
def test_prometheus_takes_the_rules(arguments: list[str]) -> None:
    """promtool finds no fault in the rules, and alerts fire when they should and not before."""
    ran = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_panels_do_not_overlap() -> None:
    """Every panel of the dashboard has a place of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((DEPLOY / "grafana" / "gnomon.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_variables_are_settings() -> None:
    """Every `GNOMON_*` variable in deploy/ is a setting."""
    known = {key.env for key in keys()} | {"GNOMON_CONFIG"}
    for file in [DEPLOY / "compose.yaml", DEPLOY / "Dockerfile", *(DEPLOY / "kubernetes").iterdir()]:
        assert set(re.findall(r"\bGNOMON_[A-Z_]+", file.read_text())) <= known, file


def containers() -> list[list[str]]:
    """The arguments that `gnomon` gets in compose and on Kubernetes."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    given = [service["command"] for service in services.values() if service.get("image") == "gnomon"]
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            template: dict[str, Any] = document.get("spec", {}).get("template", {}).get("spec", {})
            given += [container["args"] for container in template.get("containers", [])]
    return given


def test_containers_run_commands() -> None:
    """What containers are told to run are commands, with options that they have."""
    assert len(containers()) == 5
    for arguments in containers():
        words = [argument for argument in arguments if not argument.startswith(("-", "/"))]
        command: click.Command | None = app
        for word in words:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), word)
        assert command is not None, words
        assert not isinstance(command, click.Group) or command.invoke_without_command, words


def test_the_mounted_settings_are_settings(tmp_path: Path) -> None:
    """The settings file of the Kubernetes example is read without complaint, and keeps its secrets in files."""
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "gnomon.yaml").read_text())
    text = next(document["data"]["gnomon.toml"] for document in documents if document["kind"] == "ConfigMap")
    file = tmp_path / "gnomon.toml"
    file.write_text(text)
    loaded = load_settings(file, {})
    assert loaded.warnings == ()
    assert "password" not in tomllib.loads(text)["kafka"]["security"]
    assert str(loaded.settings.redact.key_file) == "/etc/gnomon/secret/redact-key"


def test_the_image_is_built_from_all_that_the_wheel_needs() -> None:
    """What pyproject.toml takes into the wheel is let into the build and copied before it."""
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pipeline", "pyproject.toml", "README.md", "LICENSE", *wheel["force-include"]}
    let_in = set((DEPLOY / "Dockerfile.dockerignore").read_text().replace("!", "").split())
    copied = {
        word
        for line in (DEPLOY / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ")
        for word in line.split()[1:-1]
    }
    assert needed <= let_in
    assert needed <= copied
