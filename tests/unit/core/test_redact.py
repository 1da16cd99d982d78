"""Tests of redaction: what it finds, what it leaves, and the laws it keeps."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import re
import string
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core import cards, redact_headers, redact_json, secret_names, secrets
from gnomon.core.blind import Blinder, canonical
from gnomon.core.cards import is_card_number
from gnomon.core.encoding import bytes_body
from gnomon.core.json import dumps, loads
from gnomon.core.redact import Redactor
from gnomon.core.redact_body import redact_raw
from gnomon.core.redact_json import replace_text
from gnomon.core.rules import EndpointRules, parse_rules
from gnomon.core.secret_names import NUMBERS, is_secret_header, is_secret_name, secrecy
from gnomon.core.secrets import may_hold_secret
from gnomon.core.sieve import is_plain_target, is_plain_value
from gnomon.model import Body, Difference, Exchange, Header, Request, Response, TransportError

KEY = b"k" * 32
REDACTOR = Redactor(KEY)
MARK = re.compile(r"redacted:hmac-sha256:[0-9a-f]{16}")

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAK\nqwe==\n-----END RSA PRIVATE KEY-----"
VISA = "4111111111111111"
# Put together here so that scanners of source code do not take them for real ones.
TOKENS = [
    JWT,
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ASIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "a1B2" * 10,
    "glpat-" + "a1B2-" * 5,
    "xoxb-" + "123456789012-abcdefghij",
    "sk_live_" + "a1B2" * 6,
    "rk_test_" + "a1B2" * 6,
    "AIza" + "a1B2c" * 7,
    "sk-proj-" + "a1B2" * 9,
    "sk-ant-api03-" + "a1B2" * 9,
    "npm_" + "a1B2" * 9,
    PEM,
]
CARDS = [
    VISA,
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "4222222222222",
    "5555555555554444",
    "2221000000000009",
    "378282246310005",
    "3782 822463 10005",
    "6011111111111117",
    "3530111333300000",
    "30569309025904",
    "3056 930902 5904",
    "6200000000000005",
    "6759649826438453",
]
NOT_SECRET = [
    "1700000000000",
    "1700000000000000",
    "4111111111111112",
    "41111111111111111111",
    "0.4111111111111111",
    "550e8400-e29b-41d4-a716-446655440000",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "a4111111111111111f" + "0" * 20 + "b",
    "12345678-1234-4234-8234-123456789012",
    "2024-01-31T10:11:12.123456Z",
    "bearer of bad news",
    "basic authentication is required",
    "sk-something-with-many-dashes-in-it",
    "task-force-1234567890123456789012",
    "https://example.com/a?page=2&sort=name",
    "mailto:ann@example.com",
    "+49 30 1234567 89",
    "V1StGXR8_Z5jdHi6B-myT",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
]


def rules(text: str = "") -> EndpointRules:
    """The compiled rules of a rules file."""
    return parse_rules(text).for_endpoint("shop", "GET /")


def redact_rule(path: str, how: str = "hash") -> EndpointRules:
    """The rules of a file with one redaction."""
    return rules(f'[[rule]]\npath = "{path}"\nredact = "{how}"\n')


NONE = rules()


def exchange(data: str, content_type: str = "application/json", **body: Any) -> Exchange:
    """A live exchange whose response has this body."""
    headers = [("Content-Type", content_type)] if content_type else []
    recorded = Body(**{"data": data, "encoding": "text", "size": len(data.encode("utf-8", "replace")), **body})
    return Exchange(
        request_id="r",
        role="live",
        started_us=1,
        request=Request("GET", "/"),
        response=Response(200, headers, recorded),
    )


def redacted_body(data: str, content_type: str = "application/json", under: EndpointRules = NONE, **body: Any) -> Body:
    """The body of the redacted response; redacting twice must change nothing."""
    once = REDACTOR.exchange(exchange(data, content_type, **body), under)
    assert REDACTOR.exchange(once, under) == once
    assert once.response is not None
    assert once.response.body is not None
    return once.response.body


def headers_of(headers: list[Header], under: EndpointRules = NONE) -> list[Header]:
    """The headers after redaction; redacting twice must change nothing."""
    once = REDACTOR.exchange(
        Exchange(request_id="r", role="live", started_us=1, request=Request("GET", "/", "", headers)), under
    )
    assert REDACTOR.exchange(once, under) == once
    return once.request.headers


@pytest.mark.parametrize("token", TOKENS + CARDS)
@pytest.mark.parametrize("around", ["{}", "see {} here", "a={}", "\n{}\t", "({})"])
def test_shapes_in_json(token: str, around: str) -> None:
    """A token or a card number in a JSON string is replaced, wherever in it it stands, and the JSON stays JSON."""
    text = around.format(token)
    for data in (json.dumps({"note": [text, 5]}), json.dumps({text: 1}), json.dumps(text)):
        shown = redacted_body(data).data
        assert token not in shown
        assert json.dumps(token)[1:-1] not in shown
        assert MARK.search(shown)
        loads(shown.encode())
    assert redacted_body(json.dumps([text, 5])).data == json.dumps([around.format(Blinder(KEY).text(token)), 5])


@pytest.mark.parametrize("token", TOKENS + CARDS)
def test_shapes_elsewhere(token: str) -> None:
    """The same are found in text, in truncated JSON, in headers, targets, error messages and excerpts."""
    line = token.replace("\n", " ")
    assert line not in redacted_body(f"x {line} y", "text/plain").data
    assert token not in redacted_body(json.dumps({"a": token})[:-1], truncated=True, size=9_999).data
    assert line not in headers_of([("x-note", f"it is {line}")])[0][1]
    assert token not in REDACTOR.target(f"/a/{token}/b?q={token}".replace("\n", "%0A"))
    assert token.encode() not in REDACTOR.excerpt(b"\xff not json " + token.encode())
    failed = Exchange(
        request_id="r", role="live", started_us=1, request=Request("GET", "/"), error=TransportError("reset", token)
    )
    error = REDACTOR.exchange(failed, NONE).error
    assert error is not None
    assert token not in error.message


@pytest.mark.parametrize("text", NOT_SECRET)
def test_what_is_left_alone(text: str) -> None:
    """Ids, times, prose, URLs and public certificates are not secrets."""
    data = json.dumps({"a": text, "b": [text]})
    assert redacted_body(data).data == data
    assert redacted_body(text, "text/plain").data == text


def test_credentials_keep_their_scheme() -> None:
    """Of `Bearer`, `Basic`, URLs with a password and secret parameters only the secret itself is replaced."""
    basic = base64.b64encode(b"ann:secret").decode()
    text = f"Authorization: Bearer abc.123_x, basic {basic}; postgres://ann:hunter2@db/x https://h/p?a=1&access_token=xyz#f"
    shown = json.loads(redacted_body(json.dumps({"log": text})).data)["log"]
    assert (
        MARK.sub("#", shown)
        == "Authorization: Bearer #, basic #; postgres://ann:#@db/x https://h/p?a=1&access_token=##f"
    )


@pytest.mark.parametrize(
    ("escaped", "hidden"),
    [(r"ey\u004a" + JWT[3:], JWT), (r"\u0034111111111111111", VISA), (r"x\n" + JWT, JWT), (r"\f" + VISA, VISA)],
)
def test_escapes_do_not_hide(escaped: str, hidden: str) -> None:
    """What JSON escapes spell is what counts."""
    shown = json.loads(redacted_body(f'{{"a": "{escaped}"}}').data)["a"]
    assert hidden not in shown
    assert MARK.search(shown)


def test_numbers_stay() -> None:
    """A number that would be a card number as a string stays as it was written, and so does all around a secret."""
    data = f'{{"n":{VISA}, "x" : 1.50e+03,"big":123456789012345678901234567890,\n "x": -{VISA}, "s":"{VISA}"}}'
    shown = redacted_body(data).data
    assert MARK.sub(VISA, shown) == data
    assert shown != data
    cut = f'{{"n": {VISA}, "m": [{VISA},{VISA}], "s": "{VISA}", "t": "'
    assert MARK.sub(VISA, redacted_body(cut, truncated=True, size=9_999).data) == cut


@pytest.mark.parametrize(
    "member", ["password", "accessToken", "API_KEY", "client-secret", "sessionId", "pin", "user[pwd]"]
)
def test_members_by_name(member: str) -> None:
    """All strings below members that are named like a secret are replaced, of codes numbers too; names are not."""
    value = {member: "hunter2", "n": {member: 1234}, "l": {member: ["a", ["b"], 5]}, "o": {member: {"id": "x"}}}
    shown = json.loads(redacted_body(json.dumps(value)).data)
    mark = Blinder(KEY).text
    numbers = secrecy(member) == NUMBERS
    assert numbers == (member in {"password", "pin", "user[pwd]"})
    four, five = [Blinder(KEY).value(number, "hash") if numbers else number for number in (1234, 5)]
    expected = {member: mark("hunter2"), "n": {member: four}, "l": {member: [mark("a"), [mark("b")], five]}}
    assert shown == {**expected, "o": {member: {"id": mark("x")}}}
    assert is_secret_name(member)
    assert "hunter2" not in redacted_body(json.dumps(value)[:-2], truncated=True, size=9_999).data
    assert "hunter2" not in redacted_body(json.dumps({"nested": json.dumps(value)})).data


@pytest.mark.parametrize(
    "member",
    [
        *("token_type", "id", "name", "key", "author", "shipping", "passenger", "author_id", "compass_width"),
        *("opinion", "keyboard", "secretary", "possession_date", "tokenizer", "max_tokens", "expires_at"),
        *(
            "tokenExpiresAt",
            "spin",
            "cookie_consent",
            "authority",
            "password_policy",
            "signature_required",
            "session_timeout",
            "pinned",
            "code",
        ),
    ],
)
def test_other_members(member: str) -> None:
    """Names that only remind of one are not a secret's."""
    assert not is_secret_name(member)
    data = json.dumps({member: "hunter2"})
    assert redacted_body(data).data == data


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("text/plain", "Invalid token: expected string at 10:30:00, see https://example.com:8080/session\n"),
        ("text/plain", "used 12 tokens: 1534 of them cached; token_type: bearer\n"),
        ("text/html", "<p>Your session expired</p><label for=password>Password</label><a accesskey='s'>Sign in</a>"),
        ("text/html", '<form id="password-reset"><input type="text" name="user" value="ann"></form>'),
        ("application/xml", "<order><passenger>Ann</passenger><tokenType>x</tokenType></order>"),
        ("application/json", '{"message": "the password must be longer", "at": "2027-07-12T10:30:00+02:00"}'),
        ("application/json", '[{"name": "color", "value": "red"}, {"type": "session", "content": "keynote"}]'),
        ("application/json", '{"rows": [["name", "token_type"], ["a", "b"]], "session": {"user": "ann", "at": 1}}'),
        (
            "application/json",
            '{"id": "1700000000000", "n": 1700000000000, "tokens": 17, "session_count": 4111111111111111}',
        ),
        (
            "application/json",
            '{"expires_at": "2027-07-12", "passwordPolicy": "strict", "methods": ["password", "google"]}',
        ),
        ("application/x-www-form-urlencoded", "a=1&max_tokens=100&author=ann"),
    ],
)
def test_what_only_mentions_secrets(content_type: str, data: str) -> None:
    """Prose, times, counts, kinds and pages about secrets hold none."""
    assert redacted_body(data, content_type).data == data


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("application/json", '{"password": "hunter2"}'),
        ("application/json", '{"pass\\u0077ord": "hunter2", '),
        ("application/json", '[{"value": "hunter2", "name": "password"}]'),
        ("application/x-www-form-urlencoded", "password=hunter2"),
        ("application/xml", "<a><password> hunter2 </password></a>"),
        ("text/html", "<input name=password value=hunter2>"),
        ("text/plain", "Password: hunter2\n"),
        ("application/graphql", '{ login(password: "hunter2") }'),
    ],
)
def test_a_secret_has_one_mark_however_it_is_said(content_type: str, data: str) -> None:
    """So sides that say it in other ways are seen to say the same."""
    assert Blinder(KEY).text("hunter2") in redacted_body(data, content_type).data.replace("%3A", ":")


