from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.collect.entries import STARTED, encoded, head, message, read

from gnomon.collect.exchange import Origin, Skip, read_entry, read_log_name
from gnomon.model import Body, Exchange

LIVE = Origin("live", "")


def exchange(sent: Any, origin: Origin = LIVE, body_bytes: int = 100) -> Exchange:
    """The exchange of a message, which has one."""
    made = read_entry(read(sent), origin, body_bytes=body_bytes, emitter="test")
    assert isinstance(made, Exchange)
    return made


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        (b"live", Origin("live", "")),
        (b"shadow:cart@2.4.0-rc1", Origin("shadow", "cart@2.4.0-rc1")),
        (b"control", Origin("control", "")),
        (b"shadow:a:b", Origin("shadow", "a:b")),
        (b"access", Origin()),
        (b"", Origin()),
        (b"\xff:x", Origin()),
    ],
)
def test_a_log_s_name_says_role_and_target(name: bytes, origin: Origin) -> None:
    """A name that is no role says nothing."""
    assert read_log_name(name) == origin


def test_an_entry_becomes_an_exchange() -> None:
    """Headers without the pseudo-headers, times in microseconds, the service of the host."""
    made = exchange(message({"response_body": encoded('{"a":1}'), "expect": "shadow:cart@2,control"}))
    assert (made.request_id, made.role, made.service, made.emitter) == ("r-1", "live", "shop.example", "test")
    assert (made.started_us, made.duration_us) == (STARTED * 1_000_000, 5_000)
    assert made.expect == ["shadow:cart@2", "control"]
    assert (made.request.method, made.request.path, made.request.host) == ("GET", "/items/7?q=1", "shop.example")
    assert made.request.headers == [("x-request-id", "r-1"), ("accept", "*/*")]
    assert made.request.body == Body("", "text", 0)
    assert made.response is not None
    assert made.response.headers == [("content-type", "application/json")]
    assert (made.response.status, made.response.body) == (200, Body('{"a":1}', "text", 7))


def test_tags_are_read_from_the_headers() -> None:
    """What makes it synthetic, its flags and its moment."""
    tags = head(_path="/", x_request_id="r", x_synthetic="probe", x_feature_flags="a=1", x_as_of="2027-07-12T00:00:00Z")
    made = exchange(message({"request": tags}))
    assert (made.synthetic, made.flags, made.as_of) == ("probe", {"a": "1"}, "2027-07-12T00:00:00Z")


def test_the_role_is_the_log_s_else_the_header_s_else_live() -> None:
    """A header cannot overrule the name of the log."""
    tagged = {"request": head(_path="/", x_request_id="r", x_gnomon_role="shadow")}
    assert exchange(message(tagged), Origin("control", "")).role == "control"
    assert exchange(message(tagged), Origin()).role == "shadow"
    assert exchange(message({}), Origin()).role == "live"


def test_the_id_is_the_header_s_else_envoy_s_else_the_trace_s() -> None:
    """Without any nothing can be joined, and an id that no record may have is none."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = message({"request": head(_path="/", traceparent=f"00-{trace}-b7ad6b7169203331-01")})
    assert exchange(sent).request_id == "r-1"
    sent.http_logs.log_entry[0].request.request_id = ""
    assert exchange(sent).request_id == trace
    for headers in (head(_path="/"), head(_path="/", x_request_id="x" * 257)):
        sent = message({"request": headers})
        sent.http_logs.log_entry[0].request.request_id = ""
        assert read_entry(read(sent), LIVE, body_bytes=9) == Skip("no_id")


@pytest.mark.parametrize(
    ("flag", "details", "kind"),
    [
        ("upstream_request_timeout", "response_timeout", "timeout"),
        ("stream_idle_timeout", "stream_idle_timeout", "timeout"),
        ("upstream_connection_failure", "upstream_reset_before_response_started{connection_failure}", "connect"),
        ("no_healthy_upstream", "no_healthy_upstream", "connect"),
        ("upstream_remote_reset", "upstream_reset_before_response_started{remote_reset}", "reset"),
        ("upstream_protocol_error", "upstream_reset_before_response_started{protocol_error}", "protocol"),
        ("upstream_protocol_error", "upstream_reset_after_response_started{protocol_error}", "reset"),
        ("upstream_overflow", "upstream_reset_before_response_started{overflow}", "overload"),
        ("overload_manager", "overload", "overload"),
    ],
)
def test_what_envoy_answered_itself_is_an_error(flag: str, details: str, kind: str) -> None:
    """Its 503 or 504 is not the service's answer."""
    made = exchange(
        message({"response_body": encoded("no healthy upstream")}, status=503, details=details, **{flag: True})
    )
    assert made.response is None
    assert made.error is not None
    assert (made.error.kind, made.error.message) == (kind, details)


