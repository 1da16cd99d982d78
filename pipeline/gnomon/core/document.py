"""The compared document of an exchange: `{"status", "headers", "trailers", "body"}`.

Two sides are built together, and only what can differ is built: equal bytes are never parsed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from gnomon.core.body import expand, read_body, wire_bytes
from gnomon.core.json import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gnomon.core.body import BodyOptions
    from gnomon.core.rules import EndpointRules
    from gnomon.model import Body, Exchange, Header, JsonValue, Response

__all__ = ["Side", "differing_documents", "header_document", "header_value"]

_PLAIN_HASHES: Final = ("sha256", "sha512", "sha1", "md5")
_EMPTY: Final = object()


class Side:
    """One side's response with its documents, each built at most once however many targets it is compared with."""

    __slots__ = ("_body", "_headers", "_options", "_rules", "exchange", "response")

    def __init__(self, exchange: Exchange, response: Response, rules: EndpointRules, options: BodyOptions) -> None:
        self.exchange = exchange
        self.response = response
        self._rules = rules
        self._options = options
        self._headers: JsonValue = None
        self._body: object = None

    def headers(self) -> JsonValue:
        """Give the headers' part of the document."""
        if self._headers is None:
            self._headers = header_document(self.response.headers, self._rules)
        return self._headers

    def headers_may_differ(self, others: Sequence[Header]) -> bool:
        """Whether more differs from another header list than values of headers that are no part of documents."""
        mine = self.response.headers
        if len(mine) != len(others):
            return True
        for one, other in zip(mine, others, strict=True):
            if one != other:
                name = one[0].lower()
                if name != other[0].lower() or self._rules.keeps_header(name):
                    return True
        return False

    def ignores_body(self) -> bool:
        """Whether the rules ignore all of the body."""
        return self._rules.ignores_body

    def trailers(self) -> JsonValue:
        """Give the trailers' part of the document."""
        return header_document(self.response.trailers, self._rules, "trailers")

    def put_body(self, document: dict[str, JsonValue]) -> None:
        """Set the document's `body`, or leave it away where the body is empty.

        Raises:
            Unreadable: The bytes are not what the content type says.
        """
        if self._body is None:
            try:
                self._body = self._read()
            except Unreadable as unreadable:
                self._body = unreadable
        if isinstance(self._body, Unreadable):
            raise self._body
        if self._body is not _EMPTY:
            document["body"] = self._body[0]  # type: ignore[index]

    def expands_to_nothing(self) -> bool:
        """Whether there is nothing in the body once its content encoding is undone."""
        document: dict[str, JsonValue] = {}
        try:
            self.put_body(document)
        except Unreadable:
            return False
        return not document

    def _read(self) -> object:
        body = self.response.body
        if body is None:
            return _EMPTY
        headers = self.response.headers
        data = wire_bytes(body)
        encoding = header_value(headers, "content-encoding")
        if encoding:
            data = expand(data, encoding, self._options.max_bytes)
        if not data:
            return _EMPTY
        content_type = header_value(headers, "content-type")
        path = self.exchange.request.path.partition("?")[0]
        return (
            read_body(
                data,
                content_type=content_type,
                content_encoding="",
                grpc_method=path if content_type.startswith("application/grpc") else "",
                options=self._options,
            ),
        )


def differing_documents(live: Side, other: Side) -> tuple[dict[str, JsonValue], dict[str, JsonValue], str | None]:
    """Give the parts of the two documents that may differ, and why the bodies cannot be compared if they cannot."""
    mine: dict[str, JsonValue] = {}
    theirs: dict[str, JsonValue] = {}
    one, two = live.response, other.response
    if one.status != two.status:
        mine["status"], theirs["status"] = one.status, two.status
    if one.headers != two.headers and live.headers_may_differ(two.headers):
        mine["headers"], theirs["headers"] = live.headers(), other.headers()
    if one.trailers != two.trailers:
        mine["trailers"], theirs["trailers"] = live.trailers(), other.trailers()
    reason = _bodies(live, other, mine, theirs)
    if reason is not None and live.ignores_body():
        reason = None  # what nobody wants to compare need not be comparable
    return mine, theirs, reason


