"""Names that give a secret away: those of headers, query parameters, form fields and JSON members."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

__all__ = [
    "NAME_WORDS",
    "WHOLE_NAMES",
    "is_secret_header",
    "is_secret_name",
    "replace_headers",
    "replace_members",
    "replace_parameters",
]

Replace = Callable[[str], str]

NAME_WORDS: Final = (
    *("token", "secret", "passw", "pass_word", "passphrase", "session", "credential", "jwt", "pwd", "cvv", "cvc"),
    *("api_key", "api-key", "apikey", "api key", "api.key", "private_key", "private-key", "privatekey"),
    *("access_key", "access-key", "accesskey", "auth_key", "auth-key", "authkey"),
)
"""A name that holds one of these, in any case, is that of a secret."""

WHOLE_NAMES: Final = frozenset({"authorization", "proxy-authorization", "auth", "x-auth", "pass", "pin", "otp"})
_NOT_SECRET: Final = frozenset(
    {"token_type", "tokentype", "token-type", "max_tokens", "session_state", "access-control-allow-credentials"}
)
_SECRET_HEADERS: Final = frozenset({"cookie", "set-cookie", "authentication-info", "x-forwarded-client-cert"})
_LONGEST_NAME: Final = 256


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Tell whether a query parameter, a form field or a JSON member of this name (any case) holds a secret.

    `accessToken`, `x-api-key`, `API_KEY` and `user[password]` do.
    """
    lower = name[:_LONGEST_NAME].lower()
    if lower in _NOT_SECRET:
        return False
    return lower in WHOLE_NAMES or any(word in lower for word in NAME_WORDS)


@lru_cache(maxsize=4096)
def is_secret_header(name: str) -> bool:
    """Tell whether a header of this name (any case) holds a secret; `cookie` and `set-cookie` do."""
    return name[:_LONGEST_NAME].lower() in _SECRET_HEADERS or is_secret_name(name)


_PARAMETER_NAME: Final = re.compile(r"([?&;])([\w.\[\]-]{1,128}+)=", re.ASCII)
_PARAMETER_VALUES: Final = {
    "?": re.compile(r"""[^&#;\s"'<>\\]++"""),
    "&": re.compile(r"""[^&#;\s"'<>\\]++"""),
    ";": re.compile(r"""[^&#;/?\s"'<>\\]++"""),  # a matrix parameter ends with its path segment
}


def replace_parameters(text: str, replace: Replace) -> str:
    """Replace the values of secret-named query parameters in URLs that stand in a text."""
    pieces: list[str] = []
    done = 0
    for name in _PARAMETER_NAME.finditer(text):
        if name.end() < done or not is_secret_name(name[2]):
            continue
        value = _PARAMETER_VALUES[name[1]].match(text, name.end())
        if value is not None:
            pieces += (text[done : name.end()], replace(value[0]))
            done = value.end()
    return "".join((*pieces, text[done:])) if pieces else text


_MEMBERS: Final = (
    re.compile(r'("([\w .:\[\]-]{1,128}+)"\s{0,16}+:\s{0,16}+")((?:[^"\\]|\\.)++)', re.DOTALL),
    re.compile(r'(\\"([\w .:\[\]-]{1,128}+)\\"\s{0,16}+:\s{0,16}+\\")((?:[^"\\]|\\[^"])++)', re.DOTALL),
)
_HEADERS: Final = (
    re.compile(r'(\[\s{0,16}+"([\w-]{1,128}+)"\s{0,16}+,\s{0,16}+")((?:[^"\\]|\\.)++)', re.DOTALL),
    re.compile(r"^(([\w-]{1,64}+):[ \t]{0,4}+)([^\r\n]++)", re.MULTILINE),
)


def replace_members(text: str, replace: Replace) -> str:
    """Replace string values of secret-named JSON members in a raw text that need not be whole or valid.

    It knows `"name": "value"` and the same inside a JSON string.
    """
    if '"' not in text:
        return text
    for pattern in _MEMBERS:
        text = pattern.sub(lambda match: _named(match, replace, is_secret_name), text)
    return text


def replace_headers(text: str, replace: Replace) -> str:
    """Replace values of secret-named headers in the raw text of a record: `["name", "value"]`, `name: value` lines."""
    for pattern in _HEADERS:
        text = pattern.sub(lambda match: _named(match, replace, is_secret_header), text)
    return text


def _named(match: re.Match[str], replace: Replace, is_secret: Callable[[str], bool]) -> str:
    return match[1] + replace(match[3]) if is_secret(match[2]) else match[0]
