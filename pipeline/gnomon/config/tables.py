"""Reads arrays of tables (`[[route]]` and the like) as frozen structs, with errors that name table, key and remedy."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from gnomon.config.values import Leaf, Problem
from gnomon.errors import ConfigError

__all__ = ["closest", "read_table"]

T = TypeVar("T", bound=msgspec.Struct)


def read_table(
    table: dict[str, Any], struct: type[T], where: str, base: Path, *, elsewhere: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Read the plain keys of a table; give the struct's fields by name.

    Args:
        table: As written.
        struct: What it is read as; its fields are annotated as those of the settings.
        where: The table, to be named in errors.
        base: What relative paths are relative to.
        elsewhere: Keys of the struct that the caller reads by itself, and has taken out of the table.

    Raises:
        ConfigError: There is no such key, a value is not what was expected, or a key that is needed is missing.
    """
    hints = get_type_hints(struct, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields or key in elsewhere:
            raise ConfigError(f"{where}: there is no key {key!r}", closest(key, sorted(fields)))
        leaf = Leaf(hints[fields[key].name])
        try:
            values[fields[key].name] = leaf.read(value, base)
        except Problem as problem:
            choices = [str(choice) for choice in get_args(leaf.kind)] if get_origin(leaf.kind) is not tuple else []
            near = get_close_matches(str(value), choices, n=1)
            raise ConfigError(f"{where}: {key}: {problem}", f"did you mean {near[0]!r}?" if near else "") from None
    for name, field in fields.items():
        if field.required and field.name not in values and name not in elsewhere:
            raise ConfigError(f"{where}: {name} is missing", f"add {name} = ...")
    return values


def closest(word: str, known: list[str]) -> str:
    """Give the remedy for a word that is none of the known ones."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