def test_headers() -> None:
    """Headers of credentials are replaced; schemes, cookie names and attributes stay readable."""
    headers = [
        ("Authorization", "Bearer abc"),
        ("Proxy-Authorization", "opaque"),
        ("Cookie", 'sid=1; theme="dark";x=; bare'),
        ("Set-Cookie", "sid=31; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT; HttpOnly; odd=1, b=2; Secure"),
        ("X-API-Key", "k"),
        ("x-amz-security-token", "t"),
        ("X-Session-Id", "s"),
        ("X-Request-Id", "abc"),
        ("Location", "https://ann:pw@h/cb?state=1&token=xyz"),
        ("Accept", "*/*"),
    ]
    shown = [(name, MARK.sub("#", value)) for name, value in headers_of(headers)]
    assert shown == [
        ("Authorization", "Bearer #"),
        ("Proxy-Authorization", "#"),
        ("Cookie", "sid=#; theme=#;x=; #"),
        ("Set-Cookie", "sid=#; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT; HttpOnly; odd=#, b=#; Secure"),
        ("X-API-Key", "#"),
        ("x-amz-security-token", "#"),
        ("X-Session-Id", "#"),
        ("X-Request-Id", "abc"),
        ("Location", "https://ann:#@h/cb?state=1&token=#"),
        ("Accept", "*/*"),
    ]
    assert is_secret_header("SET-COOKIE")


