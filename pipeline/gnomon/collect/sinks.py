"""Where records go: to a transport, from a thread of its own, with a bounded queue in between."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO, Final

from gnomon.collect.counts import Counts
from gnomon.emit.handoff import Handoff
from gnomon.emit.record import Record, shrink
from gnomon.emit.transport import Sent, Transport

__all__ = ["Sink", "StreamTransport"]

_LOG: Final = logging.getLogger("gnomon.collect")
_MOST: Final = 2_000
_MOST_WAITING: Final = 100_000
_LINGER: Final = 0.02
_SEND: Final = 10.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
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
        """Write and flush the records. Raises OSError where nobody reads any more: there is no trying again."""
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
        self.failure: OSError | None = None
        """Set when nothing can be written any more."""
        self._thread.start()

    def put(self, record: Record) -> bool:
        """Queue a record, False where there is no room.

        Raises:
            OSError: Nothing can be written any more.
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
                self._deliver([record for _, record in taken])
            except OSError as error:
                self.failure = error
                return
            self._handoff.done(len(taken), sum(size for size, _ in taken))
        self._transport.close(1.0)

    def _deliver(self, records: Sequence[Record]) -> None:
        """Write records, however often it takes while there is time. Raises OSError where that is in vain."""
        pause = _FIRST_PAUSE
        while records:
            left = self._deadline - time.monotonic()
            if left <= 0:
                self._counts.lost += len(records)
                return
            sent = self._transport.send(records, min(_SEND, left))
            self._counts.written += sent.written
            records = [*sent.again, *self._smaller(sent.too_large)]
            self._say(sent.problem)
            if records and not sent.too_large:
                self._handoff.closing.wait(min(pause, max(0.0, left)))
                pause = _FIRST_PAUSE if sent.written else min(2 * pause, _LONGEST_PAUSE)

    def _smaller(self, records: Sequence[Record]) -> list[Record]:
        """Cut the bodies of records that the broker found too large."""
        smaller = []
        for record in records:
            value = shrink(record.value, len(record.value) // 2)
            if value is None:
                self._counts.skip("too_large")
            else:
                smaller.append(Record(record.key, value))
        return smaller

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._tell(problem)
        if problem and not self._problem:
            _LOG.warning("records are not written: %s; they wait while there is room, then entries are shed", problem)
        elif self._problem and not problem:
            _LOG.warning("records are written again; %d entries were shed so far", self._counts.shed)
        self._problem = problem
