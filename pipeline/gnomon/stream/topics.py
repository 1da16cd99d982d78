"""The topics of the settings: which there are, with what configuration, and how they are made.

Nothing of a topic that exists is changed. Adding partitions in particular would part the records of requests that are
under way: their keys would be hashed to other partitions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidReplicationFactorError,
    InvalidTopicError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.structs import TopicPartition

from gnomon.config import Kafka, Route
from gnomon.errors import ConfigError, DependencyError, UsageError
from gnomon.kafka import check_connection, client_options, kafka_errors

__all__ = [
    "PARTITIONS",
    "MadeTopic",
    "committed_offset",
    "count_partitions",
    "create_topics",
    "planned_outputs",
    "planned_topics",
]

PARTITIONS: Final = 8
"""Partitions of a topic where nobody says otherwise: as many workers can share the work."""
MAX_MESSAGE_BYTES: Final = 2 * 2**20
"""Twice what emitters make at most: a batch of one record, and what Kafka puts around it, always fits."""
_COPIED: Final = ("cleanup.policy", "max.message.bytes", "retention.bytes", "retention.ms")
_FOR_EVER: Final = -1
_TIMEOUT_MS: Final = 30_000
_COPIES: Final = 3
_PAUSE_SECONDS: Final = 0.1


class PlannedTopic(msgspec.Struct, frozen=True):
    """A topic to be made: with what configuration, all else being the broker's default, and of how many partitions."""

    name: str
    config: dict[str, str]
    partitions: int | None = None

    @classmethod
    def kept(cls, name: str, retention: timedelta) -> PlannedTopic:
        """Give a topic of the settings, whose records Kafka keeps for so long."""
        milliseconds = retention // timedelta(milliseconds=1)
        config = {
            "cleanup.policy": "delete",
            "retention.ms": str(milliseconds),
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
        }
        return cls(name, config)

    def joined(self, other: PlannedTopic) -> PlannedTopic:
        """Give a topic that does for both."""
        config = self.config | other.config
        for name in ("max.message.bytes", "retention.bytes", "retention.ms"):
            sizes = [int(one.config[name]) for one in (self, other) if name in one.config]
            if sizes:
                config[name] = str(_FOR_EVER if _FOR_EVER in sizes else max(sizes))
        if "delete" in (self.config.get("cleanup.policy"), other.config.get("cleanup.policy")):
            config["cleanup.policy"] = "delete"
        return PlannedTopic(self.name, config, max(self.partitions or 0, other.partitions or 0) or None)


class MadeTopic(msgspec.Struct, frozen=True):
    """What became of a topic: made, or there already with `partitions` of its own."""

    name: str
    state: Literal["created", "exists"]
    partitions: int


def planned_topics(kafka: Kafka) -> list[PlannedTopic]:
    """Give the topics of the settings.

    Exchanges are kept for three days, so a weekend without workers loses none; what goes out is kept for longer.
    """
    planned = [
        PlannedTopic.kept(kafka.topic, timedelta(days=3)),
        PlannedTopic.kept(kafka.rejects, timedelta(days=7)),
        PlannedTopic.kept(kafka.comparisons, timedelta(days=7)),
        PlannedTopic.kept(kafka.alerts, timedelta(days=30)),
    ]
    return [topic for topic in planned if topic.name]


async def create_topics(
    kafka: Kafka,
    *,
    partitions: int = PARTITIONS,
    replication: int | None = None,
    topics: Sequence[PlannedTopic] | None = None,
) -> list[MadeTopic]:
    """Make the topics that are not there.

    Args:
        kafka: Where the brokers are, and the names.
        partitions: Of each topic that is made and says nothing else.
        replication: Copies of each; None: as many as the broker makes by default.
        topics: Those to make; all of the settings by default.

    Returns:
        All of them, in their order.

    Raises:
        DependencyError: No broker can be reached, or it does not let us.
        ConfigError: A name is not one that Kafka takes.
        UsageError: More copies than there are brokers.
    """
    await check_connection(kafka)
    planned = planned_topics(kafka) if topics is None else topics
    with kafka_errors(kafka, "making topics"):
        async with _admin(kafka) as admin:
            there = await _partitions_of(admin)
            missing = [topic for topic in planned if topic.name not in there]
            made = set()
            if missing:
                copies = replication or await _default_replication(admin)
                made = await _create(admin, missing, partitions, copies)
                there = await _wait_for(admin, {topic.name for topic in planned})
    return [
        MadeTopic(topic.name, "created" if topic.name in made else "exists", there.get(topic.name, partitions))
        for topic in planned
    ]


async def planned_outputs(kafka: Kafka, routes: Sequence[Route]) -> list[PlannedTopic]:
    """Give the topics that business topics are split into, each as its source is: partitions, retention, largest event.

    What is in quarantine is never compacted, nor what taint is remembered by, which is kept for at least as long. An
    output of several routes gets the most of each. Routes whose source is not there are left out.

    Args:
        kafka: Where the brokers are.
        routes: The routes.

    Raises:
        DependencyError: No broker can be reached, or it does not let us.
    """
    if not routes:
        return []
    await check_connection(kafka)
    planned: dict[str, PlannedTopic] = {}
    with kafka_errors(kafka, "looking at topics"):
        async with _admin(kafka) as admin:
            there = await _partitions_of(admin)
            for route in (route for route in routes if route.source in there):
                config = await _config_of(admin, route.source)
                kept = config | {"cleanup.policy": "delete"}
                span = timedelta() if route.taint is None else route.taint.span
                outputs = (
                    (route.clean, config),
                    (route.synthetic, config if route.taint is None else _kept_for(kept, span)),
                    (route.quarantine, kept),
                )
                for name, wanted in outputs:
                    topic = PlannedTopic(name, wanted, there[route.source])
                    planned[name] = topic.joined(planned[name]) if name in planned else topic
    return [planned[name] for name in sorted(planned)]