def test_target() -> None:
    """In a target secret-named parameters are replaced, encoded or not, and everything else stays as it was."""
    target = "http://ann:pw@h/a%20b;jsessionid=7f/c?x=1&access_token=a%2Bb&&flag&q=a+b%20c&api%5Fkey=k#token=z"
    shown = REDACTOR.target(target)
    assert REDACTOR.target(shown) == shown
    expected = "http://ann:#@h/a%20b;jsessionid=#/c?x=1&access_token=#&&flag&q=a+b%20c&api%5Fkey=##token=#"
    assert MARK.sub("#", shown) == expected
    assert Blinder(KEY).text("a+b") in shown
    assert REDACTOR.target("/a?variables=%7B%22password%22%3A%22x%22%7D").startswith(
        "/a?variables={%22password%22:%22red"
    )
    assert REDACTOR.target("/a%2Fb?x=%zz") == "/a%2Fb?x=%zz"


def test_forms() -> None:
    """Fields of forms are redacted by name, by shape and by rule, multipart ones too."""
    data = f"user=ann&password=hunter2&card={VISA}&x=1+2&tag=a&tag=b"
    shown = redacted_body(data, "application/x-www-form-urlencoded", redact_rule("/body/tag/1")).data
    assert MARK.sub("#", shown) == "user=ann&password=#&card=#&x=1+2&tag=a&tag=#"
    lines = ["--B", 'content-disposition: form-data; name="password"', "", "hunter2", "--B"]
    lines += ['content-disposition: form-data; name="note"', "", f"it is {VISA}", "--B"]
    lines += ['content-disposition: form-data; name="mail"', "", "ann@b.co", "--B--", ""]
    shown = redacted_body(
        "\r\n".join(lines), "multipart/form-data; boundary=B", redact_rule("/body/mail/0", "drop")
    ).data
    lines[3], lines[7], lines[11] = "#", "it is #", "redacted"
    assert MARK.sub("#", shown) == "\r\n".join(lines)
    raw = "\r\n".join(lines).replace("#", f"\xff {VISA}").encode("latin-1")
    encoded = {"encoding": "base64", "size": len(raw)}
    body = redacted_body(base64.b64encode(raw).decode(), "multipart/form-data; boundary=B", **encoded)
    assert body.encoding == "base64"
    assert VISA.encode() not in base64.b64decode(body.data)


