"""The keyed hash that stands in the place of a secret: equal secrets stay equal, nobody reads them.

`redacted:hmac-sha256:` and the first 16 hexadecimal digits of HMAC-SHA256 (RFC 2104) under the redaction key: 64 bits,
so that among a million different secrets two alike have a chance of one in 37 million.
"""

from __future__ import annotations

import hmac
import re
from decimal import Decimal
from typing import Any, Final, Literal

import orjson

from gnomon.core.json import loads
from gnomon.model import JsonValue

__all__ = ["DROPPED", "HASHED", "Blinder", "RecordingBlinder", "TooManySecretsError", "canonical"]

DROPPED: Final = "redacted"
"""What stands in the place of a dropped value."""

_MARK: Final = re.compile(r"redacted(?::hmac-sha256:[0-9a-f]{16})?")
HASHED: Final = "hmac-sha256:"
"""What the keyed hash of a body begins with."""


class Blinder:
    """Turns secrets into what may be stored; what it made once it leaves as it is.

    Args:
        key: The redaction key, shared by all that write exchanges to be compared.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._of_nothing = HASHED + hmac.digest(key, b"", "sha256").hex()

    def text(self, secret: str) -> str:
        """Return the mark of a string; the empty string has nothing to hide and stays."""
        if not secret or _MARK.fullmatch(secret):
            return secret
        return self._mark(secret.encode("utf-8", "surrogatepass"))

    def value(self, value: JsonValue, how: Literal["hash", "drop"]) -> JsonValue:
        """Return the mark of any JSON value: of a string its own, of others that of their canonical JSON text.

        Null stays null. The string `5` and the number 5 get different marks, 1 and 1.0 the same.
        """
        if value is None or (isinstance(value, str) and _MARK.fullmatch(value)):
            return value
        if how == "drop":
            return DROPPED
        return self.text(value) if isinstance(value, str) else self._mark(b"json\0" + canonical(value).encode())

    def json(self, text: str, how: Literal["hash", "drop"]) -> str:
        """Do the same for a value given as JSON text.

        Raises:
            Unreadable: The text is not JSON.
        """
        return orjson.dumps(self.value(loads(text.encode()), how)).decode()

    def digest(self, data: bytes) -> str:
        """Return the keyed hash of a whole body, `hmac-sha256:` and 64 hexadecimal digits."""
        if not data:
            return self._of_nothing
        return HASHED + hmac.digest(self._key, data, "sha256").hex()

    def hasher(self) -> hmac.HMAC:
        """Return what makes the same of a body that comes in pieces; its `hexdigest` is what follows `HASHED`."""
        return hmac.new(self._key, digestmod="sha256")

    def digest_of_hash(self, known: str | None) -> str | None:
        """Key the hash of a body that is not there as a whole; one that is keyed already stays, None stays None."""
        if known is None or known.startswith(HASHED):
            return known
        return self.digest(known.encode("utf-8", "surrogatepass"))

    def _mark(self, data: bytes) -> str:
        return f"{DROPPED}:{HASHED}{hmac.digest(self._key, data, 'sha256')[:8].hex()}"


class TooManySecretsError(Exception):
    """A blinder hid more than it is to remember. It never leaves the core."""


class RecordingBlinder(Blinder):
    """A blinder that remembers what it hid.

    Args:
        key: The redaction key.
        most: How often it hides something before it raises TooManySecretsError.

    Attributes:
        secrets: The strings.
        values: Other values, as they were written in JSON.
    """

    def __init__(self, key: bytes, most: int) -> None:
        super().__init__(key)
        self._left = most
        self.secrets: set[str] = set()
        self.values: set[str] = set()

    def text(self, secret: str) -> str:
        """Return the mark of a string, and remember the string."""
        mark = super().text(secret)
        if mark != secret:
            self._count()
            self.secrets.add(secret)
        return mark

    def json(self, text: str, how: Literal["hash", "drop"]) -> str:
        """Return the mark of a value given as JSON text, and remember the text."""
        self._count()
        self.values.add(text)
        return super().json(text, how)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooManySecretsError


def canonical(value: Any) -> str:  # noqa: ANN401 - any JSON value, Decimal included
    """Write a JSON value so that equal values have equal texts: members sorted, numbers as digits and exponent.

    Recurses as deep as the value is nested; `core.json.loads` bounds that.
    """
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return orjson.dumps(value).decode()
    sign, digits, exponent = Decimal(repr(value) if isinstance(value, float) else value).as_tuple()
    written = "".join(map(str, digits)).lstrip("0")
    significant = written.rstrip("0")
    if not significant:
        return "0"
    return f"{'-' if sign else ''}{significant}e{int(exponent) + len(written) - len(significant)}"
