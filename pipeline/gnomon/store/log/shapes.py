"""The Arrow schemas of what a store's files hold, and how a store is made with its empty files."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.model import Difference
from gnomon.store.batches import FLAGS, INSTANT, TEXT
from gnomon.store.database import script
from gnomon.store.log.layout import (
    KINDS,
    SEALED,
    SENTINEL,
    Layout,
    StoreInfo,
    durable,
    link_new,
    refused,
    sync_directory,
)
from gnomon.store.log.manifest import Manifest, manifest_bytes

__all__ = ["create_store", "hot_schema", "sealed_schema"]

LARGE: Final = frozenset({"comparisons", "differences", "exchanges", "rejects"})
SENTINEL_ROWS: Final = 100_000

DIFFERENCES = pa.list_(
    pa.struct([(name, pa.bool_() if name == "noise" else TEXT) for name in Difference.__struct_fields__])
)


def table_schema(table: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    """The columns of a table of `schema.sql`, as Arrow."""
    return _table_schemas()[table]


@cache
def _table_schemas() -> dict[str, Any]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(script("schema.sql"))
        names = [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        found = {name: connection.sql(f"FROM {name}").to_arrow_table().schema for name in names}
    return {name: pa.schema([_plain(field) for field in schema]) for name, schema in found.items()}


def _plain(field: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """A field as this package writes it: maps and instants by the types of `batches`."""
    if field.name == "flags":
        return pa.field(field.name, FLAGS)
    if pa.types.is_timestamp(field.type):
        return pa.field(field.name, INSTANT)
    return pa.field(field.name, field.type)


@cache
def hot_schema(kind: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    """The columns of a batch's file.

    A worker's rows are of five tables; `kind` says which: `comparison` (its differences nested in it), `exchange`,
    `reject`, `population`, or `revision`: what landed before of a request, by its id and `started_at`, counts no more.
    Columns that another table's rows lack are null. `live_duplicates` says how many of a comparison's duplicates are of
    the live side. `series` and `seq` say which batch it is.
    """
    if kind != "worker":
        return pa.schema([*table_schema(kind), ("series", TEXT), ("seq", pa.int64())])
    fields: dict[str, Any] = {"kind": TEXT}
    for table in ("comparisons", "exchanges", "rejects", "populations"):
        fields |= {field.name: field.type for field in table_schema(table)}
    fields |= {"differing": DIFFERENCES, "live_duplicates": pa.int64(), "series": TEXT, "seq": pa.int64()}
    return pa.schema(list(fields.items()))


@cache
def sealed_schema(table: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    """The columns of a compacted file: the table's, the group, and what only writers ask for."""
    own = [("live_duplicates", pa.int64())] if table == "comparisons" else []
    own += [("series", TEXT)] if table in {"comparisons", "rejects"} else []
    return pa.schema([*table_schema(table), *own, ("gid", pa.int64())])


def create_store(layout: Layout, info: StoreInfo | None) -> None:
    """Make a store but for its catalog, with the settings of `info`; one that is there keeps its own.

    Raises:
        DependencyError: The directory cannot be made or written.
        InputError: There is a store of another version.
    """
    with refused(layout.root):
        if layout.info_file.exists():
            layout.info()  # says what is wrong with it
            return
        for directory in (*Layout(layout.empty).directories(), *layout.directories()):
            directory.mkdir(parents=True, exist_ok=True)
        for place in (Layout(layout.empty), layout):
            for kind in KINDS:
                mark = {"kind": "none"} if kind == "worker" else None
                _create(layout, place.hot(kind) / SENTINEL, _sentinel(hot_schema(kind), mark))
            for table in SEALED:
                sealed_mark = {"gid": -1} if table in LARGE else None
                _create(layout, place.sealed(table) / SENTINEL, _sentinel(sealed_schema(table), sealed_mark))
            _create(layout, place.manifests / f"{0:012}.parquet", manifest_bytes(Manifest()))
        # The last to come: who sees it sees all the rest.
        named = msgspec.structs.replace(info or StoreInfo(), id=secrets.token_hex(8))
        _create(layout, layout.info_file, msgspec.json.encode(named))


def _create(layout: Layout, target: Path, data: bytes) -> None:
    """Make a file unless another process was first."""
    temporary = layout.temporary(target.name)
    try:
        durable(temporary, data)
        link_new(temporary, target)
        sync_directory(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sentinel(schema: Any, mark: Mapping[str, object] | None = None) -> bytes:  # noqa: ANN401 - pyarrow has no types
    """A file without rows; with a `mark`, of rows that hold just that, so that they never count.

    DuckDB takes the first file of a listing for the measure of all. With nothing in it a scan of millions of rows is
    thought to have none, and becomes the side of a join that is held in memory. Marked rows have a kind, or a group,
    that nobody asks for; the file's statistics say so, and nobody reads them.
    """
    count = SENTINEL_ROWS if mark else 0
    held = mark or {}
    arrays = [
        pa.repeat(pa.scalar(held[field.name], field.type), count) if field.name in held else pa.nulls(count, field.type)
        for field in schema
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink, row_group_size=SENTINEL_ROWS)
    return bytes(sink.getvalue().to_pybytes())
