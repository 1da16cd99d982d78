"""Captures: recorded traffic in files, read record by record and written as NDJSON.

Formats: NDJSON of exchange records (plain, gzip, zstd, standard input), HAR 1.2, Envoy's HTTP tap, GoReplay's raw
files, OpenSearch's replayer tuples. All but NDJSON are turned into exchange records on the way; nothing here looks
into the records, that is `gnomon.core.decode`'s work.
"""

from __future__ import annotations

from gnomon.capture.detect import FORMATS, CaptureFormat, detect_format
from gnomon.capture.raw import Limits, RawRecord, Source
from gnomon.capture.reader import FormatChoice, are_ndjson, capture_size, read_captures
from gnomon.capture.writer import NdjsonWriter

__all__ = [
    "FORMATS",
    "CaptureFormat",
    "FormatChoice",
    "Limits",
    "NdjsonWriter",
    "RawRecord",
    "Source",
    "are_ndjson",
    "capture_size",
    "detect_format",
    "read_captures",
]
