"""Secrets in every place of a record: none is in what `gnomon compare` stores and reports, nor in what is sent on."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
import pytest

from gnomon.capture import Source
from gnomon.compare import CompareRequest, compare_captures
from gnomon.config import Settings
from gnomon.core.decode import decode_exchange
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.emit.record import RecordWriter
from gnomon.model import Exchange, Place
from gnomon.report import render_report
from gnomon.store import Selection, open_store, run_query

Record = dict[str, Any]
Put = Callable[[Record, str], None]


def card(number: int) -> str:
    """Give a card number that is like no other."""
    digits = f"411111{number:09d}"
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::-2])
    return f"{digits}{-(doubled + sum(map(int, digits[-2::-2]))) % 10}"


# Each gets a number, so that one found says where it was put. They are put together here so that scanners of source
# code do not take them for real ones.
SHAPES: Final[dict[str, Callable[[int], str]]] = {
    "jwt": lambda n: f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx{n:06d}In0.SflKxwRJSMeKKF2QT4fw",
    "cut jwt": lambda n: f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI5{n:06d}IiwibmFt",
    "card": card,
    "aws": lambda n: "AKIA" + f"IOSFODNN{n:06d}LE",
    "github": lambda n: "ghp_" + f"a1B2{n:06d}" * 3,
    "slack": lambda n: "xoxb-" + f"{n:012d}-abcdefghij",
    "stripe": lambda n: "sk_live_" + f"a1B2{n:06d}" * 2,
    "google": lambda n: "AIza" + f"a1B2{n:06d}" * 4,
    "openai": lambda n: "sk-proj-" + f"a1B2{n:06d}" * 3,
}
"""Shapes that fit in any place; those with spaces are in `SPACED`."""
SPACED: Final[dict[str, Callable[[int], tuple[str, str]]]] = {
    "bearer": lambda n: (f"Bearer abc123XYZ{n:06d}", f"abc123XYZ{n:06d}"),
    "basic": lambda n: (f"Basic {basic(n)}", basic(n)),
    "url": lambda n: (f"postgres://ann:hunter{n:06d}@db/x", f"hunter{n:06d}"),
    "pem": lambda n: (f"-----BEGIN PRIVATE KEY-----\nMII{n:06d}K\n-----END PRIVATE KEY-----", f"MII{n:06d}K"),
    "card in groups": lambda n: 2 * (" ".join(card(n)[at : at + 4] for at in range(0, 16, 4)),),  # type: ignore[dict-item]
}
"""A text, and the secret in it."""


def basic(number: int) -> str:
    """Give credentials that are like no others."""
    return base64.b64encode(f"ann:Pw{number:06d}zqx".encode()).decode()


NAMES: Final = (
    *("password", "PASSWORD", "pass_word", "new-password", "user[password]", "passwd", "pwd", "passphrase"),
    *("secret", "client_secret", "token", "accessToken", "refresh_token", "id_token", "apiKey", "api_key", "api key"),
    *(
        "X-API-Key",
        "access_key",
        "privateKey",
        "private_key",
        "authorization",
        "auth",
        "credentials",
        "sessionId",
        "sid",
        "csrf",
    ),
    *("otp", "pin", "user[pin]", "cvv", "cvc", "ssn", "jwt", "bearer", "cookie", "signature", "sig", "X-Amz-Signature"),
    *("security_answer", "securityAnswer", "connectionString", "db_connection_string", "dpop"),
    *("\uff50assword", "pass\u200bword", "contrase\u00f1a", "motDePasse"),
)
HEADERS: Final = (
    *("authorization", "Authorization", "authorization ", "proxy-authorization", "x-forwarded-authorization"),
    *("cookie", "x-api-key", "api-key", "apikey", "x_api_key", "x-auth", "x-auth-token", "x-access-token", "x-otp"),
    *("x-amz-security-token", "x-goog-api-key", "ocp-apim-subscription-key", "x-vault-token", "private-token"),
    *("x-csrf-token", "x-session-id", "x-signature", "x-hub-signature", "authentication", "x-jwt", "x-pin", "bearer"),
    *(
        "x-ms-client-principal",
        "x-amzn-oidc-data",
        "cf-access-client-secret",
        "x-forwarded-client-cert",
        "auth",
        "dpop",
    ),
)


class Planted(NamedTuple):
    """A secret, and where it was put."""

    place: str
    secret: str


def answer(record: Record, content_type: str, data: str | bytes, *headers: list[str]) -> None:
    """Give a record's response a body."""
    if isinstance(data, bytes):
        body = {"data": base64.b64encode(data).decode(), "encoding": "base64", "size": len(data)}
    else:
        body = {"data": data, "encoding": "text", "size": len(data.encode())}
    record["response"]["headers"] = [["content-type", content_type], *headers]
    record["response"]["body"] = {**body, "truncated": False}


