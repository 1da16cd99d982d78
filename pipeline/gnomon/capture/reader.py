"""Reading captures: which files there are, which reader each one gets, in which order."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from gnomon.capture.build import Reading, RequestIds
from gnomon.capture.detect import FORMATS, CaptureFormat, detect_format
from gnomon.capture.envoy_tap import read_envoy_tap
from gnomon.capture.goreplay import read_goreplay
from gnomon.capture.har import read_har
from gnomon.capture.ndjson import read_ndjson
from gnomon.capture.opensearch import read_opensearch
from gnomon.capture.raw import Limits, RawRecord, Source
from gnomon.capture.source import ByteStream
from gnomon.errors import InputError, UsageError
from gnomon.model import Place, Reject

__all__ = ["Advance", "FormatChoice", "are_ndjson", "capture_size", "read_captures"]

FormatChoice: TypeAlias = Literal["auto"] | CaptureFormat
Advance: TypeAlias = Callable[[int], None]
Reader: TypeAlias = Callable[[ByteStream, Reading], Iterator[RawRecord | Reject]]

STDIN: Final = "-"
_READERS: Final[dict[CaptureFormat, Reader]] = {
    "ndjson": read_ndjson,
    "har": read_har,
    "envoy-tap": read_envoy_tap,
    "goreplay": read_goreplay,
    "opensearch": read_opensearch,
}
_UNKNOWN: Final = "in no known format"
_REMEDY: Final = f"name it with --format ({', '.join(FORMATS)})"


def read_captures(
    sources: Sequence[Source],
    fmt: FormatChoice = "auto",
    progress: Advance | None = None,
    limits: Limits | None = None,
) -> Iterator[RawRecord | Reject]:
    """Yield the records of all captures, one source after the other, in bounded memory.

    What is broken is a `Reject` with its place and reason, and reading goes on behind it.

    Args:
        sources: Files, `-` for standard input (once), or directories, whose files are read in order of their names.
        fmt: The format of all sources; with `auto` each file's first bytes tell.
        progress: Called with the number of bytes read from disk since its last call (compressed size where the file
            is compressed), every few MiB and at the end of a file.
        limits: How much may be held in memory.

    Raises:
        InputError: A file cannot be opened or read, is in no known format, or is no HAR where it should be one.
        UsageError: Standard input is named twice, or the format has no such name.
    """
    if fmt != "auto" and fmt not in FORMATS:
        raise UsageError(f"there is no capture format {fmt!r}", f"use auto, {', '.join(FORMATS)}")
    if sum(source.path == STDIN for source in sources) > 1:
        raise UsageError("standard input is named twice as a capture", "it can be read once")
    files = [(source, _files(source)) for source in sources]
    return _read_all(files, fmt, progress, limits or Limits())


def capture_size(sources: Sequence[Source]) -> int | None:
    """Return the bytes on disk of all sources together, for a progress bar.

    Returns:
        None where one of them has no size: standard input, a pipe.

    Raises:
        InputError: One of them does not exist.
    """
    total = 0
    for source in sources:
        for path in _files(source):
            size = None if path == STDIN else _size(path)
            if size is None:
                return None
            total += size
    return total


def are_ndjson(sources: Sequence[Source], fmt: FormatChoice) -> bool:
    """Tell whether all sources are files of exchange records, which can be read side by side.

    Of other formats ids are made in the order of appearance, one file after the other.

    Raises:
        InputError: One of them does not exist, or cannot be read.
    """
    if any(source.path == STDIN or _size(source.path) is None for source in sources):
        return False
    return fmt == "ndjson" or (fmt == "auto" and all(_is_ndjson(source.path) for source in sources))


def _is_ndjson(path: str) -> bool:
    with ByteStream(path) as stream:
        return detect_format(stream.head, path) == "ndjson"


def _size(path: str) -> int | None:
    found = _stat(path)
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _stat(path: str) -> os.stat_result:
    try:
        return Path(path).stat()
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(f"cannot open {path}: {why}", "check the path and its permissions") from error


def _files(source: Source) -> list[str]:
    """Return the files of a source: itself, or what is in the directory, hidden files left out."""
    if source.path == STDIN or not stat.S_ISDIR(_stat(source.path).st_mode):
        return [source.path]
    try:
        inside = sorted(path for path in Path(source.path).iterdir() if path.is_file())
    except OSError as error:
        raise InputError(f"cannot list {source.path}: {error.strerror or error}", "check its permissions") from error
    files = [str(path) for path in inside if not path.name.startswith(".")]
    if not files:
        raise InputError(f"{source.path} is a directory without files", "name a capture, or a directory of taps")
    return files


def _read_all(
    files: Sequence[tuple[Source, list[str]]], fmt: FormatChoice, progress: Advance | None, limits: Limits
) -> Iterator[RawRecord | Reject]:
    ids = RequestIds()
    for source, paths in files:
        for path in paths:
            reading = Reading(name=path, role=source.role, limits=limits, ids=ids)
            with ByteStream(path, progress) as stream:
                found = detect_format(stream.head, path) if fmt == "auto" else fmt
                if found is not None:
                    yield from _READERS[found](stream, reading)
                elif path == source.path:
                    raise InputError(f"{path} is {_UNKNOWN}: it begins with {stream.head[:40]!r}", _REMEDY)
                else:
                    yield Reject(Place(source=path, line=1), f"a file {_UNKNOWN}; {_REMEDY}", stream.head[:4096])
