"""Records to a transport, tried again for as long as there is time; for the threads that write."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gnomon.emit.record import Record, shrink
from gnomon.emit.transport import Transport

__all__ = ["Delivered", "deliver"]

_SEND: Final = 10.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


class Delivered(NamedTuple):
    """What one try came to: records written, given up for want of time, and refused for good.

    `problem` says why what is left was not written, "" where all is well, None where it says nothing new.
    """

    written: int = 0
    given_up: int = 0
    refused: int = 0
    problem: str | None = None


def deliver(
    transport: Transport,
    records: Sequence[Record],
    *,
    left: Callable[[], float],
    closing: threading.Event,
    tell: Callable[[Delivered], None],
) -> None:
    """Write records; those that a transport finds too large lose half of their size, from their bodies.

    Args:
        transport: Where they go. What it raises costs the records at hand, and is told as a problem.
        records: What to write.
        left: Gives the seconds that are left for it.
        closing: Ends a pause between two tries when it is set.
        tell: Hears what each try came to.

    Raises:
        BrokenPipeError: The transport's, where nobody reads any more.
    """
    pause = _FIRST_PAUSE
    while records:
        if left() <= 0:
            tell(Delivered(given_up=len(records)))
            return
        try:
            sent = transport.send(records, min(_SEND, left()))
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the thread goes on
            tell(Delivered(refused=len(records), problem=f"{type(error).__name__}: {error}"))
            return
        smaller = [_halve(record) for record in sent.too_large]
        records = [*sent.again, *(record for record in smaller if record is not None)]
        tell(Delivered(sent.written, refused=smaller.count(None), problem=sent.problem))
        if not records or sent.written or sent.too_large:
            pause = _FIRST_PAUSE
        if records and not sent.too_large:
            # Closing ends the first pause early; the next ones are as short as what is left allows
            if closing.is_set():
                time.sleep(max(0.0, min(pause, left())))
            else:
                closing.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _halve(record: Record) -> Record | None:
    value = shrink(record.value, len(record.value) // 2)
    return None if value is None else Record(record.key, value)