def body(content_type: str, template: str) -> Put:
    """Put a secret into a text body, where it says `{}`."""
    return lambda record, secret: answer(record, content_type, template.replace("{}", secret))


def json_body(make: Callable[[str], Any]) -> Put:
    """Put a secret into a JSON body."""
    return lambda record, secret: answer(record, "application/json", json.dumps(make(secret)))


def binary(content_type: str, make: Callable[[bytes], bytes]) -> Put:
    """Put a secret into a body of bytes."""
    return lambda record, secret: answer(record, content_type, make(secret.encode()))


def path(template: str) -> Put:
    """Put a secret into the request's path."""

    def put(record: Record, secret: str) -> None:
        record["request"]["path"] += template.replace("{}", quote(secret))

    return put


def header(name: str, template: str = "{}") -> Put:
    """Put a secret into a header of the response."""
    return lambda record, secret: record["response"]["headers"].append([name, template.replace("{}", secret)])


def header_name(record: Record, secret: str) -> None:
    """Put a secret into the name of a header."""
    record["response"]["headers"].append([secret, "x"])


def trailer(record: Record, secret: str) -> None:
    """Put a secret into a trailer."""
    record["response"]["trailers"] = [["grpc-message", secret]]


def failed(record: Record, secret: str) -> None:
    """Put a secret into the message of a transport error."""
    record.update(response=None, error={"kind": "reset", "message": f"failed {secret}"})


def asked(key: str, template: str = "{}") -> Put:
    """Put a secret into a field of the request."""
    return lambda record, secret: record["request"].update({key: template.replace("{}", secret)})


def field(key: str, make: Callable[[str], Any] = str) -> Put:
    """Put a secret into a field of the record."""
    return lambda record, secret: record.update({key: make(secret)})


def zipped(record: Record, secret: str) -> None:
    """Put a secret into a compressed body."""
    data = gzip.compress(json.dumps({"a": secret, "password": secret}).encode())
    answer(record, "application/json", data, ["content-encoding", "gzip"])


def short(data: bytes) -> bytes:
    """Write a string of MessagePack."""
    return b"\xd9" + bytes([len(data)]) + data


def part(name: str = "a", more: str = "", content: str = "x") -> Put:
    """Put a secret into a multipart form of one part."""
    text = f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{content}\r\n--B--\r\n'
    return body("multipart/form-data; boundary=B", text)


