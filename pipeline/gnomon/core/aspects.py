"""What rules can say about one place in a document."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from gnomon.core.patterns import Pattern

__all__ = ["PLAIN", "Aspects", "NumberTolerance", "Redaction", "Treatment"]

Treatment: TypeAlias = Literal["uuid", "timestamp", "presence", "type"]
Redaction: TypeAlias = Literal["hash", "drop"]
Limit: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e300)]


class NumberTolerance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Two numbers are equal when |live - shadow| <= max(absolute, relative * max(|live|, |shadow|))."""

    relative: Limit = 0.0
    absolute: Limit = 0.0


class Aspects(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the rules say about one place; `time_tolerance_us` in microseconds.

    `treats_inside`: the rule that says `treat_as` holds for everything below too (its path ends in `**`), so objects
    and arrays are compared inside and only the values in them are treated.
    """

    ignore: bool = False
    noise: bool = False
    noise_reason: str | None = None
    redact: Redaction | None = None
    unordered: bool = False
    key: str | None = None
    map: bool = False
    number_tolerance: NumberTolerance | None = None
    time_tolerance_us: int | None = None
    treat_as: Treatment | None = None
    treats_inside: bool = False
    match: Pattern | None = None
    case_insensitive: bool = False
    null_is_missing: bool = False

    @property
    def tolerates(self) -> bool:
        """Whether values may be equal here that are only near each other."""
        return self.number_tolerance is not None or self.time_tolerance_us is not None

    @property
    def equalises(self) -> bool:
        """Whether two unlike values may be equal here."""
        return self.tolerates or self.treat_as is not None or self.match is not None or self.case_insensitive


PLAIN = Aspects()
"""What is said about a place where no rule says anything."""
