"""`[[alert]]` and `[[hook]]`: what they mean, and what is said when one of them is wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gnomon.config import Alerting, Loaded, Secret, load_settings
from gnomon.errors import ConfigError

RULE = '[[alert]]\nmetric = "divergence_rate"\nabove = 0.01\n'


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where there is no settings file."""
    monkeypatch.chdir(tmp_path)


def read(text: str) -> Alerting:
    """Read a settings file."""
    Path("gnomon.toml").write_text(text, encoding="utf-8")
    loaded: Loaded = load_settings(None, {})
    return loaded.alerting


def test_a_rule_needs_a_metric_and_a_limit_alone() -> None:
    """Everything else has a default; a rule without a name is called by its metric."""
    [rule] = read(RULE).rules
    assert (rule.name, rule.metric, rule.above) == ("divergence_rate", "divergence_rate", 0.01)
    assert (rule.service, rule.endpoint, rule.target, rule.hooks) == ("*", "*", "*", ())
    assert (rule.window, rule.hold) == (timedelta(minutes=10), timedelta())


def test_every_key_of_a_rule_is_read() -> None:
    """Globs, window, for, severity and hooks are what the file says."""
    alerting = read(
        """
        [[hook]]
        name = "ops"
        url_env = "OPS_URL"
        secret_file = "ops.key"
        timeout = "3s"
        [[alert]]
        name = "cart is slow"
        metric = "latency_shift_p99"
        service = "cart"
        endpoint = "GET /cart/*"
        target = "cart@2*"
        above = 0.25
        window = "30m"
        min_pairs = 1000
        for = "5m"
        severity = "critical"
        hooks = ["ops"]
        """
    )
    [rule] = alerting.rules
    assert (rule.endpoint, rule.target, rule.min_pairs, rule.severity) == ("GET /cart/*", "cart@2*", 1000, "critical")
    assert (rule.window, rule.hold, rule.hooks) == (timedelta(minutes=30), timedelta(minutes=5), ("ops",))
    hook = alerting.hooks["ops"]
    assert (hook.url, hook.secret) == (Secret(env="OPS_URL"), Secret(file=Path("ops.key")))
    assert (hook.type, hook.timeout, hook.retry_for) == ("webhook", timedelta(seconds=3), timedelta(hours=24))


def test_hooks_may_be_written_in_place() -> None:
    """A URL is a JSON webhook, a table is a hook, a command is known by its command; the same twice is one."""
    alerting = read(
        RULE
        + 'hooks = ["http://127.0.0.1:9/x", { command = ["undo", "--now"] }, { type = "slack", url = "https://s/x" }]\n'
        + '[[alert]]\nname = "b"\nmetric = "missing_rate"\nabove = 0.1\nhooks = ["http://127.0.0.1:9/x"]\n'
    )
    first, second = alerting.rules
    assert [alerting.hooks[name].type for name in first.hooks] == ["webhook", "command", "slack"]
    assert alerting.hooks[first.hooks[1]].command == ("undo", "--now")
    assert alerting.hooks[first.hooks[1]].timeout == timedelta(seconds=60)
    assert second.hooks == first.hooks[:1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[[alert]]\nmetrc = "divergence_rate"\nabove = 1',
            "gnomon.toml: [[alert]] number 1: no such key: 'metrc'; did you mean 'metric'?",
        ),
        (RULE + "threshhold = 3", "gnomon.toml: [[alert]] number 1: no such key: 'threshhold'; known: above, "),
        (
            RULE.replace("divergence_rate", "divergense_rate"),
            'gnomon.toml: [[alert]] number 1: metric: expected one of "divergence_rate", ',
        ),
        (RULE.replace("divergence_rate", "divergense_rate"), "; did you mean 'divergence_rate'?"),
        ('[[alert]]\nmetric = "missing_rate"', "gnomon.toml: [[alert]] number 1: above is missing; add above = ..."),
        (RULE + 'above = "1 %"', "gnomon.toml is not TOML"),
        (RULE.replace("0.01", '"1 %"'), "above: expected a number of at least 0, got '1 %'"),
        (RULE + 'for = "soon"', "for: 'soon' is not a duration"),
        (RULE + 'window = "0s"', "window is not between 1s and 30d"),
        (RULE + RULE, "[[alert]] number 2: name 'divergence_rate' is taken by another [[alert]]"),
        (RULE + 'hooks = "x"', "hooks: expected a list of hooks, got 'x'"),
        (RULE + "hooks = [1]", "hooks: expected names, URLs or tables, got 1"),
        (
            RULE + 'hooks = ["pagr"]\n[[hook]]\nname = "pager"\nurl = "http://x/"',
            "there is no [[hook]] named 'pagr'; did you mean 'pager'?",
        ),
        (RULE + 'hooks = ["nobody"]', "there is no [[hook]] named 'nobody'; write [[hook]] with name = 'nobody'"),
        ('[[hook]]\nname = "a"', "[[hook]] number 1: a hook of type 'webhook' needs url; add url"),
        ('[[hook]]\nname = "a"\nurll = "http://x"', "no such key: 'urll'; did you mean 'url'?"),
        ('[[hook]]\nname = "a"\ntype = "slak"\nurl = "http://x"', "did you mean 'slack'?"),
        ('[[hook]]\nname = "a"\nurl = "ftp://hidden"', "url is not an http or https URL"),
        ('[[hook]]\nname = "a"\nurl = "http://[hidden"', "url is not an http or https URL"),
        ('[[hook]]\nname = "a"\nurl = 7', "[[hook]] number 1: url: expected text"),
        ('[[hook]]\nname = "a"\nurl = "http://x"\nurl_env = "Y"', "url is given twice: url, url_env"),
        ('[[hook]]\nname = "a"\ncommand = []', "a hook of type 'command' needs command"),
        ('[[hook]]\nname = "a"\ncommand = "rm -rf"', "command: expected a list of arguments"),
        ('[[hook]]\nname = "a"\ncommand = ["x"]\nurl = "http://x"', "a command has no url and no secrets"),
        ('[[hook]]\nname = "a"\ntype = "slack"\nurl = "http://x"\ncommand = ["x"]', "has no command"),
        ('[[hook]]\nname = "a"\ntype = "pagerduty"', "a hook of type 'pagerduty' needs routing_key"),
        ('[[hook]]\nname = "a"\nurl = "http://x"\ntimeout = "2h"', "timeout is not between 1us and 1h"),
        ('[[hook]]\nname = "a"\nurl = "http://x"\n' * 2, "two [[hook]] are named 'a'"),
        ('[[hook]]\nname = "bad/name"\nurl = "http://x"', "name: expected a name of up to 64 letters"),
    ],
)
def test_a_mistake_names_its_table_its_key_and_the_closest_one(text: str, sentence: str) -> None:
    """Each mistake is one sentence with the place and the remedy, and never repeats a URL."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert sentence in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_secret_is_read_when_it_is_used_and_never_shown() -> None:
    """It comes from the file or the variable as it is then; without one that is an error with its place."""
    Path("key").write_text(" in the file \n", encoding="utf-8")
    assert Secret(value="here").read({}) == "here"
    assert Secret(file=Path("key")).read({}) == "in the file"
    assert Secret(env="KEY").read({"KEY": "there"}) == "there"
    assert Secret().read({}) is None
    assert "here" not in repr(Secret(value="here"))
    for missing in (Secret(file=Path("nowhere")), Secret(env="KEY")):
        with pytest.raises(ConfigError, match="nowhere cannot be read|KEY is empty"):
            missing.read({})