SHAPED: Final[dict[str, Put]] = {
    "json": json_body(lambda secret: {"a": secret}),
    "json name": json_body(lambda secret: {secret: 1}),
    "json in json": json_body(lambda secret: {"a": json.dumps({"b": [secret]})}),
    "text": body("text/plain", "hello {} bye"),
    "html": body("text/html", "<html><body><p>{}</p></body></html>"),
    "xml attribute": body("application/xml", "<a><b c='{}'/></a>"),
    "form": body("application/x-www-form-urlencoded", "a={}&b=1"),
    "form name": body("application/x-www-form-urlencoded", "{}=1"),
    "part": part(content="{}"),
    "part name": part("{}"),
    "file name": part(more='; filename="{}"'),
    "part header": part(more="\r\nX-Note: {}"),
    "gzip": zipped,
    "utf-16": lambda record, secret: answer(record, "text/plain; charset=utf-16", secret.encode("utf-16")),
    "msgpack": binary("application/msgpack", lambda secret: b"\x81\xa1a" + short(secret)),
    "msgpack name": binary("application/msgpack", lambda secret: b"\x81" + short(secret) + b"\xa1a"),
    "bytes": binary("application/octet-stream", lambda secret: b"\x00\xff\xfe" + secret),
    "after a letter": binary("application/octet-stream", lambda secret: b"\x00\xffH" + secret),
    "grpc": binary("application/grpc", lambda secret: b"\0\0\0\0" + bytes([len(secret) + 2, 10, len(secret)]) + secret),
    "image": binary("image/png", lambda secret: b"\x89PNG\r\n\x1a\n\0" + secret + b"\xff"),
    "events": body("text/event-stream", 'id: {}\ndata: {"a":"{}"}\n\n'),
    "css": body("text/css", "/* {} */"),
    "query": path("?a={}"),
    "parameter name": path("?{}=1"),
    "path": path("/x/{}/y"),
    "fragment": path("?a=1#{}"),
    "matrix": path(";a={}/b"),
    "header": header("x-custom"),
    "header name": header_name,
    "content type": header("content-type", "text/plain; a={}"),
    "trailer": trailer,
    "cookie name": header("set-cookie", "{}=1; Path=/"),
    "cookie path": header("set-cookie", "a=1; Path=/{}"),
    "method": asked("method"),
    "host": asked("host"),
    "service": field("service"),
    "target": field("target"),
    "expected target": field("expect", lambda secret: [f"shadow:{secret}"]),
    "emitter": field("emitter"),
    "flag": field("flags", lambda secret: {"a": secret}),
    "flag name": field("flags", lambda secret: {secret: "on"}),
    "synthetic": field("synthetic"),
    "error": failed,
    "unknown field": field("zzz"),
    "time": field("as_of"),
}
"""Where a secret gives itself away."""
READS_SPACES: Final = ("json", "json in json", "text", "html", "css", "header", "error", "synthetic", "flag", "part")


def named(name: str) -> Iterator[tuple[str, Put]]:
    """Give the places of a secret that a name gives away."""
    yield "json", json_body(lambda secret: {name: secret})
    yield "json list", json_body(lambda secret: {name: [secret]})
    yield "json in json", json_body(lambda secret: {"a": json.dumps({"b": json.dumps({name: secret})})})
    yield "cut json", lambda record, secret: answer(record, "application/json", json.dumps({name: secret})[:-2])
    yield "form", body("application/x-www-form-urlencoded", f"{quote(name)}={{}}")
    yield "query", path(f"?{quote(name)}={{}}")
    yield "part", part(name, content="{}")
    yield "label", json_body(lambda secret: [{"name": name, "value": secret}])
    yield "msgpack", binary("application/msgpack", lambda s: b"\x81" + short(name.encode()) + short(s))
    yield "flag", field("flags", lambda secret: {name: secret})


