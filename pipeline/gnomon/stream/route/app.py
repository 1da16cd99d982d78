"""The filter as a Faust application: `gnomon route`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from faust.types import TP

from gnomon.config import Kafka, Route, Settings
from gnomon.errors import ConfigError, DependencyError, GnomonError
from gnomon.kafka import client_options
from gnomon.operations import OperationsServer
from gnomon.store.log import Maintainer, Retention, StoreInfo, store_at
from gnomon.stream.app import faust_settings
from gnomon.stream.route.journal import Journal
from gnomon.stream.route.reading import read_back
from gnomon.stream.route.registry import RegistryClient
from gnomon.stream.route.router import Router, check_outputs
from gnomon.stream.route.rules import make_judge, no_route, open_users
from gnomon.stream.route.sender import BATCH_BYTES, KafkaSender
from gnomon.stream.route.users import USERS_SECONDS, Users
from gnomon.stream.topics import committed_offset, count_partitions, forgetful
from gnomon.stream.transport import Consumer, Slice, SliceSchema

__all__ = ["RouteApp", "check_routes", "check_transactions", "group_of", "make_route_app"]

logger = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 30.0
_TICK_SECONDS: Final = 0.25
_AUDIT_SECONDS: Final = 10.0
_MAINTENANCE_SECONDS: Final = 60.0
_MAX_POLL_RECORDS: Final = 5000


def group_of(kafka: Kafka) -> str:
    """Give the consumer group of the filter: workers have the plain name."""
    return f"{kafka.group}-route"


async def check_routes(settings: Settings, routes: tuple[Route, ...]) -> None:
    """See, before anything is read, that every topic is there and every event can keep its partition number.

    Raises:
        ConfigError: There is no route, or topics do not fit.
        DependencyError: No broker can be reached, or none has transactions.
    """
    if not routes:
        raise no_route()
    partitions = await count_partitions(settings.kafka)
    for route in routes:
        check_outputs(route, partitions)
        if route.taint is not None:
            why = await forgetful(settings.kafka, route.synthetic, route.taint.span)
            if why:
                what = f"[[route]] from {route.source!r}: taint is remembered by {route.synthetic!r}, and {why}"
                raise ConfigError(what, "make it keep every event for as long as taint.for")
    await check_transactions(settings.kafka)


async def check_transactions(kafka: Kafka) -> None:
    """See that the brokers have transactions, and let us have them.

    Raises:
        DependencyError: They do not, or they do not answer.
    """
    producer = AIOKafkaProducer(**client_options(kafka), transactional_id=f"{group_of(kafka)}-check")
    log = logging.getLogger("aiokafka")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what is wrong is said once, in a sentence
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await producer.start()
    except (KafkaError, OSError, TimeoutError) as error:
        why = str(error).rstrip(": ") or type(error).__name__
        what = f"the brokers at {kafka.bootstrap} let gnomon route have no transactions: {why}"
        raise DependencyError(
            what, "it needs Apache Kafka, or what has its transactions, and to be allowed them"
        ) from error
    finally:
        log.setLevel(level)
        await producer.stop()


class RouteApp(faust.App):
    """A Faust application that has a router, and lets it say where partitions are read from."""

    logger = logging.getLogger("faust.app")
    isolation_level = "read_committed"
    routing: Router

    async def start_offsets(self, committed: Mapping[TP, int | None]) -> Mapping[TP, int]:
        """Say where each assigned partition is read from (see `transport.StartsAnywhere`)."""
        return await self.routing.start_offsets(cast("Consumer", self.consumer), committed)

    def _create_directories(self) -> None:
        """Make none: there are no tables."""


class _Kafka:
    """Transactions and positions of one group (see `router.KafkaPort`)."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka

    async def start_sender(self, tp: TP, /) -> KafkaSender:
        """Take a partition over."""
        sender = KafkaSender(self._producer, TopicPartition(tp.topic, tp.partition), group_of(self._kafka))
        await sender.start()
        return sender

    async def committed(self, tp: TP, /) -> int | None:
        """Ask for the committed position."""
        return await committed_offset(self._kafka, group_of(self._kafka), tp.topic, tp.partition)

    async def partitions(self) -> Mapping[str, int]:
        """Ask how many partitions each topic has."""
        return await count_partitions(self._kafka)

    def _producer(self, transactional_id: str) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **client_options(self._kafka),
            transactional_id=transactional_id,
            max_batch_size=BATCH_BYTES,
            compression_type="lz4",
        )


