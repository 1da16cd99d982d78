"""The gates of deploy/: what they ask is what `gnomon web` answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import yaml

from gnomon.core.moments import read_moment
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
    assert all({arg["name"] for arg in step["args"]} == names - {"token"} for step in steps)


def test_a_rollout_is_judged_from_its_beginning() -> None:
    """`since` is the moment of the deployment, never a window that slides and forgets; nothing fills in for it."""
    rollout = load("argo-rollouts/rollout.yaml")
    moment = rollout["metadata"]["annotations"]["gnomon/deployed-at"]
    for step in rollout["spec"]["strategy"]["canary"]["steps"]:
        for arg in step.get("analysis", {}).get("args", ()):
            if arg["name"] == "since":
                assert arg["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.annotations['gnomon/deployed-at']"
    [since] = [arg for arg in load("argo-rollouts/analysis-template.yaml")["spec"]["args"] if arg["name"] == "since"]
    assert since == {"name": "since"}
    hooks = load("flagger/canary.yaml")["spec"]["analysis"]["webhooks"]
    moments = [moment, *(hook["metadata"]["since"] for hook in hooks)]
    for text in moments:
        early, late = (read_moment(text, datetime(2028, month, 1, tzinfo=UTC)) for month in (1, 2))
        assert early == late == datetime(2027, 7, 12, 8, tzinfo=UTC)


def test_flagger_posts_what_the_gate_reads() -> None:
    """Its metadata has keys that there are."""
    for hook in load("flagger/canary.yaml")["spec"]["analysis"]["webhooks"]:
        assert urlsplit(hook["url"]).path in describe()["paths"]
        call = read_flagger(msgspec.json.encode({"name": "cart", "metadata": hook["metadata"]}))
        assert period_of(call).target == "cart@2.4.0-rc1"
