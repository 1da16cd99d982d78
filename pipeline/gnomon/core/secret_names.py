"""Names that give a secret away: those of headers, query parameters, form fields, JSON members, elements.

Names are compared without case, separators and the variants of letters that Unicode knows (NFKC): `api_key`, `Api-Key`,
`apiKey` and `API key` in full-width letters are one name.
"""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache
from typing import Final

__all__ = [
    "ALONE",
    "BELOW",
    "LABELS",
    "NAME_WORDS",
    "NOTHING",
    "NUMBERS",
    "VALUES",
    "WHOLE_NAMES",
    "is_secret_header",
    "is_secret_name",
    "label_secrecy",
    "plain_name",
    "remembered_name",
    "secrecy",
    "secrecy_below",
]

NOTHING: Final = 0
"""The name is not that of a secret."""
ALONE: Final = 1
"""A string of this name is a secret, and so are those of an array; what is in an object goes by its own names."""
BELOW: Final = 2
"""Every string below this name is a secret."""
NUMBERS: Final = 3
"""Every string and every number below this name is a secret."""

NAME_WORDS: Final = (
    *("token", "secret", "password", "passwd", "passwort", "passphrase", "passcode", "pwd", "credential", "jwt"),
    *("session", "csrf", "xsrf", "signature", "cvv", "cvc", "cardnumber", "creditcard", "socialsecurity"),
    *("apikey", "privatekey", "accesskey", "authkey", "signingkey", "encryptionkey", "subscriptionkey", "masterkey"),
    *("accountkey", "sharedkey", "sshkey", "functionskey", "authcode", "authorizationcode", "securitycode"),
    *("verificationcode", "onetimecode", "recoverycode", "backupcode", "seedphrase"),
    *("securityanswer", "connectionstring"),
    *("contrase", "motdepasse", "kennwort"),
)
"""A name that holds one of these is that of a secret."""

WHOLE_NAMES: Final = frozenset(
    (
        *("auth", "authorization", "proxyauthorization", "bearer", "cookie", "cookies", "cookie2", "setcookie"),
        *("setcookie2", "pass", "passw", "pw", "psw", "phpauthpw", "pin", "userpin", "cardpin", "otp", "totp"),
        *("otpcode", "mfacode", "smscode", "csc", "ssn", "sid", "phpsessid", "connectsid", "sig", "mnemonic", "senha"),
        "dpop",
    )
)
"""So is one of these, in the last step of a name with several (`user[pin]`), also after `x-`."""

# Codes that are often written as numbers, and no count or time goes by these names.
_NUMERIC: Final = frozenset(
    (
        *("password", "passwd", "pwd", "passcode", "pin", "userpin", "cardpin", "otp", "totp", "otpcode", "mfacode"),
        *("smscode", "cvv", "cvv2", "cvc", "cvc2", "csc", "securitycode", "verificationcode", "onetimecode"),
        *("ssn", "cardnumber"),
    )
)
# An object of this name may well be no secret: a session's user, a boarding pass, cookies by their names.
_ALSO_THINGS: Final = frozenset(("auth", "pass", "cookie", "cookies"))
# Words that hold one of the others by chance.
_LOOKALIKES: Final = re.compile("possession|obsession|secretar|tokeni[sz]")
# What is about a secret and is none.
_ABOUT: Final = (
    *("type", "types", "expiry", "expires", "expiresin", "expiresat", "createdat", "updatedat", "changedat"),
    *("endpoint", "supported", "enabled", "required", "policy", "count", "length", "limit", "status", "state"),
    *("timeout", "duration", "ttl", "maxage", "issuer", "issuedat", "strength", "method"),
)
_NOT_SECRET: Final = frozenset({"maxtokens", "accesscontrolallowcredentials"})
_SECRET_HEADERS: Final = frozenset(
    ("authenticationinfo", "authentication", "xforwardedclientcert", "xmsclientprincipal", "xamznoidcdata")
)
LABELS: Final = frozenset(
    ("name", "key", "field", "fieldname", "header", "headername", "param", "parameter", "attribute", "type", "tag", "k")
)
"""Members of an object whose value names what is in one of the `VALUES` beside it."""
VALUES: Final = frozenset(("value", "values", "val", "v", "content", "stringvalue", "defaultvalue", "children"))

