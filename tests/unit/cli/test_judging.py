"""`gnomon rules test` and `gnomon rejudge`: what they say of rules that match nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

RULES = """\
[[rule]]
path = "/body/price"
ignore = true

[[rule]]
endpoint = "GET /item/*"
ignore = true

[[rule]]
path = "/body/prcie"
noise = true
"""


@pytest.mark.parametrize("command", [["rules", "test"], ["rejudge"]])
def test_rules_that_match_nothing_are_named(run: Run, capture: Path, command: list[str]) -> None:
    """With what was meant, as text and as JSON; those that do their work are not."""
    run("compare", capture)
    Path("new.toml").write_text(RULES, encoding="utf-8")
    told = json.loads(run(*command, "--rules", "new.toml", "--json").out)["unmet"] if command[0] == "rules" else None
    ended = run(*command, "--rules", "new.toml")
    assert ended.code == 0
    assert "40 of 40 comparisons judged again, 2 outcomes " in ended.out
    assert "Rule 2 (endpoint 'GET /item/*') matched no endpoint; did you mean 'GET /items/{id}'?\n" in ended.out
    assert "Rule 3 (path '/body/prcie') matched no difference\n" in ended.out
    assert "Rule 1" not in ended.out
    if told is not None:
        assert [(one["number"], one["why"][:11]) for one in told] == [(2, "no endpoint"), (3, "no differen")]


def test_rules_that_are_in_force_already_are_not_doubted(run: Run, capture: Path) -> None:
    """What they hide is not stored, so nothing is left for them to match."""
    Path("rules.toml").write_text(RULES.split("\n\n", maxsplit=1)[0], encoding="utf-8")
    run("compare", capture)
    assert "matched no" not in run("rules", "test").out
