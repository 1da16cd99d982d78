"""What follows from a reading: pending, firing, resolved; and the alerts that say so.

    (nothing) -- exceeded --> pending -- for as long as `hold` --> firing -- not exceeded for as long --> (nothing)

An alert is made at the two last arrows. A service and target that are no longer seen count as not exceeding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from gnomon.core.alerting.measure import Criterion, Reading
from gnomon.core.durations import format_duration
from gnomon.model import Alert

__all__ = ["AlertState", "Named", "alert_key", "decide", "hook_alert", "sample_alert", "step"]

Severity: TypeAlias = Literal["critical", "warning", "info"]

MOST_NAME: Final = 256
"""Characters of a name from traffic that an alert repeats."""

_WORDS: Final = {
    "divergence_rate": "divergence rate",
    "error_rate_increase": "error rate increase",
    "missing_rate": "rate of missing shadows",
    "latency_shift_p50": "latency shift at the median",
    "latency_shift_p90": "latency shift at the 90th percentile",
    "latency_shift_p99": "latency shift at the 99th percentile",
    "reject_rate": "rate of rejected records",
    "synthetic_leaks": "synthetic records on clean topics",
}


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A whole rule: its criterion, what its alerts are called, and for how long it must be above the limit."""

    name: str
    severity: Severity
    hold: timedelta
    window: timedelta
    criterion: Criterion


class AlertState(msgspec.Struct, frozen=True, kw_only=True):
    """Where one rule is for one service and target.

    `since` is when it was first above the limit, `clear_since` when a firing one was first seen below again, and
    `alert` what was last sent.
    """

    key: str
    rule: str
    service: str
    target: str
    phase: Literal["pending", "firing"]
    since: datetime
    clear_since: datetime | None = None
    alert: Alert | None = None


def alert_key(rule: str, service: str, target: str) -> str:
    """Name one rule's alert for one service and target: the same at every firing, and short whatever they are."""
    digest = hashlib.sha256(msgspec.json.encode([rule, service, target])).hexdigest()
    return f"{rule}:{digest[:16]}"


def step(
    rule: Named, state: AlertState | None, reading: Reading | None, now: datetime
) -> tuple[AlertState | None, Alert | None]:
    """Give the next state and the alert to send, if there is one.

    Args:
        rule: The rule; `reading` and `state` are its own, for the same service and target.
        state: Where it was, None where it was not pending or firing.
        reading: What is seen now; None where nothing is.
        now: When.
    """
    if reading is not None and reading.exceeded:
        return _above(rule, state, reading, now)
    if state is None or state.phase == "pending":
        return None, None
    if state.clear_since is None:
        state = msgspec.structs.replace(state, clear_since=now)
    if state.clear_since is not None and now - state.clear_since < rule.hold:
        return state, None
    return None, _resolved(rule, state, reading, now)


def decide(
    rules: Sequence[Named],
    readings: Mapping[str, Sequence[Reading]],
    states: Mapping[str, AlertState],
    now: datetime,
) -> tuple[dict[str, AlertState | None], list[Alert]]:
    """Take all rules one step: gives the states that changed, by key (None: gone), and the alerts to send.

    Args:
        rules: Those in force; what fires by a rule that is not among them any more is resolved.
        readings: By the rule's name.
        states: All states before, by key.
        now: When.
    """
    changed: dict[str, AlertState | None] = {}
    alerts: list[Alert] = []
    known = {rule.name: rule for rule in rules}
    for rule in rules:
        current = {alert_key(rule.name, r.service, r.target): r for r in readings.get(rule.name, ())}
        own = {key for key, state in states.items() if state.rule == rule.name}
        for key in sorted(own | current.keys()):
            before = states.get(key)
            after, alert = step(rule, before, current.get(key), now)
            if after != before:
                changed[key] = after
            if alert is not None:
                alerts.append(alert)
    for key, state in sorted(states.items()):
        if state.rule not in known:
            changed[key] = None
            if state.alert is not None:
                why = f"the rule {state.rule} is no longer there"
                alerts.append(msgspec.structs.replace(state.alert, state="resolved", at=now, summary=why))
    return changed, alerts


def _above(
    rule: Named, state: AlertState | None, reading: Reading, now: datetime
) -> tuple[AlertState | None, Alert | None]:
    if state is None:
        key = alert_key(rule.name, reading.service, reading.target)
        state = AlertState(
            key=key, rule=rule.name, service=reading.service, target=reading.target, phase="pending", since=now
        )
    if state.phase == "firing":
        return msgspec.structs.replace(state, clear_since=None), None
    if now - state.since < rule.hold:
        return state, None
    alert = _firing(rule, state, reading, now)
    return msgspec.structs.replace(state, phase="firing", alert=alert), alert


