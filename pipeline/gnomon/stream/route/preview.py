"""Judges what is on a business topic and sends nothing: what a route would do, before it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from gnomon.config import Kafka, Registry, Route
from gnomon.core.routing import Routing
from gnomon.stream.route.judging import PartitionJudge
from gnomon.stream.route.reading import read_committed
from gnomon.stream.route.registry import RegistryClient
from gnomon.stream.route.rules import make_judge, open_users
from gnomon.stream.route.tally import SAMPLES, Tally

__all__ = ["Previewed", "preview_route"]

Told: TypeAlias = Callable[[Any, Routing], None]
_ORDER: Final = ("clean", "synthetic", "both", "quarantine", "correction")


class Previewed(msgspec.Struct, frozen=True):
    """Events that one rule sends to one destination, as in the table `routed`; `samples` are places of some.

    Those of the destination `correction` go to clean and are counted there too: their tag comes after them.
    """

    destination: str
    rule: str
    events: int
    samples: list[str]


async def preview_route(kafka: Kafka, registry: Registry, route: Route, told: Told | None = None) -> list[Previewed]:
    """Judge all that is committed on a route's topic now, in the order of each partition.

    Args:
        kafka: Where the brokers are.
        registry: Where schemas are.
        route: The route; its outputs need not be there.
        told: Called with each record and where it would go.

    Raises:
        ConfigError: There is no such topic, or a file of users cannot be read.
        DependencyError: No broker can be reached, it stops answering, or a schema cannot be had.
    """
    client = RegistryClient(registry) if registry.url else None
    judge = make_judge(route, open_users(route), client)
    partitions: dict[int, tuple[PartitionJudge, Tally]] = {}
    try:
        async for partition, records in read_committed(kafka, route.source):
            if partition not in partitions:
                partitions[partition] = judge.of_partition(partition), Tally(route.source, partition)
            own, tally = partitions[partition]
            await own.prepare(records)
            for record in records:
                routing = own.judge(record)
                tally.count(routing.rule, routing.to, record.offset)
                for late in routing.late:
                    tally.correct(routing.rule, late)
                if told is not None:
                    told(record, routing)
            own.commit()
    finally:
        if client is not None:
            await client.close()
    return _summed([row for _, (_, tally) in sorted(partitions.items()) for row in tally.rows()])


def _summed(rows: list[dict[str, Any]]) -> list[Previewed]:
    """Add up what partitions counted, in the order of destinations, the most frequent rules first."""
    found: dict[tuple[str, str], Previewed] = {}
    for row in rows:
        key = row["destination"], row["rule"]
        known = found.get(key, Previewed(*key, 0, []))
        found[key] = Previewed(*key, known.events + row["events"], [*known.samples, *row["samples"]][:SAMPLES])
    return sorted(found.values(), key=lambda p: (_ORDER.index(p.destination), -p.events, p.rule))
