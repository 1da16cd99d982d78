"""The requests: data only, in the order in which they are sent. Ids are unique and never change meaning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["CASES", "Case"]

Headers = tuple[tuple[str, str], ...]
AGENT = ("User-Agent", "gnomon-cases/1")
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
TEXT = ("Content-Type", "text/plain; charset=utf-8")
BYTES = ("Content-Type", "application/octet-stream")
BOUNDARY = "gnomon-boundary"
MULTIPART = ("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")


@dataclass(frozen=True)
class Case:
    """One request; `path` is what stands on the request line, percent-encoded, with the query.

    `dead` names the roles that are sent to a port where nobody listens; `timeout` is in seconds. A `chunked` body
    is sent with transfer-encoding chunked, else with its content-length; None is no body at all.
    """

    id: str
    method: str
    path: str
    headers: Headers = ()
    body: bytes | None = None
    chunked: bool = False
    dead: frozenset[str] = frozenset()
    timeout: float = 10.0


def _get(identifier: str, path: str, *headers: tuple[str, str]) -> Case:
    return Case(identifier, "GET", path, (AGENT, *headers))


def _send(identifier: str, method: str, path: str, body: bytes, *headers: tuple[str, str]) -> Case:
    return Case(identifier, method, path, (AGENT, *headers), body)


def _plain() -> Iterator[Case]:
    yield _get("landing-page", "/")
    yield _get("html", "/html")
    yield _get("xml", "/xml")
    yield _get("json", "/json")
    yield _get("robots", "/robots.txt")
    yield _get("deny", "/deny")
    yield _get("utf8", "/encoding/utf8")
    yield _get("forms-post-page", "/forms/post")
    yield _get("ip", "/ip")
    yield _get("ip-forwarded", "/ip", ("X-Forwarded-For", "203.0.113.7"))
    yield _get("user-agent", "/user-agent")
    yield Case("user-agent-absent", "GET", "/user-agent")
    yield _get("headers", "/headers")
    yield _get("headers-accept", "/headers", ("Accept", "text/html,application/xhtml+xml;q=0.9"))
    yield _get("headers-many", "/headers", *((f"X-Sample-{number}", f"value {number}") for number in range(12)))
    yield _get("headers-repeated", "/headers", ("X-Tag", "one"), ("X-Tag", "two"))
    yield _get("headers-empty-value", "/headers", ("X-Empty", ""))
    yield _get("headers-forwarded", "/headers", ("X-Forwarded-For", "203.0.113.7, 198.51.100.2"))
    yield _get("headers-proxy", "/headers", ("X-Forwarded-Port", "443"), ("Via", "1.1 edge"))
    yield _get("headers-show-env", "/headers?show_env=1", ("X-Forwarded-For", "203.0.113.7"))
    yield _get("headers-non-ascii", "/headers", ("X-City", "Zürich"))
    yield _get("uuid-1", "/uuid")
    yield _get("uuid-2", "/uuid")
    yield _get("uuid-3", "/uuid")


def _queries() -> Iterator[Case]:
    yield _get("get", "/get")
    yield _get("get-query", "/get?name=value&page=2")
    yield _get("get-repeated", "/get?tag=a&tag=b&tag=c")
    yield _get("get-empty-value", "/get?empty=&flag")
    yield _get("get-unicode", "/get?city=Z%C3%BCrich&greeting=%E4%BD%A0%E5%A5%BD")
    yield _get("get-emoji", "/get?mood=%F0%9F%98%80")
    yield _get("get-bad-utf8", "/get?raw=%FF%FE")
    yield _get("get-plus", "/get?q=one+two%2Bthree")
    yield _get("get-semicolon", "/get?a=1;b=2")
    yield _get("get-space", "/get?q=one%20two&r=%22quoted%22")
    yield _get("get-percent", "/get?share=100%25&slash=a%2Fb")
    yield _get("get-brackets", "/get?filter[name]=x&filter[age]=3")
    yield _get("get-json-value", "/get?filter=%7B%22a%22%3A%5B1%2C2%5D%7D")
    yield _get("get-markup", "/get?q=<script>alert(1)</script>&r=<b>")
    yield _get("get-long-query", "/get?" + "&".join(f"k{number}={number * 7}" for number in range(150)))
    yield _get("get-scheme", "/get", ("X-Forwarded-Proto", "https"))
    yield _get("get-ssl", "/get", ("X-Forwarded-Ssl", "on"))
    yield _get("get-forwarded", "/get?page=1", ("X-Forwarded-For", "203.0.113.7"))
    yield _get("get-origin", "/get", ("Origin", "https://shop.example"))
    yield _get("anything", "/anything")
    yield _get("anything-path", "/anything/one/two/three")
    yield _get("anything-number", "/anything/42")
    yield _get("anything-unicode", "/anything/caf%C3%A9/%E2%98%83")
    yield _get("anything-bad-utf8", "/anything/%FF%FE")
    yield _get("anything-encoded-slash", "/anything/a%2Fb")
    yield _get("anything-space", "/anything/a%20b?c=d%20e")
    yield _get("anything-double-slash", "/anything//double")
    yield _get("anything-dots", "/anything/a/../b")
    yield _get("anything-tilde", "/anything/~user/x*y")
    yield _get("anything-forwarded", "/anything?x=1", ("X-Forwarded-For", "198.51.100.2"))


def _multipart(*parts: tuple[str, str, str, bytes]) -> bytes:
    """`parts` are (name, file name or "", content type or "", data)."""
    out = bytearray()
    for name, filename, content_type, data in parts:
        out += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        out += f'; filename="{filename}"'.encode() if filename else b""
        out += f"\r\nContent-Type: {content_type}".encode() if content_type else b""
        out += b"\r\n\r\n" + data + b"\r\n"
    return bytes(out + f"--{BOUNDARY}--\r\n".encode())


def _catalogue(items: int) -> bytes:
    rows = [
        {"id": number, "name": f"item {number}", "price": number / 4, "tags": ["a", "b"]} for number in range(items)
    ]
    return json.dumps({"items": rows, "total": items}).encode()


def _posts() -> Iterator[Case]:
    yield _send("post-json", "POST", "/post", b'{"name": "Ada", "age": 36, "tags": ["a", "b"]}', JSON)
    yield _send("post-json-array", "POST", "/post", b'[1, 2.5, null, true, "x"]', JSON)
    yield _send("post-json-scalar", "POST", "/post", b"3", JSON)
    yield _send("post-json-null", "POST", "/post", b"null", JSON)
    yield _send("post-json-unicode", "POST", "/post", '{"city": "Zürich", "mood": "😀"}'.encode(), JSON)
    yield _send("post-json-nested", "POST", "/post", b'{"a":' * 30 + b"1" + b"}" * 30, JSON)
    yield _send("post-json-big-number", "POST", "/post", b'{"id": 18446744073709551617, "x": 1e400}', JSON)
    yield _send("post-json-escapes", "POST", "/post", b'{"a/b": 1, "m~n": 2, "*": 3, "": 4}', JSON)
    yield _send("post-json-broken", "POST", "/post", b'{"open": ', JSON)
    yield _send("post-json-suffix", "POST", "/post", b'{"a": 1}', ("Content-Type", "application/vnd.api+json"))
    yield _send("post-json-large", "POST", "/post", _catalogue(1500), JSON)
    yield _send("post-json-medium", "POST", "/post", _catalogue(200), JSON)
    yield Case("post-chunked", "POST", "/post", (AGENT, JSON), _catalogue(100), chunked=True)
    yield Case("post-chunked-form", "POST", "/post", (AGENT, FORM), b"a=1&b=2", chunked=True)
    yield _send("post-form", "POST", "/post", b"name=Ada&age=36", FORM)
    yield _send("post-form-repeated", "POST", "/post", b"tag=a&tag=b&tag=c", FORM)
    yield _send("post-form-unicode", "POST", "/post", b"city=Z%C3%BCrich&mood=%F0%9F%98%80", FORM)
    yield _send("post-form-bad-utf8", "POST", "/post", b"raw=%FF%FE&ok=1", FORM)
    yield _send("post-form-semicolon", "POST", "/post", b"a=1;b=2", FORM)
    yield _send("post-form-empty", "POST", "/post", b"", FORM)
    yield _send("post-form-no-length", "POST", "/post?a=1", b"b=2", FORM)
    yield _send("post-text", "POST", "/post", "line one\nzweite Zeile, ä\n".encode(), TEXT)
    yield _send("post-bytes", "POST", "/post", bytes(range(256)), BYTES)
    yield _send("post-xml", "POST", "/post", b"<order><id>7</id></order>", ("Content-Type", "application/xml"))
    yield _send("post-untyped", "POST", "/post", b"no content type")
    yield _send("post-empty", "POST", "/post", b"")
    yield Case("post-none", "POST", "/post", (AGENT,))
    fields = _multipart(("name", "", "", b"Ada"), ("age", "", "", b"36"))
    yield _send("post-multipart", "POST", "/post", fields, MULTIPART)
    upload = _multipart(("note", "", "", b"hello"), ("file", "a.txt", "text/plain", b"file text\n"))
    yield _send("post-upload-text", "POST", "/post", upload, MULTIPART)
    picture = _multipart(("file", "a.bin", "application/octet-stream", bytes(range(200, 256))))
    yield _send("post-upload-binary", "POST", "/post", picture, MULTIPART)
    untyped = _multipart(("file", "a.bin", "", b"\xff\xfe\x00"))
    yield _send("post-upload-untyped", "POST", "/post", untyped, MULTIPART)
    several = _multipart(*(("files", f"{number}.txt", "text/plain", b"%d" % number) for number in range(3)))
    yield _send("post-upload-several", "POST", "/post", several, MULTIPART)
    named = _multipart(("file", "über.txt", "text/plain", "Größe".encode()))
    yield _send("post-upload-unicode", "POST", "/post", named, MULTIPART)
    yield _send("post-multipart-broken", "POST", "/post", b"--other\r\nno headers", MULTIPART)
    yield _send("post-forwarded", "POST", "/post", b'{"a": 1}', JSON, ("X-Forwarded-For", "203.0.113.7"))


def _methods() -> Iterator[Case]:
    body = b'{"a": [1, 2, 3]}'
    yield _send("put-json", "PUT", "/put", body, JSON)
    yield _send("put-form", "PUT", "/put", b"a=1&b=2", FORM)
    yield _send("put-bytes", "PUT", "/put", b"\x00\x01\xfe\xff", BYTES)
    yield _send("patch-json", "PATCH", "/patch", body, JSON)
    yield _send("patch-text", "PATCH", "/patch", b"text", TEXT)
    yield _send("delete-query", "DELETE", "/delete?id=7", b"")
    yield _send("delete-json", "DELETE", "/delete", body, JSON)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        yield _send(f"anything-{method.lower()}", method, "/anything/order/7?dry=1", body, JSON)
    yield _send("anything-form", "POST", "/anything", b"x=1&y=2", FORM)
    yield Case("anything-trace", "TRACE", "/anything", (AGENT,))
    for name, path in (
        ("get", "/get"),
        ("png", "/image/png"),
        ("missing", "/no-such-page"),
        ("status", "/status/418"),
        ("gzip", "/gzip"),
        ("stream", "/stream/3"),
        ("redirect", "/redirect/1"),
        ("bytes", "/bytes/64?seed=1"),
    ):
        yield Case(f"head-{name}", "HEAD", path, (AGENT,))
    for name, path in (("get", "/get"), ("post", "/post"), ("anything", "/anything"), ("delay", "/delay/0")):
        yield Case(f"options-{name}", "OPTIONS", path, (AGENT,))
    preflight = (
        ("Origin", "https://shop.example"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "x-token, content-type"),
    )
    yield Case("options-preflight", "OPTIONS", "/put", (AGENT, *preflight))


def _statuses() -> Iterator[Case]:
    fine = (200, 201, 202, 204, 206, 300, 301, 302, 303, 304, 305, 307, 308)
    refused = (400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 415, 418, 421, 422, 425, 429, 451)
    failed = (499, 500, 501, 502, 503, 504, 505, 511, 599)
    for code in fine + refused + failed:
        yield _get(f"status-{code}", f"/status/{code}")
    yield _get("status-weighted", "/status/200:1,500:0")
    yield _get("status-not-a-number", "/status/teapot")
    yield _get("status-bad-weight", "/status/200:x,500:1")
    yield _send("status-post", "POST", "/status/409", b"{}", JSON)
    yield _send("status-delete", "DELETE", "/status/204", b"")


def _errors() -> Iterator[Case]:
    yield _get("missing-page", "/no-such-page")
    yield _get("missing-unicode", "/%C3%BCberall")
    yield _get("missing-slash", "/get/")
    yield _get("missing-script", "/%3Cscript%3Ealert(1)%3C/script%3E")
    yield _send("wrong-method-get", "POST", "/get", b"{}", JSON)
    yield _get("wrong-method-post", "/post")
    yield Case("wrong-method-put", "PUT", "/ip", (AGENT,), b"")
    yield _send("wrong-method-json", "POST", "/json", b"{}", JSON)
    yield _get("crash-redirect", "/redirect/0")
    yield _get("crash-delay", "/delay/soon")
    yield _get("crash-drip", "/drip?numbytes=many")
    yield _get("crash-seed", "/bytes/4?seed=x")
    yield _get("crash-redirect-to", "/redirect-to")
    yield _get("base64", "/base64/SFRUUEJJTiBpcyBhd2Vzb21l")
    yield _get("base64-unicode", "/base64/WsO8cmljaA==")
    yield _get("base64-broken", "/base64/A")
    yield _get("base64-not-utf8", "/base64/_w==")


def _redirects() -> Iterator[Case]:
    yield _get("redirect-1", "/redirect/1")
    yield _get("redirect-3", "/redirect/3")
    yield _get("redirect-absolute", "/redirect/2?absolute=true")
    yield _get("redirect-absolute-1", "/redirect/1?absolute=true")
    yield _get("relative-redirect-1", "/relative-redirect/1")
    yield _get("relative-redirect-2", "/relative-redirect/2")
    yield _get("absolute-redirect-1", "/absolute-redirect/1")
    yield _get("absolute-redirect-2", "/absolute-redirect/2")
    yield _get("redirect-to", "/redirect-to?url=https%3A%2F%2Fshop.example%2Fcart")
    yield _get("redirect-to-307", "/redirect-to?url=%2Fget&status_code=307")
    yield _get("redirect-to-200", "/redirect-to?url=%2Fget&status_code=200")
    yield _get("redirect-to-unicode", "/redirect-to?url=https%3A%2F%2Fshop.example%2FZ%C3%BCrich")
    yield _send("redirect-to-post", "POST", "/redirect-to?url=%2Fpost", b"a=1", FORM)
    yield _get("links", "/links/5")
    yield _get("links-page", "/links/5/2")


def _formats() -> Iterator[Case]:
    yield _get("gzip", "/gzip", ("Accept-Encoding", "gzip"))
    yield _get("deflate", "/deflate", ("Accept-Encoding", "deflate"))
    yield _get("brotli", "/brotli", ("Accept-Encoding", "br"))
    yield _get("gzip-forwarded", "/gzip", ("X-Forwarded-For", "203.0.113.7"))
    yield _get("image", "/image")
    for kind in ("png", "jpeg", "webp", "svg"):
        yield _get(f"image-{kind}", f"/image/{kind}")
    for kind in ("webp", "svg+xml", "jpeg", "png", "*", "tiff"):
        yield _get(f"image-accept-{kind.strip('+xml*') or 'any'}", "/image", ("Accept", f"image/{kind}"))
    yield _get("bytes-seeded", "/bytes/256?seed=42")
    yield _get("bytes-none", "/bytes/0?seed=1")
    yield _get("bytes-large", "/bytes/100000?seed=7")
    yield _get("stream-bytes", "/stream-bytes/5000?seed=3&chunk_size=512")
    yield _get("stream-1", "/stream/1")
    yield _get("stream-20", "/stream/20?page=1")
    yield _get("stream-forwarded", "/stream/2", ("X-Forwarded-For", "203.0.113.7"))
    yield _get("drip", "/drip?duration=0.05&numbytes=5")
    yield _get("drip-code", "/drip?duration=0&numbytes=3&code=503")
    yield _get("drip-none", "/drip?numbytes=0")
    yield _get("range-all", "/range/100")
    yield _get("range-part", "/range/100", ("Range", "bytes=10-19"))
    yield _get("range-tail", "/range/100", ("Range", "bytes=-5"))
    yield _get("range-outside", "/range/100", ("Range", "bytes=200-300"))
    yield _get("range-none", "/range/0")
    yield _get("delay", "/delay/0.05")
    yield _send("delay-post", "POST", "/delay/0", b'{"a": 1}', JSON)
    yield _get("response-headers", "/response-headers?X-One=1&X-Two=2")
    yield _get("response-headers-repeated", "/response-headers?X-One=1&X-One=2")
    yield _get("response-headers-type", "/response-headers?Content-Type=text%2Fplain")
    yield _send("response-headers-post", "POST", "/response-headers?X-One=1", b"")


def _caching() -> Iterator[Case]:
    yield _get("cache", "/cache")
    yield _get("cache-none-match", "/cache", ("If-None-Match", '"abc"'))
    yield _get("cache-modified-since", "/cache", ("If-Modified-Since", "Wed, 21 Oct 2015 07:28:00 GMT"))
    yield _get("cache-seconds", "/cache/60")
    yield _get("etag", "/etag/abc")
    yield _get("etag-none-match", "/etag/abc", ("If-None-Match", '"abc"'))
    yield _get("etag-none-match-other", "/etag/abc", ("If-None-Match", '"other"'))
    yield _get("etag-match", "/etag/abc", ("If-Match", 'W/"abc", "other"'))
    yield _get("etag-match-other", "/etag/abc", ("If-Match", '"other"'))
    yield _get("etag-any", "/etag/abc", ("If-None-Match", "*"))


def _cookies() -> Iterator[Case]:
    yield _get("cookies", "/cookies", ("Cookie", "session=abc; theme=dark"))
    yield _get("cookies-none", "/cookies")
    yield _get("cookies-quoted", "/cookies", ("Cookie", 'name="quoted value"; x=1'))
    yield _get("cookies-unicode", "/cookies", ("Cookie", "city=Zürich"))
    yield _get("cookies-repeated", "/cookies", ("Cookie", "a=1; a=2"))
    yield _get("cookies-set", "/cookies/set?theme=dark&size=7")
    yield _get("cookies-set-one", "/cookies/set/theme/dark")
    yield _get("cookies-set-space", "/cookies/set?note=one%20two")
    yield _get("cookies-set-unicode", "/cookies/set?city=Z%C3%BCrich")
    yield _get("cookies-delete", "/cookies/delete?theme=&size=", ("Cookie", "theme=dark; size=7"))


def _digest(uri: str, algorithm: str, method: str = "GET") -> tuple[str, str]:
    """An answer to a digest challenge (RFC 7616) that httpbin, which keeps no nonces, accepts for ada/secret."""
    digest = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]

    def hashed(*parts: str) -> str:
        return digest(":".join(parts).encode()).hexdigest()

    nonce, count, own = "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "00000001", "31415926"
    secret, asked = hashed("ada", "me@kennethreitz.com", "secret"), hashed(method, uri)
    fields: Mapping[str, str] = {
        "username": "ada",
        "realm": "me@kennethreitz.com",
        "nonce": nonce,
        "uri": uri,
        "response": hashed(secret, nonce, count, own, "auth", asked),
        "opaque": "00112233445566778899aabbccddeeff",
        "cnonce": own,
    }
    quoted = ", ".join(f'{name}="{value}"' for name, value in fields.items())
    return "Authorization", f"Digest {quoted}, algorithm={algorithm}, qop=auth, nc={count}"


def _auth() -> Iterator[Case]:
    ada = ("Authorization", "Basic YWRhOnNlY3JldA==")
    yield _get("basic", "/basic-auth/ada/secret", ada)
    yield _get("basic-none", "/basic-auth/ada/secret")
    yield _get("basic-wrong", "/basic-auth/ada/other", ada)
    yield _get("basic-broken", "/basic-auth/ada/secret", ("Authorization", "Basic !!!"))
    yield _get("basic-hidden", "/hidden-basic-auth/ada/secret", ada)
    yield _get("basic-hidden-none", "/hidden-basic-auth/ada/secret")
    yield _get("bearer", "/bearer", ("Authorization", "Bearer x7f-31"))
    yield _get("bearer-stripped", "/bearer", ("Authorization", "Bearer rare-7"))
    yield _get("bearer-none", "/bearer")
    yield _get("bearer-basic", "/bearer", ada)
    path = "/digest-auth/auth/ada/secret"
    yield _get("digest-challenge", path)
    yield _get("digest", path, _digest(path, "MD5"))
    yield _get("digest-sha256", f"{path}/SHA-256", _digest(f"{path}/SHA-256", "SHA-256"))
    yield _get("digest-wrong", "/digest-auth/auth/ada/other", _digest("/digest-auth/auth/ada/other", "MD5"))
    yield _get("digest-basic", path, ada)
    yield _get("digest-any-qop", "/digest-auth/any/ada/secret")
    yield _get("digest-stale", f"{path}/MD5/0", _digest(f"{path}/MD5/0", "MD5"), ("Cookie", "stale_after=0"))


def _dead() -> Iterator[Case]:
    """Transport errors; nobody can plan them, so they come among answers in a real capture too."""
    both = frozenset({"live", "shadow", "control"})
    yield Case("dead-both", "GET", "/get", (AGENT,), dead=both)
    yield Case("dead-both-post", "POST", "/post", (AGENT, JSON), b'{"a": 1}', dead=both)
    for number in (1, 2):
        yield Case(f"dead-shadow-{number}", "GET", f"/get?page={number}", (AGENT,), dead=frozenset({"shadow"}))
    yield Case("dead-live", "GET", "/get", (AGENT,), dead=frozenset({"live", "control"}))
    yield Case("timeout-both", "GET", "/delay/1", (AGENT,), timeout=0.2)
    yield Case("timeout-dead", "GET", "/delay/1", (AGENT,), dead=frozenset({"shadow"}), timeout=0.2)


def _all() -> Iterable[Case]:
    for group in (
        *(_plain, _queries, _posts, _methods, _statuses, _errors, _redirects),
        *(_formats, _caching, _cookies, _auth, _dead),
    ):
        yield from group()


CASES: tuple[Case, ...] = tuple(_all())
