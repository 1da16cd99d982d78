"""Tests of endpoint names."""

from __future__ import annotations

import base64
import gzip
import json
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.endpoint import MAX_PATH, TemplateMatcher, learn_templates, name_endpoint, template_of
from gnomon.core.graphql import document_name
from gnomon.errors import ConfigError
from gnomon.model import Body, Header, Request

UUID = "550e8400-e29b-41d4-a716-446655440000"


def text_body(data: str) -> Body:
    """A recorded body of that text."""
    return Body(data, "text", len(data.encode()))


def post(path: str, data: str, headers: list[Header] | None = None) -> Request:
    """A POST with a body."""
    return Request("POST", path, "shop", headers or [("Content-Type", "application/json")], text_body(data))


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("", "/"),
        ("/", "/"),
        ("/users/5?page=2", "/users/{id}"),
        ("/users/-5/", "/users/{id}/"),
        ("/a/123.json", "/a/{id}.json"),
        ("/a/123.tar.gz", "/a/{id}.tar.gz"),
        (f"/a/{UUID}", "/a/{uuid}"),
        (f"/a/{UUID.upper()}.pdf", "/a/{uuid}.pdf"),
        (f"/a/order-{UUID}", "/a/order-{uuid}"),
        ("/v1/x/v2", "/v1/x/v2"),
        ("/api/v1.2/x", "/api/v1.2/x"),
        ("/x/1.2.3", "/x/1.2.3"),
        ("http://host:80/users/5?x#y", "/users/{id}"),
        ("http://host", "/"),
        ("users/5", "/users/{id}"),
        ("//a///5//", "/a/{id}/"),
        ("/a;v=1/5;jsessionid=7f", "/a/{id}"),
        ("/e/a%40b.com", "/e/{email}"),
        ("/e/ann.lee+x@mail.example.co.uk", "/e/{email}"),
        ("/pkg@1.2.3", "/pkg@1.2.3"),
        ("/d/2024-01-31", "/d/{date}"),
        ("/d/2024-01", "/d/{date}"),
        ("/d/2024-13-31", "/d/2024-13-31"),
        ("/t/2024-01-31T10:11:12.5Z", "/t/{timestamp}"),
        ("/t/2024-01-31T10%3A11%3A12%2B02%3A00", "/t/{timestamp}"),
        ("/t/20240131T101112Z", "/t/{timestamp}"),
        ("/u/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/u/{ulid}"),
        ("/h/5f2b6c7d8e9fa0b1c2d3e4f5", "/h/{hash}"),
        ("/h/facadefacadeface", "/h/facadefacadeface"),
        ("/h/sha256:" + "ab12" * 16, "/h/sha256:{hash}"),
        ("/js/app.0123456789abcdef0123.js", "/js/app.{hash}.js"),
        ("/c/cus_9s6XKzkNRiz8i3", "/c/{token}"),
        ("/c/V1StGXR8_Z5jdHi6B-myT", "/c/{token}"),
        ("/p/iphone-15-pro-max-256gb", "/p/iphone-15-pro-max-256gb"),
        ("/p/how-to-use-python-3-in-2024", "/p/how-to-use-python-3-in-2024"),
        ("/o/Users(5)", "/o/Users({id})"),
        ("/j/55:cancel", "/j/{id}:cancel"),
        ("/l/1,2,3", "/l/{id}"),
        ("/caf%C3%A9/x", "/caf%C3%A9/x"),
        ("/na%20me(5)", "/na%20me({id})"),
        ("/%31%32", "/{id}"),
        ("/a%2F5", "/a%2F5"),
    ],
)
def test_path(path: str, template: str) -> None:
    """Values in a path are replaced by their kind; words, versions and slugs stay as they were written."""
    assert name_endpoint(Request("GET", path)) == f"GET {template}"
    assert template_of(path) == template


def test_special_targets() -> None:
    """The asterisk and authority forms of a target are not paths, and methods are told apart in capitals."""
    assert name_endpoint(Request("OPTIONS", "*")) == "OPTIONS *"
    assert name_endpoint(Request("CONNECT", "example.com:443")) == "CONNECT example.com:443"
    assert name_endpoint(Request("delete", "/users/1")) == "DELETE /users/{id}"


