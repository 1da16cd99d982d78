"""One maintainer at a time: a lock that the kernel releases however its holder ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from gnomon.store.log.layout import Layout, refused

__all__ = ["lease"]


@contextmanager
def lease(layout: Layout, *, wait: bool = False) -> Iterator[bool]:
    """Hold the maintainer's lease of a store; false when another process has it and `wait` is false.

    Manifests are fenced by themselves (see `publish`): where a file system has no locks, work is done twice and
    one of the two is thrown away.

    Raises:
        DependencyError: The store cannot be written.
    """
    with refused(layout.root):
        descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield _locked(descriptor, wait=wait)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
