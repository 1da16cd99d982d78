"""One exchange after another through a real Envoy: each is whole and right in the records of both sides."""

from __future__ import annotations

import base64
import gzip
import hmac
import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import xxhash
from tests.integration.envoy.conftest import System
from tests.integration.envoy.parts import ask, wait_for
from tests.integration.envoy.services import LARGE

from gnomon.core.decode import decode_exchange
from gnomon.model import Exchange, Place

pytestmark = [pytest.mark.integration, pytest.mark.envoy]

ROLES = ("live", "shadow", "control")


def test_a_request_is_answered_by_live_and_recorded_on_all_sides(system: System) -> None:
    """The caller gets live's answer; live, shadow and control have one record each, under one id."""
    headers = {"x-feature-flags": "new-cart=on", "authorization": "Bearer hush"}
    answer = ask(system.port, "GET", "/items/1?q=a%20b", headers=headers)
    assert json.loads(answer.body)["service"] == "live"
    records = system.collector.wait("/items/1?q=a%20b")
    assert len({record["request_id"] for record in records.values()}) == 1
    assert records["live"]["expect"] == ["shadow:shop@2", "control"]
    assert [records[role]["target"] for role in ROLES] == ["", "shop@2", ""]
    for role in ROLES:
        record = records[role]
        assert record["service"] == record["request"]["host"] == f"127.0.0.1:{system.port}"
        assert json.loads(record["response"]["body"]["data"])["service"] == role
        assert ["x-served-by", role] in record["response"]["headers"]
        assert record["response"]["status"] == 200
        assert record["flags"] == {"new-cart": "on"}
        assert record["request"]["body"]["data"] == ""
        assert 0 < record["duration_us"] < 20_000_000
        assert abs(record["started_us"] / 1e6 - time.time()) < 60
        assert "hush" not in json.dumps(record)


def test_records_are_valid_and_name_their_emitter(system: System) -> None:
    """What is written is what the rest of Gnomon reads."""
    ask(system.port, "GET", "/valid")
    system.collector.wait("/valid")
    for line in system.collector.file.read_bytes().splitlines():
        assert isinstance(decode_exchange(line, Place("records")), Exchange)
    assert system.collector.records()[0]["emitter"].startswith("gnomon collect ")


def test_targets_are_asked_what_live_was_asked(system: System) -> None:
    """A mirrored request has live's host and addresses; what marks it as mirrored is its role."""
    ask(system.port, "GET", "/same")
    system.collector.wait("/same")
    asked = {
        s.name: next(a for a in s.asked if a.path == "/same") for s in (system.live, system.shadow, system.control)
    }
    for name in ("host", "x-forwarded-for", "x-request-id", "user-agent"):
        assert len({asked[role].header(name) for role in ROLES}) == 1, name
    assert [asked[role].header("x-gnomon-role") for role in ROLES] == [None, "shadow", "control"]
    assert asked["shadow"].header("x-gnomon-forwarded-for") is None


