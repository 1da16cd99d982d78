from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gnomon.capture import Limits, Source
from gnomon.errors import InputError
from gnomon.model import Body, Exchange, Reject

Read = Callable[..., list[Exchange | Reject]]


def entry(**changes: Any) -> dict[str, Any]:
    """Return a whole entry; `request_` and `response_` names change those objects."""
    made: dict[str, Any] = {
        "startedDateTime": "2026-03-01T10:00:00.250+01:00",
        "time": 12.5,
        "request": {
            "method": "GET",
            "url": "https://user@shop.example:8443/cart?id=7#top",
            "headers": [{"name": ":authority", "value": "shop.example"}, {"name": "Accept", "value": "*/*"}],
            "bodySize": 0,
        },
        "response": {
            "status": 200,
            "headers": [
                {"name": "Content-Type", "value": "application/json"},
                {"name": "Content-Encoding", "value": "gzip"},
            ],
            "content": {"size": 7, "text": '{"a":1}'},
        },
        "timings": {"blocked": -1, "send": 1, "wait": 2, "receive": 3},
    }
    for name, value in changes.items():
        part, _, rest = name.partition("_")
        if part in {"request", "response"} and rest:
            made[part] = made[part] | {rest: value}
        else:
            made[name] = value
    return made


def har(*entries: object) -> bytes:
    """Return a HAR with these entries."""
    return json.dumps({"log": {"version": "1.2", "pages": [{"id": "{"}], "entries": entries}}).encode()


def one(read: Read, made: object) -> Exchange:
    """Read the only exchange of a HAR with one entry."""
    (item,) = read(har(made))
    assert isinstance(item, Exchange), item
    return item


def test_an_entry_becomes_an_exchange(read: Read) -> None:
    """Times, path with query, host, headers and body come over; pseudo-headers and content-encoding do not."""
    found = one(read, entry())
    assert found.started_us == 1_772_355_600_250_000
    assert found.duration_us == 12_500
    assert (found.request.method, found.request.path, found.request.host) == (
        "GET",
        "/cart?id=7",
        "shop.example:8443",
    )
    assert found.request.headers == [("Accept", "*/*")]
    assert found.request.body == Body("", "text", 0)
    assert found.response is not None
    assert found.response.headers == [("Content-Type", "application/json")]
    assert found.response.body == Body('{"a":1}', "text", 7)
    assert (found.role, found.service, found.emitter) == ("live", "shop.example:8443", "har")


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf", b" \n"])
def test_layout_of_the_file_does_not_matter(read: Read, indent: int | None, prefix: bytes) -> None:
    """A byte order mark, white space and indentation are read over."""
    text = json.dumps(json.loads(har(entry(), entry())), indent=indent).encode()
    assert [type(item) for item in read(prefix + text)] == [Exchange, Exchange]


@pytest.mark.parametrize(
    "headers",
    [
        [{"name": "X-Request-Id", "value": "r1"}, {"name": "n", "value": 1}],
        [["X-Request-Id", "r1"], ["n", "1"]],
        {"X-Request-Id": "r1", "n": 1},
        {"X-Request-Id": ["r1"], "n": ["1"]},
    ],
)
def test_headers_as_objects_pairs_or_one_object(read: Read, headers: object) -> None:
    """Headers are read in every shape that writers use, and x-request-id is the join key."""
    found = one(read, entry(request_headers=headers))
    assert found.request_id == "r1"
    assert found.request.headers == [("X-Request-Id", "r1"), ("n", "1")]


def test_a_trace_id_is_the_join_key_where_there_is_no_request_id(tmp_path: Path, read_files: Read) -> None:
    """Calls pair by their traces, whatever their order; the calls of one page, which share theirs, stay apart."""

    def traced(trace: str, url: str) -> dict[str, object]:
        header = {"name": "traceparent", "value": f"00-{trace * 32}-00f067aa0ba902b7-01"}
        return entry(request_url=url, request_headers=[header])

    calls = [traced("a", "http://a/1"), traced("b", "http://a/2"), *[traced("c", f"http://a/{n}") for n in (3, 4, 4)]]
    (tmp_path / "live.har").write_bytes(har(*calls))
    (tmp_path / "shadow.har").write_bytes(har(calls[1], traced("a", "http://b/other"), *calls[2:]))
    sources = [Source(str(tmp_path / "live.har"), "live"), Source(str(tmp_path / "shadow.har"), "shadow")]
    items = [item for item in read_files(*sources) if isinstance(item, Exchange)]
    live = {item.request_id: item.request.path for item in items if item.role == "live"}
    shadow = {item.request_id: item.request.path for item in items if item.role == "shadow"}
    assert len(live) == len(calls)
    assert (live["a" * 32], live["b" * 32], live["c" * 32]) == ("/1", "/2", "/3")
    assert shadow == {**live, "a" * 32: "/other"}


