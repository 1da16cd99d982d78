"""One diverging pair as the page shows it."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from gnomon.model import Body, Response, TransportError
from gnomon.report.pair import MAX_BODY, MAX_DIFFERENCES, Part, anchor, view_pair
from gnomon.summary import Sample
from gnomon.testing import exchange

MakeSample = Callable[..., Sample]
JSON = ("content-type", "application/json")


def texts(part: Part) -> str:
    """All that a part says, one line a row."""
    return "\n".join(
        " | ".join(c.label + c.before + c.differing + c.after if c else "" for c in (row.live, row.shadow))
        for row in part.rows
    )


def test_a_pair_has_its_request_its_answers_and_its_differences(make_sample: MakeSample) -> None:
    """What was asked, both statuses, and the differences, the most severe first."""
    live = exchange("r-1", "live", {"a": 1, "b": 1}, path="/items/7?x=1")
    shadow = exchange("r-1", "shadow", {"a": 2}, path="/items/7?x=1", status=500)
    view = view_pair(make_sample(live, shadow, live_ms=10.0, shadow_ms=12.5, delta_ms=2.5))
    assert view.request_line == "GET /items/7?x=1"
    assert (view.live_answer, view.shadow_answer, view.findings) == ("200", "500", "3 differences")
    assert [(one.path, one.severity) for one in view.differences] == [
        ("/status", "high"),
        ("/body/b", "high"),
        ("/body/a", "medium"),
    ]
    assert dict(view.facts)["Latency"] == "10.0 ms live, 12.5 ms shadow (+2.50 ms)"
    assert [part.title for part in view.parts] == ["Headers", "Body"]
    assert '"a": 1 | "a": 2' in texts(view.parts[1])


def test_headers_that_differ_by_nature_are_shown_and_not_marked(make_sample: MakeSample) -> None:
    """A reader sees the date and the length; the comparison does not."""
    live = exchange("r-1", "live", {"a": 1}, headers=(JSON, ("Date", "Mon"), ("X-Build", "1")))
    shadow = exchange("r-1", "shadow", {"a": 1}, headers=(JSON, ("Date", "Tue"), ("X-Build", "2")))
    headers = view_pair(make_sample(live, shadow)).parts[0]
    assert '"date": "Mon" | "date": "Tue"' in texts(headers)
    assert [row.kind for row in headers.rows if row.kind] == ["changed"]


def test_a_compressed_body_is_laid_out(make_sample: MakeSample) -> None:
    """Bodies are shown after content-encoding, as they were compared."""
    headers = (JSON, ("content-encoding", "gzip"))
    live, shadow = (
        exchange("r-1", role, gzip.compress(text), headers=headers, target="")
        for role, text in (("live", b'{"price": 1}'), ("shadow", b'{"price": "1"}'))
    )
    assert '"price": 1 | "price": "1"' in texts(view_pair(make_sample(live, shadow)).parts[1])


def test_trailers_have_a_part_where_there_are_any(make_sample: MakeSample) -> None:
    """A gRPC status is in the trailers."""
    live = exchange("r-1", "live", response=Response(200, [], Body("", "text", 0), [("grpc-status", "0")]))
    shadow = exchange("r-1", "shadow", response=Response(200, [], Body("", "text", 0), [("grpc-status", "13")]))
    view = view_pair(make_sample(live, shadow))
    assert [part.title for part in view.parts] == ["Headers", "Trailers", "Body"]
    assert '"grpc-status": "0" | "grpc-status": "13"' in texts(view.parts[1])
    assert view.parts[2].notes == ["Both bodies are empty."]


@pytest.mark.parametrize(
    ("body", "note"),
    [
        (None, "The shadow body was not recorded."),
        (Body("{", "text", 9000, truncated=True), "The shadow body was cut by the emitter: it has 9,000 bytes in all."),
        (Body("{", "text", MAX_BODY + 1), f"The shadow body is too large to lay out: {MAX_BODY + 1:,} bytes."),
        (Body("{", "text", 1), "The shadow body cannot be read:"),
        (Body("!", "base64", 1), "The shadow body cannot be read:"),
    ],
)
def test_a_body_that_cannot_be_laid_out_says_why(body: Body | None, note: str, make_sample: MakeSample) -> None:
    """The reason is given, and what was recorded of the other side is still shown."""
    shadow = exchange("r-1", "shadow", response=Response(200, [JSON], body))
    part = view_pair(make_sample(exchange("r-1", "live", {"a": 1}), shadow)).parts[1]
    assert part.notes[0].startswith(note)
    assert '{"a":1}' in texts(part)


def test_an_empty_body_against_one_with_content(make_sample: MakeSample) -> None:
    """The side without a body is empty in the row of the other."""
    part = view_pair(make_sample(exchange("r-1", "live", ""), exchange("r-1", "shadow", {"a": 1}))).parts[1]
    assert [(row.kind, row.live) for row in part.rows] == [("added", None)]


def test_a_transport_error_is_said(make_sample: MakeSample) -> None:
    """Without a response there are no sides, but the error and its message."""
    error = TransportError("timeout", "no answer within 2 s")
    view = view_pair(
        make_sample(exchange("r-1", "live", {}), exchange("r-1", "shadow", error=error), shadow_error="timeout")
    )
    assert view.parts == []
    assert view.notes == ["The shadow side ended in a transport error: timeout no answer within 2 s."]
    assert view.shadow_answer == "timeout"


def test_records_that_are_not_stored_are_said_to_be(make_sample: MakeSample) -> None:
    """Differences are shown without the records; a record of another shape counts as none."""
    made = make_sample(exchange("r-1", "live", {"a": 1}), exchange("r-1", "shadow", {"a": 2}))
    view = view_pair(
        Sample(comparison=made.comparison, differences=made.differences, live=None, shadow={"response": 7})
    )
    assert len(view.notes) == 2
    assert [one.path for one in view.differences] == ["/body/a"]
    assert view.request_line == "GET /items/7"


def test_a_shadow_that_is_missing_has_no_answer(make_sample: MakeSample) -> None:
    """A missing side is told from one that answered."""
    made = make_sample(exchange("r-1", "live", {}), exchange("r-1", "shadow", {}), shadow_status=None)
    assert view_pair(made).shadow_answer == "no answer"


def test_many_differences_are_cut_with_a_count(make_sample: MakeSample) -> None:
    """The list is bounded; what the store itself left away is counted too."""
    live = exchange("r-1", "live", {f"k{i}": 1 for i in range(100)})
    shadow = exchange("r-1", "shadow", {f"k{i}": 2 for i in range(100)})
    view = view_pair(make_sample(live, shadow, differences=5000, noise_differences=12))
    assert len(view.differences) == MAX_DIFFERENCES
    assert view.differences_left_out == 5000 - MAX_DIFFERENCES
    assert view.findings == "5,000 differences, 12 of them noise"
    assert view.notes == ["Of 5,000 differences only 100 are marked below."]


def test_request_headers_and_body_are_kept(make_sample: MakeSample) -> None:
    """What was sent is there to be read."""
    made = make_sample(exchange("r-1", "live", {}), exchange("r-1", "shadow", {"a": 1}))
    assert made.live is not None
    made.live["request"] = {
        "method": "POST",
        "path": "/items",
        "headers": [["content-type", "text/plain"]],
        "body": {"data": "one\x00two", "encoding": "text", "size": 7},
    }
    view = view_pair(made)
    assert view.request_headers == [("content-type", "text/plain")]
    assert view.request_body == "one\\u0000two"


def test_anchors_do_not_carry_what_they_are_made_of() -> None:
    """An anchor is a word and a hash: nothing hostile fits, and parts do not run into each other."""
    assert anchor("pair", 'javascript:alert(1)" onmouseover="x').replace("pair-", "").isalnum()
    assert anchor("pair", "a", "bc") != anchor("pair", "ab", "c")
    assert anchor("pair", "\ud800") != anchor("pair", "\ud801")
