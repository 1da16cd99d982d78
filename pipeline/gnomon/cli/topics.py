"""`gnomon topics`: the topics of the settings."""

from __future__ import annotations

from pathlib import Path

import click

from gnomon.cli.options import ClosestGroup, config_option, load
from gnomon.cli.text import plural
from gnomon.config import Loaded
from gnomon.errors import ConfigError

__all__ = ["topics"]


@click.group(cls=ClosestGroup)
def topics() -> None:
    """Make the Kafka topics of the settings.

    \b
    Examples:
      $ gnomon topics create
    """


@topics.command()
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="Partitions of each topic: the most workers that can share the work.",
)
@click.option("--replication", type=click.IntRange(min=1), metavar="N", help="Copies. [default: the broker's]")
@config_option
@click.pass_context
def create(context: click.Context, partitions: int, replication: int | None, config: Path | None) -> None:
    """Make the topics that are not there: exchanges, rejects, alerts, comparisons if wanted, and outputs of [[route]].

    Outputs get the partitions, retention and largest event of the topic that is split. Where that is not there, all
    other topics are made, and the exit code is 2.

    Nothing of a topic that is there is changed. To change its partitions, stop the emitters, let the workers read all
    there is, and only then change them with Kafka's own tools: the two sides of a request must meet in one partition.

    \b
    Examples:
      $ gnomon topics create
      $ gnomon topics create --partitions 24 --replication 3
    """
    import asyncio

    loaded = load(context, config)
    missing = asyncio.run(_create(loaded, partitions, replication))
    if missing:
        raise ConfigError(
            f"there is no topic {' nor '.join(missing)} to make the outputs of its [[route]] like",
            "make it, or correct `from`, and run this again; the other topics are there",
        )


async def _create(loaded: Loaded, partitions: int, replication: int | None) -> list[str]:
    """Make the topics and say so; give the sources of routes that are not there."""
    from gnomon.stream.topics import count_partitions, create_topics, planned_outputs, planned_topics

    kafka = loaded.settings.kafka
    planned, done = planned_topics(kafka), set[str]()
    while planned:
        for topic in await create_topics(kafka, partitions=partitions, replication=replication, topics=planned):
            made = "made" if topic.state == "created" else "is there already"
            click.echo(f"{topic.name}: {made}, {plural(topic.partitions, 'partition')}")
            asked = next((one.partitions for one in planned if one.name == topic.name), None)
            wanted = asked or partitions
            if topic.partitions < wanted or (topic.partitions > wanted and asked is None):
                has = f"{topic.name} has {plural(topic.partitions, 'partition')} where {wanted} were asked for"
                warning = f"gnomon: warning: {has}; it is left as it is: drain it before you change that"
                click.echo(warning, err=True)
        done |= {topic.name for topic in planned}
        # What one route sends to may be what another one splits
        planned = [topic for topic in await planned_outputs(kafka, loaded.routes) if topic.name not in done]
    there = await count_partitions(kafka) if loaded.routes else {}
    return sorted({route.source for route in loaded.routes} - there.keys())
