"""`gnomon topics`: the topics of the settings."""

from __future__ import annotations

from pathlib import Path

import click

from gnomon.cli.options import ClosestGroup, config_option, load

__all__ = ["topics"]


@click.group(cls=ClosestGroup)
def topics() -> None:
    """Make the Kafka topics of the settings."""


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
    """Make the topics that are not there: exchanges, rejects, comparisons, alerts.

    Nothing of a topic that is there is changed. To change its partitions, stop the emitters, let the workers read all
    there is, and only then change them with Kafka's own tools: the two sides of a request must meet in one partition.

    \b
    Examples:
      $ gnomon topics create
      $ gnomon topics create --partitions 24 --replication 3
    """
    import asyncio

    from gnomon.stream.topics import create_topics

    kafka = load(context, config).settings.kafka
    for topic in asyncio.run(create_topics(kafka, partitions=partitions, replication=replication)):
        done = "made" if topic.state == "created" else "is there already"
        click.echo(f"{topic.name}: {done}, {topic.partitions} partition{'' if topic.partitions == 1 else 's'}")
        if topic.partitions != partitions:
            click.echo(
                f"gnomon: warning: {topic.name} has {topic.partitions} partitions where {partitions} were asked for; "
                "it is left as it is: drain it before you change that",
                err=True,
            )