_TYPES: Final = frozenset(("secret", "token", "apikey", "accesstoken", "refreshtoken", "privatekey"))
_OF_A_SESSION: Final = frozenset(("id", "value", "data", "key"))
_LONGEST_NAME: Final = 256
_SMALL: Final = {ord(big): small for big, small in zip(string.ascii_uppercase, string.ascii_lowercase, strict=True)}
# A quote stays: it is where the name of a member ends in a raw text.
_SQUEEZE: Final = {code: None for code in range(128) if not chr(code).isalnum() and chr(code) != '"'} | _SMALL
_STEPS: Final = re.compile(r"[\[\].:/{}]++")


def plain_name(name: str) -> str:
    """Return a name with nothing but its letters and digits, the letters small, and the quotes in it."""
    name = name[:_LONGEST_NAME]
    if name.isascii():
        return name.translate(_SQUEEZE)
    name = unicodedata.normalize("NFKC", name).casefold()
    return "".join([letter for letter in name if letter.isalnum() or letter == '"'])


remembered_name: Final = lru_cache(maxsize=8192)(plain_name)
"""The same, for names that come again and again."""


@lru_cache(maxsize=8192)
def secrecy(name: str) -> int:
    """Tell what goes by a name: `NOTHING`, or a secret: `ALONE`, `BELOW` or `NUMBERS`."""
    plain = plain_name(name)
    if plain.endswith(_ABOUT) or plain in _NOT_SECRET:
        return NOTHING
    plain = _LOOKALIKES.sub("", plain)
    found = [word for word in NAME_WORDS if word in plain]
    if not found:
        return _of_whole_name(plain, name)
    if found == ["session"]:  # also `userSession`
        return ALONE
    return NUMBERS if not _NUMERIC.isdisjoint((plain, _last_step(name))) else BELOW


def _of_whole_name(plain: str, name: str) -> int:
    for written in (plain, _last_step(name)):
        whole = written[1:] if written[:1] == "x" and written[1:] in WHOLE_NAMES else written
        if whole in WHOLE_NAMES or whole.endswith("authorization"):
            return NUMBERS if whole in _NUMERIC else ALONE if whole in _ALSO_THINGS else BELOW
    return NOTHING


def _last_step(name: str) -> str:
    """Return the last name of several in one: of `user[pin]`, `db.user.pin` and `{urn:x}pin`."""
    steps = [step for step in map(plain_name, _STEPS.split(name[:_LONGEST_NAME])) if step]
    return steps[-1] if steps else ""


def secrecy_below(above: int, name: str) -> int:
    """Tell what goes by the name of a member of an object that itself has the secrecy `above`."""
    own = secrecy(name)
    if above >= BELOW:
        return max(above, own)
    if above == ALONE and plain_name(name) in _OF_A_SESSION:
        return ALONE
    return own


def label_secrecy(label: str, told: str) -> int:
    """Tell what goes by a name that is a value: `{"name": told, "value": ...}`, where `label` is `name`."""
    if label == "type":  # which tells a kind: of a credential, or of anything else about one
        plain = plain_name(told)
        return NUMBERS if plain in _NUMERIC else BELOW if plain in _TYPES else NOTHING
    return secrecy(told) or (BELOW if is_secret_header(told) else NOTHING)


@lru_cache(maxsize=8192)
def is_secret_name(name: str) -> bool:
    """Tell whether a query parameter, a form field or a JSON member of this name holds a secret.

    `accessToken`, `x-api-key`, `API_KEY` and `user[password]` do.
    """
    return secrecy(name) != NOTHING


@lru_cache(maxsize=4096)
def is_secret_header(name: str) -> bool:
    """Tell whether a header of this name holds a secret; `cookie` and `set-cookie` do."""
    return secrecy(name) != NOTHING or plain_name(name) in _SECRET_HEADERS
