from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from gnomon.model import Body, Exchange, Reject

Read = Callable[..., list[Exchange | Reject]]

DATE = "Sun, 01 Mar 2026 09:00:00 GMT"


def coded(text: str) -> str:
    """Return text as base64."""
    return base64.b64encode(text.encode()).decode()


def message(**changes: Any) -> dict[str, Any]:
    """Return a response of a tuple; members that are None are left out."""
    made = {
        "HTTP-Version": {"keepAliveDefault": True},
        "Status-Code": 200,
        "Reason-Phrase": "OK",
        "response_time_ms": 59,
        "content-type": "application/json",
        "date": DATE,
        "body": coded('{"a":1}'),
    } | {name.replace("_", "-") if name == "Status_Code" else name: value for name, value in changes.items()}
    return {name: value for name, value in made.items() if value is not None}


def tuple_of(**changes: Any) -> dict[str, Any]:
    """Return a whole tuple."""
    asked = {
        "Request-URI": "/_search?q=1",
        "Method": "POST",
        "HTTP-Version": "HTTP/1.1",
        "Host": "capture-proxy:9200",
        "Accept": ["a/b", "c/d"],
        "body": coded("{}"),
    }
    return {
        "sourceRequest": asked,
        "sourceResponse": message(),
        "targetRequest": asked | {"Host": "opensearchtarget"},
        "targetResponses": [message(Status_Code=429), message(response_time_ms=721)],
        "connectionId": "0242acfffe13000a.0",
        "numRequests": 1,
        "numErrors": 0,
    } | changes


def dump(*tuples: object, indent: int | None = None) -> bytes:
    """Return tuples, one a line or pretty."""
    return "\n".join(json.dumps(made, indent=indent) for made in tuples).encode() + b"\n"


@pytest.mark.parametrize("indent", [None, 2])
def test_a_tuple_gives_a_live_and_a_shadow_exchange(read: Read, indent: int | None) -> None:
    """The source is live, the target's last attempt is the shadow; both have the connection's id."""
    live, shadow = read(dump(tuple_of(), indent=indent))
    assert isinstance(live, Exchange)
    assert isinstance(shadow, Exchange)
    assert (live.role, live.request_id, live.service) == ("live", "0242acfffe13000a.0", "capture-proxy:9200")
    assert (shadow.role, shadow.request_id, shadow.request.host) == ("shadow", "0242acfffe13000a.0", "opensearchtarget")
    assert (live.request.method, live.request.path) == ("POST", "/_search?q=1")
    assert live.request.headers == [("Host", "capture-proxy:9200"), ("Accept", "a/b"), ("Accept", "c/d")]
    assert live.request.body == Body("{}", "text", 2)
    assert live.response is not None
    assert live.response.body == Body('{"a":1}', "text", 7)
    assert [name for name, _ in live.response.headers] == ["content-type", "date"]
    assert (live.duration_us, shadow.duration_us) == (59_000, 721_000)
    assert live.started_us == 1_772_355_600_000_000 - 59_000
    assert shadow.response is not None
    assert shadow.response.status == 200


@pytest.mark.parametrize(("role", "expected"), [("live", ["live"]), ("shadow", ["shadow"]), ("control", ["control"])])
def test_a_role_that_was_asked_for_takes_its_side(read: Read, role: str, expected: list[str]) -> None:
    """Source for live, target for shadow and control."""
    found = [item for item in read(dump(tuple_of()), role=role) if isinstance(item, Exchange)]
    assert [item.role for item in found] == expected
    assert found[0].duration_us == (59_000 if role == "live" else 721_000)


@pytest.mark.parametrize(
    ("changes", "expected", "encoded"),
    [
        ({"body": coded("\x00x")}, Body("AHg=", "base64", 2), True),
        ({"body": {"a": 1.50}}, Body('{"a": 1.5}', "text", 10), False),
        ({"body": "plain text!"}, Body("plain text!", "text", 11), False),
        ({"body": "test", "content-length": "4"}, Body("test", "text", 4), False),
        ({"body": "aGk=", "content-length": "2"}, Body("hi", "text", 2), True),
        ({"body": ""}, Body("", "text", 0), True),
        ({"body": None}, Body("", "text", 0), True),
        ({"body": None, "content-length": "10"}, None, True),
        ({"body": None, "payload": {}}, Body("", "text", 0), True),
        ({"body": None, "payload": {"inlinedJsonBody": {"a": [1]}}}, Body('{"a": [1]}', "text", 10), False),
        ({"body": None, "payload": {"inlinedJsonSequenceBodies": [{}, 1]}}, Body("{}\n1\n", "text", 5), False),
        ({"body": None, "payload": {"inlinedTextBody": "hé"}}, Body("hé", "text", 3), False),
        ({"body": None, "payload": {"inlinedBase64Body": "aGk="}}, Body("hi", "text", 2), True),
        ({"body": None, "payload": {"other": 1}}, None, True),
    ],
)
def test_bodies(read: Read, changes: dict[str, Any], expected: Body | None, encoded: bool) -> None:
    """Bodies are base64, text or JSON; content-encoding stays only where the bytes are still encoded."""
    made = message(**({"content-encoding": "br"} | changes))
    live = read(dump(tuple_of(sourceResponse=made)))[0]
    assert isinstance(live, Exchange), live
    assert live.response is not None
    assert live.response.body == expected
    assert ("content-encoding" in dict(live.response.headers)) is encoded


