from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gnomon.capture import Limits, Source
from gnomon.errors import InputError
from gnomon.model import Body, Exchange, Reject

Read = Callable[..., list[Exchange | Reject]]

TIMES = ("2026-03-01T09:00:00.123456789Z", "2026-03-01T09:00:00.223456789Z")


def pairs(*headers: tuple[str, str]) -> list[dict[str, str]]:
    """Return headers as Envoy writes them."""
    return [{"key": name, "value": value, "raw_value": ""} for name, value in headers]


def tap(request_id: str = "r1", role: str = "", **changes: Any) -> dict[str, Any]:
    """Return a buffered trace; `request_` and `response_` names change those messages."""
    trace: dict[str, Any] = {
        "request": {
            "headers": pairs(
                (":authority", "shop.example"),
                (":method", "POST"),
                (":path", "/cart?id=7"),
                (":scheme", "http"),
                *([("x-request-id", request_id)] if request_id else []),
                *([("x-gnomon-role", role)] if role else []),
            ),
            "body": {"truncated": False, "as_bytes": base64.b64encode(b'{"sku":1}').decode()},
            "trailers": [],
            "headers_received_time": TIMES[0],
        },
        "response": {
            "headers": pairs((":status", "200"), ("content-type", "application/json")),
            "body": {"truncated": False, "as_string": '{"ok":true}'},
            "trailers": pairs(("grpc-status", "0")),
            "headers_received_time": TIMES[1],
        },
    }
    for name, value in changes.items():
        part, _, rest = name.partition("_")
        trace[part] = trace[part] | {rest: value}
    return {"http_buffered_trace": trace}


def camel(value: object) -> object:
    """Return the same tap with camelCase keys."""
    if isinstance(value, dict):
        renamed = {}
        for name, content in value.items():
            first, *rest = name.split("_")
            renamed[first + "".join(word.capitalize() for word in rest)] = camel(content)
        return renamed
    return [camel(item) for item in value] if isinstance(value, list) else value


def dump(*taps: object, indent: int | None = 1) -> bytes:
    """Return taps as Envoy writes them into one file: pretty documents, one after the other."""
    return "\n".join(json.dumps(made, indent=indent) for made in taps).encode()


@pytest.mark.parametrize("change", [lambda made: made, camel])
def test_a_buffered_trace_becomes_an_exchange(read: Read, change: Callable[[object], object]) -> None:
    """Pseudo-headers, bodies, trailers and times are read in both key cases."""
    (found,) = read(dump(change(tap())))
    assert isinstance(found, Exchange)
    assert (found.request_id, found.role, found.emitter) == ("r1", "live", "envoy-tap")
    assert (found.request.method, found.request.path, found.request.host) == ("POST", "/cart?id=7", "shop.example")
    assert found.request.headers == [("x-request-id", "r1")]
    assert found.request.body == Body('{"sku":1}', "text", 9)
    assert found.response is not None
    assert found.response.status == 200
    assert found.response.headers == [("content-type", "application/json")]
    assert found.response.body == Body('{"ok":true}', "text", 11)
    assert found.response.trailers == [("grpc-status", "0")]
    assert found.started_us == 1_772_355_600_123_456
    assert found.duration_us == 100_000


@pytest.mark.parametrize(
    "data",
    [
        dump(tap("a"), tap("b"), tap("c")),
        dump(tap("a"), tap("b"), tap("c"), indent=None),
        dump([tap("a"), tap("b"), tap("c")]),
        dump(tap("a"), tap("b"), tap("c")).replace(b"\n", b"\r\n"),
        b"".join(dump(tap(name), indent=None) for name in "abc"),
    ],
)
def test_several_documents_in_a_file(read: Read, data: bytes) -> None:
    """Documents may follow each other in any layout, or be one array."""
    assert [item.request_id for item in read(data) if isinstance(item, Exchange)] == ["a", "b", "c"]


