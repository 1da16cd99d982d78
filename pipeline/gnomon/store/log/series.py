"""A series: the numbered batches of one writer, of which there is one at a time.

Batch N is a file that is written aside, made durable, and then linked to the name N unless that name is taken: one
step that is commit and fence at once. Whoever opens a series lands an empty batch first: from then on the name that an
earlier owner would take next is taken, and that owner learns so when it tries.

A name becomes free again when its batch has been compacted and its grace is over. An owner that slept that long could
take it once more; so each looks, after linking, whether a checkpoint says that this number was compacted from another
owner's hands. The checkpoint is written before any name is freed, and views leave out what it covers: the sleeper is
fenced, and nobody ever sees its rows.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.errors import FencedError, InputError
from gnomon.model import JsonValue
from gnomon.store.database import damaged
from gnomon.store.log.layout import Layout, check_same, durable, link_new, refused, sync_directory
from gnomon.store.log.manifest import Footer, Position
from gnomon.store.log.shapes import hot_schema

__all__ = ["Clock", "Series", "file_footer", "has_footer", "newest_footer", "seq_of", "series_files"]

Clock = Callable[[], datetime]
FOOTER: Final = b"gnomon"
_DICTIONARIES: Final = [
    "kind", "target", "role", "service", "endpoint", "method", "live_target", "live_error", "shadow_error", "outcome",
    "severity", "synthetic", "rules", "run", "topic", "source", "series", "measure", "field", "value",
]  # fmt: skip
_STATISTICS: Final = ["kind", "started_at", "late", "seq", "series"]


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class Series:
    """The series `name` of a kind, taken over from whoever had it.

    Args:
        layout: The store.
        kind: One of `KINDS`.
        name: Of the series: letters, digits, dots, dashes and underscores, as Kafka topics.
        clock: What `landed_at` is read from.

    Raises:
        DependencyError: The store cannot be read or written.
        InputError: The store is gone, of another version, or its last batch is damaged.
    """

    def __init__(self, layout: Layout, kind: str, name: str, clock: Clock = utc_now) -> None:
        self.layout = layout
        self.kind = kind
        self.name = name
        self.owner = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(6)}"
        self._clock = clock
        self.store_id = layout.info().id
        if not _BATCH.fullmatch(f"{name}.{1:012}.parquet"):
            raise InputError(f"nothing can land under the name {name}", "use a name that does not start with a dot")
        self._suspect = False
        self._unsynced = False
        self._fenced = False
        while True:
            last = newest_footer(layout, kind, name)
            self.footer = last or Footer(series=f"{kind}/{name}", seq=0, owner="", landed_at=clock())
            try:
                self.commit([], self.footer.position, self.footer.state)
            except FencedError:
                # The earlier owner was quicker with this number; the next one is ours, or the one after.
                self._fenced = False
                continue
            break

    def commit(
        self, parts: list[tuple[int, dict[str, Any]]], position: Position | None, state: dict[str, JsonValue]
    ) -> int:
        """Land a batch; durable when this returns. Give the size of its file in bytes.

        Args:
            parts: Row groups: how many rows, and their columns; those that are left out are null.
            position: What the footer says.
            state: The same.

        Raises:
            FencedError: Another process owns the series now. Nothing landed, and nothing will.
            DependencyError: No space, read-only or gone. Try again: nothing landed, or all of it did and
                `footer` says so.
        """
        if self._fenced:
            raise self._fence()
        with refused(self.layout.root):
            self._check_place()
            if self._unsynced:
                self._sync()
            footer = msgspec.structs.replace(
                self.footer,
                seq=self.footer.seq + 1,
                owner=self.owner,
                landed_at=self._clock(),
                position=position,
                state=state,
            )
            data = self._encode(parts, footer)
            self._suspect = True
            temporary = self.layout.temporary(f"{self.name}.{footer.seq}")
            try:
                durable(temporary, data)
                if not link_new(temporary, self._file(footer.seq)) or self._was_taken(footer.seq):
                    raise self._fence()
            finally:
                temporary.unlink(missing_ok=True)
            self.footer = footer
            self._unsynced = True
            self._sync()
            self._suspect = False
        return int(data.size)

    def _sync(self) -> None:
        sync_directory(self.layout.hot(self.kind))
        self._unsynced = False

    def _file(self, seq: int) -> Path:
        return self.layout.hot(self.kind) / f"{self.name}.{seq:012}.parquet"

    def _fence(self) -> FencedError:
        self._fenced = True
        return FencedError(
            f"another process has taken over {self.kind}/{self.name} of the store {self.layout.root}",
            "stop writing it here; the other goes on",
        )

    def _check_place(self) -> None:
        """After trouble, see that what is there is the same store: an empty mount point is none."""
        if self._suspect:
            check_same(self.layout, self.store_id)

    def _was_taken(self, seq: int) -> bool:
        """Whether the batch of this number was another owner's, compacted and gone."""
        checkpoint = read_checkpoint(self.layout, self.kind, self.name)
        return checkpoint is not None and checkpoint.seq >= seq and checkpoint.owner != self.owner

    def _encode(self, parts: list[tuple[int, dict[str, Any]]], footer: Footer) -> Any:  # noqa: ANN401 - an Arrow buffer
        plain = hot_schema(self.kind)
        schema = plain.with_metadata({FOOTER: msgspec.json.encode(footer)})
        sink = pa.BufferOutputStream()
        names = set(plain.names)
        with pq.ParquetWriter(
            sink,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name in _DICTIONARIES if name in names],
            write_statistics=[name for name in _STATISTICS if name in names],
        ) as writer:
            for rows, columns in parts:
                columns |= {
                    "series": pa.repeat(footer.series, rows),
                    "seq": pa.repeat(pa.scalar(footer.seq, pa.int64()), rows),
                }
                if "landed_at" in names:
                    columns["landed_at"] = pa.repeat(pa.scalar(footer.landed_at, plain.field("landed_at").type), rows)
                arrays = [
                    columns[field.name].cast(field.type) if field.name in columns else pa.nulls(rows, field.type)
                    for field in plain
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        return sink.getvalue()


def seq_of(file: Path) -> tuple[str, int]:
    """The series and the number that a batch's file is named for."""
    name, _, seq = file.name.removesuffix(".parquet").rpartition(".")
    return name, int(seq)


_BATCH: Final = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]*)\.([0-9]{12})\.parquet")


