"""What goes into reading captures and what comes out: sources, limits, raw records."""

from __future__ import annotations

import msgspec

from gnomon.model import Place, Role

__all__ = ["EXCERPT_BYTES", "Limits", "RawRecord", "Source"]

EXCERPT_BYTES = 4096
"""How much of a refused record is kept."""


class Source(msgspec.Struct, frozen=True):
    """One capture to read: a file, `-` for standard input, or a directory of files (Envoy writes one per tap).

    `role` overrides what the capture says. In a capture that holds both sides (GoReplay with replayed responses,
    OpenSearch tuples), role live takes the recorded side only, shadow and control the replayed one.
    """

    path: str
    role: Role | None = None


class RawRecord(msgspec.Struct, frozen=True, gc=False):
    """One exchange record as JSON bytes, not yet looked into: `core.decode` does that.

    `line` starts at 1. It is the line of the file where the format has lines (NDJSON, OpenSearch tuples, and in
    GoReplay files the first line of the request), else the number of the entry or document. `role`, where set,
    overrides the role in `data`.
    """

    source: str
    line: int
    data: bytes
    role: Role | None = None

    @property
    def place(self) -> Place:
        """Where the record was read."""
        return Place(source=self.source, line=self.line)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a capture may be held in memory at once.

    Attributes:
        record: Bytes of one line, entry or document; longer ones are rejects, and are skipped without being held.
        pending: How many requests may wait for their responses (GoReplay, streamed taps).
        pending_bytes: How many bytes those may amount to.
    """

    record: int = 64 * 1024 * 1024
    pending: int = 10_000
    pending_bytes: int = 64 * 1024 * 1024
