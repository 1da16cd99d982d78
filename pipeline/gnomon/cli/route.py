"""`gnomon route`: keeps synthetic events out of business streams."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import click

from gnomon.cli.options import ClosestGroup, config_option, load

__all__ = ["route"]


@click.group(cls=ClosestGroup, invoke_without_command=True)
@config_option
@click.pass_context
def route(context: click.Context, config: Path | None) -> None:
    """Split business topics by [[route]]: real events to clean, synthetic ones to synthetic, until a signal ends it.

    Every event is sent on exactly once (Kafka transactions), to the same partition number, with its key, headers and
    timestamp. Run as many as you like, up to one per partition.

    \b
    Examples:
      $ gnomon route
      $ gnomon route audit --clean orders.clean
    """
    if context.invoked_subcommand is not None:
        if config is not None:
            context.obj.config = config
        return
    loaded = load(context, config)
    from gnomon.operations import configure_logging
    from gnomon.stream.app import run_app
    from gnomon.stream.route.app import check_routes, make_route_app

    configure_logging(loaded.settings)
    asyncio.run(check_routes(loaded.settings, loaded.routes))
    gc.set_threshold(100_000, 50, 100)  # millions of short-lived records without cycles
    run_app(make_route_app(loaded.settings, loaded.routes))
