"""The worker as a Faust application: `gnomon worker`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, cast

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.types import TP

from gnomon.config import Settings
from gnomon.engine import Engine
from gnomon.errors import DependencyError
from gnomon.kafka import client_options
from gnomon.operations import OperationsServer
from gnomon.stream.client import faust_credentials
from gnomon.stream.ending import end_in_time
from gnomon.stream.landing import Log
from gnomon.stream.lookback import Lookback
from gnomon.stream.outlet import Outlet
from gnomon.stream.transport import SCHEME, Consumer, Slice, SliceSchema
from gnomon.stream.worker import Worker

__all__ = ["WorkerApp", "faust_settings", "make_app", "run_app"]

logger = logging.getLogger(__name__)

_TICK_SECONDS: Final = 0.1
_MAINTENANCE_SECONDS: Final = 10.0
_METADATA_MILLISECONDS: Final = 30_000
_MAX_POLL_RECORDS: Final = 1000
_SLICES_QUEUED: Final = 4


class WorkerApp(faust.App):
    """A Faust application that has a worker, and lets it say where partitions are read from."""

    logger = logging.getLogger("faust.app")
    worker: Worker

    async def start_offsets(self, committed: Mapping[TP, int | None]) -> Mapping[TP, int]:
        """Say where each assigned partition is read from (see `transport.StartsAnywhere`)."""
        return await self.worker.start_offsets(cast("Consumer", self.consumer), committed)

    def _create_directories(self) -> None:
        """Make none: there are no tables."""


def make_app(settings: Settings, engine: Engine, log: Log) -> WorkerApp:
    """Make the application.

    Args:
        settings: Where Kafka is, and how records are joined.
        engine: Compares.
        log: Where results land.
    """
    app = WorkerApp(settings.kafka.group, **faust_settings(settings))
    app.worker = worker = Worker(
        settings,
        engine,
        log,
        Lookback(lambda: _plain_consumer(settings)),
        Outlet(lambda: _producer(settings), settings.kafka.rejects, settings.kafka.comparisons),
    )
    topic = app.topic(settings.kafka.topic, schema=SliceSchema())

    @app.agent(topic, name="gnomon.compare")
    async def compare(stream: Any) -> None:  # noqa: ANN401 - Faust's streams have no useful type
        async for event in stream.noack().events():
            part: Slice = event.value
            try:
                await worker.take(cast("Consumer", app.consumer), event.message.tp, part)
            except Exception as error:
                # Faust would go on with the next slice, and this one would be missing
                logger.exception("a bug of ours ends this worker; what it had not landed is read again")
                await app.crash(error)
                raise
            event.ack()

    _attach(app, settings)
    return app


def _attach(app: WorkerApp, settings: Settings) -> None:
    """Let the worker take part in the application's life."""
    worker = app.worker
    operations = OperationsServer(settings.operations, worker.readiness, worker.metrics)

    async def serve() -> None:
        await operations.start()

    async def ticks() -> None:
        while not app.should_stop:
            await app.sleep(_TICK_SECONDS)
            if not app.rebalancing:
                await _tick(app, settings)

    async def revoked(_: Any, /, *args: Any, **__: Any) -> None:  # noqa: ANN401 - Faust's signals have no types
        await worker.revoke(args[0])

    async def maintenance() -> None:
        while not app.should_stop:
            await worker.maintain()
            await app.sleep(_MAINTENANCE_SECONDS)

    async def assigned(_: Any, /, *__: Any, **___: Any) -> None:  # noqa: ANN401 - the same
        worker.readiness.ready("kafka")  # also with no partition: others have them all

    async def stopped(_: Any, /, *__: Any, **___: Any) -> None:  # noqa: ANN401 - the same
        await worker.stop()
        await operations.stop()

    app.task(serve)
    app.task(ticks)
    app.task(maintenance)
    app.on_partitions_assigned.connect(assigned)
    app.on_partitions_revoked.connect(revoked)
    app.on_before_shutdown.connect(stopped)


async def _tick(app: WorkerApp, settings: Settings) -> None:
    readiness = app.worker.readiness
    try:
        await app.worker.tick(cast("Consumer", app.consumer))
        await app.worker.take_back(cast("Consumer", app.consumer), settings.kafka.session_timeout.total_seconds())
    except (KafkaError, TimeoutError) as error:
        reason = f"the broker does not answer: {error or 'no answer in time'}"
        if readiness.reasons.get("kafka") != reason:
            logger.warning("%s", reason)
        readiness.not_ready("kafka", reason)
    else:
        if app.worker.partitions:
            readiness.ready("kafka")
    tp = app.worker.usurped(4 * settings.kafka.session_timeout.total_seconds())
    if tp is not None:
        group = settings.kafka.group
        what = f"{tp.topic}[{tp.partition}] is written by another worker that is not of group {group}"
        await app.crash(DependencyError(what, "give each group a store of its own"))


def faust_settings(settings: Settings, max_poll_records: int = _MAX_POLL_RECORDS) -> dict[str, Any]:
    """Give the settings of a Faust application on the batch transport."""
    session = settings.kafka.session_timeout.total_seconds()
    return {
        "broker": [f"{SCHEME}://{address.strip()}" for address in settings.kafka.bootstrap.split(",")],
        "broker_credentials": faust_credentials(settings.kafka),
        "store": "memory://",
        "web_enabled": False,
        "autodiscover": False,
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 4 << 20,
        # So soon partitions that were added are read, and topics that were made anew
        "consumer_metadata_max_age_ms": _METADATA_MILLISECONDS,
        "broker_max_poll_records": max_poll_records,
        "broker_session_timeout": session,
        "broker_heartbeat_interval": session / 4,
        "broker_rebalance_timeout": session,
        "broker_request_timeout": max(40.0, session * 2),
        "broker_commit_interval": 1.0,
        "stream_buffer_maxsize": _SLICES_QUEUED,
        "stream_wait_empty": False,
    }


def _plain_consumer(settings: Settings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **client_options(settings.kafka),
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=1 << 20,
    )


def _producer(settings: Settings) -> AIOKafkaProducer:
    return AIOKafkaProducer(**client_options(settings.kafka), linger_ms=5)


class _FaustWorker(faust.Worker):
    """Faust's own, which ends in time."""

    def install_signal_handlers(self) -> None:
        super().install_signal_handlers()
        end_in_time()


def run_app(app: faust.App) -> None:
    """Run until a signal ends it, or something that it cannot go on without.

    Raises:
        GnomonError: What ended it, where that was not a signal.
    """
    worker = _FaustWorker(app, quiet=True, redirect_stdouts=False, override_logging=False)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        if app.crash_reason is not None:
            raise app.crash_reason from None
        if end.code:
            raise
