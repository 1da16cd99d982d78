"""`gnomon watch`: evaluates alert rules and sends hooks."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from gnomon.cli.options import config_option, db_option, load
from gnomon.errors import DependencyError, UsageError

if TYPE_CHECKING:
    from gnomon.watch import Observer, Watch

__all__ = ["watch"]


@click.command()
@db_option
@click.option("--once", is_flag=True, help="Evaluate and send once, and end.")
@config_option
@click.pass_context
def watch(context: click.Context, db: Path | None, once: bool, config: Path | None) -> None:
    """Evaluate the [[alert]] rules of the settings and send what fires to their hooks, until stopped.

    Of a store, changes of state go to the Kafka topic kafka.alerts too.

    Any number may run beside each other: one works, the others take over when it ends.

    \b
    Examples:
      $ gnomon watch
      $ gnomon watch --db gnomon.duckdb --once
    """
    from gnomon.alert import Ledger
    from gnomon.operations import OperationsServer, Readiness, WatchMetrics, configure_logging
    from gnomon.watch import Watch, WatchedStore, find_data, ledger_path

    loaded = load(context, config)
    if not loaded.alerting.rules:
        raise UsageError(
            "there are no [[alert]] rules to watch", "write one into gnomon.toml; docs/alerts.md shows how"
        )
    data = find_data(db, loaded.settings)
    settings = loaded.settings
    if not data.is_dir():  # what a worker fills has Kafka beside it, a file that `gnomon compare` wrote need not
        settings = msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, alerts=""))
    configure_logging(loaded.settings)
    readiness = Readiness(["rules"])
    metrics = WatchMetrics(readiness)

    def make(ledger: Ledger, observer: Observer) -> Watch:
        return Watch(loaded.alerting, settings, ledger, WatchedStore(data), clock=_now, observer=observer)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with OperationsServer(loaded.settings.operations, readiness, metrics):
            await make(ledger, metrics).run(stop)

    with Ledger(ledger_path(data)) as ledger:
        if not once:
            asyncio.run(run())
        elif not asyncio.run(make(ledger, metrics).run_once()):
            raise DependencyError("another gnomon watch evaluates these rules", "stop it, or let it do the work")


def _now() -> datetime:
    return datetime.now(UTC)
