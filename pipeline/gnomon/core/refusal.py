"""Why a record was refused, as a sentence that names the field: the decoder's errors in a stranger's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias, get_args

import msgspec

from gnomon.core.json import BOM, Unreadable, loads, nesting
from gnomon.model import ErrorKind, JsonValue, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["explain", "shown"]

SHOWN_CHARACTERS = 40

Fault: TypeAlias = "msgspec.MsgspecError | UnicodeDecodeError | RecursionError"


def _listed(words: Sequence[str]) -> str:
    """Join words as `a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


_CHOICES: Final = {
    "v": "1",
    "role": _listed(get_args(Role)),
    "kind": _listed(get_args(ErrorKind)),
    "encoding": "text or base64",
    "expect[]": "shadow, shadow:TARGET or control",
    "hash": "ALGORITHM:HEX",
}
_TYPES: Final = {
    "array": "an array",
    "bool": "a boolean",
    "float": "a number with a fraction or an exponent",
    "int": "an integer",
    "null": "null",
    "object": "an object",
    "str": "a string",
}

_AT = re.compile(r"(?P<problem>.*?)(?: - at `(?P<key>key in )?\$(?P<path>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_TYPE = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_RANGE = re.compile(r"Expected `int` ([<>])= (-?\d+)")
_LENGTH = re.compile(r"Expected `(str|array)` of length (?:([<>])= )?(\d+)")
_PATTERN = "Expected `str` matching regex"
_SYNTAX = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)", re.DOTALL)
_NOT_A_NUMBER = re.compile(rb"-?(?:NaN|Infinity)")
_INDEX = re.compile(r"\[[^\]]*\]")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


def explain(error: Fault, data: bytes) -> str:
    """Say why `data` is not an exchange record, given what the decoder raised; one sentence, no full stop."""
    if isinstance(error, RecursionError):
        return f"nested {nesting(data):,} levels deep, more than can be read"
    text = data.removeprefix(BOM)
    if not text.strip():
        return "empty, expected a JSON object"
    offset = len(data) - len(text)
    try:
        text.decode()
    except UnicodeDecodeError as fault:
        at = fault.start + offset
        return f"not JSON: not UTF-8 (0x{text[fault.start]:02x}) at byte {at}"
    if isinstance(error, msgspec.ValidationError):
        return _explain_shape(str(error), text)
    syntax = _SYNTAX.fullmatch(str(error))
    if syntax is None:
        return _explain_truncated(data)
    at = int(syntax[2]) - (syntax[1] == "trailing characters")  # there the decoder counts from 1
    constant = _NOT_A_NUMBER.match(text, at)
    return f"not JSON: {constant[0].decode() if constant else syntax[1]} at byte {at + offset}"


def _explain_truncated(data: bytes) -> str:
    """Tell a text that ends too early from a lone surrogate, of which the decoder says the same."""
    try:
        loads(data)
    except Unreadable as fault:
        if "surrogate" in fault.reason:
            return fault.reason
    return f"not JSON: it ends in the middle, at byte {len(data)}"


def shown(value: object) -> str:
    """Show a value from a record in a sentence: escaped, and no longer than `SHOWN_CHARACTERS` and an ellipsis."""
    text = repr(value[: SHOWN_CHARACTERS + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN_CHARACTERS + 2 else f"{text[:SHOWN_CHARACTERS]}..."


def _explain_shape(message: str, text: bytes) -> str:
    """Put a violation of the record's shape into words."""
    match = _AT.fullmatch(message)
    problem, path = (match["problem"], match["path"] or "") if match else (message, "")
    missing = _MISSING.fullmatch(problem)
    if missing:
        return f"`{f'{path}.{missing[1]}'[1:]}` is missing"
    kinds = _TYPE.fullmatch(problem)
    name = f"`{path[1:]}`" if path else "the record"
    choices = _CHOICES.get(_INDEX.sub("[]", path.rpartition(".")[2]))
    if kinds:
        return f"{name} is {_kind(kinds[2])}, expected {choices or _kind(kinds[1])}"
    value = _value_at(path, text)
    if choices and problem.startswith(("Invalid enum value", _PATTERN)):
        return f"{name} is {shown(value)}, expected {choices}"
    bound = _RANGE.fullmatch(problem)
    if bound:
        return f"{name} is {shown(value)}, expected {bound[2]} or {'more' if bound[1] == '>' else 'less'}"
    length = _LENGTH.fullmatch(problem)
    if length:
        return _explain_length(name, value, length)
    return f"{name} cannot be read: {problem}"


def _explain_length(name: str, value: JsonValue, length: re.Match[str]) -> str:
    """Put a string or an array of the wrong length into words."""
    unit = "character" if length[1] == "str" else "element"
    size = len(value) if isinstance(value, str | list) else 0
    expected = {"<": "at most ", ">": "at least ", None: ""}[length[2]] + _counted(int(length[3]), unit)
    return f"{name} {f'has {_counted(size, unit)}' if size else 'is empty'}, expected {expected}"


def _counted(number: int, unit: str) -> str:
    """Write `1 element` or `2 elements`."""
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _kind(types: str) -> str:
    """Turn the decoder's `array | null` into `an array or null`."""
    return " or ".join(_TYPES.get(kind, kind) for kind in types.split(" | "))


def _value_at(path: str, text: bytes) -> JsonValue:
    """Fetch the value at the decoder's path (`.request.headers[0]`); None where there is none."""
    try:
        value = loads(text)
        for match in _STEP.finditer(path):
            if isinstance(value, dict):
                value = value[match[1]]
            elif isinstance(value, list):
                value = value[int(match[2])]
    except (Unreadable, LookupError, TypeError):
        return None
    return value
