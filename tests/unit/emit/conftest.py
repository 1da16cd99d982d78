"""Emitters that write to a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from gnomon.config import Settings
from gnomon.config.settings import Emit, Redact
from gnomon.emit.emitter import Emitter
from gnomon.testing import ListTransport


@pytest.fixture
def transport() -> ListTransport:
    """A transport that takes everything."""
    return ListTransport()


@pytest.fixture
def make_emitter(transport: ListTransport) -> Iterator[Callable[..., Emitter]]:
    """Make emitters with some settings of `[emit]` changed; all are closed in the end."""
    made: list[Emitter] = []

    def make(*, redact: bool = True, key: str = "k", **fields: Any) -> Emitter:
        settings = Settings(emit=msgspec.structs.replace(Emit(), **fields), redact=Redact(enabled=redact, key=key))
        made.append(Emitter(settings, transport=transport))
        return made[-1]

    yield make
    transport.gate.set()
    for emitter in made:
        emitter.close(5)


@pytest.fixture
def emitter(make_emitter: Callable[..., Emitter]) -> Emitter:
    """An emitter with default settings."""
    return make_emitter()
