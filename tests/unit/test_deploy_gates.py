"""The gates of deploy/: what they ask is what `gnomon web` answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import yaml

from gnomon.summary import Verdict
from gnomon.web.openapi import describe
from gnomon.web.parameters import PeriodAsked, period_of, read_flagger, read_query

DEPLOY = Path(__file__).parents[2] / "deploy"


def load(name: str) -> Any:
    """One manifest."""
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def test_argo_rollouts_reads_the_verdict() -> None:
    """The URL has parameters that there are, and the conditions are words that a verdict can be."""
    [metric] = load("argo-rollouts/analysis-template.yaml")["spec"]["metrics"]
    web = metric["provider"]["web"]
    url = urlsplit(web["url"].replace("{{args.", "").replace("}}", ""))
    assert url.path in describe()["paths"]
    assert read_query(parse_qsl(url.query), PeriodAsked).target == "target"
    assert web["jsonPath"] == "{$.verdict}"
    words = msgspec.json.schema(Verdict)["$defs"]["Verdict"]["properties"]["verdict"]["enum"]
    assert metric["successCondition"] == 'result == "pass"'
    assert metric["failureCondition"] == 'result == "fail"'
    assert {"pass", "fail"} < set(words)
    names = {arg["name"] for arg in load("argo-rollouts/analysis-template.yaml")["spec"]["args"]}
    steps = [
        step["analysis"]
        for step in load("argo-rollouts/rollout.yaml")["spec"]["strategy"]["canary"]["steps"]
        if "analysis" in step
    ]
    assert all({arg["name"] for arg in step["args"]} <= names for step in steps)


def test_flagger_posts_what_the_gate_reads() -> None:
    """Its metadata has keys that there are."""
    for hook in load("flagger/canary.yaml")["spec"]["analysis"]["webhooks"]:
        assert urlsplit(hook["url"]).path in describe()["paths"]
        call = read_flagger(msgspec.json.encode({"name": "cart", "metadata": hook["metadata"]}))
        assert period_of(call).target == "cart@2.4.0-rc1"
