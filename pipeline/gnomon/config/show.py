"""The effective settings as TOML, with secrets masked."""

from __future__ import annotations

from typing import Any, Final

from gnomon.config.load import Loaded, keys
from gnomon.config.values import toml_text

__all__ = ["MASK", "render_settings"]

MASK: Final = "********"
_SECRET_WORDS: Final = ("token", "secret", "password", "key", "url", "hook", "authorization", "headers")


def render_settings(loaded: Loaded) -> str:
    """Write all settings as TOML that can be read again; a comment says where a value is from.

    Settings without a value are comments. Secrets are masked, in `[[route]]`, `[[alert]]` and `[[hook]]` too: there
    whatever is named like one.
    """
    lines: list[str] = []
    section: tuple[str, ...] = ()
    # Top-level keys come first, or TOML would read them as part of the section before them.
    for key in sorted(keys(), key=lambda key: len(key.path) > 1):
        if key.path[:-1] != section:
            section = key.path[:-1]
            lines += ["", f"[{'.'.join(section)}]"]
        value: Any = loaded.settings
        for name in key.path:
            value = getattr(value, name)
        origin = loaded.origins.get(key.dotted, "default")
        if value is None:
            lines.append(
                f"# {key.path[-1]} is not set" + (f": {key.leaf.default_text}" if key.leaf.default_text else "")
            )
        else:
            text = toml_text(MASK) if key.leaf.secret else key.leaf.write(value)
            lines.append(f"{key.path[-1]} = {text}  # {origin}")
    for name in ("route", "alert", "hook"):
        for table in getattr(loaded.settings, name):
            lines += ["", f"[[{name}]]"]
            lines += [f"{toml_key(item)} = {toml_value(masked(item, table[item]))}" for item in table]
    return "\n".join(lines).lstrip("\n") + "\n"


def masked(name: str, value: object) -> object:
    """Mask what is named like a secret, at any depth of a table as written; names of hooks are none, their URLs are."""
    if isinstance(value, dict):
        return {item: masked(item, below) for item, below in value.items()}
    if isinstance(value, list):
        return [masked(name, item) for item in value]
    if not any(word in name.lower() for word in _SECRET_WORDS):
        return value
    if isinstance(value, str) and "://" in value:
        return f"https://{MASK}"
    return value if name == "hooks" else MASK


def toml_key(name: str) -> str:
    """Write a key, quoted where TOML wants that."""
    return name if name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name) else toml_text(name)


def toml_value(value: object) -> str:
    """Write a value on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_key(name)} = {toml_value(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return toml_text(value) if isinstance(value, str) else str(value)
