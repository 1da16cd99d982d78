"""The page of tables, views, macros and columns, docs/tables.md, and of what `gnomon.open` gives."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Final

from gnomon.store import Relation, Store, describe_tables

__all__ = ["examples", "tables_page"]

_EXAMPLE: Final = re.compile(r"^-- (\w+ \w+): (.+\?)\n((?:(?!--).*\n)*?.*);$", re.MULTILINE)

_HEAD: Final = """\
# Tables, views and macros

A `.duckdb` file of `gnomon compare` and the `catalog.duckdb` of a store have the same ones. `gnomon query SQL` asks
them, and so does any DuckDB client of version 1.5 or later, read-only; times are UTC, `*_ms` are milliseconds, rates
are shares from 0 to 1.

Three things to know before counting rows:

- `comparisons` and `differences` hold the control's rows too. What the shadow did is `WHERE role = 'shadow'`; the
  control differs from live by nature, and its rows are there to tell noise.
- Both hold synthetic traffic (load tests, probes) too. Real traffic is `synthetic IS NULL`, or the views
  `comparisons_real` and `differences_real`, which hold the control's rows all the same.
- `endpoint_stats`, `field_stats`, `latency_stats` and `rate_stats` are of shadows and of real traffic, net of the
  control. Rather ask them than count.

`SHOW TABLES` lists tables and views, `DESCRIBE comparisons` columns and types. The macros are not in that list; `FROM
rate_stats()` and `DESCRIBE FROM rate_stats()` work as for a table. DuckDB knows the sentences of this page as
comments: `SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'comparisons'` in a store's
`catalog.duckdb`, in what `gnomon export` writes, and in a file of `gnomon compare` after `gnomon catalog --db FILE`
(before it those of tables, views and macros).

This page is made from the code by `make docs`.
"""

_MACROS: Final = """\
## Macros

`since` (included) and `until` (excluded) are times, `'2027-07-12T08:00:00Z'` or `now() - INTERVAL 1 HOUR`, not the
`1h` that `gnomon verdict --since` takes as well. `synthetic` is `'include'`, `'exclude'` or `'only'`. `flag` is the
name of a feature flag, `every` an interval such as `'1 hour'`. All parameters are named: `endpoint_stats(since :=
'2027-07-12')`. Macros that are not here are parts of these, and may change.
"""

_PYTHON: Final = """\
## Python

`gnomon.open(path)` opens a file or a store's directory, and gives a `gnomon.store.Store`, a context manager:

```python
import gnomon

with gnomon.open("gnomon.duckdb") as store:
    frame = store.sql("SELECT * FROM latency_stats ORDER BY delta_p99 DESC").df()
```

A `Selection(since, until, service, target, synthetic)`, from `gnomon.store`, says what of it is looked at; without
one it is all real traffic. Methods raise the errors of `gnomon.errors`.

| method | does |
| --- | --- |
"""

_UNLISTED: Final = {"rules", "judged", "figures", "populations", "evidence", "interrupt", "unknown_name", "absence"}
"""Methods for the program's own services."""


def examples() -> dict[str, tuple[str, str]]:
    """Give a question and its SQL by what they are about: `table comparisons`."""
    text = files("gnomon.reference").joinpath("examples.sql").read_text(encoding="utf-8")
    return {about: (question, sql) for about, question, sql in _EXAMPLE.findall(text)}


def tables_page() -> str:
    """Write docs/tables.md."""
    relations = describe_tables()
    parts = [_HEAD]
    for kind, title in (("table", "## Tables\n"), ("view", "## Views\n"), ("macro", _MACROS)):
        parts += [title, *(_section(relation) for relation in relations if relation.kind == kind)]
    return "\n".join([*parts, _PYTHON]) + "".join(_methods())


def _section(relation: Relation) -> str:
    question, sql = examples()[f"{relation.kind} {relation.name}"]
    shown = "(...)" if relation.kind == "macro" else ""
    lines = [f"### `{relation.name}{shown}`", "", relation.comment, ""]
    if relation.kind == "macro":
        parameters = ", ".join(f"`{one}`" for one in relation.parameters) or "none"
        lines += [f"Parameters: {parameters}", "", f"Columns: {', '.join(f'`{c.name}`' for c in relation.columns)}", ""]
    elif relation.name.endswith("_real"):
        lines += [f"Columns: those of `{relation.name.removesuffix('_real')}`.", ""]
    else:
        lines += ["| column | type | what |", "| --- | --- | --- |"]
        lines += [_row(column.name, column.type, column.comment) for column in relation.columns]
        lines.append("")
    return "\n".join([*lines, question, "", "```sql", sql, "```", ""])


def _row(name: str, kind: str, comment: str) -> str:
    kind = kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
    return f"| `{name}` | {kind} | {_cell(comment)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def _methods() -> Iterator[str]:
    for name, method in inspect.getmembers(Store, inspect.isfunction):
        if name.startswith("_") or name in _UNLISTED:
            continue
        parameters = [one for one in inspect.signature(method).parameters.values() if one.name != "self"]
        shown = re.sub(
            r"\*, ", "", ", ".join(str(one.replace(annotation=inspect.Parameter.empty)) for one in parameters)
        )
        summary = " ".join((inspect.getdoc(method) or "").partition("\n\n")[0].split())
        yield f"| `{name}({shown})` | {_cell(summary)} |\n"
