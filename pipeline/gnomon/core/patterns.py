"""Regular expressions that users write and traffic is searched by: RE2, whose time is linear in the text.

Python's own would let a pattern such as `^(a+)+$` and one hostile value hold a process up for ever. RE2 knows no
look-around and no back-references; `$` is the very end of a text.
"""

from __future__ import annotations

from typing import Any, Final

import re2

__all__ = ["Pattern", "PatternError"]

_OPTIONS: Final[Any] = re2.Options()
_OPTIONS.log_errors = False


class PatternError(ValueError):
    """A text that is no regular expression; the message says why."""


class Pattern:
    """One compiled expression.

    Args:
        text: As the user wrote it.

    Raises:
        PatternError: It is not an expression that RE2 knows, or too large.
    """

    __slots__ = ("_search", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._search = re2.compile(text.encode("utf-8", "surrogatepass"), _OPTIONS).search
        except re2.error as error:
            (why,) = error.args
            raise PatternError(why.decode(errors="replace") if isinstance(why, bytes) else str(why)) from None

    def found_in(self, text: str) -> bool:
        """Whether the expression matches somewhere in a text."""
        return self._search(text.encode("utf-8", "surrogatepass")) is not None
