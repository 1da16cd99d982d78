"""`gnomon topics`: the topics of the settings."""

from __future__ import annotations

from pathlib import Path

import click

from gnomon.cli.options import ClosestGroup, config_option, load
from gnomon.config import Loaded

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
    """Make the topics that are not there: exchanges, rejects, comparisons, alerts, and the outputs of [[route]].

    Outputs get the partitions, retention and largest event of the topic that is split, which has to be there.

    Nothing of a topic that is there is changed. To change its partitions, stop the emitters, let the workers read all
    there is, and only then change them with Kafka's own tools: the two sides of a request must meet in one partition.

    \b
    Examples:
      $ gnomon topics create
      $ gnomon topics create --partitions 24 --replication 3
    """
    import asyncio

    loaded = load(context, config)
    for line, is_warning in asyncio.run(_create(loaded, partitions, replication)):
        click.echo(line, err=is_warning)


async def _create(loaded: Loaded, partitions: int, replication: int | None) -> list[tuple[str, bool]]:
    """Make the topics; give lines to print, and which of them are warnings."""
    from gnomon.stream.topics import create_topics, planned_outputs, planned_topics

    kafka = loaded.settings.kafka
    outputs = await planned_outputs(kafka, loaded.routes)
    sizes = {topic.name: topic.partitions for topic in outputs}
    lines = []
    planned = [*planned_topics(kafka), *outputs]
    for topic in await create_topics(kafka, partitions=partitions, replication=replication, topics=planned):
        done = "made" if topic.state == "created" else "is there already"
        said = f"{topic.name}: {done}, {topic.partitions} partition{'' if topic.partitions == 1 else 's'}"
        lines.append((said, False))
        wanted = sizes.get(topic.name, partitions) or partitions
        if topic.partitions < wanted or (topic.partitions > wanted and topic.name not in sizes):
            has = f"gnomon: warning: {topic.name} has {topic.partitions} partitions where {wanted} were asked for"
            lines.append((f"{has}; it is left as it is: drain it before you change that", True))
    missing = sorted({route.source for route in loaded.routes if route.clean not in sizes})
    lines += [(f"gnomon: warning: {name} is not there; make it, then its outputs with this", True) for name in missing]
    return lines
