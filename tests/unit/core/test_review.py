"""Stored differences under other rules."""

from __future__ import annotations

import pytest

from gnomon.core.compare import CONTROL_NOISE
from gnomon.core.diff import diff_documents
from gnomon.core.review import may_reveal, review_differences, same_alignment
from gnomon.core.rules import EndpointRules, parse_rules
from gnomon.model import Difference, JsonValue


def rules(text: str) -> EndpointRules:
    """Compile rules for some endpoint."""
    return parse_rules(text).for_endpoint("s", "GET /")


def rule(path: str, aspect: str) -> str:
    """Write one rule."""
    return f'[[rule]]\npath = "{path}"\n{aspect}\n'


LIVE: JsonValue = {
    "body": {"at": "2027-01-15T08:00:00Z", "n": 1, "s": "a", "l": [{"p": 1}, {"p": 2}], "m": {"k": 1}, "z": None}
}
SHADOW: JsonValue = {
    "body": {"at": "2027-01-15T08:00:01Z", "n": 1.5, "s": "A", "l": [{"p": 1}, {"p": 3}], "m": {"k": 2}}
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        rule("/body/n", "ignore = true"),
        rule("/body", "ignore = true"),
        rule("/body/**", "noise = true"),
        rule("/body/l/*/p", "ignore = true"),
        rule("/body/l/1/p", "ignore = true"),
        rule("/body/n", "number_tolerance = { relative = 0.5 }"),
        rule("/body/at", 'time_tolerance = "2s"'),
        rule("/body/at", 'treat_as = "timestamp"'),
        rule("/body/s", "case_insensitive = true"),
        rule("/body/s", 'match = "^[aA]$"'),
        rule("/body/l/*/p", 'treat_as = "type"'),
        rule("/body/m", 'treat_as = "presence"'),
        rule("/body/z", "null_is_missing = true"),
        rule("/body/m/k", "ignore = false") + rule("/body/m", "ignore = true"),
    ],
)
def test_reviewing_stored_differences_equals_comparing_under_the_new_rules(text: str) -> None:
    """As long as arrays align alike, the rows tell all that the documents would."""
    stored = diff_documents(LIVE, SHADOW)
    assert review_differences(stored, rules(text)) == diff_documents(LIVE, SHADOW, rules(text).root)


def test_the_controls_noise_stays_noise() -> None:
    """What the control showed does not depend on rules; a rule's own noise does."""
    by_control = Difference("/body/a", "/body/a", "/body/a", "changed", "medium", "1", "2", True, CONTROL_NOISE)
    by_rule = Difference("/body/b", "/body/b", "/body/b", "changed", "medium", "1", "2", True, "a rule's reason")
    kept = review_differences([by_control, by_rule], rules(""))
    assert [(d.path, d.noise, d.reason) for d in kept] == [("/body/a", True, CONTROL_NOISE), ("/body/b", False, None)]


@pytest.mark.parametrize(
    ("old", "new", "reveals"),
    [
        ("", "", False),
        ("", rule("/body/a", "ignore = true"), False),
        (rule("/body/a", "ignore = true"), "", True),
        (rule("/body/a", "ignore = true"), rule("/body/a", "ignore = true"), False),
        (rule("/body/a", "noise = true"), "", False),
        (rule("/body/a", "case_insensitive = true"), rule("/body/a", "ignore = true"), True),
        (rule("/body", "ignore = true"), rule("/body/a", "ignore = false") + rule("/body", "ignore = true"), True),
        ("", rule("/headers/date", "ignore = false"), True),
        (rule("/body/a", 'redact = "hash"'), "", False),
    ],
)
def test_rules_may_reveal_what_others_hid(old: str, new: str, *, reveals: bool) -> None:
    """A match under rules that are gone is no evidence of a match; noise and redaction hide nothing."""
    assert may_reveal(rules(old), rules(new)) is reveals


def test_alignment_is_the_same_when_its_rules_are() -> None:
    """Only `unordered`, `key` and `map` decide which element is which."""
    keyed = rule("/body/l", 'key = "sku"')
    assert same_alignment(rules(keyed), rules(rule("/body/n", "ignore = true") + keyed))
    assert not same_alignment(rules(""), rules(keyed))