def test_a_live_and_a_shadow_har_pair(tmp_path: Path, read_files: Read) -> None:
    """Ids are made of method, path, body and order of appearance, not of the host or the time."""
    posted = {"postData": {"mimeType": "application/json", "text": '{"sku":1}'}}
    live = [
        entry(),
        entry(request=entry()["request"] | posted | {"method": "POST"}),
        entry(),
        entry(request_url="https://a/other"),
    ]
    shadow = [
        entry(startedDateTime="2026-03-02T00:00:00Z", request_url="http://127.0.0.1:9/cart?id=7"),
        entry(request_url="http://b/other"),
        entry(request_url="http://b/cart?id=7"),
        entry(request=entry()["request"] | posted | {"method": "POST", "url": "http://b/cart?id=7"}),
    ]
    (tmp_path / "live.har").write_bytes(har(*live))
    (tmp_path / "shadow.har").write_bytes(har(*shadow))
    sources = [Source(str(tmp_path / "live.har"), "live"), Source(str(tmp_path / "shadow.har"), "shadow")]
    items = [item for item in read_files(*sources) if isinstance(item, Exchange)]
    ids = {
        role: {item.request_id: item.request.path for item in items if item.role == role} for role in ("live", "shadow")
    }
    assert len(ids["live"]) == 4
    assert ids["live"] == ids["shadow"]
    assert items[0].request_id.startswith("har:")
    assert items[0].request_id.endswith(":1")
    assert items[2].request_id == items[0].request_id[:-1] + "2"


def test_several_files_of_a_role_count_on(tmp_path: Path, read_files: Read) -> None:
    """A live capture in two files gives the same ids as in one."""
    (tmp_path / "1.har").write_bytes(har(entry()))
    (tmp_path / "2.har").write_bytes(har(entry()))
    (tmp_path / "both.har").write_bytes(har(entry(), entry()))

    def ids(*names: str) -> list[str]:
        sources = [Source(str(tmp_path / name)) for name in names]
        return [item.request_id for item in read_files(*sources) if isinstance(item, Exchange)]

    assert ids("1.har", "2.har") == ids("both.har")


@pytest.mark.parametrize(
    ("time", "timings", "expected"),
    [
        (12.5, {}, 12_500),
        (0, {}, 0),
        (-1, {"blocked": -1, "send": 1, "wait": 2.5, "receive": 3, "ssl": 9}, 6_500),
        (None, {"send": -1}, None),
        ("12", None, None),
        (True, {}, None),
        (1e300, {}, None),
    ],
)
def test_duration(read: Read, time: object, timings: object, expected: int | None) -> None:
    """`time` is milliseconds; where it does not apply the timings that do are added up."""
    assert one(read, entry(time=time, timings=timings)).duration_us == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"size": 2, "text": "/w==", "encoding": "base64"}, Body("/w==", "base64", 1)),
        ({"size": 2, "text": "aGk=", "encoding": "base64"}, Body("hi", "text", 2)),
        ({"size": 0, "text": ""}, Body("", "text", 0)),
        ({"size": 0}, Body("", "text", 0)),
        ({"size": 900}, None),
        ({"size": 900, "text": ""}, None),
        (None, None),
    ],
)
def test_response_bodies(read: Read, content: object, expected: Body | None) -> None:
    """Base64 is undone, an empty body is empty, and one that was not recorded is null."""
    response = one(read, entry(response_content=content)).response
    assert response is not None
    assert response.body == expected
    kept = [name for name, _ in response.headers]
    assert ("Content-Encoding" in kept) is (not (expected and expected.data))


@pytest.mark.parametrize(
    ("request_part", "expected"),
    [
        ({"postData": {"text": "x=1"}}, Body("x=1", "text", 3)),
        ({"postData": {"text": "aGk=", "encoding": "base64"}}, Body("hi", "text", 2)),
        (
            {"postData": {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a b", "value": "ö"}]}},
            Body("a+b=%C3%B6", "text", 10),
        ),
        ({"postData": {"mimeType": "multipart/form-data", "params": [{"name": "a"}]}, "bodySize": 9}, None),
        ({"postData": {"params": 1}, "bodySize": 9}, None),
        ({"bodySize": -1}, None),
    ],
)
def test_request_bodies(read: Read, request_part: dict[str, Any], expected: Body | None) -> None:
    """Posted text and form parameters are the request's body."""
    assert one(read, entry(request=entry()["request"] | request_part)).request.body == expected


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"response_status": 0}, "connect"),
        ({"response_status": -1, "_error": "net::ERR_TIMED_OUT"}, "timeout"),
        ({"response_status": 0, "response__error": "net::ERR_CONNECTION_RESET"}, "reset"),
        ({"response_status": 0, "response__error": "net::ERR_CONNECTION_REFUSED"}, "connect"),
        ({"response_status": 0, "response__error": "net::ERR_ABORTED"}, "reset"),
    ],
)
def test_status_0_is_a_transport_error(read: Read, changes: dict[str, Any], kind: str) -> None:
    """Where there was no response, the writer's words tell the kind of error."""
    found = one(read, entry(**changes))
    assert found.response is None
    assert found.error is not None
    assert found.error.kind == kind


