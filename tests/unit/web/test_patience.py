"""Questions end when nobody waits for them, whatever they are doing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from gnomon.config import Settings
from gnomon.core.judge import EndpointEvidence, Evidence, Tally, Timings, give_verdict
from gnomon.store import Store, open_store
from gnomon.store.log import prepare_store
from gnomon.verdict import limits_of
from gnomon.web.app import Api
from gnomon.web.patience import Patience, TooLongError


def evidence() -> Evidence:
    """One endpoint."""
    one = EndpointEvidence(
        service="s", endpoint="GET /", target="", pairs=1, judged=1, divergence=Tally(0, 0, 1), errors=Tally(0, 0, 1),
        timings=Timings.none(),
    )  # fmt: skip
    return Evidence([one], [])


def test_judging_ends_when_patience_does() -> None:
    """What is computed is given up at the next look, not only what is asked of the store."""
    patience = Patience(60)
    limits = limits_of(Settings().verdict)
    assert give_verdict(evidence(), limits, patience.check).verdict.verdict == "undecided"
    patience.end()
    with pytest.raises(TooLongError):
        give_verdict(evidence(), limits, patience.check)
    with pytest.raises(TooLongError):
        Patience(0).check()


def test_what_is_asked_of_the_store_is_interrupted(tmp_path: Path) -> None:
    """A query that would take minutes ends as soon as patience does."""
    prepare_store(tmp_path / "store")
    patience = Patience(60)
    with open_store(tmp_path / "store") as store, patience.watching(store):
        threading.Timer(0.2, patience.end).start()
        with pytest.raises(Exception, match="(?i)interrupt"):
            store.sql("SELECT count(*) FROM range(100_000_000) AS a, range(100_000) AS b").fetchall()


def test_the_end_of_the_process_waits_for_no_question(tmp_path: Path) -> None:
    """When the server stops, threads that still judge give up."""
    prepare_store(tmp_path / "store")
    api = Api(lambda: tmp_path / "store", Settings(), lambda: datetime.now(UTC))
    begun = threading.Event()

    def endless(_: Store, patience: Patience) -> None:
        begun.set()
        while True:
            patience.check()

    async def stop() -> None:
        await anyio.to_thread.run_sync(begun.wait)
        api.give_up()

    async def main(ask: Callable[..., object]) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop)
            with pytest.raises(TooLongError):
                await ask(endless)  # type: ignore[misc]

    anyio.run(main, api._ask)
