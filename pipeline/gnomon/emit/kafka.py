"""Records onto Kafka: idempotent, compressed, keyed by request id, partitioned as Kafka's own clients do (murmur2).

aiokafka runs in a loop of its own in the writing thread, so any server will do, with another loop or with threads. The
loop turns only while records are being sent. A producer that failed is dropped for a new one, so that the sequence
numbers that make it idempotent start anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from gnomon.config import Kafka
from gnomon.emit.record import Record
from gnomon.emit.transport import Sent
from gnomon.kafka import client_options

__all__ = ["THREAD", "KafkaTransport"]

THREAD: Final = "gnomon-emit"
"""The name of the writing thread. What aiokafka logs in it is left out: the emitter says it once, in a sentence."""

_BATCH: Final = 256 * 1024

_OPEN: Final = 4 * 2**20


class _Loop(asyncio.SelectorEventLoop):
    """A loop for one thread: names are looked up in it, and a forked process leaves it alone."""

    def __init__(self) -> None:
        super().__init__()
        self._pid = os.getpid()

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:  # noqa: ANN401
        """Look up a name here; threads cannot be started any more while the interpreter ends."""
        return socket.getaddrinfo(host, port, **options)

    def __del__(self) -> None:
        """Close the loop, but not the parent's: they share what the kernel watches for it."""
        if os.getpid() == self._pid:
            super().__del__()


def _is_not_ours(_: logging.LogRecord) -> bool:
    return threading.current_thread().name != THREAD


def _quieten() -> None:
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("aiokafka")]:
        logger = logging.getLogger(name)
        if _is_not_ours not in logger.filters:
            logger.addFilter(_is_not_ours)


class KafkaTransport:
    """Writes records to one topic. Nothing is opened before the first record.

    Args:
        kafka: Where the brokers are, how to reach them, and the topic.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._options = client_options(kafka)
        self._partitioner = DefaultPartitioner()
        self._batch = _BATCH
        self._loop: _Loop | None = None
        self._producer: AIOKafkaProducer | None = None
        _quieten()

    def send(self, records: Sequence[Record], timeout: float) -> Sent:
        """Write records and wait until all brokers that must have them do, `timeout` seconds at most."""
        if self._loop is None:
            self._loop = _Loop()
            self._loop.set_exception_handler(lambda _loop, _context: None)
        return self._loop.run_until_complete(self._send(records, timeout))

    def close(self, timeout: float) -> None:
        """Close the connections, in `timeout` seconds at most."""
        if self._loop is not None:
            self._loop.run_until_complete(self._drop(timeout))
            self._loop.close()
            self._loop = None

    def forget(self) -> None:
        """Drop the connections of the process that this one was forked from."""
        self._loop = None
        self._producer = None

    async def _send(self, records: Sequence[Record], timeout: float) -> Sent:  # noqa: ASYNC109 - it bounds all of it
        sending: list[tuple[asyncio.Future[object], list[Record]]] = []
        problem = ""
        try:
            async with asyncio.timeout(timeout):
                async for future, batch in self._submit(records):
                    sending.append((future, batch))
                if sending:
                    await asyncio.wait([future for future, _ in sending])
        except TimeoutError:
            problem = f"{self._kafka.bootstrap} did not take records within {timeout:.0f} s"
        except (KafkaError, OSError) as error:
            problem = f"{self._kafka.bootstrap} takes no records: {error}"
        sent = self._tell(records, sending, problem)
        if sent.problem:
            await self._drop(1)
        return sent

    async def _submit(self, records: Sequence[Record]) -> AsyncIterator[tuple[asyncio.Future[object], list[Record]]]:
        """Hand batches to the producer, partition by partition; a batch's future tells when it is written."""
        topic = self._kafka.topic
        producer = await self._started()
        partitions = sorted(await producer.partitions_for(topic))
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            partition = self._partitioner(record.key, partitions, partitions)
            by_partition.setdefault(partition, []).append(record)
        for partition, mine in by_partition.items():
            for batch in _batches(mine, self._batch):
                builder = producer.create_batch()
                for record in batch:
                    builder.append(timestamp=None, key=record.key, value=record.value)
                builder.close()
                yield await producer.send_batch(builder, topic, partition=partition), batch

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                enable_idempotence=True,
                compression_type="lz4",
                max_batch_size=_OPEN,
                retry_backoff_ms=250,
                request_timeout_ms=10_000,
                **self._options,
            )
            await self._producer.start()
        return self._producer

    def _tell(
        self, records: Sequence[Record], sending: Sequence[tuple[asyncio.Future[object], list[Record]]], problem: str
    ) -> Sent:
        """Sort records by what became of their batch."""
        settled: set[Record] = set()
        written = 0
        too_large: list[Record] = []
        for future, batch in sending:
            failure = future.exception() if future.done() and not future.cancelled() else None
            if failure is None and future.done() and not future.cancelled():
                written += len(batch)
                settled.update(batch)
            elif isinstance(failure, MessageSizeTooLargeError | RecordListTooLargeError):
                problem = problem or f"a batch of {len(batch)} records is larger than {self._kafka.topic} takes"
                if len(batch) == 1:
                    too_large += batch
                    settled.update(batch)
                else:
                    self._batch //= 2
            else:
                problem = problem or f"{self._kafka.bootstrap} takes no records: {failure or 'no answer'}"
        return Sent(written, [record for record in records if record not in settled], too_large, problem)

    async def _drop(self, timeout: float) -> None:  # noqa: ASYNC109 - it bounds all of it
        """Close the producer, by force where it does not close by itself."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        with suppress(Exception):
            await asyncio.wait_for(producer.stop(), timeout)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(Exception):
            await asyncio.wait_for(producer.client.close(), 1)


def _batches(records: Sequence[Record], limit: int) -> Iterator[list[Record]]:
    """Cut records into batches of at most `limit` bytes, or of one record."""
    batch: list[Record] = []
    size = 0
    for record in records:
        if batch and size + len(record.value) > limit:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record.value)
    if batch:
        yield batch
