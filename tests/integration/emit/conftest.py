"""The emitter of the unit tests, under real servers."""

from __future__ import annotations

from tests.unit.emit.conftest import emitter, make_emitter, transport

__all__ = ["emitter", "make_emitter", "transport"]