def test_a_directory_of_taps(tmp_path: Path, read_files: Read) -> None:
    """Every file is a tap; one that is none is a reject, hidden ones are left out."""
    (tmp_path / "tap_1.json").write_bytes(dump(tap("a", "live")))
    (tmp_path / "tap_2.json").write_bytes(dump(tap("a", "shadow")))
    (tmp_path / "tap_3.pb").write_bytes(b"\x0a\x03abc")
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    live, shadow, reject = read_files(Source(str(tmp_path)))
    assert isinstance(live, Exchange)
    assert isinstance(shadow, Exchange)
    assert (live.role, shadow.role) == ("live", "shadow")
    assert isinstance(reject, Reject)
    assert "no known format" in reject.reason
    assert reject.place.source.endswith("tap_3.pb")


def test_an_empty_directory_is_an_input_error(tmp_path: Path, read_files: Read) -> None:
    """A directory without files is a mistake."""
    with pytest.raises(InputError, match="directory without files"):
        read_files(Source(str(tmp_path)))


def test_the_role_that_was_asked_for_wins(read: Read) -> None:
    """What the command line says is stronger than x-gnomon-role, which a mirror copies along."""
    (found,) = read(dump(tap(role="live")), role="shadow")
    assert isinstance(found, Exchange)
    assert found.role == "shadow"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ([], {"as_bytes": "aGk=", "truncated": True}, Body("hi", "text", 2, truncated=True)),
        ([("content-length", "9000")], {"as_bytes": "aGk=", "truncated": True}, Body("hi", "text", 9000, None, True)),
        ([("content-length", "9000")], {"truncated": True}, Body("", "text", 9000, None, True)),
        ([("content-length", "9000")], {"as_bytes": "aGk="}, Body("hi", "text", 2)),
        ([("content-length", "9000")], None, None),
        ([("content-length", "0")], None, Body("", "text", 0)),
        ([], None, Body("", "text", 0)),
        ([], {"as_bytes": "AP8="}, Body("AP8=", "base64", 2)),
    ],
)
def test_bodies(read: Read, headers: list[tuple[str, str]], body: object, expected: Body | None) -> None:
    """A truncated body keeps the size it had; one that was not tapped is null."""
    (found,) = read(dump(tap(response_headers=pairs((":status", "200"), *headers), response_body=body)))
    assert isinstance(found, Exchange)
    assert found.response is not None
    assert found.response.body == expected


def test_raw_header_values_are_base64(read: Read) -> None:
    """Header values that are not text come as raw bytes."""
    raw = [{"key": ":status", "raw_value": "MjAw"}, {"key": "x", "rawValue": "w7Y="}]
    (found,) = read(dump(tap(response_headers=raw)))
    assert isinstance(found, Exchange)
    assert found.response is not None
    assert (found.response.status, found.response.headers) == (200, [("x", "ö")])


def test_without_times_the_date_header_serves(read: Read) -> None:
    """A tap without record_headers_received_time has no duration."""
    made = tap(
        request_headers_received_time=None,
        response_headers_received_time=None,
        response_headers=pairs((":status", "200"), ("date", "Sun, 01 Mar 2026 09:00:00 GMT")),
    )
    (found,) = read(dump(made))
    assert isinstance(found, Exchange)
    assert (found.started_us, found.duration_us) == (1_772_355_600_000_000, None)


def test_without_a_response_it_is_a_reset(read: Read) -> None:
    """A stream that ended without response headers is a transport error."""
    (found,) = read(dump(tap(response_headers=[], response_body=None)))
    assert isinstance(found, Exchange)
    assert found.error is not None
    assert found.error.kind == "reset"


def test_without_a_request_id_one_is_derived(read: Read) -> None:
    """Equal requests get the same id but for the order of appearance, in each role."""
    taps = [tap("", "live"), tap("", "live"), tap("", "shadow"), tap("", "shadow")]
    ids = [item.request_id for item in read(dump(*taps)) if isinstance(item, Exchange)]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]
    assert ids[0].startswith("envoy:")


