"""Alerts, pure: what a rule's metric is, and what follows from it, given the time.

`measure` gives the figures of a rule, one `Reading` for each service and target, however many endpoints are behind it;
`machine` turns readings into states and the alerts to send.
"""

from __future__ import annotations

from gnomon.core.alerting.machine import AlertState, Named, alert_key, decide, hook_alert, sample_alert, step
from gnomon.core.alerting.measure import Criterion, Figures, Reading, measure

__all__ = [
    "AlertState",
    "Criterion",
    "Figures",
    "Named",
    "Reading",
    "alert_key",
    "decide",
    "hook_alert",
    "measure",
    "sample_alert",
    "step",
]