def _firing(rule: Named, state: AlertState, reading: Reading, now: datetime) -> Alert:
    low, high = reading.interval
    return Alert(
        name=rule.name,
        key=state.key,
        state="firing",
        severity=rule.severity,
        service=_cut(reading.service),
        endpoint=_cut(reading.endpoint),
        target=_cut(reading.target),
        metric=rule.criterion.metric,
        value=reading.value if reading.value is not None else low or 0.0,
        threshold=rule.criterion.above,
        interval=None if low is None or high is None else (low, high),
        since=state.since,
        at=now,
        summary=_say(rule, reading),
        patterns=[_cut(pattern) for pattern in reading.patterns],
        request_ids=reading.request_ids,
    )


def _resolved(rule: Named, state: AlertState, reading: Reading | None, now: datetime) -> Alert | None:
    if state.alert is None:
        return None
    metric = _WORDS[rule.criterion.metric]
    if rule.criterion.metric == "synthetic_leaks":  # one is one too many, and silence is none
        value = 0.0 if reading is None else reading.value or 0.0
        why = f"{_figure(rule.criterion.metric, value)} in the last {_duration(rule.window)}"
    elif reading is None or reading.value is None or reading.pairs < rule.criterion.min_pairs:
        why = f"too few pairs in the last {_duration(rule.window)} to say that it still is"
        value = state.alert.value
    else:
        why = f"at {_figure(rule.criterion.metric, reading.value)} it is no longer shown to be"
        value = reading.value
    limit = _figure(rule.criterion.metric, rule.criterion.above)
    return msgspec.structs.replace(
        state.alert,
        state="resolved",
        value=value,
        interval=None,
        at=now,
        summary=f"{_subject(state.service, state.target)}{metric} above {limit}: {why}",
    )


def _say(rule: Named, reading: Reading) -> str:
    """Write one sentence: what, how much, how sure, where."""
    metric, above = rule.criterion.metric, rule.criterion.above
    low = reading.interval[0]
    value = "unknown" if reading.value is None else _figure(metric, reading.value)
    sure = "" if low is None or metric == "synthetic_leaks" else f" (at least {_figure(metric, low)})"
    parts = [f"{_WORDS[metric]} {value}{sure}, limit {_figure(metric, above)}"]
    if metric != "synthetic_leaks":
        parts.append(f"{reading.pairs} {'records' if metric == 'reject_rate' else 'pairs'}")
    parts.append(f"in the last {_duration(rule.window)}")
    if reading.broken:
        parts.append("at " + ", ".join(_cut(endpoint) for endpoint in reading.broken))
    if reading.patterns:
        parts.append("most often " + ", ".join(_cut(pattern) for pattern in reading.patterns[:3]))
    return _subject(reading.service, reading.target) + ", ".join(parts)


def _subject(service: str, target: str) -> str:
    named = " ".join(filter(None, [_cut(service), target and f"against {_cut(target)}"]))
    return f"{named}: " if named else ""


def hook_alert(hook: str, problem: str | None, failing_since: datetime, failures: int, now: datetime) -> Alert:
    """Say that a hook fails (or, without a problem, that it works again), as a row for the table `alerts`.

    It is not sent to hooks.
    """
    said = f"hook {hook} fails: {problem}" if problem else f"hook {hook} works again after {failures} failures"
    return Alert(
        name=f"hook {hook}",
        key=f"hook:{hook}",
        state="firing" if problem else "resolved",
        severity="warning",
        service="",
        endpoint="",
        target="",
        metric="hook_failures",
        value=float(failures),
        threshold=0.0,
        since=failing_since,
        at=now,
        summary=said,
    )


def sample_alert(rule: Named, now: datetime) -> Alert:
    """Make a sample of a rule's alert, which says that it is one."""
    return Alert(
        name=rule.name,
        key=f"test:{rule.name}",
        state="firing",
        severity=rule.severity,
        service="test",
        endpoint="GET /test",
        target="test@1",
        metric=rule.criterion.metric,
        value=rule.criterion.above,
        threshold=rule.criterion.above,
        since=now,
        at=now,
        summary=f"this is a test of the alert {rule.name}: nothing is wrong",
        patterns=["/body/test"],
        request_ids=["test-request"],
    )


def _figure(metric: str, value: float) -> str:
    return f"{value:.0f}" if metric == "synthetic_leaks" else f"{value * 100:.3g} %"


def _duration(length: timedelta) -> str:
    return format_duration(length // timedelta(microseconds=1))


def _cut(text: str) -> str:
    """Make a name from traffic fit for a message: one line, nothing that steers a terminal, and not long."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:MOST_NAME])
    return f"{shown}..." if len(text) > MOST_NAME else shown
