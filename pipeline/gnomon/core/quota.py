"""How many values a document may have: work on a body is linear in them, and a small body may hold very many."""

from __future__ import annotations

import re
from typing import Final

from gnomon.core.json import Unreadable

__all__ = ["MAX_VALUES", "Quota"]

MAX_VALUES: Final = 500_000
"""Comparing two documents of so many values that all differ takes some seconds; a page of an API has some thousands."""

# A string, which may have no end, or what every value but the first of a document stands behind
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)|,|[\[{](?!\s*+[\]}])', re.DOTALL)


class Quota:
    """Values that one document may still have. The parts of a document share one.

    Bodies of fewer bytes than `most` cannot have more values: they are not counted.

    Args:
        most: How many values the document may have: objects, arrays, and what is in them.
    """

    __slots__ = ("_left", "_seen", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._left = most
        self._seen = 0

    def take(self, count: int) -> None:
        """Count values in.

        Raises:
            Unreadable: There are more than the document may have.
        """
        self._left -= count
        if self._left < 0:
            raise Unreadable(f"more than {self.most:,} values")

    def must_count(self, size: int) -> bool:
        """Tell whether a part with room for so many values has to be counted; what came before it is remembered."""
        self._seen += size
        return self._seen > self.most

    def take_json(self, text: bytes) -> None:
        """Count the values of a JSON text before anything parses it, in time linear in its length.

        Of text that is not JSON the count is some number.

        Raises:
            Unreadable: There are more than the document may have.
        """
        if not self.must_count((len(text) + 1) // 2):  # each value has a bracket or a comma
            return
        # Commas in strings are no values: those who seem to have too many are looked at closely
        seeming = 1 + len(text) - len(text.translate(None, b",[{"))  # faster than to count each
        if seeming <= self._left:
            self._left -= seeming
            return
        self.take(1)
        strings = 0
        for token in _TOKEN.finditer(text):
            if token[0][0] != _QUOTE:
                self.take(1)
                continue
            strings += 1
            if strings > 2 * self.most + 1:  # a value has one and its name another
                self.take(self._left + 1)


_QUOTE: Final = ord('"')
