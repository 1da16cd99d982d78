"""Names of GraphQL operations, as requests carry them (GraphQL over HTTP; GraphQL October 2021, section 2)."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import orjson

from gnomon.core.encoding import expand, wire_bytes
from gnomon.core.json import Unreadable
from gnomon.model import Request

__all__ = ["document_name", "operation_name"]

_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,254}", re.ASCII)
# A string that does not end is taken to where it breaks: nothing is looked at twice.
_TOKEN = re.compile(
    r'#[^\n\r]*+|"""(?:[^"\\]++|\\.|"(?!""))*+(?:""")?|"(?:[^"\\\n\r]++|\\.)*+"?'
    r"|[_A-Za-z][_0-9A-Za-z]*+|[{}()\[\]]",
    re.ASCII | re.DOTALL,
)
_OPERATIONS = frozenset({"query", "mutation", "subscription"})
_MAX_DOCUMENT = 256 * 1024
_MAX_BODY = 4 * 2**20
_MAX_NAMES = 8
_MAX_FIELDS = 64


def operation_name(request: Request, query: str = "") -> str | None:
    """Return the name of the operation a GraphQL request asks for, None where it has none.

    `operationName` wins over the name in the document. A batch is the names of its operations in order, without
    repeats, joined by commas.

    Args:
        request: A POST with a JSON body or with a bare document (`application/graphql`), or a GET.
        query: The query string of a GET.
    """
    if request.method == "GET":
        return _name_in_query(query)
    data = _body_of(request)
    if data is None:
        return None
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError:
        # A JSON text that is broken begins like one; what does not may be a bare document.
        broken = data[:1] in {b"{", b"["} and b'"' in data[:64]
        return None if broken else document_name(data.decode("utf-8", "replace"))
    return _name_in_json(parsed)


def _body_of(request: Request) -> bytes | None:
    """Return the request's body without its content-encoding, None where there is nothing to read."""
    body = request.body
    if body is None or body.truncated or not body.data:
        return None
    encoding = next((value for name, value in request.headers if name.lower() == "content-encoding"), "")
    try:
        return expand(wire_bytes(body), encoding, _MAX_BODY)
    except Unreadable:
        return None


def _name_in_query(query: str) -> str | None:
    try:
        fields = dict(parse_qsl(query, max_num_fields=_MAX_FIELDS))
    except ValueError:
        return None
    return _name_in_json(fields) if "query" in fields else None


def _name_in_json(parsed: object) -> str | None:
    if isinstance(parsed, dict):
        return _name_in_operation(parsed)
    if isinstance(parsed, list):
        names = [_name_in_operation(entry) for entry in parsed if isinstance(entry, dict)]
        known = list(dict.fromkeys(name for name in names if name is not None))
        if known:
            return ",".join(known[:_MAX_NAMES]) + (",..." if len(known) > _MAX_NAMES else "")
    return None


def _name_in_operation(operation: dict[str, object]) -> str | None:
    name, document = operation.get("operationName"), operation.get("query")
    # A persisted query has a name and a hash in place of the document.
    if isinstance(name, str) and _NAME.fullmatch(name) and (isinstance(document, str) or "extensions" in operation):
        return name
    return document_name(document) if isinstance(document, str) else None


def document_name(document: str) -> str | None:
    """Return the name of the first named operation of a GraphQL document; fragments, strings and comments are none."""
    depth = 0
    expected: str | None = "definition"
    for token in _TOKEN.finditer(document, 0, _MAX_DOCUMENT):
        text = token[0]
        first = text[0]
        if first in '#"':
            continue
        if first in "{([":
            depth += 1
            expected = None
        elif first in "})]":
            depth -= 1
            # Only a selection set ends a definition; arguments of a directive do not.
            if depth <= 0 and first == "}":
                depth, expected = 0, "definition"
        elif depth == 0 and expected is not None:
            if expected == "name":
                return text if _NAME.fullmatch(text) else None
            expected = "name" if text in _OPERATIONS else None
    return None
