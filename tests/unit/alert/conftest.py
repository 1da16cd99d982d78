"""What the tests of alerts share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.hooks.server import NOW, make_alert

from gnomon.alert import Ledger
from gnomon.model import Alert
from gnomon.testing import ManualClock


@pytest.fixture
def alert() -> Callable[..., Alert]:
    """A factory of alerts that fire."""
    return make_alert


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock(NOW)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger(tmp_path / "watch.sqlite") as opened:
        yield opened
