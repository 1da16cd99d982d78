"""The page of all settings, docs/configuration.md."""

from __future__ import annotations

import inspect
from itertools import groupby
from typing import Any, Final

from gnomon.config.load import Key, is_struct, keys, sections
from gnomon.config.settings import Settings

__all__ = ["settings_page"]

_HEAD: Final = """\
# Settings

Every setting has a default with which Gnomon runs. Others are written in `gnomon.toml`, found by `--config`, by
`GNOMON_CONFIG`, or in the current directory; the environment wins over the file. `gnomon config check` validates
both, `gnomon config show` prints what holds, and where it is from, with secrets masked.

A key that does not exist is an error that names the closest one; an unknown `GNOMON_*` variable is a warning.
Durations are a whole number and one of `us`, `ms`, `s`, `m`, `h`, `d`: `30s`. Sizes are bytes, or a whole number and
one of `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB`: `"32MiB"`. Paths are relative to the file that names them; those of the
environment to the current directory. In the environment lists are separated by commas.

This page is made from the code by `make docs`.
"""
_TAIL: Final = """\

## Arrays of tables

| table | for |
| --- | --- |
| `[[route]]` | the synthetic filter on business topics (docs/synthetic.md) |
| `[[alert]]` | what to watch for, and the hooks to call; docs/alerts.md has the keys |
| `[[hook]]` | where alerts are sent; docs/alerts.md has the keys |

## `[[route]]`

| key | what | default |
| --- | --- | --- |
| `from` | Topic to read | needed |
| `clean`, `synthetic`, `quarantine` | Topics to send to, with as many partitions or more | `FROM.clean` and so on |
| `value` | `json`; `avro` or `protobuf`, with a schema of `registry.url`; or `bytes`, not looked into | `"json"` |
| `users_file` | Ids of synthetic users, one a line; read again when it changes (a path) | |
| `users_paths` | Where a user's id stands in a value (JSON Pointers) | `["/user/id", "/user_id", "/userId"]` |
| `tags` | What else is synthetic: `path` or `header`, and `equals`, `in`, `prefix`, `regex`, `contains` | `[]` |
| `taint` | What later events are synthetic too: those with the same id at `path` as a tagged one, `for` so long \
(`{ path = "/session", for = "1h" }`) | |
"""


def settings_page() -> str:
    """Write the page: a table of keys, environment variables, kinds and defaults for each section."""
    lines = [_HEAD]
    for section, group in groupby(sorted(keys(), key=lambda key: len(key.path) > 1), key=lambda key: key.path[:-1]):
        title = f"`[{'.'.join(section)}]`" if section else "Top level"
        lines += [f"## {title}", "", f"{_about(section)}", ""] if section else [f"## {title}", ""]
        lines += ["| key | environment | what | default |", "| --- | --- | --- | --- |"]
        lines += [_row(key) for key in group]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n" + _TAIL


def _about(section: tuple[str, ...]) -> str:
    struct: Any = Settings
    for name in section:
        found = sections(struct)[name]
        struct = found if is_struct(found) else struct
    return inspect.getdoc(struct) or ""


def _row(key: Key) -> str:
    default = key.leaf.default_text or ("" if key.default is None else f"`{key.leaf.write(key.default)}`")
    what = f"{key.leaf.description} ({key.leaf.expected})".replace("|", "\\|")
    return f"| `{key.path[-1]}` | `{key.env}` | {what} | {default} |"
