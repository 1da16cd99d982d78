"""Columns: model structs to Arrow tables with the names and types of `schema.sql`."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa

from gnomon.model import EPOCH, Comparison, Difference, PopulationCount, Reject

__all__ = [
    "Columns",
    "comparison_columns",
    "comparison_table",
    "difference_columns",
    "difference_table",
    "exchange_columns",
    "exchange_table",
    "population_columns",
    "population_table",
    "reject_columns",
    "reject_table",
    "revision_columns",
]

Table: TypeAlias = Any  # pyarrow.Table, which has no types
Columns: TypeAlias = dict[str, Any]
"""Names to pyarrow arrays of one length."""

ExchangeRow: TypeAlias = tuple[str, str, str, str, str, datetime, str]

TEXT = pa.string()
INSTANT = pa.timestamp("us", tz="UTC")
FLAGS = pa.map_(TEXT, TEXT)

_COMPARISON_TYPES: dict[str, Any] = {
    "live_status": pa.int32(),
    "shadow_status": pa.int32(),
    "live_ms": pa.float64(),
    "shadow_ms": pa.float64(),
    "delta_ms": pa.float64(),
    "differences": pa.int64(),
    "noise_differences": pa.int64(),
    "late": pa.bool_(),
    "duplicates": pa.int64(),
    "partition": pa.int32(),
    "live_offset": pa.int64(),
    "shadow_offset": pa.int64(),
}
_OWNER = ("request_id", "target", "role", "service", "endpoint")


def comparison_columns(rows: Sequence[Comparison]) -> Columns:
    """The columns of `comparisons` but `run` and `landed_at`."""
    values = _transposed(Comparison, rows)
    columns = {"started_at": _instants(values.pop("started_at")), "flags": _flags(values.pop("flags"))}
    for name, column in values.items():
        columns[name] = _array(column, _COMPARISON_TYPES.get(name, TEXT))
    return columns


def comparison_table(rows: Sequence[Comparison], run: str | None) -> Table:
    """The columns of `comparisons` but `landed_at`, in any order: insert by name."""
    columns = comparison_columns(rows)
    columns["run"] = pa.nulls(len(rows), TEXT) if run is None else pa.repeat(run, len(rows))
    return pa.table(columns)


def difference_columns(rows: Sequence[Difference]) -> Columns:
    """The columns of `differences` that are not their comparison's."""
    values = _transposed(Difference, rows)
    return {name: _array(column, pa.bool_() if name == "noise" else TEXT) for name, column in values.items()}


def difference_table(owners: Sequence[Comparison], rows: Sequence[Difference]) -> Table:
    """The columns of `differences`; `owners[i]` is the comparison that `rows[i]` belongs to."""
    columns = {name: _column(owners, name, TEXT) for name in _OWNER}
    columns["started_at"] = _instants(owner.started_at for owner in owners)
    return pa.table(columns | difference_columns(rows))


def exchange_columns(rows: Sequence[ExchangeRow]) -> Columns:
    """The columns of `exchanges`, from rows in that order."""
    names = ("request_id", "role", "target", "service", "endpoint", "started_at", "record")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return {
        name: _instants(values) if name == "started_at" else _array(values, TEXT) for name, values in columns.items()
    }


def exchange_table(rows: Sequence[ExchangeRow]) -> Table:
    """The columns of `exchanges`, from rows in that order."""
    return pa.table(exchange_columns(rows))


def revision_columns(request_ids: Sequence[str], started_at: Sequence[datetime]) -> Columns:
    """The columns of what gives way to something else, in a store's batches."""
    return {"request_id": _array(request_ids, TEXT), "started_at": _instants(started_at)}


def population_columns(rows: Sequence[PopulationCount]) -> Columns:
    """The columns of `populations` but `run`."""
    values = _transposed(PopulationCount, rows)
    columns = {"minute": _instants(values.pop("minute")), "responses": pa.array(values.pop("responses"), pa.int64())}
    return columns | {name: _array(column, TEXT) for name, column in values.items()}


def population_table(rows: Sequence[PopulationCount], run: str | None) -> Table:
    """The columns of `populations`, in any order: insert by name."""
    return pa.table(population_columns(rows) | {"run": pa.repeat(pa.scalar(run, TEXT), len(rows))})


def reject_columns(rows: Sequence[Reject]) -> Columns:
    """The columns of `rejects` but `landed_at`; the excerpt in base64."""
    return {
        "source": _column(rows, "place.source", TEXT),
        "line": _column(rows, "place.line", pa.int64()),
        "partition": _column(rows, "place.partition", pa.int32()),
        "offset": _column(rows, "place.offset", pa.int64()),
        "reason": _column(rows, "reason", TEXT),
        "excerpt": pa.array([base64.b64encode(row.excerpt).decode() for row in rows], TEXT),
    }


def reject_table(rows: Sequence[Reject]) -> Table:
    """The columns of `rejects` but `landed_at`; the excerpt in base64."""
    return pa.table(reject_columns(rows))


def _transposed(kind: type[msgspec.Struct], rows: Sequence[msgspec.Struct]) -> dict[str, Sequence[Any]]:
    """Turn structs into the values of each field, by name."""
    if not rows:
        return dict.fromkeys(kind.__struct_fields__, ())
    return dict(zip(kind.__struct_fields__, zip(*map(msgspec.structs.astuple, rows), strict=True), strict=True))


def _column(rows: Iterable[object], name: str, kind: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    return _array(list(map(attrgetter(name), rows)), kind)


def _array(values: Sequence[Any], kind: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        # A lone surrogate is no text; a file name or a hostile value may hold one. It must not stop a run.
        return pa.array([_encodable(value) for value in values], kind)


def _encodable(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _instants(values: Iterable[datetime]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Aware datetimes as UTC microseconds; integers are quicker than pyarrow's reading of each datetime."""
    since_epoch = [value - EPOCH for value in values]
    counts = [(span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds for span in since_epoch]
    return pa.array(counts, pa.int64()).view(INSTANT)  # a cast would import all of pyarrow's functions


def _flags(rows: Sequence[dict[str, str]]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Maps with their keys in order, so that equal flags are equal rows."""
    offsets, keys, values = [0], list[str](), list[str]()
    for flags in rows:
        if flags:
            for key in sorted(flags):
                keys.append(key)
                values.append(flags[key])
        offsets.append(len(keys))
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), _array(keys, TEXT), _array(values, TEXT))