def test_a_large_body_is_cut_with_its_size_and_a_hash_of_the_whole(system: System) -> None:
    """5 MB each way: the bound is kept, and equal bodies have equal hashes whatever chunks they came in."""
    data = bytes(range(256)) * (LARGE // 256)
    answer = ask(system.port, "POST", "/search?large", data)
    assert json.loads(answer.body)["got"] == len(data)
    assert len(ask(system.port, "GET", "/large").body) == LARGE
    uploads, downloads = system.collector.wait("/search?large"), system.collector.wait("/large")
    bodies = [uploads[role]["request"]["body"] for role in ROLES]
    assert {(body["size"], body["truncated"]) for body in bodies} == {(len(data), True)}
    assert len({body["hash"] for body in bodies}) == 1
    assert {base64.b64decode(body["data"]) for body in bodies} == {data[: 256 * 1024]}
    answers = [downloads[role]["response"]["body"] for role in ROLES]
    assert {(body["size"], body["truncated"]) for body in answers} == {(LARGE, True)}
    assert len({body["hash"] for body in answers}) == 1
    assert answers[0]["hash"] != bodies[0]["hash"]


def test_the_hash_is_xxh64(well: System) -> None:
    """Without redaction the hash is that of the bytes; with it, the keyed hash of that text."""
    digest = f"xxh64:{xxhash.xxh64(b'0123456789' * (LARGE // 10)).hexdigest()}"
    keyed = hmac.digest(b"a key for tests", digest.encode(), "sha256").hex()
    ask(well.port, "GET", "/large")
    assert well.collector.wait("/large")["live"]["response"]["body"]["hash"] == f"hmac-sha256:{keyed}"


def test_a_chunked_upload_and_a_streamed_answer_are_whole(system: System) -> None:
    """Chunks are put together as they were without the chunking; the duration is that to the last byte."""
    ask(system.port, "POST", "/search?chunked", iter([b"one ", b"two ", b"three"]))
    for record in system.collector.wait("/search?chunked").values():
        assert record["request"]["body"] == {**record["request"]["body"], "data": "one two three", "size": 13}
    ask(system.port, "GET", "/stream")
    for record in system.collector.wait("/stream").values():
        assert record["response"]["body"]["data"] == "line 0\nline 1\nline 2\n"
        assert record["duration_us"] > 100_000


def test_an_answer_streams_on_while_it_is_recorded(system: System) -> None:
    """The caller has the first line long before the last."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=20)
    connection.request("GET", "/stream?pause=0.3")
    answer = connection.getresponse()
    answer.readline()
    first = time.monotonic()
    answer.read()
    assert time.monotonic() - first > 0.3
    connection.close()


def test_compressed_and_binary_bodies_are_kept_as_they_were_on_the_wire(system: System) -> None:
    """gzip stays gzip, and what is not UTF-8 is base64."""
    ask(system.port, "GET", "/gzip")
    ask(system.port, "GET", "/binary")
    for role, record in system.collector.wait("/gzip").items():
        body = record["response"]["body"]
        assert ["content-encoding", "gzip"] in record["response"]["headers"]
        assert json.loads(gzip.decompress(base64.b64decode(body["data"])))["service"] == role
    for record in system.collector.wait("/binary").values():
        assert base64.b64decode(record["response"]["body"]["data"]) == bytes(range(256))


def test_http_2_is_recorded_like_http_1(system: System) -> None:
    """A caller that speaks HTTP/2 gets its answer, and the records look like any others."""
    with httpx.Client(http1=False, http2=True, timeout=20) as client:
        answer = client.get(f"http://127.0.0.1:{system.port}/h2")
    assert (answer.http_version, answer.json()["service"]) == ("HTTP/2", "live")
    for record in system.collector.wait("/h2").values():
        assert record["request"]["method"] == "GET"
        assert not [name for name, _ in record["request"]["headers"] if name.startswith(":")]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/status/404", 404), ("HEAD", "/head", 200), ("GET", "/status/204", 204)]
)
def test_answers_without_a_body_and_errors_of_the_service_are_answers(
    system: System, method: str, path: str, status: int
) -> None:
    """404, HEAD and 204 are responses; a body that was empty is empty, not unknown."""
    assert ask(system.port, method, path).status == status
    for record in system.collector.wait(path).values():
        assert (record["response"]["status"], record["error"]) == (status, None)
        assert record["request"]["method"] == method
        body = record["response"]["body"]
        assert (body["data"] == "", body["size"] == 0) == ((status != 404), (status != 404))


def test_unsafe_methods_are_not_mirrored_unless_listed(system: System) -> None:
    """A POST is live's alone, and its record says so; a listed one is mirrored."""
    ask(system.port, "POST", "/orders", b"{}")
    ask(system.port, "POST", "/search?listed", b"{}")
    assert system.collector.wait("/orders", ("live",))["live"]["expect"] == []
    assert system.collector.wait("/search?listed")["live"]["expect"] == ["shadow:shop@2", "control"]
    assert not [asked for asked in system.shadow.asked if asked.path == "/orders"]


def test_a_websocket_passes_through_and_is_not_recorded(system: System) -> None:
    """What follows the upgrade reaches the service and comes back; nobody else is asked, nothing is compared."""
    with socket.create_connection(("127.0.0.1", system.port), timeout=20) as caller:
        caller.sendall(
            b"GET /ws HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        answer = caller.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101")
        caller.sendall(b"abc")
        assert caller.recv(10) == b"cba"
    ask(system.port, "GET", "/after-ws")
    system.collector.wait("/after-ws")
    assert not system.collector.of("/ws")
    assert not [asked for asked in system.shadow.asked if asked.path == "/ws"]


def test_a_caller_that_leaves_before_the_answer_is_an_error_of_live_alone(system: System) -> None:
    """Live's record says that the caller left; the shadow's says what the shadow did."""
    with socket.create_connection(("127.0.0.1", system.port), timeout=20) as caller:
        caller.sendall(b"GET /stream?pause=0.4&lines=2&left=1 HTTP/1.1\r\nhost: shop\r\n\r\n")
        caller.recv(4096)
    with socket.create_connection(("127.0.0.1", system.port), timeout=20) as caller:
        caller.sendall(b"GET /hang?left HTTP/1.1\r\nhost: shop\r\n\r\n")
        wait_for(lambda: [asked for asked in system.live.asked if asked.target == "/hang?left"], "live is asked")
    records = system.collector.wait("/stream?pause=0.4&lines=2&left=1")
    body = records["live"]["response"]["body"]
    assert (records["live"]["error"], body["truncated"], body["data"]) == (None, True, "line 0\n")
    assert records["shadow"]["response"]["body"]["data"] == "line 0\nline 1\n"
    records = system.collector.wait("/hang?left")
    assert records["live"]["error"]["kind"] == "reset"
    assert "caller" in records["live"]["error"]["message"]
    assert records["shadow"]["error"]["kind"] == "timeout"


def test_live_that_takes_too_long_is_a_timeout(system: System) -> None:
    """The caller gets 504 from Envoy, and no record calls that the service's answer."""
    assert ask(system.port, "GET", "/hang?slow").status == 504
    for record in system.collector.wait("/hang?slow").values():
        assert (record["response"], record["error"]["kind"]) == (None, "timeout")
        assert record["duration_us"] > 1_000_000


@pytest.mark.parametrize("path", ["/reset", "/torn"])
def test_a_connection_that_breaks_is_a_reset(system: System, path: str) -> None:
    """Before the answer or in the middle of it."""
    try:
        ask(system.port, "GET", path)
    except http.client.IncompleteRead:
        assert path == "/torn"
    for record in system.collector.wait(path).values():
        assert (record["response"], record["error"]["kind"]) == (None, "reset")


@pytest.mark.parametrize(("feeling", "expected"), [("ill", 500), ("reset", "reset")])
def test_a_shadow_that_fails_is_seen_by_the_record_alone(well: System, feeling: str, expected: object) -> None:
    """Callers get live's 200 whatever the shadow does."""
    well.shadow.feeling = feeling
    assert ask(well.port, "GET", f"/shadow/{feeling}").status == 200
    records = well.collector.wait(f"/shadow/{feeling}")
    assert records["live"]["response"]["status"] == 200
    shadow = records["shadow"]
    assert (shadow["response"]["status"] if shadow["response"] else shadow["error"]["kind"]) == expected


def test_a_hundred_at_once_are_all_recorded(system: System) -> None:
    """Each of a hundred concurrent requests has its records, and none has another's."""
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda n: ask(system.port, "GET", f"/many/{n}"), range(100)))
    assert {answer.status for answer in answers} == {200}
    for number in range(100):
        for role, record in system.collector.wait(f"/many/{number}").items():
            assert json.loads(record["response"]["body"]["data"]) == {
                "service": role,
                "path": f"/many/{number}",
                "got": 0,
            }
