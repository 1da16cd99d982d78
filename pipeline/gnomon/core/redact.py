"""Redaction: what is stored or sent on holds no secret that could be found, and stays comparable.

Three things are redacted: what goes by a secret's name (`core.secret_names`), what is shaped like a secret (tokens,
credentials, keys, card numbers; see `core.secrets`), and what a `redact` rule names. In its place stands a keyed hash
(`core.blind`), so equal values stay equal. Numbers are touched only by a rule, or where their name is that of a code, a
PIN say. Redacting twice changes nothing. What cannot be read where a rule redacts is withheld as a whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote

import msgspec
import orjson

from gnomon.core.beside import Beside, Side
from gnomon.core.blind import HASHED, Blinder
from gnomon.core.json import Unreadable, loads
from gnomon.core.pointer import escape, unescape
from gnomon.core.redact_body import MAX_EXPANDED, hash_body, redact_body, redact_raw, redact_record
from gnomon.core.redact_headers import redact_headers, redact_target, remember_headers
from gnomon.core.redact_json import Places, redact_json
from gnomon.core.secret_names import NOTHING, VALUES, plain_name, secrecy, secrecy_below
from gnomon.core.secrets import may_hold_secret, replace_secrets
from gnomon.core.sieve import is_plain_value
from gnomon.model import Body, Difference, Exchange, Header, JsonValue, Request, Response, TransportError

__all__ = ["BodyHasher", "Places", "Redactor", "RootedRules"]

_HEADER_PARTS = frozenset({"headers", "trailers"})
_MOST_PLACES = 64
_MOST_SPOTS = 8192
_BODY_HASH = '"sha256:'
_HASH_MEMBER = re.compile(r'"hash":"(sha256:[0-9a-f]{64})"')
_ENCODING = "content-encoding"
# What arms of experiments are called
_ARM = re.compile(
    r"on|off|true|false|yes|no|enabled|disabled|control|treatment|default|none|new|old|v?[0-9]{1,2}|[a-z]"
    r"|(?:variant|group|arm|test|version)[-_ ]?[a-z0-9]{1,2}",
    re.IGNORECASE,
)


class RootedRules(Protocol):
    """The rules of one endpoint, as far as redaction needs them (`core.rules.EndpointRules`)."""

    @property
    def root(self) -> Places:
        """The place of the whole compared document."""


class _Spot(msgspec.Struct, frozen=True):
    """What redaction knows of a place in the compared document before it sees a value there."""

    pointer: str
    hides: bool
    steps: list[str]
    places: list[Places]
    ruled: bool
    in_headers: bool
    secret: int
    vague: bool
    line: bool


class Hash(Protocol):
    """What `hashlib` and `hmac` make."""

    def update(self, data: bytes, /) -> None:
        """Take another piece."""

    def hexdigest(self) -> str:
        """Give the digest of all pieces."""


class BodyHasher:
    """The hash of a body that is too large to be kept, made while it passes."""

    __slots__ = ("_hash", "_prefix", "update")

    def __init__(self, prefix: str, state: Hash) -> None:
        self._prefix = prefix
        self._hash = state
        self.update = state.update

    def __str__(self) -> str:
        """Give `<algorithm>:<hex>` of all pieces so far."""
        return self._prefix + self._hash.hexdigest()


class Redactor:
    """Redacts exchanges, differences, request targets and the excerpts of rejects under one key.

    Args:
        key: The redaction key; the same one everywhere what is redacted is compared.
        enabled: False leaves everything as it is.
        max_expanded: How large, in bytes, a body may be when its content encoding is undone; a larger one is withheld.
    """

    def __init__(self, key: bytes, *, enabled: bool = True, max_expanded: int = MAX_EXPANDED) -> None:
        self.enabled = enabled
        self._max_expanded = max_expanded
        self._key = key
        self._blinder = Blinder(key)
        self._header = remember_headers(self._blinder)
        # Bounded, and unseen from outside: places repeat from request to request.
        self._spot = lru_cache(maxsize=_MOST_SPOTS)(self._find_spot)
        # Redacts a text that comes again and again: a method, the name of a service or a target, a flag.
        self.label: Callable[[str], str] = lru_cache(maxsize=_MOST_SPOTS)(self.text)
        self._endpoint = lru_cache(maxsize=_MOST_SPOTS)(_safe_name)

    def exchange(self, exchange: Exchange, rules: RootedRules) -> Exchange:
        """Redact a whole exchange; rules for headers, trailers and body hold for its request too."""
        if not self.enabled:
            return exchange
        response, error = exchange.response, exchange.error
        return msgspec.structs.replace(
            exchange,
            request=self._request(exchange.request, rules.root),
            response=None if response is None else self._response(response, rules.root),
            error=None if error is None else TransportError(error.kind, self.text(error.message)),
            service=self.label(exchange.service),
            target=self.label(exchange.target),
            expect=None if exchange.expect is None else [self.label(name) for name in exchange.expect],
            emitter=self.label(exchange.emitter),
            flags=self.flags(exchange.flags),
            synthetic=None if exchange.synthetic is None else self.text(exchange.synthetic),
        )

    def _request(self, request: Request, root: Places) -> Request:
        headers, body = self._message(request.headers, request.body, root)
        return Request(self.label(request.method), self.target(request.path), self.label(request.host), headers, body)

    def _response(self, response: Response, root: Places) -> Response:
        headers, body = self._message(response.headers, response.body, root)
        trailers = redact_headers(response.trailers, root.child("trailers"), self._blinder, self._header)
        return Response(response.status, headers, body, trailers)

    def _message(self, headers: list[Header], body: Body | None, root: Places) -> tuple[list[Header], Body | None]:
        redacted = redact_headers(headers, root.child("headers"), self._blinder, self._header)
        if body is None:
            return redacted, None
        body, undone = redact_body(body, headers, root.child("body"), self._blinder, self._max_expanded)
        if undone:
            redacted = [header for header in redacted if header[0].lower() != _ENCODING]
        return redacted, body

    def beside(self, *sides: Side | None) -> Beside:
        """Give what `difference` needs to know of the sides of a comparison to hide what its path does not name."""
        return Beside(sides, self._key)

    def difference(self, difference: Difference, rules: RootedRules, beside: Beside | None = None) -> Difference:
        """Redact a difference: its values by name, shape and rule, its paths and pattern by shape.

        Args:
            difference: One place where two documents are not the same.
            rules: Those of the endpoint.
            beside: What stands in the bodies; None where they are redacted already.
        """
        if not self.enabled:
            return difference
        live = shadow = self._spot(difference.path, rules.root)
        if difference.shadow_path is not None and difference.shadow_path != difference.path:
            shadow = self._spot(difference.shadow_path, rules.root)
        pattern = self._spot(difference.pattern, rules.root)
        live_value = self._value(difference.live_value, live)
        shadow_value = self._value(difference.shadow_value, shadow)
        if beside is not None and (live.vague or shadow.vague):
            live_value = live_value and beside.hide(live_value, self._blinder)
            shadow_value = shadow_value and beside.hide(shadow_value, self._blinder)
        if (
            live_value is difference.live_value
            and shadow_value is difference.shadow_value
            and not (live.hides or shadow.hides or pattern.hides)
        ):
            return difference
        return msgspec.structs.replace(
            difference,
            path=live.pointer,
            shadow_path=None if difference.shadow_path is None else shadow.pointer,
            pattern=pattern.pointer,
            live_value=live_value,
            shadow_value=shadow_value,
        )

    def _find_spot(self, pointer: str, root: Places) -> _Spot:
        steps = [unescape(step) for step in pointer.split("/")[1:]]
        places = _places(root, steps)
        redacted = self._pointer(pointer)
        return _Spot(
            pointer=redacted,
            hides=redacted != pointer,
            steps=steps,
            places=places,
            ruled=any(place.redact is not None or not place.dead for place in places),
            in_headers=len(steps) > 1 and steps[0] in _HEADER_PARTS and not any(place.redact for place in places),
            secret=_secrecy(steps) if steps[:1] == ["body"] else NOTHING,
            vague=_is_vague(steps),
            line=len(steps) == 2 and steps[0] == "body" and steps[1].isdigit(),
        )

    def _value(self, text: str | None, spot: _Spot) -> str | None:
        """Redact the JSON text of the value at a spot."""
        if text is None:
            return None
        if spot.in_headers and text.startswith('"'):
            return self._header_value(text, spot.steps)
        if not spot.ruled and not spot.secret:
            if is_plain_value(text):
                return text
            if text.startswith(_BODY_HASH) and spot.steps[0] == "body":
                return f'"{self._blinder.digest_of_hash(text[1:-1])}"'
            if _BODY_HASH not in text and not may_hold_secret(text):
                return text
        try:
            loads(text.encode("utf-8", "surrogatepass"))
        except Unreadable:
            return orjson.dumps(self._blinder.text(text)).decode()
        if spot.steps[:1] == ["body"] and _BODY_HASH in text:
            text = _HASH_MEMBER.sub(lambda found: f'"hash":"{self._blinder.digest_of_hash(found[1])}"', text)
        for place in spot.places:
            text = redact_json(text, place, self._blinder, secret=spot.secret, lines=spot.line)
        return text

    def _header_value(self, text: str, steps: list[str]) -> str:
        """Redact a header's value; below `set-cookie` are attributes, a cookie's own value is not part of documents."""
        value: str = orjson.loads(text)
        name = steps[1] if len(steps) == 2 else ""
        redacted = self._header(name, value)[1]
        return text if redacted == value else orjson.dumps(redacted).decode()

    def _pointer(self, pointer: str) -> str:
        """Redact member names of a pointer or a pattern that are shaped like a secret."""
        if not may_hold_secret(pointer):
            return pointer
        steps = [replace_secrets(unescape(step), self._blinder.text) for step in pointer.split("/")[1:]]
        redacted = [
            escape(step) if step != unescape(old) else old
            for step, old in zip(steps, pointer.split("/")[1:], strict=True)
        ]
        return "".join(f"/{step}" for step in redacted)

    def target(self, path: str) -> str:
        """Redact a request path with its query."""
        return redact_target(path, self._blinder) if self.enabled else path

    def flags(self, flags: dict[str, str]) -> dict[str, str]:
        """Redact flags by shape, their names too, and by name what is not the name of an arm, as in `new-token=on`."""
        return {self.label(name): self._flag(name, value) for name, value in flags.items()} if flags else flags

    def _flag(self, name: str, value: str) -> str:
        if self.enabled and value and secrecy(name) and not _ARM.fullmatch(value):
            return self._blinder.text(value)
        return self.label(value)

    def endpoint(self, name: str) -> str:
        """Give an endpoint's name with `{token}` for what is shaped like a secret, whatever the key."""
        return self._endpoint(name) if self.enabled else name

    def text(self, text: str) -> str:
        """Redact what is shaped like a secret in a free text, such as an error's message."""
        return redact_raw(text, self._blinder) if self.enabled else text

    def excerpt(self, data: bytes) -> bytes:
        """Redact the excerpt of a reject, which may be anything, as well as its raw text allows; bytes stay bytes."""
        if not self.enabled:
            return data
        # Whatever the text is, what is not redacted comes back as it was.
        return redact_record(data.decode("utf-8", "surrogateescape"), self._blinder).encode("utf-8", "surrogateescape")

    def hash_body(self, body: Body) -> str | None:
        """Return the keyed hash of a body, or the body's own hash when redaction is off; see `core.redact_body`."""
        return hash_body(body, self._blinder) if self.enabled else body.hash

    def body_hasher(self) -> BodyHasher:
        """Return what makes the hash of a whole body that comes in pieces, the same that `hash_body` gives."""
        if self.enabled:
            return BodyHasher(HASHED, self._blinder.hasher())
        return BodyHasher("sha256:", hashlib.sha256())

    def json(self, value: JsonValue) -> JsonValue:
        """Return the mark of a JSON value, as a `redact = "hash"` rule would."""
        return self._blinder.value(value, "hash") if self.enabled else value