def _bodies(live: Side, other: Side, mine: dict[str, JsonValue], theirs: dict[str, JsonValue]) -> str | None:
    one, two = live.response.body, other.response.body
    if one is None or two is None:
        side, recorded, missing = (live, one, "the other side's") if two is None else (other, two, "live's")
        empty = recorded is None or (recorded.size == 0 and not recorded.data)
        if empty or (recorded is not None and not recorded.truncated and side.expands_to_nothing()):
            return None
        return f"{missing} body was not recorded"
    if one.truncated or two.truncated:
        if not _hashes_equal(one, two):
            return "a body is truncated and its hash is not equal to the other's"
        return None if _encoded_alike(live, other) else "a body is truncated and the two are not encoded alike"
    if one.data == two.data and one.encoding == two.encoding and _encoded_alike(live, other):
        return None
    unread: str | None = None
    for side, document, whose in ((live, mine, "live's"), (other, theirs, "the other side's")):
        try:
            side.put_body(document)
        except Unreadable as unreadable:
            unread = unread or f"{whose} body cannot be read: {unreadable.reason}"
    if unread is not None:
        mine.pop("body", None)
        theirs.pop("body", None)
    return unread


def _encoded_alike(live: Side, other: Side) -> bool:
    """Whether equal bytes mean the same: gzip that one side does not declare is something else to a client."""
    mine, theirs = live.response.headers, other.response.headers
    return mine == theirs or _encoding(mine) == _encoding(theirs)


def _encoding(headers: Iterable[Header]) -> list[str]:
    names = [name.strip().lower() for name in header_value(headers, "content-encoding").split(",")]
    return [name for name in names if name not in ("", "identity")]


def _hashes_equal(one: Body, two: Body) -> bool:
    """Whether two whole bodies, of which not all was kept, are known to be equal by size and hash."""
    if one.size != two.size:
        return False
    first, second = _hash(one, two), _hash(two, one)
    return first is not None and first == second


def _hash(body: Body, like: Body) -> str | None:
    """Give the body's hash; of a whole one without a hash, make one with the other side's algorithm."""
    if body.hash is not None or body.truncated or like.hash is None:
        return body.hash
    algorithm = like.hash.partition(":")[0]
    if algorithm not in _PLAIN_HASHES:
        return None
    try:
        return f"{algorithm}:{hashlib.new(algorithm, wire_bytes(body), usedforsecurity=False).hexdigest()}"
    except Unreadable:
        return None


def header_value(headers: Iterable[Header], name: str) -> str:
    """Give the first value of a header (lower-case name), or the empty string."""
    for key, value in headers:
        if key == name or (len(key) == len(name) and key.lower() == name):
            return value
    return ""


def header_document(headers: Iterable[Header], rules: EndpointRules, part: str = "headers") -> JsonValue:
    """Turn the header list of a part into an object: lower-case names, repeats joined by `, `, cookies apart."""
    document: dict[str, JsonValue] = {}
    repeated: dict[str, list[str]] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if not rules.keeps_header(name, part):
            continue
        if name in document or name == "set-cookie":
            if name not in repeated:
                repeated[name] = [document[name]] if name in document else []  # type: ignore[list-item]
            repeated[name].append(value)
        document.setdefault(name, value)
    for name, values in repeated.items():
        document[name] = _cookies(values) if name == "set-cookie" else ", ".join(values)
    return document


def _cookies(values: Iterable[str]) -> JsonValue:
    """Give cookies by name; of those of one name all but the first by what else tells them apart (RFC 6265, 5.3).

    The first is that of the least domain and path, in whatever order they come. Of those with the same domain and path,
    of which a browser keeps the last, the second ends with `; 2`, and so on.
    """
    alike: dict[str, dict[tuple[str, str], list[dict[str, JsonValue]]]] = {}
    for text in values:
        name, cookie = _cookie(text)
        alike.setdefault(name, {}).setdefault(_scope(cookie), []).append(cookie)
    document: dict[str, JsonValue] = {}
    for name, scopes in alike.items():
        for number, scope in enumerate(sorted(scopes)):
            called = name + _suffix(*scope) if number else name
            for again, cookie in enumerate(scopes[scope], 1):
                document[called if again == 1 else f"{called}; {again}"] = cookie
    return document


def _scope(cookie: dict[str, JsonValue]) -> tuple[str, str]:
    """Say for which domain and path a cookie is, "" where it does not say."""
    return str(cookie.get("domain", "")).lower().removeprefix("."), str(cookie.get("path", ""))


def _suffix(domain: str, path: str) -> str:
    return (f"; domain={domain}" if domain else "") + (f"; path={path}" if path else "")


def _cookie(text: str) -> tuple[str, dict[str, JsonValue]]:
    """Read one `set-cookie` value: attributes as they are, flags as true, the cookie's own value as presence."""
    pair, *attributes = text.split(";")
    name, _, value = pair.partition("=")
    cookie: dict[str, JsonValue] = {"value": bool(value.strip())}
    for attribute in attributes:
        key, equals, setting = attribute.partition("=")
        cookie[key.strip().lower()] = setting.strip() if equals else True
    return name.strip(), cookie