@pytest.mark.parametrize(
    "path",
    ["/" + "a" * 100_000, "/x" * 100_000, "/x/" + "1/" * 5_000, "/a/" + "b" * 1_020 + "/c", "/" + "%41" * 9_000],
)
def test_long_path(path: str) -> None:
    """An over-long path is cut at a slash, so a name is never longer than the bound."""
    template = template_of(path)
    assert len(template) <= MAX_PATH
    assert template.endswith("/{rest}")
    assert template_of(template) == template


SEGMENTS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet=string.hexdigits + "-.,:()'=@%;", max_size=40),
    st.sampled_from(
        [UUID, "2024-01-31", "a@b.co", "123", "-4", "v1", "x.json", "{id}", "%2F", "..", "5f2b6c7d8e9fa0b1"]
    ),
)
PATHS = st.lists(SEGMENTS, max_size=8).map(lambda segments: "/" + "/".join(segments))


@given(PATHS)
def test_naming_is_idempotent_and_pure(path: str) -> None:
    """Naming a name again changes nothing, and the same request always has the same name."""
    template = template_of(path)
    assert template_of(template) == template
    assert len(template) <= MAX_PATH
    name = name_endpoint(Request("GET", path))
    assert name == name_endpoint(Request("GET", path))
    assert name == f"GET {template}"


@given(PATHS, st.sampled_from([None, "application/json", "application/grpc", "application/graphql"]), st.text())
def test_naming_never_fails(path: str, content_type: str | None, data: str) -> None:
    """Whatever is in a request, it has a name of one line's length."""
    headers = [] if content_type is None else [("content-type", content_type)]
    for suffix in ("", "/graphql", "/graphql?query=" + data):
        name = name_endpoint(Request("POST", path + suffix, "h", headers, text_body(data)))
        assert name
        assert len(name) <= MAX_PATH + 40


def test_grpc() -> None:
    """A gRPC call is named by its full method; the content type tells, not the look of the path."""
    headers = [("content-type", "application/grpc+proto")]
    assert name_endpoint(Request("POST", "/shop.Cart/Get", "h", headers)) == "/shop.Cart/Get"
    assert name_endpoint(Request("POST", "/shop.Cart/Get", "h")) == "POST /shop.Cart/Get"
    assert name_endpoint(Request("POST", "/not/a/method", "h", headers)) == "POST /not/a/method"


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ({"query": "{ cart { id } }", "operationName": "GetCart"}, "GetCart"),
        ({"query": "query GetCart($id: ID! = 5) @x(a: {b: 1}) { cart(id: $id) { id } }"}, "GetCart"),
        ({"query": "mutation Add { add }", "operationName": None}, "Add"),
        ({"query": "# query Wrong\nsubscription Right { x }"}, "Right"),
        ({"query": 'query Q { a(s: "} query No {") } query Second { b }'}, "Q"),
        ({"query": "fragment query on User { id } query Real { ...query }"}, "Real"),
        ({"query": '"""query Doc { """ query Real { a }'}, "Real"),
        ({"query": "{ cart }"}, "POST /graphql"),
        ({"query": "query { cart }"}, "POST /graphql"),
        ({"query": "query ($a: Int) { cart }"}, "POST /graphql"),
        ({"query": "{ cart }", "operationName": "not a name!"}, "POST /graphql"),
        ({"query": 5}, "POST /graphql"),
        ({"operationName": "Persisted", "extensions": {"persistedQuery": {}}}, "Persisted"),
        ([{"query": "query A { a }"}, {"query": "query B { b }"}, {"query": "query A { a }"}], "A,B"),
        ([{"query": f"query Q{number} {{ a }}"} for number in range(20)], "Q0,Q1,Q2,Q3,Q4,Q5,Q6,Q7,..."),
        ("text", "POST /graphql"),
    ],
)
def test_graphql(operation: object, name: str) -> None:
    """A GraphQL request is named by its operation, from `operationName` or from the document; else by its path."""
    assert name_endpoint(post("/graphql", json.dumps(operation))) == name


