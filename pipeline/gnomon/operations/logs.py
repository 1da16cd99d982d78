"""One log: a line per event on stderr, as logfmt or JSON, whatever an event says.

Values are escaped, so that traffic cannot write lines of its own or steer a terminal, and configured secrets are masked
wherever they turn up. Libraries are heard from warnings on, the Kafka client's short-lived troubles when they last.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final, TextIO

from gnomon.config import MASK, Log, Settings, secrets_of

__all__ = ["configure_logging"]

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SHORTEST: Final = 6
"""A secret shorter than this is not looked for: it would mask words of the log."""


MENDED_SECONDS: Final = 15.0
"""How long the Kafka client may take to mend what it says it will."""

_MENDED: Final = re.compile(
    r"Group ?Coordinator(NotAvailable| Request failed)|Marking the coordinator dead|"
    r"NotLeaderForPartition|LeaderNotAvailable"
)


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Have everything that is logged written in the form and from the level of `[log]`.

    Args:
        settings: `log`, and the secrets that must not turn up.
        stream: Where to; stderr by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(_Lasting())
    handler.setFormatter(_Formatter(settings.log, secrets_of(settings)))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("gnomon").setLevel(settings.log.level.upper())


class _Lasting(logging.Filter):
    """Holds back what the Kafka client says of troubles that it mends by itself, as long as they may be mended soon.

    A coordinator or a leader that is being chosen, as on brokers that have just started, is no news; one that is still
    missing after `MENDED_SECONDS` is. Times are those of the records.
    """

    def __init__(self) -> None:
        super().__init__()
        self._began = self._last = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("aiokafka") or _MENDED.search(record.getMessage()) is None:
            return True
        if record.created - self._last > MENDED_SECONDS:
            self._began = record.created
        self._last = record.created
        return record.created - self._began > MENDED_SECONDS


class _Formatter(logging.Formatter):
    """Writes a record on one line: time, level, logger, message, then what `extra` has."""

    def __init__(self, log: Log, secrets: Collection[str]) -> None:
        super().__init__()
        self._json = log.format == "json"
        # The longest first: one may be part of another
        self._secrets = sorted((secret for secret in secrets if len(secret) >= _SHORTEST), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        masked = {name: self._mask(value) for name, value in fields.items()}
        if self._json:
            return json.dumps(masked)
        return " ".join(f"{_key(name)}={_logfmt(value)}" for name, value in masked.items())

    def _mask(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        text = str(value)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def _key(name: str) -> str:
    return "".join(character if character.isalnum() or character in "_.-" else "_" for character in name)


def _logfmt(value: object) -> str:
    """Write a value of logfmt: bare where it is one word, else as a JSON string, which is ASCII without controls."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    bare = text and text.isascii() and text.isprintable() and not any(character in ' ="\\' for character in text)
    return text if bare else json.dumps(text)
