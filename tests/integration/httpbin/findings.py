"""The differences between httpbin 0.7.0 on Werkzeug 1.0 and httpbin 0.10.4 on Werkzeug 3.1, read by hand.

They were read from the sources of the two releases (named in each finding) and from the raw captures that
`record.py` writes, never from Gnomon's output. Every request that is not named here is a `match`.

Values are Python's reading of the JSON text; None is a side without a value, ANY one that is not worth repeating here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["ANY", "FINDINGS", "OTHER_OUTCOMES", "VARYING", "Finding", "Seen", "expected_differences"]


class _Any:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        """Say yes."""
        return True

    def __hash__(self) -> int:
        """One hash for all; dataclasses take no default without one."""
        return 0

    def __repr__(self) -> str:
        """Three dots."""
        return "..."


ANY = _Any()


@dataclass(frozen=True)
class Seen:
    """One difference: where, of which kind, and what either side says there."""

    pattern: str
    kind: str
    live: object = ANY
    shadow: object = ANY


@dataclass(frozen=True)
class Finding:
    """What differs, why, and in which requests (their ids, with the endpoint of each)."""

    why: str
    requests: Mapping[str, str]
    differences: tuple[Seen, ...]


ELEMENT = "/body/children/*"
INNER = f"{ELEMENT}/children/*"
TEXT = f"{INNER}/children/*"
LANG = Seen("/body/attributes/lang", "added", None, "en")
TARGET_TEXT = Seen(
    TEXT,
    "changed",
    "You should be redirected automatically to target URL: ",
    "You should be redirected automatically to the target URL: ",
)
CLICK_TEXT = Seen(TEXT, "changed", ANY, ". If not, click the link.")
NO_PAGE = (Seen("/body", "removed", ANY, None),)
CRASH_PAGE_GONE = (
    Seen("/status", "changed", 500, 200),
    Seen(f"{ELEMENT}/tag", "changed", "head", "body"),
    Seen(INNER, "type_changed", ANY, "Incorrect Base64 data try: SFRUUEJJTiBpcyBhd2Vzb21l"),
    Seen(ELEMENT, "removed", ANY, None),
)
MEMBERS_OF_HTML = tuple(Seen(f"/body/{name}", "removed", ANY, None) for name in ("tag", "attributes", "children"))
AS_JSON = Seen("/headers/content-type", "changed", "text/html; charset=utf-8", "application/json")
AS_TEXT = Seen("/headers/content-type", "changed", "text/html; charset=utf-8", "text/plain; charset=utf-8")


def _url(live: str, shadow: str) -> tuple[Seen, ...]:
    host = "http://httpbin.test"
    return (Seen("/body/url", "changed", host + live, host + shadow),)


PAGES = (
    Finding(
        "Error pages: werkzeug.exceptions.HTTPException.get_body starts with `<html lang=en>`, where 1.0 had no <html>",
        {
            "missing-page": "GET /no-such-page",
            "missing-unicode": "GET /%C3%BCberall",
            "missing-slash": "GET /get/",
            "missing-script": "GET /%3Cscript%3Ealert({id})%3C/script%3E",
            "wrong-method-get": "POST /get",
            "wrong-method-post": "GET /post",
            "wrong-method-put": "PUT /ip",
            "wrong-method-json": "POST /json",
            "crash-redirect": "GET /redirect/{id}",
            "crash-delay": "GET /delay/{delay}",
            "crash-drip": "GET /drip",
            "crash-seed": "GET /bytes/{id}",
        },
        (LANG,),
    ),
    Finding(
        "Redirect pages: werkzeug.utils.redirect has `lang` too, says `the target URL` and has a comma before `click`",
        {
            "redirect-1": "GET /redirect/{id}",
            "redirect-3": "GET /redirect/{id}",
            "redirect-absolute": "GET /redirect/{id}",
            "redirect-absolute-1": "GET /redirect/{id}",
            "absolute-redirect-1": "GET /absolute-redirect/{id}",
            "absolute-redirect-2": "GET /absolute-redirect/{id}",
            "links": "GET /links/{id}",
            "cookies-set": "GET /cookies/set",
            "cookies-set-one": "GET /cookies/set/{name}/{value}",
            "cookies-set-space": "GET /cookies/set",
            "cookies-set-unicode": "GET /cookies/set",
            "cookies-delete": "GET /cookies/delete",
            "anything-double-slash": "GET /anything/double",
        },
        (LANG, TARGET_TEXT, CLICK_TEXT),
    ),
    Finding(
        "/json is new: 404 with an HTML page before (core.py has no such route), a JSON document now",
        {"json": "GET /json"},
        (
            Seen("/status", "changed", 404, 200),
            AS_JSON,
            *MEMBERS_OF_HTML,
            Seen("/body/slideshow", "added", None, ANY),
        ),
    ),
    Finding(
        "/json answers GET only, so a POST to it is 405 where it was 404",
        {"wrong-method-json": "POST /json"},
        (
            Seen("/status", "changed", 404, 405),
            Seen("/headers/allow", "added", None, ANY),
            Seen(TEXT, "changed", "404 Not Found", "405 Method Not Allowed"),
            Seen(TEXT, "changed", "Not Found", "Method Not Allowed"),
            Seen(TEXT, "changed", ANY, "The method is not allowed for the requested URL."),
        ),
    ),
)

LANDING_PAGE = (
    Finding(
        "templates/index.html: both style sheets were written out; the ribbon's <img> became a link with an <svg>",
        {"landing-page": "GET /"},
        (
            Seen(TEXT, "changed"),
            Seen(TEXT, "changed"),
            Seen(
                f"{INNER}/attributes/href",
                "changed",
                "http://github.com/kennethreitz/httpbin",
                "https://github.com/psf/httpbin",
            ),
            Seen(f"{INNER}/attributes/class", "added", None, "github-corner"),
            Seen(f"{INNER}/attributes/aria-label", "added", None, "View source on Github"),
            Seen(f"{TEXT}/tag", "changed", "img", "svg"),
            Seen(f"{TEXT}/attributes/style", "changed"),
            Seen(f"{TEXT}/attributes/src", "removed", ANY, None),
            Seen(f"{TEXT}/attributes/alt", "removed", "Fork me on GitHub", None),
            Seen(f"{TEXT}/attributes/width", "added", None, "80"),
            Seen(f"{TEXT}/attributes/height", "added", None, "80"),
            Seen(f"{TEXT}/attributes/viewbox", "added", None, "0 0 250 250"),
            Seen(f"{TEXT}/attributes/aria-hidden", "added", None, "true"),
            *(3 * (Seen(f"{TEXT}/children/*", "added", None, ANY),)),
        ),
    ),
    Finding(
        "templates/httpbin.1.html: four elements gone (hosting, BONUSPOINTS, its list, BTC), one new (maintained)",
        {"landing-page": "GET /"},
        (*(4 * (Seen(TEXT, "removed", ANY, None),)), Seen(TEXT, "added", None, ANY)),
    ),
    Finding(
        "The page links: url_for of Werkzeug 3 leaves `=`, `/`, `:` and `;` as they are (converters.py, urls.py)",
        {"landing-page": "GET /"},
        tuple(
            Seen(f"{TEXT}/children/*/children/*/attributes/href", "changed", live, shadow)
            for live, shadow in (
                ("/base64/aGVsbG8gd29ybGQNCg%3D%3D", "/base64/aGVsbG8gd29ybGQNCg=="),
                (
                    "/response-headers?Content-Type=text%2Fplain%3B+charset%3DUTF-8&Server=httpbin",
                    "/response-headers?Content-Type=text/plain;+charset%3DUTF-8&Server=httpbin",
                ),
                ("/redirect-to?url=http%3A%2F%2Fexample.com%2F", "/redirect-to?url=http://example.com/"),
                (
                    "/redirect-to?url=http%3A%2F%2Fexample.com%2F&status_code=307",
                    "/redirect-to?url=http://example.com/&status_code=307",
                ),
            )
        ),
    ),
)

VIEWS = (
    Finding(
        "core.py imports `Response` from werkzeug, whose default type is text/plain (flask's is text/html); the "
        "bytes are the same on both sides, or there are none",
        {
            "status-not-a-number": "GET /status/{codes}",
            "status-bad-weight": "GET /status/{codes}",
            "drip-none": "GET /drip",
            "range-none": "GET /range/{id}",
            "range-outside": "GET /range/{id}",
        },
        (AS_TEXT,),
    ),
    Finding(
        "core.py decode_base64 catches what cannot be decoded: 500 before, 200 with a hint now",
        {"base64-broken": "GET /base64/{value}", "base64-not-utf8": "GET /base64/{value}"},
        CRASH_PAGE_GONE,
    ),
    Finding(
        "core.py redirect_to no longer encodes the URL itself: None.encode() was a crash, str(None) is a location",
        {"crash-redirect-to": "GET /redirect-to"},
        (Seen("/status", "changed", 500, 302), Seen("/headers/location", "added", None, "None"), *NO_PAGE),
    ),
    Finding(
        "The same line: what was encoded by hand was read as Latin-1 and encoded again",
        {"redirect-to-unicode": "GET /redirect-to"},
        (
            Seen(
                "/headers/location",
                "changed",
                "https://shop.example/Z%C3%83%C2%BCrich",
                "https://shop.example/Z%C3%BCrich",
            ),
        ),
    ),
    Finding(
        "core.py: /delay answers all methods, not only GET",
        {"delay-post": "POST /delay/{delay}"},
        (
            Seen("/status", "changed", 405, 200),
            AS_JSON,
            Seen("/headers/allow", "removed", ANY, None),
            *MEMBERS_OF_HTML,
            *(
                Seen(f"/body/{name}", "added", None, ANY)
                for name in ("args", "data", "files", "form", "headers", "origin", "url")
            ),
        ),
    ),
    Finding(
        "The same, asked for its methods",
        {"options-delay": "OPTIONS /delay/{delay}"},
        (Seen("/headers/allow", "changed"),),
    ),
    Finding(
        "core.py bearer_auth cuts the prefix off; lstrip('Bearer ') took leading B, e, a, r and spaces: `-7` against "
        "`rare-7` on the wire, and hashes of the two in the store, because the member is called token",
        {"bearer-stripped": "GET /bearer"},
        (Seen("/body/token", "changed"),),
    ),
    Finding(
        "core.py bearer_auth refuses what is not a bearer token; any Authorization was good enough",
        {"bearer-basic": "GET /bearer"},
        (
            Seen("/status", "changed", 200, 401),
            Seen("/headers/content-type", "changed", "application/json", "text/html; charset=utf-8"),
            Seen("/headers/www-authenticate", "added", None, "Bearer"),
            *NO_PAGE,
        ),
    ),
    Finding(
        "helpers.py digest_challenge_response writes Python's True and False, and `opaque` before `qop`",
        {
            "digest-challenge": "GET /digest-auth/{qop}/{user}/{password}",
            "digest-wrong": "GET /digest-auth/{qop}/{user}/{password}",
            "digest-basic": "GET /digest-auth/{qop}/{user}/{password}",
            "digest-any-qop": "GET /digest-auth/{qop}/{user}/{password}",
            "digest-stale": "GET /digest-auth/{qop}/{user}/{password}/{algorithm}/{stale}",
        },
        (Seen("/headers/www-authenticate", "changed"),),
    ),
)


def _echoed_length(live: str, shadow: str) -> tuple[Seen, ...]:
    return (Seen("/body/Content-Length", "changed", live, shadow),)


FRAMEWORK = (
    Finding(
        "app.json.compact = False: bodies are indented, and /response-headers tells their length",
        {"response-headers": "GET /response-headers"},
        _echoed_length("82", "99"),
    ),
    Finding("The same", {"response-headers-repeated": "GET /response-headers"}, _echoed_length("76", "103")),
    Finding("The same", {"response-headers-type": "GET /response-headers"}, _echoed_length("73", "95")),
    Finding("The same", {"response-headers-post": "POST /response-headers"}, _echoed_length("70", "83")),
    Finding(
        "Query bytes that are not UTF-8: errors='replace' before, errors='werkzeug.url_quote' (sansio/request.py) now",
        {"get-bad-utf8": "GET /get"},
        (Seen("/body/args/raw", "changed", "\ufffd\ufffd", "%FF%FE"),),
    ),
    Finding(
        "The same in a form (formparser.py)",
        {"post-form-bad-utf8": "POST /post"},
        (Seen("/body/form/raw", "changed", "\ufffd\ufffd", "%FF%FE"),),
    ),
    Finding(
        "get_current_url (sansio/utils.py, wsgi.py): fewer characters of the query stay percent-encoded in `url`",
        {"get-semicolon": "GET /get"},
        _url("/get?a=1%3Bb=2", "/get?a=1;b=2"),
    ),
    Finding(
        "The same: quotes",
        {"get-space": "GET /get"},
        _url("/get?q=one%20two&r=%22quoted%22", '/get?q=one%20two&r="quoted"'),
    ),
    Finding(
        "The same: a slash (%25 stays)",
        {"get-percent": "GET /get"},
        _url("/get?share=100%25&slash=a%2Fb", "/get?share=100%25&slash=a/b"),
    ),
    Finding(
        "The same: brackets",
        {"get-brackets": "GET /get"},
        _url("/get?filter%5Bname%5D=x&filter%5Bage%5D=3", "/get?filter[name]=x&filter[age]=3"),
    ),
    Finding(
        "The same: braces, colon and comma",
        {"get-json-value": "GET /get"},
        _url("/get?filter=%7B%22a%22%3A%5B1%2C2%5D%7D", '/get?filter={"a":[1,2]}'),
    ),
    Finding(
        "The same: markup, which comes back as it was sent",
        {"get-markup": "GET /get"},
        _url("/get?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E&r=%3Cb%3E", "/get?q=<script>alert(1)</script>&r=<b>"),
    ),
    Finding(
        "The same in a path: an asterisk",
        {"anything-tilde": "GET /anything/~user/x*y"},
        _url("/anything/~user/x%2Ay", "/anything/~user/x*y"),
    ),
    Finding(
        "A path that is not UTF-8 is kept encoded by 1.0 and is replacement characters in 3.1",
        {"anything-bad-utf8": "GET /anything/%FF%FE"},
        _url("/anything/%FF%FE", "/anything/\ufffd\ufffd"),
    ),
    Finding(
        "Request.cookies (sansio/request.py) takes the header as the Latin-1 that WSGI hands on; 1.0 read it as UTF-8",
        {"cookies-unicode": "GET /cookies"},
        (Seen("/body/cookies/city", "changed", "Zürich", "ZÃ¼rich"),),
    ),
    Finding(
        "dump_cookie writes the date of RFC 9110 (spaces), not that of the Netscape draft (hyphens)",
        {"cookies-delete": "GET /cookies/delete"},
        tuple(
            Seen(
                f"/headers/set-cookie/{name}/expires",
                "changed",
                "Thu, 01-Jan-1970 00:00:00 GMT",
                "Thu, 01 Jan 1970 00:00:00 GMT",
            )
            for name in ("theme", "size")
        ),
    ),
)

TRANSPORT = (
    Finding(
        "Live is too slow for the caller's patience, nobody listens where the shadow should be",
        {"timeout-dead": "GET /delay/{delay}"},
        (Seen("/error/kind", "changed", "timeout", "connect"),),
    ),
)

FINDINGS: tuple[Finding, ...] = (*PAGES, *LANDING_PAGE, *VIEWS, *FRAMEWORK, *TRANSPORT)

OTHER_OUTCOMES: Mapping[str, str] = {
    "dead-shadow-1": "shadow_error",
    "dead-shadow-2": "shadow_error",
    "dead-live": "live_error",
    # Both echo 1e400 as `Infinity`, which is not JSON, in bodies that are laid out differently: nobody can tell.
    "post-json-big-number": "incomparable",
}
"""Requests that are neither a `match` nor a `diff`."""

VARYING: Mapping[str, frozenset[str]] = {
    "uuid-1": frozenset({"/body/uuid"}),
    "uuid-2": frozenset({"/body/uuid"}),
    "uuid-3": frozenset({"/body/uuid"}),
    "cache": frozenset({"/headers/etag", "/headers/last-modified"}),
    "digest-challenge": frozenset({"/headers/www-authenticate"}),
    "digest-wrong": frozenset({"/headers/www-authenticate"}),
    "digest-basic": frozenset({"/headers/www-authenticate"}),
    "digest-any-qop": frozenset({"/headers/www-authenticate"}),
    "digest-stale": frozenset({"/headers/www-authenticate"}),
}
"""What differs between two answers of one release: uuid4() and http_date() in core.py, the nonces of helpers.py."""


def expected_differences() -> Iterator[tuple[str, str, Seen]]:
    """Every expected difference as (request id, endpoint, what); one that occurs several times comes several times."""
    for finding in FINDINGS:
        for request_id, endpoint in finding.requests.items():
            for seen in finding.differences:
                yield request_id, endpoint, seen
