"""Endpoint templates from an OpenAPI document (Swagger 2.0, OpenAPI 3.0, 3.1 and 3.2)."""

from __future__ import annotations

from urllib.parse import unquote

from gnomon.core.templates import path_of
from gnomon.errors import InputError
from gnomon.model import JsonValue

__all__ = ["templates_from_openapi"]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_MAX_TEMPLATES = 100_000


def templates_from_openapi(document: JsonValue) -> list[str]:
    """List the endpoints of an OpenAPI document as templates, `GET /v1/users/{id}`, in the document's order.

    The path of each server (or Swagger's `basePath`) comes first, with its variables at their defaults.

    Args:
        document: The document, already decoded from JSON (or YAML).

    Raises:
        InputError: The document has no `paths`, or more endpoints than a matcher should hold.
    """
    paths = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(paths, dict):
        raise InputError(
            "the OpenAPI document is not an object with `paths`", "give a Swagger 2.0 or an OpenAPI 3 document"
        )
    shared = _base_paths(document) or _swagger_base(document)
    templates: dict[str, None] = {}
    for path, item in paths.items():
        if not path.startswith("/"):
            continue
        resolved = _resolve(document, item)
        bases = _base_paths(resolved) or shared
        for method in _methods(resolved):
            operation = resolved.get(method)
            own = _base_paths(operation) if isinstance(operation, dict) else []
            for base in own or bases:
                templates[f"{method.upper()} {base}{_clean(path)}"] = None
        if len(templates) > _MAX_TEMPLATES:
            raise InputError(f"the OpenAPI document has more than {_MAX_TEMPLATES} endpoints", "split it by service")
    return list(templates)


def _methods(item: dict[str, JsonValue]) -> list[str]:
    return [name for name in item if name.lower() in _METHODS]


def _clean(path: str) -> str:
    """Leave out a query some documents write into the path, and encode spaces."""
    return path.partition("?")[0].partition("#")[0].replace(" ", "%20")


def _resolve(document: dict[str, JsonValue], item: JsonValue) -> dict[str, JsonValue]:
    """Return a path item, looked up in the same document where it is a reference to one (one step)."""
    if not isinstance(item, dict):
        return {}
    reference = item.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return item
    found: JsonValue = document
    for step in reference[2:].split("/"):
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return {**found, **item} if isinstance(found, dict) else item


def _base_paths(holder: dict[str, JsonValue]) -> list[str]:
    """Return the path of every server, without a trailing slash."""
    servers = holder.get("servers")
    if not isinstance(servers, list):
        return []
    bases: dict[str, None] = {}
    for server in servers:
        url = server.get("url") if isinstance(server, dict) else None
        if isinstance(server, dict) and isinstance(url, str):
            bases[_base(_with_defaults(url, server.get("variables")))] = None
    return list(bases)


def _with_defaults(url: str, variables: JsonValue) -> str:
    if isinstance(variables, dict):
        for name, variable in variables.items():
            default = variable.get("default") if isinstance(variable, dict) else None
            if isinstance(default, str):
                url = url.replace(f"{{{name}}}", default)
    return url


def _swagger_base(document: dict[str, JsonValue]) -> list[str]:
    base = document.get("basePath")
    return [_base(base)] if isinstance(base, str) else [""]


def _base(url: str) -> str:
    """Return the path of a server's URL; `//host/path` has no scheme."""
    return path_of(f"http:{url}" if url.startswith("//") else url).rstrip("/").replace(" ", "%20")
