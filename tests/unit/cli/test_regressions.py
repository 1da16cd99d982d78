"""A candidate that is wrong is said to be wrong, beside a field that changes with every answer and a control."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from gnomon.capture import NdjsonWriter
from gnomon.core.alerting import Criterion, measure
from gnomon.model import EPOCH
from gnomon.store import open_store
from gnomon.testing import STARTED_US, exchange

Run = Callable[..., Any]

NAMES: Final = ("carts", "users", "items", "stores", "prices", "offers", "mails", "parcels", "taxes", "sizes")
COUNT: Final = 2_000
BROKEN: Final[dict[str, tuple[int, float, dict[str, Any]]]] = {
    "all not found": (404, 1, {"error": "no such cart"}),
    "all failed": (500, 1, {"error": "out of order"}),
    "some not found": (404, 0.03, {"error": "no such cart"}),
    "the time is gone": (200, 1, {"price": 10}),
}
"""The candidate's status and answer, and for what share of the requests it is so."""


@pytest.fixture
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, float]:
    """A capture of ten endpoints with `at`, which is another in every answer, and the share that is broken."""
    status, share, answer = BROKEN[request.param]
    every = round(1 / share)
    file = tmp_path / "capture.ndjson"
    with NdjsonWriter(file) as writer:
        for number in range(COUNT):
            for at, (role, target) in enumerate((("live", ""), ("control", "cart@1"), ("shadow", "cart@2"))):
                wrong = role == "shadow" and number // len(NAMES) % every == 0
                writer.write(
                    exchange(
                        f"r-{number}",
                        role,
                        answer if wrong else {"price": 10, "at": f"2027-01-15T08:00:{at:02}.{number:06}Z"},
                        path=f"/{NAMES[number % len(NAMES)]}/{number}",
                        status=status if wrong else 200,
                        target=target,
                        started_us=STARTED_US + number,
                        duration_us=10_000,
                    )
                )
    return file, sum(number // len(NAMES) % every == 0 for number in range(COUNT)) / COUNT


@pytest.mark.parametrize("broken", BROKEN, indirect=True)
def test_what_is_broken_is_not_hidden_by_a_noisy_field(run: Run, broken: tuple[Path, float]) -> None:
    """Gate, views, alert and verdict say of how many requests the candidate is wrong, and fail."""
    capture, share = broken
    ended = run("compare", capture, "--json", "--fail-over", "0.01")
    assert ended.code == 1
    summary = json.loads(ended.out)
    assert summary["divergence_rate"] == share
    assert [row["divergence_rate"] for row in summary["endpoints"]] == [share] * len(NAMES)
    with open_store(Path(summary["db"])) as store:
        rates = store.sql("SELECT divergence_rate, rate_lo FROM endpoint_stats").fetchall()
        assert [rate for rate, _ in rates] == [share] * len(NAMES)
        assert all(low > 0 for _, low in rates)
        assert store.sql("SELECT DISTINCT divergence_rate FROM rate_stats()").fetchall() == [(share,)]
        [reading] = measure(Criterion(metric="divergence_rate", above=0.01), store.figures(EPOCH, {"divergence_rate"}))
    assert reading.exceeded
    assert reading.request_ids
    judged = run("verdict", "--json")
    verdict = json.loads(judged.out)
    assert (judged.code, verdict["verdict"], verdict["divergence_rate"]) == (1, "fail", share)
    assert "max_divergence" in {reason["code"] for reason in verdict["reasons"]}
