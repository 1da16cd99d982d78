"""How many bytes the types of MessagePack take, by their first byte (its specification, section "Formats").

Small numbers, short strings and short containers have their size in that byte itself and are not listed.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ARRAYS", "BINARY", "EXTENSIONS", "FIXED", "MAPS", "STRINGS"]

# Of types with a length: how many bytes it has; an extension's type is one more
STRINGS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
BINARY: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
EXTENSIONS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
ARRAYS: Final = {0xDC: 2, 0xDD: 4}
MAPS: Final = {0xDE: 2, 0xDF: 4}
# Of the others: how many bytes follow the first
FIXED: Final = {
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
    0xD4: 2,
    0xD5: 3,
    0xD6: 5,
    0xD7: 9,
    0xD8: 17,
}
