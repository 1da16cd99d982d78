"""The end of a process that was told to end, also while something holds its event loop up."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
from typing import Final

from gnomon.errors import GnomonError

__all__ = ["MOST_SECONDS", "end_in_time"]

logger = logging.getLogger(__name__)

MOST_SECONDS: Final = 27.0
"""From the signal to the end; orchestrators kill after 30 seconds, and others wait for the partitions until then."""


def end_in_time(seconds: float = MOST_SECONDS) -> None:
    """Let the process last so many seconds at most once it was told to end by SIGTERM or SIGINT.

    To be called in the main thread, when the event loop has its handlers of these signals. It hears of them all the
    same; but a loop that is busy with one thing hears of nothing, while this runs between two steps of its code.
    """

    def asked(*_: object) -> None:
        timer = threading.Timer(seconds, _give_up, (seconds,))
        timer.daemon = True  # who ends before is not held up
        timer.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)


def _give_up(seconds: float) -> None:
    """End as a machine that dies would; what had not landed is read again."""
    logger.critical("not ended %g s after a signal: ended at once, what was not landed is read again", seconds)
    faulthandler.dump_traceback()
    os._exit(GnomonError.exit_code)