def test_streams_of_documents() -> None:
    """Lines of NDJSON are documents each, with rules by position; events are redacted line by line."""
    data = '{"a": "x"}\n\n{"a": "x", "password": "p"}\n'
    shown = redacted_body(data, "application/x-ndjson", redact_rule("/body/1/a")).data
    assert MARK.sub("#", shown) == '{"a": "x"}\n\n{"a": "#", "password": "#"}\n'
    events = f'event: x\ndata: {{"token": "t", "n": {VISA}}}\n\ndata: {VISA}\ndata: note {VISA}\n'
    shown = redacted_body(events, "text/event-stream").data
    assert MARK.sub("#", shown) == f'event: x\ndata: {{"token": "#", "n": {VISA}}}\n\ndata: {VISA}\ndata: note #\n'
    assert redacted_body(events, "text/event-stream", redact_rule("/body/*/data/n")).data == ""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/body/user/email", {"user": {"email": "#", "age": 7}, "items": [{"n": 1.0}, {"n": None}]}),
        ("/body/user", {"user": "#", "items": [{"n": 1.0}, {"n": None}]}),
        ("/body/items/0", {"user": {"email": "a@b.co", "age": 7}, "items": ["#", {"n": None}]}),
        ("/body/items/*/n", {"user": {"email": "a@b.co", "age": 7}, "items": [{"n": "#"}, {"n": None}]}),
        ("/**/email", {"user": {"email": "#", "age": 7}, "items": [{"n": 1.0}, {"n": None}]}),
        ("/body", "#"),
        ("/headers/x", {"user": {"email": "a@b.co", "age": 7}, "items": [{"n": 1.0}, {"n": None}]}),
    ],
)
def test_rules_in_json(path: str, expected: object) -> None:
    """A `redact` rule hides the value at its path whole, number or object too; null has nothing to hide."""
    data = '{"user": {"email": "a@b.co", "age": 7}, "items": [{"n": 1.0}, {"n": null}]}'
    hashed = redacted_body(data, under=redact_rule(path)).data
    assert json.loads(MARK.sub("#", hashed)) == expected
    dropped = redacted_body(data, under=redact_rule(path, "drop")).data
    assert dropped.replace('"redacted"', '"#"') == MARK.sub("#", hashed)


def test_hash_of_values() -> None:
    """Equal values have equal marks however they are written; a string and a number of the same look do not."""
    one = redacted_body('{"a": {"x": 1, "y": [10, "é"]}}', under=redact_rule("/body/a")).data
    other = redacted_body('{"a": {"y":[1e1,"\\u00e9"],"x":1.00}}', under=redact_rule("/body/a")).data
    assert json.loads(one) == json.loads(other)
    marks = {
        redacted_body(f'{{"a": {value}}}', under=redact_rule("/body/a")).data for value in ("5", '"5"', "true", "[5]")
    }
    assert len(marks) == 4


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        ('{"a": "secret"', "application/json"),
        ("<a>secret</a>", "application/xml"),
        ("secret", "text/plain"),
        ("secret", ""),
    ],
)
def test_fail_closed(data: str, content_type: str) -> None:
    """A body in which a rule redacts something that cannot be located is withheld, its size and keyed hash kept."""
    body = redacted_body(data, content_type, redact_rule("/body/a"))
    digest = "hmac-sha256:" + hmac.digest(KEY, data.encode(), "sha256").hex()
    assert body == Body("", "text", len(data), digest, truncated=True)
    assert redacted_body(data, content_type, rules('[[rule]]\npath = "/body/a"\nignore = true')).data == data