def segments(trace: int, request_id: str = "r1") -> list[dict[str, Any]]:
    """Return the segments of one streamed trace."""
    buffered = tap(request_id)["http_buffered_trace"]
    parts = [
        {"request_headers": {"headers": buffered["request"]["headers"]}},
        {"request_body_chunk": {"as_bytes": base64.b64encode(b'{"sku').decode()}},
        {"request_body_chunk": {"as_bytes": base64.b64encode(b'":1}').decode()}},
        {"request_trailers": {"headers": []}},
        {"response_headers": {"headers": buffered["response"]["headers"], "headers_received_time": TIMES[1]}},
        {"response_body_chunk": {"as_string": '{"ok":', "truncated": True}},
        {"response_trailers": {"headers": pairs(("grpc-status", "0"))}},
    ]
    return [{"http_streamed_trace_segment": {"trace_id": str(trace)} | part} for part in parts]


@pytest.mark.parametrize("change", [lambda made: made, camel])
def test_streamed_segments_are_put_together(read: Read, change: Callable[[object], object]) -> None:
    """Interleaved segments of two traces become two exchanges."""
    mixed = [change(part) for both in zip(segments(1, "a"), segments(2, "b"), strict=True) for part in both]
    first, second = read(dump(*mixed))
    assert isinstance(first, Exchange)
    assert isinstance(second, Exchange)
    assert (first.request_id, second.request_id) == ("a", "b")
    assert first.request.body == Body('{"sku":1}', "text", 9)
    assert first.response is not None
    assert first.response.body == Body('{"ok":', "text", 6, None, True)
    assert first.response.trailers == [("grpc-status", "0")]


def test_open_streams_are_bounded(read: Read) -> None:
    """The oldest trace is given out when too many are open."""
    parts = [segments(number, f"r{number}") for number in range(5)]
    data = dump(*[part[0] for part in parts], *[part[4] for part in parts[2:]])
    found = [item for item in read(data, limits=Limits(pending=3)) if isinstance(item, Exchange)]
    assert [item.request_id for item in found if item.error] == ["r0", "r1"]
    assert [item.request_id for item in found if item.response] == ["r2", "r3", "r4"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"socket_buffered_trace":{}}', "not an HTTP tap"),
        (b'{"http_buffered_trace":[]}', "not an HTTP tap"),
        (b'{"http_buffered_trace":{}}', "without the request's :method"),
        (b'{"http_streamed_trace_segment":{"request_headers":{}}}', "without a trace_id"),
        (b'{"http_streamed_trace_segment":7}', "not an HTTP tap"),
        (b'{"http_buffered_trace" {}}', "not valid JSON"),
        (b"[1]", "not a JSON object"),
        (b"noise", "not a JSON object"),
        (dump(tap(response_headers=pairs((":status", "OK")))), "no HTTP status"),
        (dump(tap(response_body={"as_bytes": "#"})), "not the base64"),
        (dump(tap(request_headers_received_time="noon")), "not a time"),
    ],
)
def test_a_broken_tap_is_a_reject_among_good_ones(read: Read, bad: bytes, reason: str) -> None:
    """What is wrong with one document is said, and the others are read."""
    items = read(b"\n".join([dump(tap("a")), bad, dump(tap("b"))]), "envoy-tap")
    assert [item.request_id for item in items if isinstance(item, Exchange)] == ["a", "b"]
    (reject,) = [item for item in items if isinstance(item, Reject)]
    assert reason in reject.reason


def test_a_tap_that_is_cut_off_is_a_reject(read: Read) -> None:
    """The file's last document is refused where it is incomplete, the one before it is read."""
    first, second = read(dump(tap("a"), tap("b"))[:-20])
    assert isinstance(first, Exchange)
    assert isinstance(second, Reject)
    assert second.place.line == 2
    assert "cut off" in second.reason
