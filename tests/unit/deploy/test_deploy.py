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
    assert len(containers()) == 10
    for arguments in containers():
        words = [argument for argument in arguments if not argument.startswith(("-", "/"))]
        command: click.Command | None = app
        for word in words:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), word)
        assert command is not None, words
        assert not isinstance(command, click.Group) or command.invoke_without_command, words


def manifests() -> list[dict[str, Any]]:
    """Every object of the Kubernetes examples."""
    return [
        document
        for file in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
    ]


def deployments() -> dict[str, dict[str, Any]]:
    """The Deployments by the command that they run."""
    return {
        document["spec"]["template"]["spec"]["containers"][0]["args"][2]: document
        for document in manifests()
        if document["kind"] == "Deployment"
    }


def mounted_settings(directory: Path) -> Path:
    """The settings file of the Kubernetes examples, written into a directory."""
    file = directory / "gnomon.toml"
    file.write_text(
        next(document["data"]["gnomon.toml"] for document in manifests() if document["kind"] == "ConfigMap")
    )
    return file


def test_every_service_command_has_a_deployment() -> None:
    """What runs until it is stopped is there, is probed at ports that it opens, and may do no more than it must."""
    assert set(deployments()) == {"worker", "collect", "web", "watch", "route"}
    for command, document in deployments().items():
        labels = document["spec"]["template"]["metadata"]["labels"]
        assert document["spec"]["selector"]["matchLabels"] == labels, command
        pod = document["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"], command
        [container] = pod["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"]["path"] == path, command
            assert container[probe]["httpGet"]["port"] in ports, command
        assert container["resources"]["limits"]["memory"], command
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_ports_are_those_that_the_settings_open(tmp_path: Path) -> None:
    """Containers name the ports at which the mounted settings let the commands listen."""
    settings = load_settings(mounted_settings(tmp_path), {}).settings
    opened = {
        "operations": settings.operations.bind,
        "http": settings.web.bind,
        "grpc": settings.collect.bind,
    }
    for command, document in deployments().items():
        for port in document["spec"]["template"]["spec"]["containers"][0]["ports"]:
            assert opened[port["name"]] == f"0.0.0.0:{port['containerPort']}", command


def test_services_reach_the_pods_that_they_select() -> None:
    """A Service and a policy select the pods of a Deployment, by ports that these name; gates ask one of them."""
    pods = {
        document["metadata"]["name"]: document["spec"]["template"]
        for document in manifests()
        if "template" in document.get("spec", {}) and "metadata" in document["spec"]["template"]
    }
    services = {document["metadata"]["name"]: document for document in manifests() if document["kind"] == "Service"}
    for name, service in services.items():
        assert pods[name]["metadata"]["labels"] == service["spec"]["selector"]
        named = {port["name"] for port in pods[name]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named
    for document in manifests():
        if document["kind"] == "NetworkPolicy":
            name = document["metadata"]["name"]
            assert document["spec"]["podSelector"]["matchLabels"] == pods[name]["metadata"]["labels"]
            asked = {port["port"] for rule in document["spec"]["ingress"] for port in rule["ports"]}
            assert asked == {port["name"] for port in pods[name]["spec"]["containers"][0]["ports"]}
    for file in ("argo-rollouts/analysis-template.yaml", "flagger/canary.yaml"):
        for host, port in re.findall(r"([\w.-]+):(\d+)/(?:api|hooks)/", (DEPLOY / file).read_text()):
            name, _, namespace = host.rpartition("@")[2].partition(".")
            assert namespace == "gnomon"
            assert services[name]["spec"]["ports"][0]["port"] == int(port)


def test_one_evaluates_alerts_and_the_api_writes_nothing() -> None:
    """The evaluator is replaced, never doubled; the API has the store read-only and only the secret that it needs."""
    watch = deployments()["watch"]["spec"]
    assert (watch["replicas"], watch["strategy"]) == (1, {"type": "Recreate"})
    web = deployments()["web"]["spec"]["template"]["spec"]
    [store] = [mount for mount in web["containers"][0]["volumeMounts"] if mount["name"] == "store"]
    assert store["readOnly"]
    [secret] = [volume["secret"] for volume in web["volumes"] if volume["name"] == "secret"]
    assert [item["key"] for item in secret["items"]] == ["web-token"]


def test_the_mounted_settings_are_settings(tmp_path: Path) -> None:
    """The settings file of the Kubernetes example is read without complaint, and keeps its secrets in files."""
    file = mounted_settings(tmp_path)
    text = file.read_text()
    loaded = load_settings(file, {})
    assert loaded.alerting.rules
    assert str(loaded.settings.web.token_file) == "/etc/gnomon/secret/web-token"
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