def test_compressed() -> None:
    """A compressed body is stored expanded, without its content encoding, if something in it is redacted."""
    headers = [("content-type", "application/json"), ("Content-Encoding", "gzip")]

    def redact(text: str) -> Response:
        zipped = gzip.compress(text.encode(), mtime=0)
        body = Body(base64.b64encode(zipped).decode(), "base64", len(zipped))
        shown = REDACTOR.exchange(
            Exchange(
                request_id="r",
                role="live",
                started_us=1,
                request=Request("GET", "/"),
                response=Response(200, headers, body),
            ),
            NONE,
        ).response
        assert shown is not None
        assert shown.body is not None
        assert shown.body.size == len(zipped)
        assert shown.body.hash == "hmac-sha256:" + hmac.digest(KEY, zipped, "sha256").hex()
        return shown

    dirty, clean = redact('{"password": "hunter2"}'), redact('{"a": 1}')
    assert dirty.headers == headers[:1]
    assert dirty.body is not None
    assert MARK.sub("#", dirty.body.data) == '{"password": "#"}'
    assert clean.headers == headers
    assert clean.body is not None
    assert clean.body.encoding == "base64"
    broken = Body(base64.b64encode(b"\x1f\x8bnonsense").decode(), "base64", 10)
    shown = REDACTOR.exchange(
        Exchange(request_id="r", role="live", started_us=1, request=Request("GET", "/", "", headers, broken)), NONE
    )
    assert shown.request.body is not None
    assert shown.request.body.data == ""
    assert shown.request.body.truncated


def test_binary() -> None:
    """A binary body is left alone but for its hash, unless a secret can be read in it: then it is withheld."""
    raw = b"\x00\x01\xff image"
    data = base64.b64encode(raw).decode()
    body = redacted_body(data, "image/png", encoding="base64", size=len(raw))
    assert (body.data, body.truncated) == (data, False)
    raw += b"\x12\x10" + VISA.encode() + b"\xfe"
    body = redacted_body(base64.b64encode(raw).decode(), "application/grpc", encoding="base64", size=len(raw))
    assert (body.data, body.truncated, body.size) == ("", True, len(raw))
    wide = base64.b64encode(f"it is {VISA}".encode("utf-16-le")).decode()
    assert redacted_body(wide, "text/plain", encoding="base64", size=44).data == ""


def test_body_hash() -> None:
    """Body hashes are keyed: of the bytes where all are there, of the unkeyed hash where not; a keyed one stays."""

    def keyed(data: bytes) -> str:
        return "hmac-sha256:" + hmac.digest(KEY, data, "sha256").hex()

    assert REDACTOR.hash_body(Body("é", "text", 2)) == keyed("é".encode())
    assert REDACTOR.hash_body(Body("AAE=", "base64", 2, "sha256:ab")) == keyed(b"\0\x01")
    assert REDACTOR.hash_body(Body("x", "text", 9, "sha256:ab", truncated=True)) == keyed(b"sha256:ab")
    assert REDACTOR.hash_body(Body("x", "text", 9, None, truncated=True)) is None
    assert REDACTOR.hash_body(Body("x", "text", 1, "hmac-sha256:cd")) == "hmac-sha256:cd"
    assert REDACTOR.hash_body(Body("!", "base64", 1, "md5:ab")) == keyed(b"md5:ab")
    assert Redactor(KEY, enabled=False).hash_body(Body("x", "text", 1, "sha256:ab")) == "sha256:ab"


def difference(path: str, live: object, shadow: object = None) -> Difference:
    """A difference at a path, both sides there."""
    return Difference(path, path, path, "changed", "medium", json.dumps(live), json.dumps(shadow))


@pytest.mark.parametrize(
    ("path", "value", "expected", "rule"),
    [
        ("/body/a", VISA, "#", None),
        ("/body/a", int(VISA), int(VISA), None),
        ("/body/password", "p", "#", None),
        ("/body/password/0", "p", "#", None),
        ("/body/a", {"password": "p", "b": [JWT, 1.5]}, {"password": "#", "b": ["#", 1.5]}, None),
        ("/headers/authorization", "Bearer x", "Bearer #", None),
        ("/headers/x-api-key", "x", "#", None),
        ("/headers/set-cookie/token", {"path": "/", "value": True}, {"path": "/", "value": True}, None),
        ("/trailers/x-note", f"see {VISA}", "see #", None),
        ("/headers/x-user", "ann", "#", "/headers/X-User"),
        ("/body/user", {"email": "e", "n": 1}, {"email": "#", "n": 1}, "/body/user/email"),
        ("/body/user/email/x", 5, "#", "/body/user/email"),
        ("/body/items/3/n", 5, "#", "/body/items/*/n"),
        ("/body/items/3/n", 5, "#", "/body/items/3/n"),
        ("/body/a~1b", "x", "#", "/body/a~1b"),
        ("/body", [{"n": 5}], [{"n": "#"}], "/body/0/n"),
        ("/status", 200, 200, None),
    ],
)
def test_difference(path: str, value: object, expected: object, rule: str | None) -> None:
    """The values of a difference are redacted as they would be in the documents they are from."""
    under = NONE if rule is None else redact_rule(rule)
    once = REDACTOR.difference(difference(path, value), under)
    assert REDACTOR.difference(once, under) == once
    assert once.live_value is not None
    assert json.loads(MARK.sub("#", once.live_value)) == expected
    assert once.path == path
    assert once.shadow_value == "null"


def test_difference_paths() -> None:
    """Member names that are secrets are redacted in paths and patterns; missing sides stay missing."""
    path = f"/body/by~1card/{VISA}/x"
    once = REDACTOR.difference(Difference(path, None, path, "removed", "high", "1"), NONE)
    mark = Blinder(KEY).text(VISA)
    assert once == Difference(f"/body/by~1card/{mark}/x", None, f"/body/by~1card/{mark}/x", "removed", "high", "1")


