"""One pair of exchanges: outcomes, what is visible when bodies are not, and noise from a control."""

from __future__ import annotations

import base64
import gzip
import hashlib
from typing import Any

import pytest

from gnomon.core.body import BodyOptions
from gnomon.core.compare import CONTROL_NOISE, Comparer, Findings, mark_noise, outcome_of
from gnomon.core.rules import parse_rules
from gnomon.model import Body, Difference, Exchange, Header, Request, Response, TransportError

JSON: list[Header] = [("content-type", "application/json")]


def text(data: str, *, truncated: bool = False, size: int | None = None, digest: str | None = None) -> Body:
    """Make a body of text."""
    return Body(data, "text", len(data.encode()) if size is None else size, digest, truncated)


def binary(data: bytes) -> Body:
    """Make a body of bytes."""
    return Body(base64.b64encode(data).decode(), "base64", len(data))


def answered(
    status: int = 200,
    headers: list[Header] | None = None,
    body: Body | None = None,
    trailers: list[Header] | None = None,
) -> Exchange:
    """Make an exchange that got this response."""
    response = Response(status, JSON if headers is None else headers, body, trailers or [])
    return Exchange(request_id="r", role="live", started_us=1, request=Request("GET", "/x"), response=response)


def failed(kind: Any) -> Exchange:
    """Make an exchange that ended in a transport error."""
    return Exchange(
        request_id="r", role="live", started_us=1, request=Request("GET", "/x"), error=TransportError(kind, "why")
    )


def compare(live: Exchange, other: Exchange, rules: str = "") -> tuple[str, list[tuple[str, str, str]], Findings]:
    """Compare under rules; give the outcome and (pattern, kind, severity) of each difference."""
    endpoint = parse_rules(rules).for_endpoint("s", "GET /x")
    findings = Comparer(live, endpoint, BodyOptions()).compare(other)
    shown = [(d.pattern, d.kind, d.severity) for d in findings.differences]
    return outcome_of(findings, findings.differences), shown, findings


@pytest.mark.parametrize(
    ("live", "other", "outcome", "differences"),
    [
        (failed("timeout"), failed("timeout"), "match", []),
        (failed("timeout"), failed("reset"), "diff", [("/error/kind", "changed", "high")]),
        (failed("timeout"), answered(), "live_error", []),
        (answered(), failed("connect"), "shadow_error", []),
        (answered(200), answered(500), "diff", [("/status", "changed", "high")]),
        (
            answered(trailers=[("grpc-status", "0")]),
            answered(trailers=[("grpc-status", "13")]),
            "diff",
            [("/trailers/grpc-status", "changed", "low")],
        ),
        (answered(body=None), answered(body=None), "match", []),
        (answered(body=None), answered(body=text("")), "match", []),
        (answered(body=text("")), answered(body=None), "match", []),
        (answered(body=None), answered(body=text("{}")), "incomparable", []),
        (answered(body=None), answered(500, body=text("{}")), "diff", [("/status", "changed", "high")]),
        (answered(body=text("")), answered(body=text("{}")), "diff", [("/body", "added", "low")]),
        (answered(body=text("[1]")), answered(body=text("")), "diff", [("/body", "removed", "high")]),
        (answered(body=text('{"a":1}')), answered(body=text('{ "a": 1.0 }')), "match", []),
        (
            answered(body=text('{"a":1}')),
            answered(body=text('{"a":"1"}')),
            "diff",
            [("/body/a", "type_changed", "high")],
        ),
        (answered(body=text("{")), answered(body=text("{")), "match", []),
        (answered(body=text("{")), answered(body=text("{}")), "incomparable", []),
        (answered(body=text("{")), answered(404, body=text("{}")), "diff", [("/status", "changed", "high")]),
    ],
)
def test_outcomes(live: Exchange, other: Exchange, outcome: str, differences: list[tuple[str, str, str]]) -> None:
    """Each rule about errors, absent and unreadable bodies decides the outcome it says."""
    assert compare(live, other)[:2] == (outcome, differences)


def test_truncated_bodies_are_equal_by_hash_and_size_only() -> None:
    """What was cut off can be told equal, never different."""
    cut = text("{", truncated=True, size=9, digest="sha256:ab")
    assert compare(answered(body=cut), answered(body=cut))[0] == "match"
    for other in (
        text("{", truncated=True, size=9, digest="sha256:cd"),
        text("{", truncated=True, size=8, digest="sha256:ab"),
        text("{", truncated=True, size=9),
        text("{}"),
    ):
        assert compare(answered(body=cut), answered(body=other))[0] == "incomparable"


