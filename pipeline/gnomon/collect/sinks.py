"""Where records go: to a transport, from a thread of its own, with a bounded queue in between."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO, Final

from gnomon.collect.counts import Counts
from gnomon.emit.delivery import Delivered, deliver
from gnomon.emit.handoff import Handoff
from gnomon.emit.record import Record
from gnomon.emit.transport import Sent, Transport

__all__ = ["Sink", "StreamTransport"]

_LOG: Final = logging.getLogger("gnomon.collect")
_MOST: Final = 2_000
_MOST_WAITING: Final = 100_000
_LINGER: Final = 0.02
# What a record takes beside its bytes: the objects around them
_OVERHEAD: Final = 200


class StreamTransport:
    """Writes records to an open stream, a line each, such as standard output.

    Args:
        stream: Stays open.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def send(self, records: Sequence[Record], timeout: float) -> Sent:  # noqa: ARG002 - the reader sets the pace
        """Write and flush the records. Raises BrokenPipeError where nobody reads any more."""
        self._stream.write(b"".join([record.value + b"\n" for record in records]))
        self._stream.flush()
        return Sent(len(records))

    def close(self, timeout: float) -> None:
        """Leave the stream open."""

    def forget(self) -> None:
        """Keep the stream."""


class Sink:
    """Writes records in the background, trying again for as long as it is open.

    Args:
        transport: Where they go.
        max_bytes: How many bytes may wait or be under way.
        counts: Where it counts what was written and what was not.
        tell: Hears why nothing is written at present, "" when it is again; from the writing thread.
    """

    def __init__(self, transport: Transport, max_bytes: int, counts: Counts, tell: Callable[[str], None]) -> None:
        self._transport = transport
        self._counts = counts
        self._tell = tell
        self._handoff: Handoff[Record] = Handoff(_MOST_WAITING, max_bytes)
        self._thread = threading.Thread(target=self._run, name="gnomon-emit", daemon=True)
        self._deadline = float("inf")
        self._problem = ""
        self.failure: BrokenPipeError | None = None
        """Set when nobody reads any more."""
        self._thread.start()

    def put(self, record: Record) -> bool:
        """Queue a record, False where there is no room.

        Raises:
            BrokenPipeError: Nobody reads any more.
        """
        if self.failure is not None:
            raise self.failure
        return self._handoff.put(record, len(record.value) + len(record.key) + _OVERHEAD)

    def close(self, timeout: float) -> None:
        """Write what waits, in `timeout` seconds at most; the rest is counted as lost."""
        self._deadline = time.monotonic() + timeout
        self._handoff.close()
        self._thread.join(timeout + 1)

    def _run(self) -> None:
        while taken := self._handoff.take(_MOST, _LINGER):
            try:
                deliver(
                    self._transport,
                    [record for _, record in taken],
                    left=lambda: self._deadline - time.monotonic(),
                    closing=self._handoff.closing,
                    tell=self._count,
                )
            except BrokenPipeError as error:
                self.failure = error
                return
            self._handoff.done(len(taken), sum(size for size, _ in taken))
        self._transport.close(1.0)

    def _count(self, done: Delivered) -> None:
        self._counts.written += done.written
        self._counts.lost += done.given_up + done.refused
        if done.problem is not None:
            self._say(done.problem)

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._tell(problem)
        if problem and not self._problem:
            _LOG.warning("records are not written: %s; they wait while there is room, then entries are shed", problem)
        elif self._problem and not problem:
            _LOG.warning("records are written again; %d entries were shed so far", self._counts.shed)
        self._problem = problem