def test_difference_agrees_with_exchange() -> None:
    """The mark of a value is the same in a difference and in the stored exchange."""
    body = redacted_body('{"password": "p", "n": {"a": 1}}', under=redact_rule("/body/n"))
    shown = json.loads(body.data)
    for path, value in (("/body/password", "p"), ("/body/n", {"a": 1})):
        text = REDACTOR.difference(difference(path, value), redact_rule("/body/n")).live_value
        assert text is not None
        assert json.loads(text) == shown[path.rpartition("/")[2]]


def test_excerpt() -> None:
    """The excerpt of a record, whole or cut, keeps its bytes but for headers, members and shapes that are secret."""
    record = {
        "request": {"headers": [["Authorization", "Bearer x1"], ["Cookie", "a=b"], ["accept", "*/*"]]},
        "response": {"body": {"data": json.dumps({"password": "hunter2", "n": int(VISA)}), "size": int(VISA)}},
        "token": "cut off in the midd",
    }
    data = json.dumps(record).encode()[:-2]
    shown = REDACTOR.excerpt(data)
    assert REDACTOR.excerpt(shown) == shown
    text = MARK.sub("#", shown.decode())
    assert '[["Authorization", "#"], ["Cookie", "#"], ["accept", "*/*"]]' in text
    assert r"{\"password\": \"#\", " in text
    assert f'"size": {VISA}' in text
    assert text.endswith('"token": "#')
    lines = b"\xff\xfe GET / HTTP/1.1\r\nAuthorization: Basic abc\r\nHost: h\r\n"
    assert MARK.sub("#", REDACTOR.excerpt(lines).decode("latin-1")).encode("latin-1") == lines.replace(b"abc", b"#")
    assert REDACTOR.excerpt(bytes(range(256))) == bytes(range(256))


def test_off() -> None:
    """With redaction off everything stays as it is."""
    off = Redactor(KEY, enabled=False)
    dirty = exchange(f'{{"password": "{JWT}"}}')
    one = difference("/body/password", JWT)
    assert off.exchange(dirty, redact_rule("/body")) is dirty
    assert off.difference(one, NONE) is one
    assert off.target("/?token=x") == "/?token=x"
    assert off.excerpt(JWT.encode()) == JWT.encode()
    assert off.text(JWT) == JWT


SECRETS = st.sampled_from(
    [*TOKENS, *CARDS, "Bearer abc12345", "redacted", Blinder(KEY).text("x"), "://u:p@h", "\\", '"']
)
STRINGS = st.one_of(st.text(max_size=20), SECRETS, st.lists(st.one_of(st.text(max_size=5), SECRETS)).map(" ".join))
NAMES = st.one_of(st.text(max_size=8), st.sampled_from(["password", "token", "id", "api_key", "pin"]), SECRETS)
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just(int(VISA)), st.floats(allow_nan=False), STRINGS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


def shape_of(value: object) -> object:
    """A document without strings, names, and what is below the name of a code: what redaction must not touch."""
    if isinstance(value, dict):
        return [shape_of(entry) if secrecy(name) < NUMBERS else "hidden" for name, entry in value.items()]
    if isinstance(value, list):
        return ["list", *map(shape_of, value)]
    return "string" if isinstance(value, str) else (type(value).__name__, value)


@given(DOCUMENTS, st.booleans())
def test_json_law(document: Any, ascii_only: bool) -> None:
    """JSON stays JSON, numbers never change, and redacting twice changes nothing."""
    data = json.dumps(document, ensure_ascii=ascii_only)
    try:
        data.encode()
    except UnicodeEncodeError:
        data = json.dumps(document)
    shown = redacted_body(data).data
    if '"\\ud' not in data:
        assert shape_of(json.loads(shown)) == shape_of(json.loads(data))


@given(
    DOCUMENTS,
    st.sampled_from(["/body/*", "/**/id", "/body/0", "/body", "/**/token"]),
    st.sampled_from(["hash", "drop"]),
)
def test_rule_law(document: Any, path: str, how: str) -> None:
    """Under a rule too the result is JSON and redacting twice changes nothing."""
    data = json.dumps(document)
    shown = redacted_body(data, under=redact_rule(path, how)).data
    if shown:
        json.loads(shown)


@given(STRINGS, STRINGS)
def test_equality_law(one: str, other: str) -> None:
    """Strings that are equal are equal when redacted, and different ones stay different."""
    marks = Blinder(KEY)
    same = one == other
    assert (REDACTOR.text(one) == REDACTOR.text(other)) == same or MARK.search(one + other)
    assert (marks.text(one) == marks.text(other)) == same or MARK.search(one + other)