def test_truncated_bytes_are_something_else_without_their_encoding() -> None:
    """A lost `content-encoding` is seen whether or not bodies were cut; how it is written is no matter."""
    cut = text("{", truncated=True, size=9, digest="sha256:ab")
    live = answered(headers=[*JSON, ("Content-Encoding", "gzip")], body=cut)
    outcome, _, findings = compare(live, answered(body=cut))
    assert (outcome, findings.unread) == ("incomparable", "a body is truncated and the two are not encoded alike")
    assert compare(live, answered(headers=[*JSON, ("content-encoding", " GZIP, identity")], body=cut))[0] == "match"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
def test_nothing_in_a_content_encoding_is_as_good_as_no_body(encoding: str) -> None:
    """Null and empty are equal, also where emptiness was compressed; something compressed is not."""
    headers = [*JSON, ("content-encoding", encoding)]
    nothing = answered(headers=headers, body=binary(gzip.compress(b"")))
    assert compare(answered(), nothing)[0] == compare(nothing, answered())[0] == "match"
    something = answered(headers=headers, body=binary(gzip.compress(b"{}")))
    assert compare(answered(), something)[0] == compare(something, answered())[0] == "incomparable"
    broken = answered(headers=headers, body=binary(b"\xff"))
    assert compare(answered(), broken)[0] == "incomparable"


@pytest.mark.parametrize(
    "body", [None, text("{"), text("{", truncated=True, size=9), Body("AAE=", "base64", 2, "sha256:ab", truncated=True)]
)
@pytest.mark.parametrize("path", ["/body", "/body/**", "/**"])
def test_an_ignored_body_need_not_be_comparable(body: Body | None, path: str) -> None:
    """Where rules ignore all of the body nobody asks whether it was recorded, whole or readable."""
    rules = f'[[rule]]\npath = "{path}"\nignore = true\n'
    assert compare(answered(body=body), answered(body=text("{}")), rules)[0] == "match"
    assert (
        compare(answered(body=body), answered(body=text("{}")), '[[rule]]\npath = "/body/a"\nignore = true\n')[0]
        == "incomparable"
    )


def test_a_whole_body_without_a_hash_is_hashed_like_the_truncated_one() -> None:
    """A truncated record against a whole one of the same bytes is a match."""
    whole = '{"a": 1}'
    digest = "sha256:" + hashlib.sha256(whole.encode()).hexdigest()
    cut = text("{", truncated=True, size=len(whole), digest=digest)
    assert compare(answered(body=cut), answered(body=text(whole)))[0] == "match"
    keyed = text("{", truncated=True, size=len(whole), digest="hmac-sha256:" + digest[7:])
    assert compare(answered(body=keyed), answered(body=text(whole)))[0] == "incomparable"


def test_compressed_and_plain_bodies_of_one_document_match() -> None:
    """Bodies are read after content-encoding, and the encoding's header differs by nature."""
    packed = answered(headers=[*JSON, ("Content-Encoding", "gzip")], body=binary(gzip.compress(b'{"a":1}')))
    assert compare(packed, answered(body=text('{"a":1}')))[0] == "match"


def test_equal_bytes_are_something_else_without_their_encoding() -> None:
    """A build that forgets to say that it sends gzip breaks every client, though its bytes are live's."""
    packed = binary(gzip.compress(b'{"a":1}'))
    live = answered(headers=[*JSON, ("Content-Encoding", "gzip")], body=packed)
    assert compare(live, answered(body=packed))[0] == "incomparable"
    assert compare(live, live)[0] == "match"


def test_equal_bytes_are_not_parsed() -> None:
    """Bytes that are no JSON at all are a match when both sides have them, so nobody looked inside."""
    broken = answered(body=binary(b"\xff\x00not json"))
    assert compare(broken, answered(body=binary(b"\xff\x00not json")))[0] == "match"


def test_headers_are_compared_by_name_without_case_and_repeats_are_joined() -> None:
    """Names fold, repeats join in order, and what differs by nature is left out."""
    live = answered(headers=[("X-A", "1"), ("x-a", "2"), ("Date", "now"), ("X-Envoy-Upstream", "9")])
    assert compare(live, answered(headers=[("x-a", "1, 2"), ("date", "then")]))[0] == "match"
    assert compare(live, answered(headers=[("x-a", "2, 1")]))[1] == [("/headers/x-a", "changed", "low")]


def test_a_rule_lifts_a_header_that_differs_by_nature() -> None:
    """`date` is compared where a rule names it."""
    live, other = answered(headers=[("date", "a")]), answered(headers=[("date", "b")])
    rule = '[[rule]]\npath = "/headers/Date"\nignore = false'
    assert compare(live, other, rule)[1] == [("/headers/date", "changed", "low")]


