"""One value of a setting: what kind it is, how it is read, and how it is written.

The kinds are the annotations of `gnomon.config.settings`: text, numbers, true or false, durations, sizes, paths,
lists and choices.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec

from gnomon.core.durations import format_duration, parse_duration

__all__ = ["Leaf", "Problem", "format_size", "parse_size"]

_SIZE: Final = re.compile(r"(\d{1,15})\s*(B|KiB|MiB|GiB|kB|MB|GB)?")
_FACTORS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
# Of a URL, what may be a secret: what stands before the host, and behind the path
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/?#]*(?=@)|(?<=[?#]).+", re.DOTALL)
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


class Problem(Exception):  # noqa: N818 - it never leaves this package: `load` turns it into a ConfigError
    """A value that a setting cannot have; the text says what was expected and what was there."""


def parse_size(text: str) -> int:
    """Turn `32MiB` into bytes.

    Raises:
        ValueError: Not a whole number, followed by a unit or nothing.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        message = f"{text!r} is not a size; write a whole number and one of {', '.join(_FACTORS)}, such as '32MiB'"
        raise ValueError(message)
    return int(found[1]) * _FACTORS[found[2] or "B"]


def format_size(size: int) -> str:
    """Turn bytes into the shortest text that `parse_size` reads as the same."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _FACTORS[unit] == 0:
            return f"{size // _FACTORS[unit]}{unit}"
    return f"{size}B"


class Leaf:
    """What one annotation allows.

    Args:
        annotation: A type, or `Annotated` with `msgspec.Meta` values, as a settings struct has it.
    """

    def __init__(self, annotation: Any) -> None:  # noqa: ANN401 - an annotation has no narrower type
        self.annotation = annotation
        metas: list[msgspec.Meta] = []
        kind = annotation
        while get_origin(kind) is Annotated:
            metas += [meta for meta in get_args(kind)[1:] if isinstance(meta, msgspec.Meta)]
            kind = get_args(kind)[0]
        choices = [part for part in get_args(kind) if part is not type(None)]
        self.optional = len(choices) < len(get_args(kind))
        self.kind = choices[0] if self.optional else kind
        self.description = next((meta.description for meta in metas if meta.description), "")
        extra: dict[str, Any] = {}
        for meta in metas:
            extra |= meta.extra or {}
        self.env: str | None = extra.get("env")
        self.secret: bool = bool(extra.get("secret"))
        self.default_text: str | None = extra.get("default")
        self.size: bool = bool(extra.get("size"))
        self._expected: str | None = extra.get("expected")
        self.low = next((meta.ge for meta in metas if meta.ge is not None), None)
        self.high = next((meta.le for meta in metas if meta.le is not None), None)

    @property
    def expected(self) -> str:
        """The kind in words, as it completes `expected ...`."""
        if self._expected:
            return self._expected
        if self.size:
            return 'a size such as "32MiB"'
        if get_origin(self.kind) is Literal:
            return "one of " + ", ".join(f'"{choice}"' for choice in get_args(self.kind))
        if get_origin(self.kind) is tuple:
            return "a list of " + ("paths" if get_args(self.kind)[0] is Path else "text")
        if self.kind in (int, float):
            noun = "a whole number" if self.kind is int else "a number"
            if self.low is not None and self.high is not None:
                return f"{noun} between {self.low} and {self.high}"
            return noun if self.low is None else f"{noun} of at least {self.low}"
        return {bool: "true or false", timedelta: 'a duration such as "30s"', Path: "a path", str: "text"}[self.kind]

    def read(self, value: object, base: Path) -> Any:  # noqa: ANN401 - as many types as there are kinds
        """Turn a TOML value into the setting's type; `base` is what relative paths are relative to.

        Raises:
            Problem: Another kind of value was expected.
        """
        if self.kind is timedelta:
            return self._read_text(value, lambda text: timedelta(microseconds=parse_duration(text)))
        if self.size and isinstance(value, str):
            value = self._read_text(value, parse_size)
        if self.kind is Path:
            return self._read_text(value, lambda text: base / Path(text).expanduser())
        if get_origin(self.kind) is tuple and get_args(self.kind)[0] is Path:
            return tuple(base / Path(text).expanduser() for text in self._convert(value, tuple[str, ...]))
        return self._convert(value, self.annotation)

    def read_text(self, text: str, base: Path) -> Any:  # noqa: ANN401 - as many types as there are kinds
        """Turn the text of an environment variable into the setting's type; lists are separated by commas.

        Raises:
            Problem: The text does not stand for that kind of value.
        """
        if get_origin(self.kind) is tuple:
            return self.read([part.strip() for part in text.split(",") if part.strip()], base)
        if self.kind is bool:
            word = text.strip().lower()
            if word not in _TRUE | _FALSE:
                raise Problem(f"expected {self.expected}, got {text!r}")
            return word in _TRUE
        if self.kind in (int, float) and not self.size:
            try:
                return self.read(self.kind(text), base)
            except ValueError:
                raise Problem(f"expected {self.expected}, got {text!r}") from None
        return self.read(text, base)

    def write(self, value: object) -> str:
        """Write a value as TOML."""
        if isinstance(value, timedelta):
            return f'"{format_duration(value // timedelta(microseconds=1))}"'
        if self.size and isinstance(value, int):
            return f'"{format_size(value)}"'
        if isinstance(value, tuple):
            return f"[{', '.join(toml_text(str(item)) for item in value)}]"
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if isinstance(value, int | float) else toml_text(str(value))

    def _read_text(self, value: object, read: Any) -> Any:  # noqa: ANN401 - see `read`
        if not isinstance(value, str):
            raise Problem(f"expected {self.expected}, got {in_words(value)}")
        try:
            return read(value)
        except (ValueError, OverflowError, RuntimeError) as error:
            raise Problem(str(error)) from None

    def _convert(self, value: object, annotation: Any) -> Any:  # noqa: ANN401 - see `read`
        try:
            return msgspec.convert(value, annotation)
        except msgspec.ValidationError:
            raise Problem(f"expected {self.expected}, got {in_words(value)}") from None


def toml_text(text: str) -> str:
    """Write text as a basic TOML string."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def in_words(value: object) -> str:
    """Name a TOML value in an error: scalars as they are, tables and lists by what they are."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(_CREDENTIALS.sub("***", value))
    return repr(value) if isinstance(value, int | float) else str(value)