OTHERS: Final[dict[str, Put]] = {
    "below an object": json_body(lambda secret: {"password": {"a": ["x", {"b": secret}]}}),
    "below a list": json_body(lambda secret: {"tokens": [{"raw": secret}]}),
    "id of a session": json_body(lambda secret: {"session": {"id": secret, "user": "ann"}}),
    "label after": json_body(lambda secret: [{"value": secret, "name": "password"}]),
    "label of an object": json_body(lambda secret: [{"key": "api_key", "value": {"stringValue": secret}}]),
    "object before label": json_body(lambda secret: [{"value": {"a": [secret]}, "key": "api_key"}]),
    "credential": json_body(lambda secret: {"type": "password", "temporary": False, "value": secret}),
    "pairs": json_body(lambda secret: {"headers": [["accept", "*/*"], ["Authorization", secret]]}),
    "form in json": json_body(lambda secret: {"m": f"a=1&password={secret}"}),
    "log in json": json_body(lambda secret: {"m": f"login failed: user=ann password={secret}, retry"}),
    "header in json": json_body(lambda secret: {"m": f"sent Authorization: {secret}"}),
    "url in json": json_body(lambda secret: {"m": f"https://e/x?access_token={secret}&a=1"}),
    "html in json": json_body(lambda secret: {"m": f"<input type=hidden name=csrf_token value='{secret}'>"}),
    "graphql in json": json_body(
        lambda secret: {"query": f'mutation {{ login(user: "a", password: "{secret}") {{ ok }} }}'}
    ),
    "graphql list": json_body(lambda secret: {"query": f'{{ check(tokens: ["x", "{secret}"]) {{ ok }} }}'}),
    "graphql": body("application/graphql", 'mutation { login(password: """{}""") { ok } }'),
    "json as text": body("text/plain", '{"password": "{}"}'),
    "json cut in a label": body("application/json", '[{"name": "password", "value": "{}"'),
    "json cut below a name": body("application/json", '{"credentials": {"user": ["a", "{}"'),
    "json in single quotes": body("application/json", "{'password': '{}'}"),
    "json in no type": body("", '{"password": "{}"}'),
    "json in another type": body("image/png", '{"password": "{}"}'),
    "yaml": body("text/yaml", "user:\n  password: {} and more\n"),
    "yaml block": body("text/yaml", "a:\n  password: |\n    {}\n    more\n  b: 1\n"),
    "yaml below": body("text/yaml", "credentials:\n  - user: ann\n    word: {}\nb: 1\n"),
    "json in an attribute": body(
        "text/html", "<div data-props='{&quot;token&quot;:&quot;{}&quot;,&quot;a&quot;:1}'></div>"
    ),
    "json in a script": body("text/html", '<script>var s = JSON.parse("{\\"apiKey\\":\\"{}\\"}")</script>'),
    "data attribute": body("text/html", '<div data-csrf-token="{}"></div>'),
    "environment": body("text/plain", "A=1\nexport DB_PASSWORD={}\n"),
    "properties": body("text/plain", "db.user = ann\ndb.password = '{}'\n"),
    "headers as text": body("text/plain", "GET / HTTP/1.1\nX-Auth-Token: {}\n"),
    "ruby": body("text/plain", '{:password=>"{}", "token" => "{}"}'),
    "script": body("text/html", '<script>var csrfToken = "{}";</script>'),
    "element": body("application/xml", "<a><password>{}</password></a>"),
    "element with a prefix": body("text/xml", "<s:a xmlns:s='u'><s:Password s:Type='x'>{}</s:Password></s:a>"),
    "elements below": body("application/xml", "<a><Credentials><Id>{}</Id><Key>x</Key></Credentials></a>"),
    "character data": body("application/xml", "<a><token><![CDATA[{}]]></token></a>"),
    "attribute": body("application/xml", "<a password='{}'/>"),
    "element with a label": body("application/xml", '<c><property name="password">{}</property></c>'),
    "attribute with a label": body("application/xml", '<c><add key="ApiKey" value="{}"/></c>'),
    "property list": body("application/xml", "<d><key>password</key><string>{}</string></d>"),
    "input": body("text/html", "<form><input type=password name=p value='{}'></form>"),
    "input with a name": body("text/html", "<form><input value='{}' name='csrf_token'></form>"),
    "meta": body("text/html", '<head><meta name="csrf-token" content="{}"></head>'),
    "text area": body("text/html", "<form><textarea name='secret'>{}</textarea></form>"),
    "part of json": part(content='{"password":"{}"}'),
    "parts of another kind": body("multipart/mixed; boundary=B", '--B\r\n\r\n{"password":"{}"}\r\n--B--\r\n'),
    "msgpack below": binary("application/msgpack", lambda s: b"\x81\xa5token\x92\xa1a\x81\xa1b" + short(s)),
    "msgpack bytes": binary("application/msgpack", lambda s: b"\x81\xa8password\xc4" + bytes([len(s)]) + s),
    "events": body("text/event-stream", 'data: {"token":"{}"}\n\n'),
    "matrix": path(";jsessionid={}/b"),
    "user of a url": lambda record, secret: record["request"].update(
        path=f"http://u:{secret}@h{record['request']['path']}"
    ),
    "encoded parameter": path("?%70assword={}"),
    "fragment": path("#access_token={}"),
    "cookie": header("set-cookie", "sid={}; Path=/; HttpOnly"),
    "location": header("location", "https://e/x?access_token={}"),
    "original url": header("x-original-url", "/a?token={}"),
    "handshake": header("www-authenticate", "Negotiate {}"),
    "note": header("x-note", "password={}"),
    "code in json": lambda record, secret: answer(record, "application/json", json.dumps({"pin": _number(secret)})),
    "code with a label": json_body(lambda secret: [{"name": "cvv", "value": _number(secret)}]),
}
"""Where something else says that there is a secret."""
REJECTS: Final = {
    "cut": '{"v":1,"request_id":"x","request":{"headers":[["authorization","%s"]],"path":"/?password=%s"',
    "no json": "garbage authorization: Bearer %s, password=%s",
    "escaped": '{"v":1,"response":{"body":{"data":"{\\"a\\":{\\"token\\": \\"%s\\"}}"}}',
    "bad role": json.dumps({"v": 1, "role": "x", "request": {"headers": [["Cookie", "a=%s"], ["x-otp", "%s"]]}}),
    "objects": json.dumps({"v": 1, "role": "x", "headers": [{"name": "authorization", "value": "%s"}]}),
    "objects, value first": json.dumps({"v": 1, "role": "x", "headers": [{"value": "%s", "name": "authorization"}]}),
    "map of lists": json.dumps({"v": 1, "role": "x", "headers": {"authorization": ["%s"], "credentials": {"a": "%s"}}}),
    "xml": "<exchange><password>%s</password></exchange>",
}
"""Records that are refused; `%s` is the secret."""


