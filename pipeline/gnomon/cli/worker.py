"""`gnomon worker`: joins, compares and lands what is on Kafka."""

from __future__ import annotations

import asyncio
import gc
import signal
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from gnomon.cli.options import config_option, load, read_rules, rules_option, warn_of_random_key

__all__ = ["worker"]


class _Given(msgspec.Struct, frozen=True):
    rules: Path | None
    config: Path | None


@click.command()
@rules_option
@config_option
@click.pass_context
def worker(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - see _Given
    """Compare what is on Kafka and land it in the store, until a signal ends it.

    Run as many as you like, up to one per partition: they share the partitions, and take over those of one that ends.

    \b
    Examples:
      $ gnomon worker
      $ GNOMON_KAFKA=kafka-1:9092,kafka-2:9092 GNOMON_STORE=/data/gnomon gnomon worker --rules rules.toml
    """
    # Until Faust listens to signals, which it does when it runs: nothing is read yet, and nothing is to be landed
    signal.signal(signal.SIGTERM, _end)
    given = _Given(**options)
    loaded = load(context, given.config)
    rules = read_rules(given.rules, loaded)
    settings = loaded.settings
    warn_of_random_key(settings)
    from gnomon.compare import build_engine
    from gnomon.kafka import check_connection
    from gnomon.operations import configure_logging
    from gnomon.stream.app import make_app, run_app
    from gnomon.stream.landing import StoreLog

    configure_logging(settings)
    asyncio.run(check_connection(settings.kafka))
    # Millions of short-lived documents without cycles, which the collector would look through again and again
    gc.set_threshold(100_000, 50, 100)
    run_app(make_app(settings, build_engine(rules, settings), StoreLog(settings)))


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)
