"""JSON Pointers (RFC 6901) and the patterns made from them.

A pattern is a pointer whose array positions and keyed elements are `*`; a literal `*` in a name is written `~2`.
"""

from __future__ import annotations

__all__ = ["escape", "escape_pattern", "parse_pointer", "unescape"]


def escape(name: str) -> str:
    """Escape one reference token: `~` as `~0`, `/` as `~1`."""
    if "~" in name or "/" in name:
        return name.replace("~", "~0").replace("/", "~1")
    return name


def escape_pattern(name: str) -> str:
    """Escape a member name for a pattern: as a pointer's, and `*` as `~2`."""
    escaped = escape(name)
    return escaped.replace("*", "~2") if "*" in escaped else escaped


def unescape(token: str) -> str:
    """Give back the name that `escape` or `escape_pattern` was given."""
    if "~" not in token:
        return token
    # `~0` goes last: it makes a `~` that must not be read again
    return token.replace("~2", "*").replace("~1", "/").replace("~0", "~")


def parse_pointer(pointer: str) -> list[str]:
    """Split a pointer into its names; the empty pointer is the whole document.

    Raises:
        ValueError: The text is neither empty nor starts with `/`.
    """
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON Pointer: it does not start with '/'")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]
