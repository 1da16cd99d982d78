"""The verdict on the first screen of a report."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from gnomon.report import render_report
from gnomon.report.headline import headline
from gnomon.report.verdict import view_verdict
from gnomon.summary import Report, ReportVerdict, VerdictLine


def verdict(word: str = "fail", fewest: int = 600, **line: object) -> ReportVerdict:
    """One service and target whose divergence is 4 %."""
    figures = {
        "code": "max_divergence", "service": "shop", "target": "shop@2", "endpoint": None, "rate": 0.04,
        "interval": (0.02, 0.06), "limit": 0.01, "state": "exceeded", **line,
    }  # fmt: skip
    return ReportVerdict(
        verdict=word,  # type: ignore[arg-type]
        needed=500,
        fewest=fewest,
        lines=[msgspec.convert(figures, VerdictLine)],
        lines_left_out=2,
        exceeded=3,
        endpoints=12,
        covered=11,
        share_of_pairs=0.998,
        uncovered=["GET /rare"],
    )


@pytest.mark.parametrize(
    ("word", "fewest", "why", "said"),
    [
        ("fail", 600, "3 figures above the limit for certain", "exceeded"),
        ("undecided", 40, "40 of the 500 pairs that a verdict takes", "at least 2.00%, too few pairs"),
        ("undecided", 600, "some limits are within what the figures may be", "exceeded"),
        ("pass", 600, "every limit is kept for certain", "exceeded"),
    ],
)
def test_the_verdict_is_said_in_words(word: str, fewest: int, why: str, said: str) -> None:
    """What was decided and why, and of which endpoints it speaks; with few pairs nothing is exceeded."""
    view = view_verdict(verdict(word, fewest))
    assert (view.verdict, view.why, view.lines[0].said) == (word, why, said)
    assert view.lines[0].between == "2.00% to 6.00%"
    assert view.coverage.startswith("11 of 12 endpoints were seen with enough pairs to be judged on their own, 99.8%")


def test_the_page_begins_with_the_verdict_and_names_the_worst_endpoint(make_report: Callable[..., Report]) -> None:
    """Before outcomes and tables; names from traffic are escaped."""
    report = make_report(verdict=verdict(endpoint="GET /<b>"))
    page = render_report(report)
    assert page.index("Verdict: fail") < page.index('id="outcomes"')
    assert "GET /&lt;b&gt;" in page
    assert "<code>GET /rare</code>" in page
    assert headline(report).where == report.endpoints[0].endpoint
    assert f"most at <code>{report.endpoints[0].endpoint}</code>" in page
    assert "Verdict" not in render_report(make_report())