@given(st.one_of(STRINGS, st.text(alphabet="&=;%?/:@# ab1", max_size=40)))
def test_target_and_header_law(text: str) -> None:
    """Targets, headers and excerpts keep still when they are redacted again."""
    target = REDACTOR.target("/x?token=" + text)
    assert REDACTOR.target(target) == target
    for name in ("cookie", "set-cookie", "authorization", "location", "x-api-key", "accept"):
        headers_of([(name, text)])
    data = text.encode("utf-8", "replace")
    once = REDACTOR.excerpt(data)
    assert REDACTOR.excerpt(once) == once


@given(
    st.binary(max_size=60), st.sampled_from(["", "text/plain", "application/json", "image/png", "multipart/form-data"])
)
def test_any_body_law(raw: bytes, content_type: str) -> None:
    """Whatever the bytes of a body are, redaction does not fail, and twice is as once."""
    data = base64.b64encode(raw).decode()
    redacted_body(data, content_type, encoding="base64", size=len(raw))
    redacted_body(data, content_type, redact_rule("/body/a"), encoding="base64", size=len(raw))


@given(STRINGS)
def test_sieve_law(text: str) -> None:
    """The fast look never says that there is nothing where something is found."""
    if REDACTOR.text(text) != text or secrets.replace_secrets(text, lambda _: "#") != text:
        assert may_hold_secret(text)


SPEECH = st.lists(
    st.sampled_from(
        (
            *("password", "pin", "token", "auth", "PassWord", "\uff50assword", "pass\u200bword", "api_key", "session"),
            *("name", "value", "key", "abc1", "a", "1234", "Bearer", "redacted", " ", "  ", "\n", "\t", ":", "=", "=>"),
            *(",", '"', "'", "`", '"""', "[", "]", "{", "}", "(", ")", "<", ">", "</", "/", "?", "&", ";", "\\"),
            *(
                '\\"',
                "-",
                ".",
                "<input ",
                " name=",
                " value=",
                "<key>",
                "</key>",
                "\\u0070assword",
                "\\n",
                "\xa0",
                "é",
                "#",
                "://",
                "@",
            ),
            Blinder(KEY).text("x"),
        )
    ),
    max_size=14,
).map("".join)


@settings(max_examples=300)
@given(SPEECH)
def test_sieve_law_of_names(text: str) -> None:
    """Nor where a secret is named; in JSON, and in any other text."""
    shown = replace_text(secrets.replace_secrets(text, lambda _: "#"), lambda _: "#", lines=True)
    if shown != text and shown.strip("#") != text.strip("#"):
        assert may_hold_secret(text)


@settings(max_examples=300)
@given(SPEECH)
def test_any_text_law(text: str) -> None:
    """Whatever a text says, redacting it twice is as once: as a body, in JSON, in a header, as a record's bytes."""
    for content_type in ("text/plain", "text/html", "application/json", ""):
        redacted_body(text, content_type)
    loads(redacted_body(json.dumps({"a": [text, {text: text}]})).data.encode())
    headers_of([("x-note", text), (text, text)])
    once = REDACTOR.excerpt(text.encode())
    assert REDACTOR.excerpt(once) == once


@given(DOCUMENTS)
def test_canonical_law(document: Any) -> None:
    """The canonical text of a document does not depend on the order of members."""

    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: reverse(value[name]) for name in reversed(value)}
        return [reverse(entry) for entry in value] if isinstance(value, list) else value

    assert canonical(document) == canonical(reverse(document))


@settings(max_examples=50)
@given(st.text(alphabet=string.digits, min_size=12, max_size=12))
def test_check_digit_law(digits: str) -> None:
    """Of the ten numbers with the same beginning exactly one is a card number."""
    assert sum(is_card_number(f"411{digits}{last}") for last in range(10)) == 1


def compiled_patterns(module: ModuleType) -> list[re.Pattern[str]]:
    """All patterns of a module, those in its tables included."""
    found: list[re.Pattern[str]] = []
    waiting: list[object] = list(vars(module).values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, re.Pattern):
            found.append(value)
        elif isinstance(value, tuple):
            waiting.extend(value)
    return found


def open_repeats(parsed: Any) -> list[str]:
    """The repeats without an upper bound that may give back what they took."""
    found = []
    for operation, argument in parsed:
        name = str(operation)
        if name in {"MAX_REPEAT", "MIN_REPEAT"} and argument[1] > 300:
            found.append(name)
        for part in argument if isinstance(argument, tuple | list) else ():
            inner = part if isinstance(part, list) else [part]
            for candidate in inner:
                if isinstance(candidate, re._parser.SubPattern):  # type: ignore[attr-defined]
                    found += open_repeats(candidate)
    return found


@pytest.mark.parametrize("module", [cards, secrets, secret_names, redact_json])
def test_patterns_do_not_backtrack(module: ModuleType) -> None:
    """No pattern that meets whole bodies has a repeat that is neither bounded nor possessive."""
    patterns = compiled_patterns(module)
    assert patterns
    for pattern in patterns:
        parsed = re._parser.parse(pattern.pattern, pattern.flags)  # type: ignore[attr-defined]
        if pattern.pattern not in {"[0-9A-Za-z]*\\Z", "[0-9A-Za-z]*", "[0-9]+", "[0-9A-Fa-f]+"}:  # of bounded stretches
            assert open_repeats(parsed) == [], pattern.pattern


