"""Tests of templates from OpenAPI documents."""

from __future__ import annotations

import pytest

from gnomon.core.openapi import templates_from_openapi
from gnomon.core.templates import TemplateMatcher
from gnomon.errors import InputError
from gnomon.model import JsonValue


def test_openapi_3() -> None:
    """Every operation is a template, with the path of its nearest servers before it."""
    document: JsonValue = {
        "openapi": "3.1.0",
        "servers": [{"url": "https://h/{stage}/", "variables": {"stage": {"default": "v1"}}}, {"url": "/alt"}],
        "paths": {
            "/users/{id}": {"get": {}, "delete": {}, "parameters": [], "summary": "x"},
            "/files": {"servers": [{"url": "//cdn/store"}], "post": {}},
            "/own": {"get": {"servers": [{"url": "https://other"}]}},
            "/shared": {"$ref": "#/components/pathItems/Shared~1Item"},
            "x-extension": {"get": {}},
        },
        "components": {"pathItems": {"Shared/Item": {"patch": {}}}},
    }
    templates = templates_from_openapi(document)
    assert templates == [
        "GET /v1/users/{id}",
        "GET /alt/users/{id}",
        "DELETE /v1/users/{id}",
        "DELETE /alt/users/{id}",
        "POST /store/files",
        "GET /own",
        "PATCH /v1/shared",
        "PATCH /alt/shared",
    ]
    assert TemplateMatcher(templates).match("GET", "/v1/users/5") == "GET /v1/users/{id}"


def test_swagger_2() -> None:
    """Swagger's base path comes first."""
    document: JsonValue = {"swagger": "2.0", "basePath": "/api/", "paths": {"/pets/{pet}": {"get": {}}}}
    assert templates_from_openapi(document) == ["GET /api/pets/{pet}"]


@pytest.mark.parametrize("document", [None, [], {}, {"paths": []}, "text"])
def test_no_openapi(document: JsonValue) -> None:
    """What is no OpenAPI document is refused in a sentence."""
    with pytest.raises(InputError, match="OpenAPI"):
        templates_from_openapi(document)


def test_hostile_openapi() -> None:
    """Parts of the wrong type are passed over, and a reference that leads nowhere is one."""
    document: JsonValue = {
        "servers": [5, {"url": 5}, "x"],
        "paths": {"/a": 5, "/b": {"$ref": "#/nowhere"}, "/c": {"get": 5, "$ref": 5}, "/d e?x": {"GET": {}}},
    }
    assert templates_from_openapi(document) == ["GET /c", "GET /d%20e"]
