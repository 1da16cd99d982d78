"""`gnomon demo` on a broker with transactions: the shop's orders go through the synthetic filter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.kafka.brokers import Broker

pytestmark = [pytest.mark.apache_kafka, pytest.mark.demo]


def test_the_revenue_is_shown_with_and_without_the_load_tests_orders(kafka: Broker, tmp_path: Path) -> None:
    """Counts by topic add up while traffic goes on, nothing of the client's own is said, and no finding is spoilt."""
    command = [sys.executable, "-m", "gnomon", "demo", "--seconds", "1", "--kafka", kafka.bootstrap]
    done = subprocess.run(
        [*command, "--directory", str(tmp_path)], capture_output=True, text=True, timeout=180, check=False
    )
    said = done.stdout.splitlines()
    assert said[-1:] == ["planted 4, found 4, unexpected 0"], done.stdout + done.stderr
    assert done.returncode == 0
    heading = next(number for number, line in enumerate(said) if line.split() == ["topic", "orders", "revenue"])
    rows = [line.split() for line in said[heading + 1 : heading + 5]]
    assert [name.rpartition(".")[2] for name, _, _ in rows] == ["orders", "clean", "synthetic", "quarantine"]
    orders, clean, synthetic, quarantine = (int(events.replace(",", "")) for _, events, _ in rows)
    assert orders == clean + synthetic + quarantine
    cents = [round(float(revenue.replace(",", "")) * 100) for _, _, revenue in rows]
    assert abs(cents[0] - sum(cents[1:])) <= 1
    assert all(line.startswith("demo: ") for line in done.stderr.splitlines()), done.stderr
    assert clean > synthetic > 10
    assert quarantine == 1
    (line,) = (line for line in said if line.startswith("Revenue: "))
    real, everything = (float(word.replace(",", "")) for word in (line.split()[1], line.split()[-1]))
    assert f"{real:,.2f}" == rows[1][2]
    assert 0 < real < everything
