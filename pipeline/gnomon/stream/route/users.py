"""The users whose events are synthetic: a file of ids, read again when it changes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gnomon.errors import ConfigError

__all__ = ["USERS_SECONDS", "Users"]

logger = logging.getLogger(__name__)

USERS_SECONDS: Final = 1.0
"""How often to look whether a file has changed."""
MAX_BYTES: Final = 512 * 2**20


class Users:
    """A set of ids that follows its file: one id a line, UTF-8, white space around it and empty lines left out.

    A new file that cannot be read, or that has no id, does not count: the ids that were read before stay in force, and
    a warning says so. Whoever writes the file had better write another one and rename it: a file that changes is not
    read before it has been the same for two looks.

    Args:
        file: The file.

    Raises:
        ConfigError: It cannot be read now, or has no id.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.problem = ""
        """Why the file as it is now does not count; empty when it does."""
        # Before it is read: a file that is replaced meanwhile is then another one to the next look
        self._read = self._seen = _stamp(file)
        self._ids = _read(file)

    def __contains__(self, user: object) -> bool:
        """Whether events of this user are synthetic."""
        return user in self._ids

    def __iter__(self) -> Iterator[str]:
        """Give the ids."""
        return iter(self._ids)

    def __len__(self) -> int:
        """Count the ids."""
        return len(self._ids)

    def look(self) -> None:
        """Read the file again if it is another one than before; to be called every second or so."""
        stamp = _stamp(self.file)
        settled, self._seen = stamp == self._seen, stamp
        if stamp == self._read or not settled:
            return
        self._read = stamp
        try:
            self._ids = _read(self.file)
        except ConfigError as error:
            self.problem = str(error)
            logger.warning("the %d users that were read before stay in force: %s", len(self._ids), error)
        else:
            self.problem = ""
            logger.info("%d users were read from %s", len(self._ids), self.file)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Tell one state of a file from another; None where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(file: Path) -> frozenset[str]:
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(f"users_file {file} has {size:,} bytes, at most {MAX_BYTES:,}", "list fewer users")
        ids = frozenset(line.strip() for line in file.read_text(encoding="utf-8-sig").split("\n")) - {""}
    except OSError as error:
        raise ConfigError(f"users_file {file} cannot be read: {error.strerror}", "correct the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"users_file {file} is not UTF-8 text: {error}", "save it as UTF-8") from error
    if not ids:
        raise ConfigError(f"users_file {file} has no user", "write one id a line, or leave users_file out")
    return ids