def make_route_app(settings: Settings, routes: tuple[Route, ...]) -> RouteApp:
    """Make the application.

    Args:
        settings: Where Kafka and the store are.
        routes: What is routed; `check_routes` has found them to fit.

    Raises:
        ConfigError: A file that is named cannot be read.
    """
    users = {route.source: open_users(route) for route in routes}
    registry = RegistryClient(settings.registry) if settings.registry.url else None
    recall = partial(read_back, settings.kafka)
    judges = {route.source: (route, make_judge(route, users[route.source], registry, recall)) for route in routes}
    info = StoreInfo.of(settings)
    app = RouteApp(group_of(settings.kafka), **faust_settings(settings, max_poll_records=_MAX_POLL_RECORDS))
    app.routing = router = Router(judges, _Kafka(settings.kafka), partial(Journal, settings.store.path, info))
    tainted = {source: judge.tainted for source, (_, judge) in judges.items() if judge.tainted is not None}
    router.metrics.observe("gnomon_route_tainted_ids", lambda: {(source,): len(ids) for source, ids in tainted.items()})
    router.metrics.observe(
        "gnomon_route_taint_forgotten_total", lambda: {(source,): ids.forgotten for source, ids in tainted.items()}
    )
    operations = OperationsServer(settings.operations, router.readiness, router.metrics)
    topic = app.topic(*judges, schema=SliceSchema())

    _read_by(app, topic)
    _know_assignments(app, operations, registry)

    async def open_partitions() -> None:
        if not app.rebalancing:
            await router.tick(cast("Consumer", app.consumer))

    async def look_at_users() -> None:
        for source, known in users.items():
            if known is not None:
                await asyncio.to_thread(known.look)
                _show_users(router, source, known)

    async def maintain() -> None:
        with suppress(GnomonError):  # it is done the next time, by whoever comes first
            if settings.store.path.exists():
                await asyncio.to_thread(Maintainer(store_at(settings.store.path), Retention.of(settings)).run)

    for seconds, work in (
        (_TICK_SECONDS, open_partitions),
        (USERS_SECONDS, look_at_users),
        (_AUDIT_SECONDS, router.land),
        (_MAINTENANCE_SECONDS, maintain),
    ):
        _repeat(app, seconds, work)
    return app


def _read_by(app: RouteApp, topic: Any) -> None:  # noqa: ANN401 - Faust's topics have no useful type
    @app.agent(topic, name="gnomon.route")
    async def route_events(stream: Any) -> None:  # noqa: ANN401 - Faust's streams have no useful type
        async for event in stream.noack().events():
            part: Slice = event.value
            try:
                await app.routing.take(cast("Consumer", app.consumer), event.message.tp, part)
            except Exception as error:
                # Faust would go on with the next slice, and this one would be missing
                logger.exception("a bug of ours ends this process; what was not committed is read again")
                await app.crash(error)
                raise
            event.ack()


def _know_assignments(app: RouteApp, operations: OperationsServer, registry: RegistryClient | None) -> None:
    router = app.routing

    async def serve() -> None:
        await operations.start()

    async def revoked(_: Any, /, *args: Any, **__: Any) -> None:  # noqa: ANN401 - Faust's signals have no types
        await router.revoke(args[0])

    async def assigned(_: Any, /, *__: Any, **___: Any) -> None:  # noqa: ANN401 - the same
        router.readiness.ready("kafka")  # also with no partition: others have them all

    async def stopped(_: Any, /, *__: Any, **___: Any) -> None:  # noqa: ANN401 - the same
        await router.stop()
        await operations.stop()
        if registry is not None:
            await registry.close()

    app.task(serve)
    app.on_partitions_assigned.connect(assigned)
    app.on_partitions_revoked.connect(revoked)
    app.on_before_shutdown.connect(stopped)


def _repeat(app: RouteApp, seconds: float, work: Callable[[], Any]) -> None:
    async def task() -> None:
        while not app.should_stop:
            await app.sleep(seconds)
            if not app.should_stop:
                await work()

    app.task(task)


def _show_users(router: Router, source: str, users: Users) -> None:
    router.metrics.users.labels(source).set(len(users))
    router.metrics.users_problem.labels(source).set(1 if users.problem else 0)
