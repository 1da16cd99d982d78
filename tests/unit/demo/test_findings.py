"""What was planted beside what the judge found."""

from __future__ import annotations

import pytest

from gnomon.demo import PLANTED
from gnomon.demo.findings import compare_findings
from gnomon.summary import VerdictReason

ALL = [
    VerdictReason(
        code="max_endpoint_divergence",
        endpoint="GET /products/{id}",
        pattern="/body/price",
        kind="type_changed",
        request_ids=["a", "b"],
    ),
    VerdictReason(code="field", endpoint="GET /carts/{id}", pattern="/body/voucher", kind="removed", request_ids=["c"]),
    VerdictReason(code="field", endpoint="GET /products/{id}/related", pattern="/body/related/*", kind="moved"),
    VerdictReason(code="max_latency_shift.p50", endpoint="GET /search", request_ids=["d"]),
]


def test_all_that_was_planted_is_found_by_its_requests() -> None:
    """Each regression is found by the reason that names its place, and what belongs to it is expected."""
    endpoint = VerdictReason(code="max_endpoint_divergence", endpoint="GET /carts/{id}")
    overall = VerdictReason(code="max_divergence")
    findings = compare_findings([*ALL, endpoint, overall])
    assert findings.line == "planted 4, found 4, unexpected 0"
    assert [list(row.request_ids) for row in findings.rows] == [["a", "b"], ["c"], [], ["d"]]


def test_nothing_is_found_without_reasons() -> None:
    """Before anything landed, all is planted and nothing found."""
    assert compare_findings([]).line == f"planted {len(PLANTED)}, found 0, unexpected 0"


@pytest.mark.parametrize(
    "reason",
    [
        VerdictReason(code="field", endpoint="GET /products/{id}", pattern="/body/price", kind="removed"),
        VerdictReason(code="field", endpoint="GET /stores", pattern="/body/stores/*/city", kind="changed"),
        VerdictReason(code="max_endpoint_divergence", endpoint="GET /search"),
        VerdictReason(code="max_latency_shift.p99", endpoint="GET /carts/{id}"),
        VerdictReason(code="max_error_increase", endpoint="GET /stores"),
    ],
)
def test_what_was_not_planted_is_unexpected(reason: VerdictReason) -> None:
    """Another kind, another place, another endpoint's latency or errors: all of them would be false alarms."""
    assert compare_findings([*ALL, reason]).line == "planted 4, found 4, unexpected 1"


def test_what_is_undecided_is_no_finding() -> None:
    """Neither for nor against: more traffic decides."""
    reasons = [
        VerdictReason(code="undecided_max_latency_shift.p50", endpoint=e) for e in ("GET /search", "GET /stores")
    ]
    assert compare_findings(reasons).line == "planted 4, found 0, unexpected 0"
