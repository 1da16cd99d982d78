"""The interface as an OpenAPI 3.1 document, made from the structs that requests and answers are read and written by."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any, Final

import msgspec

from gnomon.store import Totals
from gnomon.summary import Verdict
from gnomon.web.answers import Alerts, Differences, Endpoints, Fields, Health, Problem, Ready, StoredRequest
from gnomon.web.parameters import (
    AlertsAsked,
    DifferencesAsked,
    FlaggerCall,
    ListAsked,
    NothingAsked,
    PeriodAsked,
    VerdictAsked,
)

__all__ = ["describe"]

_GETS: Final[tuple[tuple[str, str, type[msgspec.Struct], type[msgspec.Struct]], ...]] = (
    ("/api/verdict", "Pass, fail or undecided, with reasons", VerdictAsked, Verdict),
    ("/api/summary", "Outcomes and the divergence rate of all that is selected", PeriodAsked, Totals),
    ("/api/endpoints", "Endpoints by divergence rate", ListAsked, Endpoints),
    ("/api/fields", "Field patterns by severity and frequency", ListAsked, Fields),
    ("/api/differences", "Single differences, the newest first", DifferencesAsked, Differences),
    ("/api/comparisons/{request_id}", "All that is stored of one request", NothingAsked, StoredRequest),
    ("/api/alerts", "The last state change of each alert", AlertsAsked, Alerts),
    ("/healthz", "Whether the process lives; needs no token", NothingAsked, Health),
    ("/readyz", "Whether the store can be read; needs no token", NothingAsked, Ready),
)
_OPEN: Final = ("/healthz", "/readyz")
_NAMED: Final = ("/api/summary", "/api/endpoints", "/api/fields", "/api/differences")
"""What answers that there is no such service or target."""


@cache
def describe() -> dict[str, Any]:
    """Give the document."""
    kinds = [kind for _, _, asked, answer in _GETS for kind in (asked, answer)]
    _, components = msgspec.json.schema_components(
        [*dict.fromkeys(kinds), FlaggerCall, Problem], ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, Any] = {}
    for path, summary, asked, answer in _GETS:
        operation: dict[str, Any] = {
            "summary": summary,
            "operationId": path.strip("/").replace("/", "_").replace("{", "").replace("}", ""),
            "parameters": _parameters(components[asked.__name__]),
            "responses": {"200": _content(answer), **_problems("400", "503")},
        }
        if path in _NAMED:
            operation["responses"] |= _problems("404")
        if path in _OPEN:
            operation["security"] = []
            operation["responses"] = {"200": _content(answer), "503": _content(answer)}
        if "{request_id}" in path:
            schema = {"type": "string", "minLength": 1, "maxLength": 256}
            operation["parameters"] = [{"name": "request_id", "in": "path", "required": True, "schema": schema}]
            operation["responses"] |= _problems("404")
        if path not in _OPEN:
            operation["responses"] |= _problems("401", "421")
        paths[path] = {"get": operation}
    paths["/hooks/flagger"] = {"post": _flagger()}
    paths["/metrics"] = {"get": _text("Metrics for Prometheus")}
    paths["/openapi.json"] = {"get": _document()}
    for name in {asked.__name__ for _, _, asked, _ in _GETS}:
        del components[name]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gnomon", "version": metadata.version("gnomon"), "summary": "Figures, verdicts and evidence"},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic", "description": "The token as the password"},
            },
        },
        "security": [{"token": []}, {"password": []}, {}],
    }


def _parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "schema": _plain(about)}
        for name, about in schema["properties"].items()
    ]


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave null out of a parameter's schema: one that is not asked for is not there."""
    schema = {key: value for key, value in schema.items() if value is not None}
    options = [option for option in schema.pop("anyOf", ()) if option.get("type") != "null"]
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    return schema | (options[0] if options else {})


def _content(kind: type[msgspec.Struct]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"description": (kind.__doc__ or "").partition("\n")[0], "content": {"application/json": {"schema": schema}}}


def _problems(*statuses: str) -> dict[str, Any]:
    said = {
        "400": "A parameter or a body that means nothing",
        "401": "A token is needed",
        "404": "There is no such thing",
        "421": "Asked by another name than this machine's",
        "503": "The store cannot be read now",
    }
    return {status: {**_content(Problem), "description": said[status]} for status in statuses}


def _flagger() -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{FlaggerCall.__name__}"}
    return {
        "summary": "A gate for Flagger: 200 to go on, 409 to halt",
        "operationId": "hooks_flagger",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {**_content(Verdict), "description": "Go on"},
            "409": {**_content(Verdict), "description": "Halt: the verdict is fail, or undecided"},
            **_problems("400", "401", "421", "503"),
        },
    }


def _text(summary: str) -> dict[str, Any]:
    answer = {"description": summary, "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "summary": summary,
        "operationId": "metrics",
        "responses": {"200": answer, **_problems("400", "401", "421")},
    }


def _document() -> dict[str, Any]:
    answer = {"description": "OpenAPI 3.1", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {
        "summary": "This document",
        "operationId": "openapi",
        "responses": {"200": answer, **_problems("400", "401", "421")},
    }
