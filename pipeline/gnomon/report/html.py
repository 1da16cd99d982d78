"""The report as one HTML file: no script, nothing loaded from anywhere, every value from traffic escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from gnomon.model import OUTCOMES, Outcome
from gnomon.report.page import compose
from gnomon.report.text import count, percent, plural
from gnomon.summary import OutcomeCounts, Report

__all__ = ["render_report"]

MEANINGS: dict[Outcome, str] = {
    "match": "equal under the rules",
    "noise": "differs only where the control differs too, or where a rule says so",
    "diff": "the answers differ",
    "live_error": "a transport error on the live side only",
    "shadow_error": "a transport error on the shadow side only",
    "shadow_missing": "the shadow was expected and did not answer",
    "live_missing": "no live answer to compare with; not in the rate",
    "incomparable": "a body was cut, not recorded or cannot be read; not in the rate",
}


def render_report(report: Report) -> str:
    """Draw a report as one self-contained HTML file, as text that encodes as UTF-8.

    It holds at most a few hundred rows and fifty pairs, worst first, and says what it leaves out. Its own content
    security policy forbids scripts and requests, should a value ever get past the escaping.
    """
    style, style_hash = _style()
    control = report.control_outcomes or OutcomeCounts()
    return (
        _environment()
        .get_template("report.html")
        .render(
            page=compose(report),
            style=style,
            style_hash=style_hash,
            meanings=MEANINGS,
            control_counts={outcome: getattr(control, outcome) for outcome in OUTCOMES},
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gnomon.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "percent": percent, "plural": plural}
    return environment


@cache
def _style() -> tuple[str, str]:
    """The style sheet and its hash for the policy: the only style that a browser will apply."""
    text = files("gnomon.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return text, f"sha256-{digest}"
