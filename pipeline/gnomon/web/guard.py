"""Who may ask: a token where one is set, else only this machine; and what every answer says to browsers."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "is_loopback", "split_address"]

OPEN: Final = frozenset({"/healthz", "/readyz"})
MOST_TOKEN: Final = 4096

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


def split_address(bind: str) -> tuple[str, int]:
    """Split `host:port`; brackets of an IPv6 address are left out."""
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware around everything.

    The token is asked for as `Authorization: Bearer TOKEN`, or as the password of HTTP Basic, whatever the user, for
    callers that can only be given a URL. Without a token only requests to a name of this machine are answered: a page
    that a browser was lured to could otherwise ask under its own name (DNS rebinding).

    Args:
        app: What is guarded.
        token: What callers must show; None where that is not needed.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        if scope["path"] not in OPEN and (refusal := self._refuse(scope)) is not None:
            status, sentence, more = refusal
            await _answer(sending, status, sentence, more)
            return
        await self._app(scope, receive, sending)

    def _refuse(self, scope: Scope) -> tuple[int, str, list[tuple[bytes, bytes]]] | None:
        headers = scope["headers"]
        if self._token is None:
            host = next((value for name, value in headers if name == b"host"), b"").decode("latin-1")
            name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
            if is_loopback(name.strip("[]")):
                return None
            return 421, "without a token only requests to this machine by its own name are answered", []
        shown = next((value for name, value in headers if name == b"authorization"), b"")
        if self._is_token(shown[:MOST_TOKEN]):
            return None
        challenge = [(b"www-authenticate", b'Bearer realm="gnomon", Basic realm="gnomon"')]
        return 401, "show the token: Authorization: Bearer TOKEN", challenge

    def _is_token(self, authorization: bytes) -> bool:
        scheme, _, given = authorization.partition(b" ")
        if scheme.lower() == b"basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != b"bearer":
            return False
        return hmac.compare_digest(given.strip(), self._token or b"")


async def _answer(send: Send, status: int, sentence: str, more: list[tuple[bytes, bytes]]) -> None:
    body = msgspec.json.encode({"error": sentence}) + b"\n"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
