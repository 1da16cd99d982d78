"""Reading a capture from bytes, and what came out of it as values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gnomon.capture import FormatChoice, Limits, RawRecord, Source, read_captures
from gnomon.core.decode import decode_exchange
from gnomon.model import Exchange, Reject, Role


@pytest.fixture
def read_files() -> Callable[..., list[Exchange | Reject]]:
    """Read sources and decode what comes out, as the engine does."""

    def read(*sources: Source, fmt: FormatChoice = "auto", limits: Limits | None = None) -> list[Exchange | Reject]:
        return [
            decode_exchange(item.data, item.place, role=item.role) if isinstance(item, RawRecord) else item
            for item in read_captures(sources, fmt, limits=limits)
        ]

    return read


@pytest.fixture
def read(tmp_path: Path, read_files: Callable[..., list[Exchange | Reject]]) -> Callable[..., list[Exchange | Reject]]:
    """Write bytes to a file and read them back as exchanges and rejects."""

    def read_bytes(
        data: bytes,
        fmt: FormatChoice = "auto",
        *,
        name: str = "capture.bin",
        role: Role | None = None,
        limits: Limits | None = None,
    ) -> list[Exchange | Reject]:
        path = tmp_path / name
        path.write_bytes(data)
        return read_files(Source(str(path), role), fmt=fmt, limits=limits)

    return read_bytes
