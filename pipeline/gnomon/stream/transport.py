"""A Faust transport that hands agents one event per polled partition slice instead of one per record.

Faust's own way costs a task per record (14,000 records/s a process); a slice costs one. Groups, rebalancing, pausing,
web and command line are Faust's and stay as they are. It is registered as `gnomon-kafka` in the entry-point group
`faust.transports`, so an application chooses it by `broker="gnomon-kafka://host:9092"`.

What differs from Faust's driver:

- A message's value is a `Slice`, its offset the last record's (`SliceSchema` hands the slice through).
- Acknowledging a message commits nothing. What may be committed is a watermark per partition: `Consumer.landed` says
  that everything below an offset is durable downstream. Faust's own bookkeeping must not see the jumps between slices:
  `Consumer._add_gap` of 0.15.3 registers the gap up to *and including* the message's own offset, so acknowledging a
  later slice before an earlier one would commit past records that are not done with.
- Where a partition is read from is the application's to say (`StartsAnywhere`); the committed offset is a hint to it.
- A commit that the broker refuses is a warning: the next one says more.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Protocol, cast, runtime_checkable

import faust
import msgspec
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.events import Event
from faust.exceptions import NotReady
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from faust.types.tuples import ConsumerMessage

from gnomon.errors import DependencyError
from gnomon.stream.names import read_any_names

__all__ = ["SCHEME", "Consumer", "Slice", "SliceSchema", "StartsAnywhere", "Transport", "check_faust"]

SCHEME: Final = "gnomon-kafka"
FITS: Final = ((0, 15, 3), (0, 16))
"""The versions of Faust that this was written for and is tested with: from the first on, below the second."""

_HELD_SECONDS: Final = 0.05

logger = logging.getLogger(__name__)


def check_faust(found: str | None = None) -> None:
    """Refuse a Faust whose insides this module does not know.

    Args:
        found: The version; that of the installed package where it is not given.

    Raises:
        DependencyError: It is too old, too new, or not there.
    """
    wanted = "install faust-streaming>=0.15.3,<0.16"
    if found is None:
        try:
            found = version("faust-streaming")
        except PackageNotFoundError:
            raise DependencyError("faust-streaming is not installed", wanted) from None
    numbers = tuple(int(part) for part in found.split(".")[:3] if part.isdigit())
    if not FITS[0] <= numbers < FITS[1]:
        raise DependencyError(f"faust-streaming {found} is not a version that the worker's transport fits", wanted)


class Slice(msgspec.Struct, frozen=True):
    """What one poll brought of one partition: aiokafka's records in ascending order of offsets, never none.

    `epoch` counts the seeks of the partition; a slice of an earlier one was fetched before the last seek.
    """

    records: list[Any]
    epoch: int


@runtime_checkable
class StartsAnywhere(Protocol):
    """An application that says where its partitions are read from."""

    async def start_offsets(self, committed: Mapping[TP, int | None]) -> Mapping[TP, int]:
        """Give the offset to read next for each partition that is not to be read from the committed one.

        `committed` has every assigned partition; None where nothing was ever committed.
        """
        ...


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker."""

    logger = logging.getLogger("faust.consumer")

    def _create_worker_consumer(self, transport: Any) -> Any:
        read_any_names()
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it: what another's transaction took back must not be read as if it had happened
        consumer._isolation_level = getattr(self.app, "isolation_level", "read_uncommitted")  # noqa: SLF001
        return consumer

    async def seek_here(self, partition: TP, offset: int) -> None:
        """Seek in this thread: from another one, as Faust does it, the fetcher loses what it is just giving out."""
        await self.call_thread(self._ensure_consumer().seek, partition, offset)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        assigned = self.assignment()
        wanted = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        if not wanted:
            return False
        try:
            await self._ensure_consumer().commit(wanted)
        except KafkaError as error:
            logger.warning("offsets could not be committed, the next commit will: %s", error)
            return False
        return True


class _NotTracked(dict[TP, int | None]):
    """In place of what Faust remembers to have read, by which it drops what it takes for read again.

    It notes a message after handing it on, so a seek in between is lost on it, and it would drop what comes then.
    """

    def __getitem__(self, tp: TP) -> None:
        """Say that nothing was read."""


