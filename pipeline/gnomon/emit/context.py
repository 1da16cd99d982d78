"""The tags of the request that is being served, for whatever is called while it is.

A context variable holds them, so threads, tasks and generators of one request see their own. The middleware sets them;
`carry_tags` does the same where there is no request: in a consumer that goes on with a message's tags, in a job.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Final

from gnomon.core.tags import Tags, write_tags
from gnomon.model import Header

__all__ = ["carry_tags", "current_tags", "outgoing_headers", "put_tags", "take_back_tags"]

_NONE: Final = Tags()
_CURRENT: Final[ContextVar[Tags]] = ContextVar("gnomon_tags", default=_NONE)


def current_tags() -> Tags:
    """Give the tags of the request being served: its id, `synthetic`, `flags`, `as_of`; empty ones outside of any."""
    return _CURRENT.get()


@contextmanager
def carry_tags(tags: Tags) -> Iterator[None]:
    """Have everything that is sent within the block carry these tags."""
    token = put_tags(tags)
    try:
        yield
    finally:
        take_back_tags(token)


def outgoing_headers() -> list[Header]:
    """Give the headers that carry the current tags to another service, or in a Kafka message; [] outside of any."""
    tags = _CURRENT.get()
    return [] if tags is _NONE else write_tags(tags)


def put_tags(tags: Tags) -> Token[Tags]:
    """Make tags the current ones until `take_back_tags`."""
    return _CURRENT.set(tags)


def take_back_tags(token: Token[Tags]) -> None:
    """Restore what was before; where a server ends a request in another context than it began, nothing is left to."""
    try:
        _CURRENT.reset(token)
    except ValueError:
        _CURRENT.set(_NONE)
