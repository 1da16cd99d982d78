from __future__ import annotations

import json
from pathlib import Path

import pytest

from gnomon.capture import FORMATS, CaptureFormat, Source, detect_format, read_captures
from gnomon.errors import InputError, UsageError

RECORD = b'{"v":1,"request_id":"r","role":"live","request":{"body":{"data":"{\\"log\\":{},\\"sourceRequest\\":1}"}}}'


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (RECORD + b"\n", "x", "ndjson"),
        (RECORD[:70], "x", "ndjson"),
        (b"\xef\xbb\xbf\n" + RECORD, "x", "ndjson"),
        (b"a broken line\n" + RECORD, "x", "ndjson"),
        (b'{"what": 1}\n', "x", "ndjson"),
        (b"a broken line\n", "x.ndjson", "ndjson"),
        (b"a broken line\n", "x.jsonl.gz", "ndjson"),
        (b"", "x", "ndjson"),
        (b"", "x.har", "har"),
        (b'{"log":{"version":"1.2"', "x", "har"),
        (b'\xef\xbb\xbf{\n  "log": {\n', "x", "har"),
        (json.dumps({"log": {"entries": []}}).encode(), "x.ndjson", "har"),
        (b"broken", "x.HAR", "har"),
        (b'{\n "http_buffered_trace": {\n', "x.json", "envoy-tap"),
        (b'{"httpStreamedTraceSegment":{"traceId":"1"}}\n', "x", "envoy-tap"),
        (b'[\n{"http_buffered_trace"  :{', "x", "envoy-tap"),
        (b'{"sourceRequest":{"Request-URI":"/"},"connectionId":"1"}\n', "x.log", "opensearch"),
        (b'{\n"connectionId": "1",\n"targetResponses": [', "x", "opensearch"),
        (b"1 abc 1772355600000000000\nGET / HTTP/1.1\r\n", "x", "goreplay"),
        (b"2 abc-9 1772355600000000000 -1\r\nHTTP/1.1", "x", "goreplay"),
        (b"noise", "x.gor", "goreplay"),
        (b"hello world", "x", None),
        (b"\x00\x01", "x.json", None),
    ],
)
def test_detect_format(head: bytes, name: str, expected: CaptureFormat | None) -> None:
    """The first bytes tell the format, and the name only where they do not."""
    assert detect_format(head, name) == expected


def test_a_file_in_no_known_format_is_an_input_error(tmp_path: Path) -> None:
    """The error names the file, shows how it begins and says what to do."""
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary")
    with pytest.raises(InputError, match=r"notes.txt is in no known format.*Dear diary.*--format"):
        list(read_captures([Source(str(path))]))


def test_a_format_that_does_not_exist_is_a_usage_error() -> None:
    """The formats that exist are named."""
    with pytest.raises(UsageError, match=", ".join(FORMATS)):
        read_captures([], "pcap")  # type: ignore[arg-type]