def test_cookies_are_taken_apart_and_their_values_are_presence() -> None:
    """A session id may differ; its attributes may not."""
    live = answered(headers=[("set-cookie", "sid=abc; Path=/; HttpOnly"), ("set-cookie", "lang=en")])
    other = answered(headers=[("Set-Cookie", "lang=en"), ("Set-Cookie", "sid=xyz; path=/; Secure")])
    assert compare(live, other)[1] == [
        ("/headers/set-cookie/sid/httponly", "removed", "low"),
        ("/headers/set-cookie/sid/secure", "added", "low"),
    ]
    empty = answered(headers=[("set-cookie", "sid=; Path=/; HttpOnly"), ("set-cookie", "lang=en")])
    assert compare(live, empty)[1] == [("/headers/set-cookie/sid/value", "changed", "low")]


SESSION, ADMIN = "sid=1; Path=/; HttpOnly; Secure", "sid=1; Path=/admin; HttpOnly"


@pytest.mark.parametrize("turned", [False, True])
def test_cookies_of_one_name_are_told_apart_by_domain_and_path(*, turned: bool) -> None:
    """What one loses no other hides, in whatever order they come; the first by domain and path has the name."""
    live = answered(headers=[("set-cookie", value) for value in (SESSION, ADMIN)])
    lost = answered(headers=[("set-cookie", value) for value in ("sid=1; Path=/", ADMIN)][:: -1 if turned else 1])
    assert compare(live, lost)[1] == [
        ("/headers/set-cookie/sid/httponly", "removed", "low"),
        ("/headers/set-cookie/sid/secure", "removed", "low"),
    ]
    same = answered(headers=[("set-cookie", value) for value in (ADMIN, SESSION)])
    assert compare(live, same)[0] == "match"
    one = answered(headers=[("set-cookie", SESSION)])
    assert compare(live, one)[1] == [("/headers/set-cookie/sid; path=~1admin", "removed", "low")]
    elsewhere = answered(headers=[("set-cookie", SESSION), ("set-cookie", f"{ADMIN}; Domain=.Shop.example")])
    assert compare(one, elsewhere)[1] == [
        ("/headers/set-cookie/sid; domain=shop.example; path=~1admin", "added", "low")
    ]


def test_a_cookie_that_is_set_twice_is_two() -> None:
    """A deletion before it, which a browser forgets, is no less a difference."""
    twice = answered(headers=[("set-cookie", "sid=; Path=/; Max-Age=0"), ("set-cookie", "sid=1; Path=/")])
    assert compare(twice, answered(headers=[("set-cookie", "sid=1; Path=/")]))[1] == [
        ("/headers/set-cookie/sid/value", "changed", "low"),
        ("/headers/set-cookie/sid/max-age", "removed", "low"),
        ("/headers/set-cookie/sid; 2", "removed", "low"),
    ]


def test_why_bodies_could_not_be_compared_is_said() -> None:
    """The reason names the side."""
    assert "live's body cannot be read" in str(compare(answered(body=text("{")), answered(body=text("{}")))[2].unread)
    assert "other side's body was not recorded" in str(compare(answered(body=text("{}")), answered())[2].unread)


def difference(pattern: str, kind: Any = "changed", *, noise: bool = False) -> Difference:
    """Make a difference at a pattern."""
    return Difference(pattern, pattern, pattern, kind, "medium", "1", "2", noise, "rule" if noise else None)


def test_noise_is_what_the_control_shows_at_the_same_pattern_and_kind() -> None:
    """Another kind at a noisy pattern is not hidden, and a rule's reason stays."""
    shadow = [
        difference("/body/a"),
        difference("/body/a", "removed"),
        difference("/body/b"),
        difference("/body/c", noise=True),
    ]
    marked = mark_noise(shadow, [difference("/body/a"), difference("/body/c")])
    assert [(d.noise, d.reason) for d in marked] == [
        (True, CONTROL_NOISE),
        (False, None),
        (False, None),
        (True, "rule"),
    ]


@pytest.mark.parametrize(
    ("findings", "outcome"),
    [
        (Findings([]), "match"),
        (Findings([difference("/a")]), "diff"),
        (Findings([difference("/a", noise=True)]), "noise"),
        (Findings([difference("/a", noise=True)], unread="why"), "incomparable"),
        (Findings([difference("/a")], unread="why"), "diff"),
    ],
)
def test_the_outcome_follows_from_what_counts(findings: Findings, outcome: str) -> None:
    """A difference that counts beats what could not be read, which beats noise."""
    assert outcome_of(findings, findings.differences) == outcome