def test_graphql_is_recognised() -> None:
    """GraphQL is told by the end of the path or by the content type, in text, in base64, compressed, or in a GET."""
    data = json.dumps({"query": "query GetCart { cart }"})
    assert name_endpoint(post("/api/v2/GraphQL/?x=1", data)) == "GetCart"
    assert name_endpoint(post("/api", data)) == "POST /api"
    assert name_endpoint(post("/api", data, [("content-type", "application/graphql+json; charset=utf-8")])) == "GetCart"
    assert name_endpoint(post("/api", "query Bare { a }", [("content-type", "application/graphql")])) == "Bare"
    assert name_endpoint(Request("GET", "/graphql?query=query+G%20%7Bcart%7D")) == "G"
    assert name_endpoint(Request("GET", "/graphql?x=1")) == "GET /graphql"
    zipped = gzip.compress(data.encode())
    headers = [("Content-Encoding", "gzip"), ("Content-Type", "application/json")]
    body = Body(base64.b64encode(zipped).decode(), "base64", len(zipped))
    assert name_endpoint(Request("POST", "/graphql", "h", headers, body)) == "GetCart"
    truncated = Body(data, "text", 9_999, truncated=True)
    assert name_endpoint(Request("POST", "/graphql", "h", [], truncated)) == "POST /graphql"
    assert name_endpoint(post("/graphql", data[:-1])) == "POST /graphql"


def test_hostile_graphql_document() -> None:
    """Documents made of nothing but openings are read in linear time and have no name."""
    for piece in ('"', '"""', "{", "(", "#", "query ", '"\\', "} "):
        assert document_name(piece * 200_000) is None or piece == "query "


TEMPLATES = TemplateMatcher(
    [
        "GET /users/{id}",
        "GET /users/me",
        "* /users/{id}/orders/{order}",
        "DELETE /users/{id}/orders/{order}",
        "/files/{name}.json",
        "/files/{name}",
        "/files/{name}.{ext}",
        "GET /static/{path+}",
        "GET /static/logo.png",
        "GET /a/{x}/c",
        "GET /a/b/{y}",
        "post /caf%C3%A9",
        "GET /users/{same}",
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/users/5", "GET /users/{id}"),
        ("GET", "/users/ann%20lee?x=1", "GET /users/{id}"),
        ("GET", "/users/me", "GET /users/me"),
        ("get", "http://h//users//5", "GET /users/{id}"),
        ("POST", "/users/5", None),
        ("GET", "/users/", None),
        ("GET", "/users/5/", None),
        ("PUT", "/users/5/orders/6", "PUT /users/{id}/orders/{order}"),
        ("DELETE", "/users/5/orders/6", "DELETE /users/{id}/orders/{order}"),
        ("GET", "/files/a.json", "GET /files/{name}.json"),
        ("GET", "/files/a.txt", "GET /files/{name}.{ext}"),
        ("GET", "/files/a", "GET /files/{name}"),
        ("GET", "/static/css/a.css", "GET /static/{path+}"),
        ("GET", "/static/logo.png", "GET /static/logo.png"),
        ("GET", "/static/", None),
        ("GET", "/a/b/c", "GET /a/b/{y}"),
        ("GET", "/a/x/c", "GET /a/{x}/c"),
        ("POST", "/café", "POST /caf%C3%A9"),
        ("GET", "/nothing", None),
    ],
)
def test_templates(method: str, path: str, name: str | None) -> None:
    """The most specific template wins: literal before parameter, own method before any method; the first of twins."""
    assert TEMPLATES.match(method, path) == name
    assert TEMPLATES.match(method, path) == name


def test_templates_win() -> None:
    """A template wins over numbers, GraphQL and gRPC; what matches none is inferred."""
    matcher = TemplateMatcher(["POST /graphql", "GET /reports/2024", "/shop.Cart/{method}"])
    assert name_endpoint(post("/graphql", '{"query":"query A {a}"}'), matcher) == "POST /graphql"
    assert name_endpoint(Request("GET", "/reports/2024"), matcher) == "GET /reports/2024"
    assert name_endpoint(Request("GET", "/reports/2025"), matcher) == "GET /reports/{id}"
    grpc = Request("POST", "/shop.Cart/Get", "h", [("content-type", "application/grpc")])
    assert name_endpoint(grpc, matcher) == "POST /shop.Cart/{method}"
    assert not TemplateMatcher([])
    assert TemplateMatcher([]).match("GET", "/") is None