class Consumer(driver.Consumer):
    """Gives out slices, and commits up to what has landed."""

    logger = logging.getLogger("faust.consumer")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._landed: dict[TP, int] = {}
        self._epochs: dict[TP, int] = {}
        self._sought: dict[TP, int] = {}
        self._given: dict[TP, int] = {}
        self._moving: set[TP] = set()
        self._held: set[TP] = set()
        self._read_offset = _NotTracked()

    def hold(self, tp: TP) -> None:
        """Fetch nothing more of a partition until `release`; what was fetched before may still come."""
        self._held.add(tp)

    def release(self, tp: TP) -> None:
        """Go on with a partition, from where it was held or where it was sought to since."""
        self._held.discard(tp)

    def is_current(self, tp: TP, part: Slice) -> bool:
        """Whether a slice is from after the last seek of its partition; another is to be dropped."""
        return part.epoch == self._epochs.get(tp, 0)

    def landed(self, tp: TP, offset: int) -> None:
        """Take note that every record of a partition below `offset` is durable downstream; never goes back."""
        self._landed[tp] = max(offset, self._landed.get(tp, 0))

    async def is_past(self, tp: TP, end: int, following: int) -> bool:
        """Whether no record is left below `end` for who has taken those below `following`.

        What lies between may be marks of transactions, or offsets of records that are gone.
        """
        if following >= end:
            return True
        position = await self.position(tp)
        return position is not None and position >= end and self._given.get(tp, 0) <= following

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch, and give one message for each partition that has records."""
        epochs = dict(self._epochs)
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if not records or self.should_stop:
            return
        for tp, batch in records.items():
            if batch:
                self._given[tp] = batch[-1].offset + 1
        if not self.flow_active:
            await self._seek_again()
            return
        for tp, batch in records.items():
            if self._interrupted(generation):
                return
            if tp in self._moving:
                continue
            if epochs.get(tp, 0) != self._epochs.get(tp, 0) and tp in self._sought:
                # Fetched before that seek or after it, nobody knows: once more from where it went
                await self.seek(tp, self._sought[tp])
                continue
            if batch and (active is None or tp in active or tp in self._buffered_partitions):
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, _as_message(tp, Slice(batch, self._epochs.get(tp, 0)), generation)

    def _interrupted(self, generation: int) -> bool:
        """Whether partitions are on the move, and what was fetched may no longer be this consumer's."""
        return not self.flow_active or generation != self.app.consumer_generation_id

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, or to where the application says.

        What is fetched meanwhile is given to nobody: every partition is sought at the end, and read again from there.
        """
        moving = set(self.assignment())
        self._moving |= moving
        try:
            for tp in moving:
                self._epochs[tp] = self._epochs.get(tp, 0) + 1
            await super().perform_seek()
            assigned = self.assignment()
            starts: dict[TP, int | None] = {tp: self._committed_offset[tp] for tp in assigned}
            if isinstance(self.app, StartsAnywhere):
                starts |= await self.app.start_offsets(starts)
            unread = [tp for tp, offset in starts.items() if offset is None]
            if unread:
                starts |= await self.earliest_offsets(*unread)
            for tp, offset in starts.items():
                await self.seek(tp, offset or 0)
        finally:
            self._moving -= moving

    async def seek(self, partition: TP, offset: int) -> None:
        """Read a partition from `offset` on; slices that were fetched before are no longer current."""
        self._epochs[partition] = self._epochs.get(partition, 0) + 1
        self._sought[partition] = offset
        self._given.pop(partition, None)
        await self._seek(partition, offset)

    async def _seek(self, partition: TP, offset: int) -> None:
        await cast("_ConsumerThread", self._thread).seek_here(partition, offset)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget what had landed: the next owner says it anew."""
        for tp in revoked:
            self._landed.pop(tp, None)
            self._sought.pop(tp, None)
            self._given.pop(tp, None)
        self._held -= revoked
        await super().on_partitions_revoked(revoked)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        """Fetch of what is not held; for a moment only, while some is, so that a release does not wait for others."""
        if self._held and active_partitions is not None:
            active_partitions = active_partitions - self._held
            timeout = min(timeout, _HELD_SECONDS)
            if not active_partitions:  # to the fetcher, none are all
                await self.sleep(timeout)
                return {}
        return await super()._getmany(active_partitions, timeout)

    def ack(self, message: Message) -> bool:
        """Take note that an agent is done with a message; this commits nothing."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _filter_tps_with_pending_acks(self, topics: Iterable[Any] | None = None) -> Iterator[TP]:
        return (tp for tp in list(self._landed) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._landed.get(tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep Faust from counting the records inside slices, which it does not see, as gaps."""

    async def _seek_again(self) -> None:
        """Go back to what was fetched while the flow stood still, and so was given to nobody."""
        try:
            await self.perform_seek()
        except (KafkaError, NotReady, AssertionError) as error:  # asserts that something is assigned
            logger.warning("the position could not be restored, the next assignment will: %s", error)


def _as_message(tp: TP, part: Slice, generation: int) -> ConsumerMessage:
    last = part.records[-1]
    return ConsumerMessage(
        topic=last.topic,
        partition=last.partition,
        offset=last.offset,
        timestamp=last.timestamp / 1000,
        timestamp_type=last.timestamp_type,
        headers=None,
        key=None,
        value=cast("Any", part),
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        tp=tp,
        generation_id=generation,
    )


class Transport(driver.Transport):
    """Faust's Kafka driver with the consumer above."""

    Consumer = Consumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        check_faust()
        super().__init__(*args, **kwargs)


class SliceSchema(faust.Schema[Any, Any]):
    """Hands the slice through as it is; for topics that are read by this transport."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Any]:
        """Make the decoder of a topic."""

        async def decode(message: Any, *, propagate: bool = False) -> Event:
            return Event(app, None, message.value, None, message)

        return decode