def _safe_name(name: str) -> str:
    """Name the secrets in an endpoint's path, percent-encoded ones too."""
    if "%" not in name and not may_hold_secret(name):
        return name
    method, space, path = name.partition(" ")
    segments = []
    for segment in path.split("/"):
        text = unquote(segment)
        named = replace_secrets(text, _token)
        segments.append(segment if named == text else named)
    return f"{replace_secrets(method, _token)}{space}{'/'.join(segments)}"


def _token(_: str) -> str:
    return "{token}"


def _secrecy(steps: list[str]) -> int:
    """Tell what goes by the names in a path of a body; positions in arrays have none."""
    level = NOTHING
    for step in steps[1:]:
        if not step.isdigit():
            level = secrecy_below(level, step)
    return level


def _is_vague(steps: list[str]) -> bool:
    """Tell whether what says that a value is a secret may stand beside it: a label, a tag, another line."""
    if len(steps) < 2 or steps[0] != "body":
        return False
    return steps[-1].isdigit() or any(plain_name(step) in VALUES for step in steps[1:])


def _places(root: Places, steps: list[str]) -> list[Places]:
    """Return the places a path may stand for: digits are an array's position or an object's member."""
    places = [root]
    for step in steps:
        reached: dict[int, Places] = {}
        for place in places:
            options = [place.child(step)]
            if step.isdecimal() and step.isascii() and len(step) < 10:
                options.append(place.item(int(step)))
            for option in options:
                reached.setdefault(id(option), option)
        places = list(reached.values())[:_MOST_PLACES]
    return places
