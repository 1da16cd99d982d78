"""Endpoint names: what a request is a request *to*, so that requests of one kind can be counted together.

A name is a pure function of the request and the templates that rules or an OpenAPI document give:

1. the most specific template that matches, `GET /users/{id}` (see `core.templates`),
2. the full method of a gRPC call, `/shop.Cart/Get`,
3. the operation of a GraphQL request, `GetCart` (see `core.graphql`),
4. the method and the path, with numbers, UUIDs, hashes, dates and the like replaced: `GET /users/{id}`.

Names are at most `MAX_PATH` characters of path, hold no query, no matrix parameters and no doubled slashes, and naming
a name again changes nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote

from gnomon.core.graphql import operation_name
from gnomon.core.learned import LearnedTemplate, learn_templates
from gnomon.core.templates import TemplateMatcher, collapse, path_of
from gnomon.model import Request

__all__ = [
    "MAX_PATH",
    "LearnedTemplate",
    "TemplateMatcher",
    "learn_templates",
    "name_endpoint",
    "path_of",
    "template_of",
]

MAX_PATH = 1024
"""The longest path of a name, in characters; what comes after is `{rest}`."""

_MAX_READ = 8 * MAX_PATH
_MAX_METHOD = 32
_REST = "/{rest}"

_VARIABLE = re.compile(r"[0-9%@;]|//")
_GRPC = re.compile(r"/[A-Za-z_][\w.]*/[A-Za-z_]\w*", re.ASCII)

_INTEGER = re.compile(r"-?[0-9]+")
_UUID = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])")
_HASH = re.compile(r"(?:0x)?(?=[A-Fa-f]*+[0-9])[0-9A-Fa-f]{16,}")
_ULID = re.compile(r"[0-7](?:[0-9A-HJKMNP-TV-Z]{25}|[0-9a-hjkmnp-tv-z]{25})")
_TOKEN = re.compile(r"[A-Za-z0-9_+/~-]{16,}={0,2}")
_CHANGE_OF_KIND = re.compile(r"(?<=[a-z])[A-Z]|(?<=[A-Za-z])[0-9]|(?<=[0-9])[A-Za-z]")
_DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12][0-9]|3[01])[Tt _]"
    r"[0-2][0-9]:?[0-5][0-9](?::?[0-6][0-9](?:[.,][0-9]{1,9})?)?(?:[Zz]|[+ -][0-9]{2}:?(?:[0-9]{2})?)?",
)
_EMAIL = re.compile(r"[^@\s/:]{1,128}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}")
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
_DELIMITER = re.compile(r"([.,:()'=])")
_SAME_AGAIN = re.compile(r"(\{[a-z]+\})(?:,\1)+")


def name_endpoint(request: Request, templates: TemplateMatcher | None = None) -> str:
    """Name the endpoint of a request.

    Args:
        request: Its path may be in any form of RFC 9112 section 3.2; its body is read for GraphQL only.
        templates: Names that win over everything inferred.

    Returns:
        `METHOD /path/{id}`, a gRPC method `/package.Service/Method`, or a GraphQL operation's name.
    """
    method = request.method
    path, _, query = request.path.partition("?")
    if templates is not None:
        known = templates.match(method, path)
        if known is not None:
            return known
    # Most of what varies goes first, so that the cache holds endpoints and not every path there ever was.
    name, may_be_graphql = _name_path(method, collapse(path))
    if method == "POST":
        content_type = _content_type(request)
        if content_type.startswith("application/grpc") and _GRPC.fullmatch(path):
            return path
        may_be_graphql = may_be_graphql or content_type.startswith("application/graphql")
    if may_be_graphql:
        return operation_name(request, query) or name
    return name


def _content_type(request: Request) -> str:
    """Return the content type in lower case, or the empty string."""
    for name, value in request.headers:
        if len(name) == len("content-type") and name.lower() == "content-type":
            return value.strip().lower()
    return ""


@lru_cache(maxsize=4096)
def _name_path(method: str, path: str) -> tuple[str, bool]:
    """Return the name inferred from method and path, and whether the path is one GraphQL is served at."""
    verb = method.upper()[:_MAX_METHOD]
    may_be_graphql = verb in {"GET", "POST"} and path[-12:].rstrip("/").lower().endswith("graphql")
    if verb == "CONNECT" or path == "*":
        return f"{verb} {path[:MAX_PATH]}", False
    return f"{verb} {template_of(path)}", may_be_graphql


def template_of(target: str) -> str:
    """Replace what varies in the path of a request target by `{id}`, `{uuid}`, `{hash}`, `{date}` and so on.

    Returns:
        An absolute path of at most `MAX_PATH` characters. A trailing slash is kept, doubled ones are not, matrix
        parameters (`;v=1`) are left out. Segments that stay are as they were, percent-encoding included.
    """
    path = path_of(target)
    if len(path) <= MAX_PATH and not _VARIABLE.search(path):
        return path
    cut = len(path) > _MAX_READ
    if cut:
        path = path[: path.rindex("/", 0, _MAX_READ)]
    segments = [segment.partition(";")[0] for segment in path.split("/")[1:]]
    # A doubled slash is an empty segment that is not the last one.
    named = [_name_segment(segment) for segment in segments[:-1] if segment]
    if segments:
        named.append(_name_segment(segments[-1]))
    template = "/" + "/".join(named)
    return _bounded(template) if cut or len(template) > MAX_PATH else template


def _bounded(template: str) -> str:
    """Cut a path at a slash so that it holds `MAX_PATH` characters with `{rest}` at its end."""
    limit = MAX_PATH - len(_REST)
    if len(template) > limit:
        template = template[: template.rindex("/", 0, limit + 1)]
    return template.rstrip("/") + _REST


def _name_segment(raw: str) -> str:
    """Name one path segment; what holds no value that varies is returned as it was."""
    text = unquote(raw) if "%" in raw else raw
    whole = _kind_of(text)
    if whole is not None:
        return whole
    pieces = _DELIMITER.split(text)
    named = [_name_piece(pieces, index) for index in range(len(pieces))]
    if named == pieces:
        return raw
    if text is not raw:
        named = [quote(piece, safe="{}!$&'()*+,:=@~", errors="replace") for piece in named]
    return _SAME_AGAIN.sub(r"\1", "".join(named))


def _kind_of(text: str) -> str | None:
    """Return the name of the kind of value a text is as a whole, None for a word."""
    if _INTEGER.fullmatch(text):
        return "{id}"
    if _TIMESTAMP.fullmatch(text):
        return "{timestamp}"
    if _DATE.fullmatch(text):
        return "{date}"
    if _HASH.fullmatch(text):
        return "{hash}"
    if _ULID.fullmatch(text):
        return "{ulid}"
    if "@" in text and _EMAIL.fullmatch(text):
        return "{email}"
    if _JWT.fullmatch(text) or _is_token(text):
        return "{token}"
    return None


def _is_token(text: str) -> bool:
    """Tell a random token from a slug: it has digits, and its characters change kind all the time.

    In random base62 two neighbours in five differ in kind (lower, upper, digit; a capital before small letters is
    not counted: titles have those), in slugs such as `iphone-15-pro-max-256gb` one in ten.
    """
    if not _TOKEN.fullmatch(text) or _UUID.search(text):
        return False
    changes = len(_CHANGE_OF_KIND.findall(text))
    return changes >= max(5, len(text) // 5)


def _name_piece(pieces: list[str], index: int) -> str:
    """Name one piece of a segment: `123` in `123.json`, `Users(123)` or `123:cancel`; not the numbers of `1.2.3`."""
    piece = pieces[index]
    if len(piece) <= 1 and not piece.isdigit():
        return piece
    kind = _kind_of(piece)
    if kind is None:
        return _UUID.sub("{uuid}", piece)
    if kind == "{id}":
        after_dot = index > 0 and pieces[index - 1] == "."
        before_number = pieces[index + 1 : index + 2] == ["."] and pieces[index + 2][:1].isdigit()
        if after_dot or before_number:
            return piece
    return kind
