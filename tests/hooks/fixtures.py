"""The fixture of the hook server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.hooks.server import HookServer


@pytest.fixture
def hook_server() -> Iterator[HookServer]:
    """A hook server."""
    server = HookServer()
    yield server
    server.close()