def test_unpaired_surrogates_are_replaced(read: Read) -> None:
    """A browser may write half an emoji; the entry is read all the same."""
    text = har(entry(response_content={"size": 3, "text": "TEXT"})).replace(b"TEXT", b"x\\ud83d")
    (found,) = read(text)
    assert isinstance(found, Exchange)
    assert found.response is not None
    assert found.response.body == Body("x?", "text", 2)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (None, "not a JSON object"),
        ([], "an entry that is not an object"),
        ({}, "without an object 'request'"),
        (entry(startedDateTime="yesterday"), "not a time: 'yesterday'"),
        (entry(startedDateTime=None), "the time is missing"),
        (entry(startedDateTime="1901-01-01T00:00:00Z"), "before 1970"),
        (entry(request_url="data:text/plain,hi"), "scheme 'data'"),
        (entry(request_url="http://[::1"), "not a URL"),
        (entry(request_method=""), "without a method"),
        (entry(response_status="OK"), "no HTTP status"),
        (entry(response_status=1000), "no HTTP status"),
        (entry(response_content={"text": "#", "encoding": "base64"}), "not the base64 it says"),
        (entry(request_headers=[["x-request-id", "r" * 257]]), "the request id has 257 characters"),
    ],
)
def test_a_broken_entry_is_a_reject_among_good_ones(read: Read, bad: object, reason: str) -> None:
    """What is wrong with one entry is said with its number, and the others are read."""
    first, second, third = read(har(entry(), bad, entry()))
    assert isinstance(first, Exchange)
    assert isinstance(third, Exchange)
    assert isinstance(second, Reject)
    assert second.place.line == 2
    assert reason in second.reason


@pytest.mark.parametrize("inside", ['{"a":' * 100_000, "[" * 100_000])
def test_deep_nesting_is_a_reject(read: Read, inside: str) -> None:
    """An entry nested 100,000 levels deep does not bring the reader down."""
    closing = "".join("}" if char == "{" else "]" for char in reversed(inside) if char in "{[")
    text = har(entry(), entry()).replace(b"12.5", (inside + "1" + closing).encode(), 1)
    first, second = read(text)
    assert isinstance(first, Reject)
    assert first.reason == "JSON that is nested too deeply"
    assert isinstance(second, Exchange)


@pytest.mark.parametrize("cut", [3, 30, 700])
def test_a_har_that_is_cut_off_gives_the_entries_before(read: Read, cut: int) -> None:
    """A browser that was killed while writing leaves a file that is still worth reading."""
    text = har(*[entry()] * 3)
    *good, last = read(text[: len(text) - cut])
    assert all(isinstance(item, Exchange) for item in good)
    assert len(good) == {3: 3, 30: 2, 700: 1}[cut]
    assert isinstance(last, Reject)
    assert "cut off" in last.reason


def test_a_har_in_broken_gzip_gives_the_entries_before(read: Read) -> None:
    """Compression that breaks off is told as such."""
    text = gzip.compress(har(*[entry(request_url=f"http://a/{number}") for number in range(3000)]))
    *good, last = read(text[: len(text) // 2], "har")
    assert len(good) > 100
    assert isinstance(last, Reject)
    assert "gzip data ends in the middle" in last.reason


def test_an_entry_over_the_limit_is_skipped_without_being_held(read: Read) -> None:
    """One huge entry costs itself only, even when its strings end in backslashes at chunk borders."""
    huge = entry(response_content={"text": "\\" * 3_000_000 + '"}]' * 1000})
    first, second, third = read(har(entry(), huge, entry()), limits=Limits(record=100_000))
    assert isinstance(first, Exchange)
    assert isinstance(third, Exchange)
    assert isinstance(second, Reject)
    assert "at most 100,000 are read" in second.reason
    size = len(json.dumps(huge))
    assert f"{size:,} bytes" in second.reason


@pytest.mark.parametrize("text", [b"", b"hello", b"{}", b'{"log":{"entries":{}}}', b'{"entries":[{}]}', b"PK\x03\x04"])
def test_no_entries_at_all_is_an_input_error(read: Read, text: bytes) -> None:
    """A file that is no HAR is refused as a whole, with a remedy."""
    with pytest.raises(InputError, match=r"not a HAR.*--format"):
        read(text, "har")


def test_an_empty_har_has_no_records(read: Read) -> None:
    """A HAR without entries is fine."""
    assert read(har()) == []


def test_tags_are_read_from_the_request(read: Read) -> None:
    """Synthetic traffic, flags, the asked-for time and the role come from request headers."""
    headers = {
        "X-Synthetic": "probe",
        "baggage": "flag.theme=b",
        "x-as-of": "2027-07-12T00:00:00Z",
        "x-gnomon-role": "shadow",
    }
    found = one(read, entry(request_headers=headers))
    assert (found.synthetic, found.flags, found.as_of, found.role) == (
        "probe",
        {"theme": "b"},
        "2027-07-12T00:00:00Z",
        "shadow",
    )


def test_the_role_that_was_asked_for_wins(read: Read) -> None:
    """What the command line says is stronger than what is on the wire."""
    text = har(entry(request_headers={"x-gnomon-role": "shadow"}))
    (found,) = read(text, role="control")
    assert isinstance(found, Exchange)
    assert found.role == "control"