@pytest.mark.parametrize("template", ["", "GET", "GET users", "GET /a b", "G@T /x"])
def test_bad_template(template: str) -> None:
    """A template that is no method and path is refused by name."""
    with pytest.raises(ConfigError, match="endpoint template"):
        TemplateMatcher([template])


def test_many_templates_are_a_tree() -> None:
    """A thousand templates take no more steps than the path has segments."""
    matcher = TemplateMatcher([f"GET /r{number}/{{id}}/s{number}" for number in range(1000)])
    assert matcher.match("GET", "/r777/5/s777") == "GET /r777/{id}/s777"
    assert matcher.match("GET", "/r777/5/s778") is None


def names(count: int) -> list[str]:
    """So many different words."""
    return ["w" + "".join(chr(97 + int(digit)) for digit in str(number)) for number in range(count)]


def test_learning_users() -> None:
    """A position with many words that look alike below becomes a parameter named after the segment before it."""
    seen = [f"GET /users/{name}" for name in names(30)]
    seen += [f"GET /users/{name}/orders" for name in names(30)[:25]]
    seen += ["GET /users/{id}", "GET /health", "GetCart", "/shop.Cart/Get"]
    learned = learn_templates(seen)
    assert [entry.template for entry in learned] == ["GET /users/{user}", "GET /users/{user}/orders"]
    assert learned[0].endpoints == tuple(sorted(f"GET /users/{name}" for name in names(30)))


@pytest.mark.parametrize(
    ("segment", "parameter"),
    [
        ("categories", "category"),
        ("addresses", "address"),
        ("boxes", "box"),
        ("status", "status"),
        ("News-Items", "news_item"),
    ],
)
def test_learned_name(segment: str, parameter: str) -> None:
    """The parameter is the singular of the word before it."""
    learned = learn_templates(f"GET /{segment}/{name}" for name in names(40))
    assert [entry.template for entry in learned] == [f"GET /{segment}/{{{parameter}}}"]


def test_learning_refuses() -> None:
    """Short sets, versions, resources below a root or a version, and words unlike each other are not values."""
    assert learn_templates(f"GET /users/{name}" for name in names(20)) == []
    assert learn_templates(f"GET /api/v{number}" for number in range(50)) == []
    assert learn_templates(f"GET /{name}/{{id}}" for name in names(60)) == []
    assert learn_templates(f"GET /api/v1/{name}/{{id}}" for name in names(60)) == []
    assert learn_templates(f"GET /users/{{id}}/{name}" for name in names(60)) == []
    assert (
        learn_templates(f"GET /pages/{name}/{other}" for name, other in zip(names(60), names(120)[60:], strict=True))
        == []
    )
    assert learn_templates(["GET " + "/a" * 500 + f"/{name}" for name in names(60)]) == []


def test_learning_keeps_the_heavy_word() -> None:
    """A word that a large share of requests goes to, `/users/me`, keeps a name of its own."""
    counts = {f"GET /users/{name}": 1 for name in names(40)} | {"GET /users/me": 500}
    (learned,) = learn_templates(counts)
    assert "GET /users/me" not in learned.endpoints
    assert len(learned.endpoints) == 40


def test_learning_nested_names() -> None:
    """Names below names are learned too, where there are very many: `/repos/{repo}/{name}`."""
    seen = [f"GET /repos/{owner}/{repo}" for owner in names(30) for repo in names(110)]
    assert [entry.template for entry in learn_templates(seen)] == ["GET /repos/{repo}/{name}"]


@given(st.randoms(use_true_random=False))
def test_learning_knows_no_order(shuffler: random.Random) -> None:
    """The same names give the same templates in whatever order they come."""
    seen = [f"{method} /users/{name}/x" for name in names(25) for method in ("GET", "PUT")] + ["GET /users/a/y"] * 3
    expected = learn_templates(seen)
    shuffler.shuffle(seen)
    assert learn_templates(seen) == expected