def series_files(layout: Layout, kind: str, name: str | None = None) -> list[Path]:
    """The batches that are there, of one series or of all of a kind, by series and number. Raises OSError."""
    prefix = "" if name is None else f"{name}."
    found = []
    with os.scandir(layout.hot(kind)) as entries:
        for entry in entries:
            match = _BATCH.fullmatch(entry.name) if entry.name.startswith(prefix) else None
            if match and name in {None, match[1]} and entry.is_file():
                found.append((match[1], int(match[2]), entry.path))
    return [Path(path) for _, _, path in sorted(found)]


def newest_footer(layout: Layout, kind: str, name: str) -> Footer | None:
    """The footer of a series' last batch, compacted or not; None for a series that nobody opened yet.

    Raises:
        DependencyError: The store cannot be read.
        InputError: The last batch is damaged.
    """
    with refused(layout.root):
        while True:
            # Names go only after the checkpoint covers them, so it is read last.
            files = series_files(layout, kind, name)
            checkpoint = read_checkpoint(layout, kind, name)
            if not files or (checkpoint and checkpoint.seq >= seq_of(files[-1])[1]):
                return checkpoint
            try:
                return file_footer(files[-1])
            except FileNotFoundError:
                continue


def file_footer(file: Path) -> Footer:
    """Read what a batch says of itself.

    Raises:
        InputError: The file is damaged.
        OSError: It cannot be read.
    """
    try:
        text = pq.read_metadata(file).metadata[FOOTER]
        return msgspec.json.decode(text, type=Footer)
    except (OSError, pa.ArrowException, KeyError, TypeError, msgspec.DecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # one without is Arrow's, which says so that what it read makes no sense
        raise damaged(file, error) from error


def has_footer(file: Path) -> bool:
    """Whether a batch says of itself what it has to. Raises OSError."""
    try:
        file_footer(file)
    except InputError:
        return False
    return True


def read_checkpoint(layout: Layout, kind: str, name: str) -> Footer | None:
    """The footer of a series' last compacted batch, if there is one. Raises OSError, and InputError when damaged."""
    file = layout.checkpoint(kind, name)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Footer)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise InputError(f"{file} is damaged: {error}", "`gnomon compact` writes it anew") from error