def _number(secret: str) -> int:
    """Turn a secret of this test into a number that is as easy to find."""
    return int(f"98765{int.from_bytes(secret.encode()) % 10**6:06d}")


def forms(secret: str) -> set[str]:
    """Give the ways in which a secret could be read."""
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], "".join(f"\\u{ord(c):04x}" for c in secret)}


class Planting:
    """Makes records, each with a secret of its own in one place, live's other than the shadow's."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.planted: list[Planted] = []
        self._count = 0

    def _number(self) -> int:
        self._count += 1
        return self._count

    def password(self, number: int | None = None) -> str:
        """Give a secret of no shape that is like no other."""
        return f"Pw{number or self._number():06d}zqx"

    def pair(self, place: str, put: Put, make: Callable[[int], str | tuple[str, str]]) -> None:
        """Make the two sides of a request, each on an endpoint of its own, so that all are kept as evidence."""
        name = "".join("abcdefghij"[int(digit)] for digit in str(self._number()))
        for role in ("live", "shadow"):
            made = make(self._number())
            text, secret = (made, made) if isinstance(made, str) else made
            record: Record = {
                "v": 1, "request_id": name, "role": role, "started_us": 1_700_000_000_000_000,
                "request": {"method": "GET", "path": f"/{name}", "host": "h", "headers": [], "body": None},
                "response": {"status": 200, "headers": [["x-role", role]], "body": None}, "error": None,
            }  # fmt: skip
            put(record, text)
            if record["response"]:
                record["response"]["status"] = 200 if role == "live" else 500
            self.lines.append(json.dumps(record).encode())
            self.planted.append(Planted(place, secret))
            if "code " in place:
                self.planted.append(Planted(place, str(_number(secret))))

    def reject(self, place: str, template: str) -> None:
        """Make a record that is refused."""
        for secret in (self.password(), *[SHAPES[kind](self._number()) for kind in ("jwt", "card")]):
            self.lines.append(template.replace("%s", secret).encode())
            self.planted.append(Planted(place, secret))
            wide = "\ufeff" + template.replace("%s", secret)
            self.lines.append(wide.encode("utf-16-le").replace(b"\n", b""))


def plant() -> Planting:
    """Put secrets everywhere."""
    planting = Planting()
    for place, put in SHAPED.items():
        for kind, shape in SHAPES.items():
            planting.pair(f"{place}: {kind}", put, shape)
        for kind, spaced in SPACED.items() if place in READS_SPACES else ():
            planting.pair(f"{place}: {kind}", put, spaced)
    for name in NAMES:
        for place, put in named(name):
            planting.pair(f"{place}: {name}", put, planting.password)
    for name in HEADERS:
        planting.pair(f"header: {name}", header(name), planting.password)
    for place, put in OTHERS.items():
        planting.pair(place, put, planting.password)
    for place, template in REJECTS.items():
        planting.reject(f"reject: {place}", template)
    return planting


def unpacked(cell: str) -> Iterator[str]:
    """Give a stored cell, and what is in base64 in it."""
    yield cell
    if cell.startswith('{"v":'):
        record = msgspec.json.decode(cell)
        for side in ("request", "response"):
            kept = (record.get(side) or {}).get("body")
            if kept and kept["encoding"] == "base64":
                data = base64.b64decode(kept["data"])
                data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
                yield data.decode("latin-1")
                yield data.replace(b"\0", b"").decode("latin-1")


PLANTING: Final = plant()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """All that is kept of the records, by where."""
    directory = tmp_path_factory.mktemp("secrets")
    capture, db = directory / "c.ndjson", directory / "g.duckdb"
    capture.write_bytes(b"\n".join(PLANTING.lines) + b"\n")
    settings = msgspec.convert({"redact": {"key": "k"}}, Settings)
    compare_captures(CompareRequest(sources=[Source(str(capture))], db=db, rules=parse_rules(""), settings=settings))
    found: dict[str, list[str]] = {}
    for table in ("comparisons", "differences", "exchanges", "rejects"):
        result = run_query(db, f"FROM {table}")
        for row in result.rows:
            for column, value in zip(result.columns, row, strict=True):
                found.setdefault(f"{table}.{column}", []).extend(unpacked(str(value)))
    found["excerpts"] = [base64.b64decode(text).decode("latin-1") for text in found["rejects.excerpt"]]
    found["excerpts"] += [text.replace("\0", "") for text in found["excerpts"]]
    found["records"] = list(sent(PLANTING))
    with open_store(db) as store:
        found["report"] = [render_report(store.report(Selection(), title="t", now=datetime.now(UTC)))]
    return {where: "\n".join(texts) for where, texts in found.items()}


def sent(planting: Planting) -> Iterator[str]:
    """Give the records as an emitter, a collector or `gnomon produce` sends them."""
    writer = RecordWriter(Redactor(b"k"), parse_rules(""), 2**20)
    for line in planting.lines:
        exchange = decode_exchange(line, Place("c"))
        if isinstance(exchange, Exchange):
            record = writer.encode(exchange)
            assert record is not None
            yield from unpacked(record.value.decode())


@pytest.mark.parametrize("place", sorted({planted.place.partition(":")[0] for planted in PLANTING.planted}))
def test_a_secret_in_this_place_is_nowhere(kept: dict[str, str], place: str) -> None:
    """Neither as it was nor encoded: in no table, excerpt, report or record that is sent on."""
    found = [
        (planted.place, where)
        for planted in PLANTING.planted
        if planted.place.partition(":")[0] == place
        for where, text in kept.items()
        if any(secret in text for secret in forms(planted.secret))
    ]
    assert found == []


def test_all_of_them_were_looked_for(kept: dict[str, str]) -> None:
    """Every pair is kept with both its records, every refused record with an excerpt, and both are full of marks."""
    pairs = len({planted.place for planted in PLANTING.planted if not planted.place.startswith("reject")})
    refused = matching = len(SHAPES) + len(SPACED)  # a time that is none, and errors of one kind
    assert kept["comparisons.request_id"].count("\n") + 1 > pairs - refused
    assert kept["exchanges.record"].count('{"v":1') > 2 * (pairs - refused - matching)
    assert kept["exchanges.record"].count("redacted:hmac-sha256:") > pairs
    assert kept["excerpts"].count("redacted:hmac-sha256:") > 3 * len(REJECTS)