async def forgetful(kafka: Kafka, topic: str, span: timedelta) -> str:
    """Say why a topic may lose records before they are so old; empty where it keeps them, or the broker does not tell.

    Raises:
        DependencyError: No broker can be reached.
    """
    with kafka_errors(kafka, f"looking at {topic}"):
        async with _admin(kafka) as admin:
            config = await _config_of(admin, topic)
    if "compact" in config.get("cleanup.policy", ""):
        return "it is compacted (cleanup.policy)"
    if _kept_for(config, span) != config:
        return f"it keeps records for {config['retention.ms']} ms (retention.ms)"
    return ""


def _kept_for(config: dict[str, str], span: timedelta) -> dict[str, str]:
    """Give a configuration that keeps records for at least so long."""
    least = span // timedelta(milliseconds=1)
    given = int(config.get("retention.ms", _FOR_EVER))
    return config if given == _FOR_EVER or given >= least else config | {"retention.ms": str(least)}


async def count_partitions(kafka: Kafka) -> dict[str, int]:
    """Give how many partitions each topic has.

    Raises:
        DependencyError: No broker can be reached, or it does not let us.
    """
    with kafka_errors(kafka, "looking at topics"):
        async with _admin(kafka) as admin:
            return await _partitions_of(admin)


async def committed_offset(kafka: Kafka, group: str, topic: str, partition: int) -> int | None:
    """Give what a group has committed of a partition; None where it has not.

    Raises:
        DependencyError: No broker can be reached, or it does not let us.
    """
    with kafka_errors(kafka, f"asking what {group} has committed"):
        async with _admin(kafka) as admin:
            source = TopicPartition(topic, partition)
            offsets = await admin.list_consumer_group_offsets(group, partitions=[source])
    known = offsets.get(source)
    return known.offset if known is not None and known.offset >= 0 else None


@asynccontextmanager
async def _admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_options(kafka), request_timeout_ms=_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _partitions_of(admin: AIOKafkaAdminClient) -> dict[str, int]:
    described: list[Mapping[str, Any]] = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}


async def _wait_for(admin: AIOKafkaAdminClient, names: set[str]) -> dict[str, int]:
    """Wait until the broker that is asked has heard of topics; give how many partitions each has."""
    deadline = time.monotonic() + _TIMEOUT_MS / 1000
    while True:
        there = await _partitions_of(admin)
        if names <= there.keys() or time.monotonic() > deadline:
            return there
        await asyncio.sleep(_PAUSE_SECONDS)


async def _default_replication(admin: AIOKafkaAdminClient) -> int:
    """Ask the broker how many copies it makes by default; where it does not tell, three or one for each broker."""
    brokers: list[Mapping[str, Any]] = (await admin.describe_cluster())["brokers"]
    name = "default.replication.factor"
    with suppress(KafkaError, ValueError, LookupError):
        return int((await _asked(admin, ConfigResourceType.BROKER, str(brokers[0]["node_id"]), [name]))[name])
    return min(_COPIES, len(brokers))


async def _config_of(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """Give what says how long records of a topic are kept and how large they may be, as far as the broker tells."""
    with suppress(KafkaError, ValueError, LookupError):
        return await _asked(admin, ConfigResourceType.TOPIC, topic, _COPIED)
    return {}


async def _asked(
    admin: AIOKafkaAdminClient, kind: ConfigResourceType, name: str, wanted: Sequence[str]
) -> dict[str, str]:
    (answer,) = await admin.describe_configs([ConfigResource(kind, name, configs=dict.fromkeys(wanted, ""))])
    return {entry[0]: entry[1] for *_, entries in answer.resources for entry in entries if entry[0] in wanted}


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[PlannedTopic], partitions: int, copies: int) -> set[str]:
    """Make topics; give the names of those that somebody else did not make before."""
    new = [NewTopic(topic.name, topic.partitions or partitions, copies, topic_configs=topic.config) for topic in topics]
    response = await admin.create_topics(new, timeout_ms=_TIMEOUT_MS)
    made = set()
    for name, code, *said in response.topic_errors:
        error: type[Exception] = for_code(code)
        why = str(said[0]) if said and said[0] else error.__name__
        if not code:
            made.add(name)
        if not code or issubclass(error, TopicAlreadyExistsError):
            continue
        if issubclass(error, InvalidReplicationFactorError):
            raise UsageError(f"the topic {name} cannot have {copies} copies: {why}", "ask for fewer: --replication")
        if issubclass(error, InvalidTopicError):
            raise ConfigError(f"Kafka takes no topic of the name {name!r}: {why}", "correct it in [kafka]")
        raise DependencyError(f"the topic {name} was not made: {why}", "ask whoever runs Kafka to allow or to make it")
    return made
