"""`gnomon produce`: a capture onto Kafka."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gnomon.cli.options import config_option, format_option, load, read_rules, rules_option, warn_of_random_key
from gnomon.cli.tables import progress_bar
from gnomon.cli.text import plural
from gnomon.model import Role

if TYPE_CHECKING:
    from gnomon.capture import FormatChoice
    from gnomon.config import Kafka

__all__ = ["produce"]


class _Given(msgspec.Struct, frozen=True):
    captures: tuple[str, ...]
    role: Role | None
    fmt: FormatChoice
    rate: float | None
    as_recorded: bool
    rules: Path | None
    config: Path | None


@click.command()
@click.argument("captures", nargs=-1, required=True, metavar="CAPTURE...")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Records a second.")
@click.option("--as-recorded", is_flag=True, help="Send each record when it came, counted from the first one.")
@click.option("--role", type=click.Choice(["live", "shadow", "control"]), help="The role of all records.")
@format_option
@rules_option
@config_option
@click.pass_context
def produce(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - see _Given
    """Put captures on Kafka, for workers to compare.

    Records are redacted and keyed by request id, and all are delivered when this ends. Lines that cannot be read are
    sent as they are. The topic (kafka.topic) is made if it is not there.

    Up to 100 NDJSON files are merged by the times of their records, as if all had been recorded into one. Anything else
    goes out one capture after the other, so no capture may be longer than join.window and join.lateness together, or
    workers will have closed the windows of its requests before the other side comes.

    \b
    Examples:
      $ gnomon produce capture.ndjson.gz
      $ gnomon produce live.ndjson shadow.ndjson control.ndjson
      $ gnomon produce capture.ndjson --rate 2000
      $ gnomon produce shadow.har --role shadow --as-recorded
    """
    given = _Given(**options)
    if given.rate is not None and given.as_recorded:
        raise click.UsageError("--rate and --as-recorded say two things about time; keep one", context)
    loaded = load(context, given.config)
    rules = read_rules(given.rules, loaded)
    from gnomon.capture import Source, capture_size
    from gnomon.emit.kafka import KafkaTransport
    from gnomon.stream.produce import ProduceRequest
    from gnomon.stream.produce import produce as put

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what is wrong is said once, in a sentence
    settings = loaded.settings
    warn_of_random_key(settings)
    sources = [Source(path, given.role) for path in given.captures]
    total = capture_size(sources)  # tells of a missing capture before anything is made
    asyncio.run(_make_topic(settings.kafka))
    request = ProduceRequest(
        sources=sources,
        fmt=given.fmt,
        rules=rules,
        settings=settings,
        rate=given.rate,
        as_recorded=given.as_recorded,
    )
    with progress_bar("producing", total) as progress:
        produced = put(request, KafkaTransport(settings.kafka), progress)
    details = [(produced.unreadable, "unreadable"), (produced.cut, "cut to fit")]
    told = "".join(f", {count} of them {what}" for count, what in details if count)
    click.echo(f"{settings.kafka.topic}: {plural(produced.sent, 'record')} sent{told}, in {produced.seconds:.1f} s")


async def _make_topic(kafka: Kafka) -> None:
    """Make the topic of the exchanges if it is not there."""
    from gnomon.stream.topics import create_topics, planned_topics

    exchanges = [topic for topic in planned_topics(kafka) if topic.name == kafka.topic]
    for topic in await create_topics(kafka, topics=exchanges):
        if topic.state == "created":
            click.echo(f"gnomon: made the topic {topic.name} with {topic.partitions} partitions", err=True)