@pytest.mark.parametrize(
    "piece",
    [
        "eyJ",
        "eyJ" + "a" * 16 + ".",
        "Bearer ",
        "bearer:a1",
        "://a:",
        "?a=",
        "?token=",
        "4111 ",
        "4111-",
        "41",
        '"a":"',
        '\\"a\\":"',
        "-----BEGIN PRIVATE KEY-----",
        "sk-",
        "ghp_",
        "basic ",
        '["token","',
        "token:",
        "\\",
        '"',
        "[",
        "{",
        "&amp;",
        "%41",
        ", ",
        "a;",
    ],
)
def test_hostile_text(piece: str) -> None:
    """Text made to keep patterns busy is redacted like any other; quadratic work would not end."""
    text = piece * (400_000 // len(piece))
    REDACTOR.excerpt(text.encode())
    REDACTOR.target("/" + text)
    once = REDACTOR.exchange(exchange(text, "text/plain"), NONE)
    assert once.response is not None
    redact_headers.redact_header("set-cookie", text, Blinder(KEY))
    REDACTOR.exchange(exchange(text), NONE)


@given(
    st.text(st.sampled_from("abcXYZ 0123456789-_./:,=&?@~\"'\\"), max_size=60)
    | st.lists(
        st.sampled_from(
            (
                *("Bearer", "abcd1234", "Basic", "dXNlcjpwYXNz", "4111", "1111", "4111111111111111", "378282246310005"),
                *("sk-abcdefghij0123456789xyz", "eyJhbGciOi.eyJzdWIi", "://u:p@", "token=", " ", "-", "?", "/", "&"),
            )
        ),
        max_size=8,
    ).map("".join)
)
def test_what_passes_the_fast_sieves_holds_no_secret(text: str) -> None:
    """Whatever is let through at a glance is what the whole search would leave alone."""
    value = dumps(text)
    if is_plain_value(value):
        assert not may_hold_secret(value) or redact_raw(value, Blinder(b"k")) == value
    if is_plain_target(text):
        assert slow_target(text) == text


def slow_target(target: str) -> str:
    """Redact a target without the sieve: a space in the fragment is no plain character."""
    redacted = Redactor(b"k").target(f"{target}# ")
    return redacted.removesuffix("# ")


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_a_body_that_comes_in_pieces_has_the_hash_of_the_whole(pieces: list[bytes]) -> None:
    """Whoever cut a body, its hash tells it equal to one that was kept."""
    for redactor, algorithm in ((REDACTOR, "hmac-sha256"), (Redactor(KEY, enabled=False), "sha256")):
        hasher = redactor.body_hasher()
        for piece in pieces:
            hasher.update(piece)
        assert str(hasher).startswith(f"{algorithm}:")
        if redactor.enabled:
            assert str(hasher) == redactor.hash_body(bytes_body(b"".join(pieces)))


def test_a_body_that_would_expand_too_far_is_withheld() -> None:
    """Whoever must not spend long on one body says how far it may expand."""
    data = gzip.compress(b"a" * 5000)
    exchange = Exchange(
        request_id="r",
        role="live",
        started_us=0,
        request=Request("GET", "/"),
        response=Response(200, [("content-encoding", "gzip"), ("content-type", "text/plain")], bytes_body(data)),
    )
    for limit, kept in ((5000, True), (4999, False)):
        response = Redactor(KEY, max_expanded=limit).exchange(exchange, rules("")).response
        assert response is not None
        assert response.body is not None
        assert (response.body.data != "") is kept
        assert response.body.truncated is not kept
        assert response.body.size == len(data)


def test_a_header_is_redacted_the_same_when_its_value_is_remembered() -> None:
    """A value that comes again gets the mark that it got first, by the name of its header."""
    redactor = Redactor(KEY)
    headers = [("authorization", "Bearer abc"), ("accept", "Bearer abc"), ("x-api-key", "k" * 300)]
    exchange = Exchange(request_id="r", role="live", started_us=0, request=Request("GET", "/", headers=headers))
    first, again = (redactor.exchange(exchange, parse_rules("").for_endpoint("", "")).request.headers for _ in range(2))
    assert first == again
    assert first[1] == ("accept", "Bearer abc")
    assert MARK.fullmatch(first[0][1].removeprefix("Bearer "))
    assert MARK.fullmatch(first[2][1])


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("password", "hunter2", True),
        ("db.password", "correct horse", True),
        ("new-token", "on", False),
        ("token_refresh", "V2", False),
        ("session", "variant-b", False),
        ("password", "", False),
        ("theme", "hunter2", False),
    ],
)
def test_a_flag_of_a_secret_s_name_is_hidden_unless_it_is_an_arm(name: str, value: str, *, hidden: bool) -> None:
    """So experiments about tokens can still be told apart."""
    found = Redactor(b"k").flags({name: value})
    assert (found != {name: value}) is hidden
    assert Redactor(b"k").flags(found) == found
    assert Redactor(b"k", enabled=False).flags({name: value}) == {name: value}