def test_bodies_said_to_be_gzip_that_are_not(read: Read) -> None:
    """The replayer may have expanded a body and left the header."""
    packed = base64.b64encode(b"\x1f\x8b\x08").decode()
    made = [message(**{"content-encoding": "gzip", "body": body}) for body in (coded("{}"), packed)]
    live, shadow = read(dump(tuple_of(sourceResponse=made[0], targetResponses=[made[1]])))
    assert isinstance(live, Exchange)
    assert isinstance(shadow, Exchange)
    assert live.response is not None
    assert shadow.response is not None
    assert "content-encoding" not in dict(live.response.headers)
    assert "content-encoding" in dict(shadow.response.headers)


def test_numbers_in_json_bodies_are_kept_exactly(read: Read) -> None:
    """A body is not parsed and written again."""
    text = dump(tuple_of(sourceResponse=message(body=None, payload={"inlinedJsonBody": "NUMBER"})))
    live = read(text.replace(b'"NUMBER"', b"1.00000000000000000001"))[0]
    assert isinstance(live, Exchange)
    assert live.response is not None
    assert live.response.body == Body("1.00000000000000000001", "text", 22)


def test_older_tuples_have_one_target_response(read: Read) -> None:
    """`targetResponse` is read where there is no list."""
    made = tuple_of(targetResponse=message(Status_Code="404"))
    del made["targetResponses"]
    shadow = read(dump(made))[1]
    assert isinstance(shadow, Exchange)
    assert shadow.response is not None
    assert shadow.response.status == 404


def test_a_target_that_failed_is_a_transport_error(read: Read) -> None:
    """The tuple's error tells the kind."""
    made = tuple_of(targetResponses=[], error="java.net.ConnectException: Connection refused")
    shadow = read(dump(made))[1]
    assert isinstance(shadow, Exchange)
    assert shadow.error is not None
    assert shadow.error.kind == "connect"


def test_a_target_that_was_never_asked_is_missing(read: Read) -> None:
    """No response and no error on the target's side gives no shadow record."""
    (live,) = read(dump(tuple_of(targetResponses=[], targetRequest=None)))
    assert isinstance(live, Exchange)
    assert live.role == "live"


def test_without_a_date_it_is_1970(read: Read) -> None:
    """Tuples have no times of their own, and a reading must not depend on the clock."""
    live = read(dump(tuple_of(sourceResponse=message(date=None))))[0]
    assert isinstance(live, Exchange)
    assert live.started_us == 0


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{]", "not an OpenSearch replayer tuple"),
        (b'{"a":1}', "neither sourceRequest nor targetRequest"),
        (dump(tuple_of(connectionId=None)), "without x-request-id, without traceparent and without connectionId"),
        (dump(tuple_of(sourceResponse=7)), "not an OpenSearch replayer tuple"),
        (dump(tuple_of(targetResponses=[], sourceResponse=None)), "without a live response"),
        (
            dump(tuple_of(targetResponses=[], sourceResponse={"Exception": "bad"})),
            "could not read the live response: bad",
        ),
        (dump(tuple_of(targetResponses=[], sourceRequest={"Exception": "bad"})), "without Method and Request-URI: bad"),
        (dump(tuple_of(targetResponses=[], sourceResponse=message(Status_Code="x"))), "no HTTP status"),
        (
            dump(tuple_of(targetResponses=[], sourceResponse=message(payload={"inlinedTextBody": 7}))),
            "whose inlinedTextBody is no text",
        ),
        (
            dump(tuple_of(targetResponses=[], sourceResponse=message(payload={"inlinedJsonSequenceBodies": 7}))),
            "is no list",
        ),
        (dump(tuple_of(targetResponses=[], sourceResponse=message(payload=7))), "not an object"),
        (b"[" * 100_000, "not an OpenSearch replayer tuple"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_a_broken_tuple_is_a_reject_among_good_ones(read: Read, bad: bytes, reason: str) -> None:
    """What is wrong with one line is said with its number, and the others are read."""
    items = read(dump(tuple_of()) + bad.strip() + b"\n" + dump(tuple_of()))
    assert len([item for item in items if isinstance(item, Exchange)]) == 4
    (reject,) = [item for item in items if isinstance(item, Reject)]
    assert reject.place.line == 2
    assert reason in reject.reason


def test_request_ids_come_before_trace_ids_before_connection_ids(read: Read) -> None:
    """Tuples of one trace have ids of their own, the same for both sides."""
    traced = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    asked = tuple_of()["sourceRequest"] | traced
    tuples = [tuple_of(sourceRequest=asked) for _ in range(2)]
    named = tuple_of(sourceRequest=asked | {"X-Request-Id": "r1"})
    ids = [item.request_id for item in read(dump(*tuples, named)) if isinstance(item, Exchange)]
    first, again, second, twice, *rest = ids
    assert (first, again, rest) == ("4bf92f3577b34da6a3ce929d0e0e4736", first, ["r1", "r1"])
    assert second == twice != first
    assert second.startswith(f"{first}:")