def test_an_error_without_a_flag_is_one_too() -> None:
    """A body too large for the hop's buffer, or an answer of another filter."""
    too_large = exchange(message({}, status=413, details="request_payload_too_large")).error
    denied = exchange(message({}, status=403, details="ext_authz_denied")).error
    assert (too_large and too_large.kind, denied and denied.kind) == ("overload", "protocol")


def test_nobody_was_sent_what_the_proxy_answered_before_it_asked_a_service() -> None:
    """The edge had decided to mirror it, and it came to nothing."""
    sent = message({"expect": "shadow"}, status=403, details="ext_authz_denied")
    sent.http_logs.log_entry[0].common_properties.upstream_request_attempt_count = 0
    assert exchange(sent).expect == []


def test_a_caller_that_leaves_ends_the_answer_or_leaves_none() -> None:
    """An answer that had begun is there as far as it came; else there is an error that says who left."""
    begun = exchange(message({"response_body": encoded("line 1")}, details="x", downstream_connection_termination=True))
    assert begun.response is not None
    assert begun.response.body == Body("line 1", "text", 6, None, truncated=True)
    none = exchange(message({}, status=0, details="x", downstream_connection_termination=True))
    assert (none.response, none.error and none.error.kind) == (None, "reset")


def test_what_is_no_http_exchange_is_left_out() -> None:
    """Upgrades, tunnels, and entries of exchanges that go on."""
    assert read_entry(read(message({}, status=101)), LIVE, body_bytes=9) == Skip("upgrade")
    tunnel = message({"request": head(_method="CONNECT", x_request_id="r")})
    assert read_entry(read(tunnel), LIVE, body_bytes=9) == Skip("upgrade")
    going_on = message({})
    going_on.http_logs.log_entry[0].common_properties.intermediate_log_entry = True
    assert read_entry(read(going_on), LIVE, body_bytes=9) == Skip("intermediate")


def test_a_long_body_is_cut_at_the_bound_with_the_hash_of_the_whole() -> None:
    """What Lua had whole is hashed here; what it had cut has the hash that it made."""
    data = b"0123456789" * 20
    body = exchange(message({"response_body": encoded(data)})).response
    assert body is not None
    assert body.body == Body(
        data[:100].decode(), "text", 200, f"sha256:{hashlib.sha256(data).hexdigest()}", truncated=True
    )
    cut = {"response_body": encoded(data), "response_size": 5e6, "response_hash": "00ff00ff00ff00ff"}
    made = exchange(message(cut)).response
    assert made is not None
    assert made.body == Body(data[:100].decode(), "text", 5_000_000, "xxh64:00ff00ff00ff00ff", truncated=True)


def test_a_cut_in_the_middle_of_a_character_leaves_text() -> None:
    """Half of an umlaut goes, the rest is still read as text."""
    made = exchange(message({"response_body": encoded("ü" * 100)}), body_bytes=11).response
    assert made is not None
    assert made.body is not None
    assert (made.body.data, made.body.encoding, made.body.size) == ("ü" * 5, "text", 200)


@given(st.binary(max_size=300), st.integers(1, 300))
def test_bodies_are_safe_and_within_the_bound(data: bytes, bound: int) -> None:
    """Any bytes come out as they went in, as far as the bound, with their size."""
    made = exchange(message({"response_body": encoded(data)}), body_bytes=bound).response
    assert made is not None
    body = made.body
    assert body is not None
    out = body.data.encode() if body.encoding == "text" else base64.b64decode(body.data)
    assert (body.size, body.truncated) == (len(data), len(data) > bound)
    assert data[:bound].startswith(out)
    assert len(out) >= min(bound, len(data)) - (3 if body.truncated else 0)


@given(st.binary(max_size=200))
def test_headers_of_any_bytes_are_read(data: bytes) -> None:
    """Nothing that traffic puts into a header raises, and what is there is text."""
    made = read_entry(read(message({"request": encoded(b"x-request-id\nr\nx\n" + data)})), LIVE, body_bytes=10)
    assert isinstance(made, Exchange)
    assert dict(made.request.headers)["x-request-id"]


def test_without_the_filter_envoy_s_own_fields_count() -> None:
    """Method, path, host and listed headers are there; bodies are unknown."""
    sent = message(None)
    entry = sent.http_logs.log_entry[0]
    entry.request.request_method = 3
    entry.request.path, entry.request.authority = "/pay", "shop.example"
    entry.request.request_headers["x-feature-flags"] = "a=1"
    entry.response.response_headers["content-type"] = "text/plain"
    made = exchange(sent)
    assert (made.request.method, made.request.path, made.request.host) == ("POST", "/pay", "shop.example")
    assert (made.flags, made.request.body, made.expect) == ({"a": "1"}, None, None)
    assert made.response is not None
    assert (made.response.headers, made.response.body) == ([("content-type", "text/plain")], None)


def test_trailers_are_kept_apart() -> None:
    """The status of a gRPC call is in them."""
    made = exchange(message({"trailers": head(grpc_status="5")})).response
    assert made is not None
    assert made.trailers == [("grpc-status", "5")]
