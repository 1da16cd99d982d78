"""JSON whose members are read by one name: an object that has a name twice says two things.

RFC 8259 leaves open which of them counts: most parsers take the last, some the first. Where a member decides about
money, both readings would have to be right, so such a text is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from typing import Any, Final

from gnomon.core.json import BOM, Unreadable, loads
from gnomon.model import JsonValue

__all__ = ["loads_unambiguous"]

_ESCAPED: Final = re.compile(rb"\\u")
_ESCAPED_SHORTLY: Final = re.compile(r'[/"\\\x00-\x1f]')
"""Characters that JSON text may or must write as a backslash and one more (RFC 8259, section 7)."""
_BACKSLASH: Final = re.compile(rb"\\")
_ESCAPED_ASCII: Final = re.compile(rb"\\u00[2-7]")


def loads_unambiguous(names: Collection[str] | None) -> Callable[[bytes], JsonValue]:
    """Give what reads JSON as `loads` does, and refuses a text with one of these members twice in one object.

    Args:
        names: Names of members that are looked at; None for all.
    """
    if names is not None and not names:
        return loads
    quoted = [b'"%s"' % name.encode("utf-8", "surrogatepass") for name in names or ()]
    wanted = None if names is None else frozenset(names)
    escaped = _ESCAPED_ASCII if b"".join(quoted).isascii() else _ESCAPED
    if any(map(_ESCAPED_SHORTLY.search, names or ())):
        escaped = _BACKSLASH

    def read(data: bytes) -> JsonValue:
        document = loads(data)
        # A name that is there once is not there twice, as long as no letter of it is escaped
        if wanted is None or escaped.search(data) or any(data.count(name) > 1 for name in quoted):
            _refuse_repeated(data, wanted)
        return document

    return read


def _refuse_repeated(data: bytes, wanted: frozenset[str] | None) -> None:
    def check(pairs: list[tuple[str, Any]]) -> None:
        found = [name for name, _ in pairs if wanted is None or name in wanted]
        if len(found) != len(set(found)):
            raise Unreadable("an object has a member twice that a tag looks at")

    json.loads(data.removeprefix(BOM), object_pairs_hook=check, parse_int=len, parse_float=len)
