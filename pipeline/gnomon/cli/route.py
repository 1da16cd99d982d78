"""`gnomon route`: keeps synthetic events out of business streams."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Final

import click
import msgspec

from gnomon.cli.options import ClosestGroup, config_option, load
from gnomon.errors import ConfigError, UsageError

__all__ = ["route"]

_TO: Final = {"both": "clean and synthetic"}
"""Destinations whose name in the table `routed` is no output's."""


@click.group(cls=ClosestGroup, invoke_without_command=True)
@config_option
@click.pass_context
def route(context: click.Context, config: Path | None) -> None:
    """Split business topics by [[route]]: real events to clean, synthetic ones to synthetic, until a signal ends it.

    Every event is sent on exactly once (Kafka transactions), to the same partition number, with its key, headers and
    timestamp. Run as many as you like, up to one per partition.

    \b
    Examples:
      $ gnomon route preview
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


@route.command()
@click.option("--clean", "topic", metavar="TOPIC", required=True, help="The clean topic of a [[route]].")
@click.option("--follow", is_flag=True, help="Read on until a signal ends it; leaks are metrics and land in the store.")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
@config_option
@click.pass_context
def audit(context: click.Context, topic: str, follow: bool, as_json: bool, config: Path | None) -> None:
    """Read a clean topic with the rules of today, and say what should not be there: by rule, offset and key.

    Ends with 1 when there is anything. With --follow it goes on and on, for alerts on leaks.

    \b
    Examples:
      $ gnomon route audit --clean orders.clean
      $ gnomon route audit --clean orders.clean --follow
    """
    loaded = load(context, config)
    from gnomon.cli.text import one_line, plural
    from gnomon.operations import configure_logging
    from gnomon.stream.route.audit import Leak, audit_topic, follow_topic, judges_of

    if follow and as_json:
        raise UsageError("--json has one object, and --follow has no end", "give one of the two")
    judges = judges_of(loaded.routes, topic, loaded.settings.registry)
    if follow:
        configure_logging(loaded.settings)

        def tell(rule: str, leak: Leak) -> None:
            click.echo(f"{topic}[{leak.partition}]@{leak.offset}{_key(leak.key)}: {one_line(rule)}")

        asyncio.run(follow_topic(loaded.settings, topic, judges, tell))
        return
    found = asyncio.run(audit_topic(loaded.settings.kafka, topic, judges))
    if as_json:
        rules = [msgspec.to_builtins(finding) for finding in found.findings.values()]
        report = {"topic": topic, "events": found.events, "leaks": found.leaks, "rules": rules}
        click.echo(msgspec.json.encode(report).decode())
    else:
        click.echo(f"{topic}: {plural(found.events, 'event')}, {found.leaks} that should not be there")
        for finding in found.findings.values():
            click.echo(f"{one_line(finding.rule)}: {finding.leaks}")
            for leak in finding.first:
                click.echo(f"  {topic}[{leak.partition}]@{leak.offset}{_key(leak.key)}")
    if found.leaks:
        context.exit(1)


def _key(key: str | None) -> str:
    from gnomon.cli.text import one_line

    return "" if key is None else f" key {one_line(key)}"


@route.command()
@click.option("--from", "topic", metavar="TOPIC", help="Only this topic's [[route]].")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
@config_option
@click.pass_context
def preview(context: click.Context, topic: str | None, as_json: bool, config: Path | None) -> None:
    """Judge what is on the topics of [[route]] now, and send nothing: where events would go, by which rule.

    \b
    Examples:
      $ gnomon route preview
      $ gnomon route preview --from orders --json
    """
    loaded = load(context, config)
    from gnomon.cli.tables import print_table
    from gnomon.cli.text import one_line, plural
    from gnomon.stream.route.preview import preview_route
    from gnomon.stream.route.rules import no_route

    if not loaded.routes:
        raise no_route()
    routes = [route for route in loaded.routes if topic in {None, route.source}]
    if not routes:
        known = ", ".join(sorted(route.source for route in loaded.routes))
        raise ConfigError(f"no [[route]] has from = {topic!r}", f"topics: {known}")
    settings = loaded.settings
    found = {route.source: asyncio.run(preview_route(settings.kafka, settings.registry, route)) for route in routes}
    if as_json:
        topics = [{"topic": name, "events": msgspec.to_builtins(rows)} for name, rows in found.items()]
        click.echo(msgspec.json.encode({"topics": topics}).decode())
        return
    print_table(
        ["topic", "would go to", "by rule", "events", "for example"],
        [
            (
                name,
                _TO.get(row.destination, row.destination),
                one_line(row.rule),
                row.events,
                next(iter(row.samples), ""),
            )
            for name, rows in found.items()
            for row in rows
            if row.destination != "correction"
        ],
    )
    for row in (row for rows in found.values() for row in rows if row.destination == "correction"):
        click.echo(
            f"\n{plural(row.events, 'event')} of those to clean came before the tag that would have held them back"
            f" ({one_line(row.rule)}): the first is {next(iter(row.samples), '')}"
        )
