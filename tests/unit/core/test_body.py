"""Bodies to documents: content encodings, content types, bounds."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.body import BodyOptions, expand, read_body, wire_bytes
from gnomon.core.encoding import bytes_body
from gnomon.core.json import Unreadable, depth, dumps
from gnomon.model import Body, JsonValue

DOCUMENT = b'{"a":[1,2]}'
MIB = 2**20


def raw_deflate(data: bytes) -> bytes:
    """Compress as servers do that took "deflate" by its name."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def streamed_zstd(data: bytes) -> bytes:
    """Compress without a content size in the frame, as a streaming server does."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(data) + compressor.flush()


COMPRESSORS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("br", brotli.compress),
    ("zstd", zstandard.compress),
    ("zstd", streamed_zstd),
]


def read(
    data: bytes, content_type: str = "", content_encoding: str = "", options: BodyOptions | None = None
) -> JsonValue:
    """Read a body that is not gRPC."""
    return read_body(
        data,
        content_type=content_type,
        content_encoding=content_encoding,
        grpc_method="",
        options=options or BodyOptions(),
    )


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSORS)
def test_a_content_encoding_is_undone(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """All encodings of the web, whatever the case of their name."""
    assert read(compress(DOCUMENT), "application/json", encoding.upper()) == {"a": [1, 2]}


def test_several_encodings_are_undone_from_the_last() -> None:
    """`br, gzip` is brotli inside gzip; `identity` is nothing."""
    data = gzip.compress(brotli.compress(DOCUMENT))
    assert expand(data, "identity, br,gzip", MIB) == DOCUMENT
    with pytest.raises(Unreadable, match="5 content encodings in a row"):
        expand(data, "gzip,gzip,gzip,gzip,gzip", MIB)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, streamed_zstd])
def test_members_one_after_another_are_one_body(compress: Callable[[bytes], bytes]) -> None:
    """Both gzip and zstd allow it, and some servers do it; past a bound it is an attack."""
    encoding = "gzip" if compress is gzip.compress else "zstd"
    assert expand(compress(b"one ") + compress(b"two"), encoding, MIB) == b"one two"
    with pytest.raises(Unreadable, match="of more than 100"):
        expand(compress(b"") * 500 + compress(b"x"), encoding, MIB)


def test_zeros_after_gzip_are_padding() -> None:
    """Some writers fill a block; anything else after it is damage."""
    assert expand(gzip.compress(b"x") + b"\0" * 10, "gzip", MIB) == b"x"
    with pytest.raises(Unreadable, match="not gzip"):
        expand(gzip.compress(b"x") + b"rest", "gzip", MIB)


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSORS)
def test_a_bomb_never_materialises(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """What expands past the bound is refused, having taken little more than the bound."""
    bomb = compress(bytes(64 * MIB))
    tracemalloc.start()
    with pytest.raises(Unreadable, match="larger than 1,048,576 bytes when expanded"):
        expand(bomb, encoding, MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB
    assert len(expand(compress(bytes(MIB)), encoding, MIB)) == MIB


def test_many_small_members_make_no_bomb() -> None:
    """The bound is on all members together."""
    with pytest.raises(Unreadable, match="larger than"):
        expand(gzip.compress(bytes(MIB)) * 90, "gzip", 2 * MIB)


def test_the_bound_holds_without_an_encoding() -> None:
    """A body that is large as it is, is too large."""
    with pytest.raises(Unreadable, match="larger than 10 bytes"):
        read(b"x" * 11, "text/plain", options=BodyOptions(max_bytes=10))


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSORS)
@pytest.mark.parametrize("kept", [1, 3, -5, -1])
def test_half_an_encoding_is_unreadable(encoding: str, compress: Callable[[bytes], bytes], kept: int) -> None:
    """A stream that ends in the middle is not taken for a shorter body."""
    with pytest.raises(Unreadable, match=r"not (x-)?(gzip|deflate|br|zstd): "):
        expand(compress(DOCUMENT)[:kept], encoding, MIB)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_another_format_is_unreadable(encoding: str) -> None:
    """A body that was decoded already, or is something else, is not what the header says."""
    with pytest.raises(Unreadable, match=f"not {encoding}: "):
        expand(b"<html>hello</html>" * 3, encoding, MIB)


def test_an_unknown_encoding_is_named() -> None:
    """The reason says which."""
    with pytest.raises(Unreadable, match="the content encoding 'bzip2' is unknown"):
        expand(bz2.compress(b"x"), "bzip2", MIB)


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate", "br", "zstd", "br, gzip", "zstd,deflate"]))
def test_any_bytes_expand_within_the_bound_or_are_unreadable(data: bytes, encoding: str) -> None:
    """No encoding raises anything else, or gives more than asked."""
    with suppress(Unreadable):
        assert len(expand(data, encoding, 1000)) <= 1000


@given(st.binary(max_size=2000), st.sampled_from(COMPRESSORS), st.integers(0, 2000))
def test_expanding_undoes_compressing_exactly_up_to_the_bound(
    data: bytes, compressor: tuple[str, Callable[[bytes], bytes]], bound: int
) -> None:
    """The result is what was compressed, and there is one exactly when it fits."""
    encoding, compress = compressor
    if len(data) <= bound:
        assert expand(compress(data), encoding, bound) == data
    else:
        with pytest.raises(Unreadable, match="larger than"):
            expand(compress(data), encoding, bound)


def test_wire_bytes_of_text_and_base64() -> None:
    """Both encodings of the record give the bytes that were on the wire."""
    assert wire_bytes(Body("é", "text", 2)) == "é".encode()
    assert wire_bytes(Body(base64.b64encode(b"\xff\0").decode(), "base64", 2)) == b"\xff\0"
    assert wire_bytes(Body("", "base64", 0)) == b""


@pytest.mark.parametrize("data", ["a", "a===", "YQ==YQ==", "é", "YQ= =", "----"])
def test_bad_base64_is_unreadable(data: str) -> None:
    """A damaged record is not taken for other bytes."""
    with pytest.raises(Unreadable, match="`data` is not base64"):
        wire_bytes(Body(data, "base64", 1))


JSON_TYPES = [
    "application/json",
    "Application/JSON; charset=utf-8",
    "text/json",
    "application/problem+json",
    "application/vnd.api+json",
    "application/json, application/json",
]
TEXT_TYPES = ["text/plain", "text/css", "application/javascript", "text/x-unheard-of", "application/yaml"]
OPAQUE_TYPES = ["image/png", "application/octet-stream", "application/pdf", "application/x-unheard-of", "nonsense"]


@pytest.mark.parametrize("content_type", JSON_TYPES)
def test_json_by_content_type(content_type: str) -> None:
    """JSON and every +json, with or without parameters."""
    assert read(DOCUMENT, content_type) == {"a": [1, 2]}


@pytest.mark.parametrize("content_type", TEXT_TYPES)
def test_text_is_an_array_of_lines(content_type: str) -> None:
    """A line break at the end and a carriage return can be seen."""
    assert read(b"one\r\ntwo\n", content_type) == ["one\r", "two", ""]


@pytest.mark.parametrize("content_type", OPAQUE_TYPES)
def test_other_types_are_size_and_hash(content_type: str) -> None:
    """Of bytes nothing is known but whether they are the same."""
    digest = hashlib.sha256(DOCUMENT).hexdigest()
    assert read(DOCUMENT, content_type) == {"size": 11, "hash": f"sha256:{digest}"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b' {"a":1}', {"a": 1}),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"17", ["17"]),
        (b'"x"', ['"x"']),
        (b"{not json", ["{not json"]),
        (b"hello", ["hello"]),
    ],
)
def test_without_a_content_type_the_bytes_decide(data: bytes, expected: JsonValue) -> None:
    """JSON if it is an object or an array, else text."""
    assert read(data) == expected


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\0b", b'{"a":"\xff"}'])
def test_without_a_content_type_bytes_that_are_no_text_are_opaque(data: bytes) -> None:
    """Neither UTF-8 nor free of NULs."""
    assert read(data) == {"size": len(data), "hash": f"sha256:{hashlib.sha256(data).hexdigest()}"}


def test_json_in_another_character_set_is_read() -> None:
    """Old servers say so in the content type; one that is wrong about it is unreadable."""
    assert read('["é"]'.encode("latin-1"), "application/json; charset=iso-8859-1") == ["é"]
    assert read('["é"]'.encode(), 'application/json; charset="no-such"') == ["é"]
    with pytest.raises(Unreadable, match="not utf_16"):
        read(b"[1]", "application/json; charset=utf-16")


def test_a_body_that_expands_to_nothing_has_no_document() -> None:
    """It is as if there had been none."""
    assert read(gzip.compress(b""), "application/json", "gzip") is None


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("application/json", b"[" * 201 + b"]" * 201),
        ("", b"[" * 201 + b"]" * 201),
        ("application/x-ndjson", b"[" * 200 + b"]" * 200),
        ("text/event-stream", b"data: " + b"[" * 199 + b"]" * 199 + b"\n\n"),
        ("application/msgpack", b"\x91" * 201 + b"\xc0"),
        ("application/xml", b"<a>" * 101 + b"</a>" * 101),
        ("text/html", b"<div>" * 101),
        (
            "multipart/form-data; boundary=X",
            b'--X\r\nContent-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: application/json\r\n\r\n'
            + b"[" * 198
            + b"]" * 198
            + b"\r\n--X--\r\n",
        ),
    ],
)
def test_no_document_is_nested_deeper_than_the_bound(content_type: str, data: bytes) -> None:
    """200 levels, whatever the format; a little less is read."""
    with pytest.raises(Unreadable, match="nested"):
        read(data, content_type)
    deeper = BodyOptions(max_depth=240)
    assert depth(read(data, content_type, options=deeper)) > 199


ANY_TYPE = st.sampled_from(
    [
        "",
        *JSON_TYPES,
        *TEXT_TYPES,
        *OPAQUE_TYPES,
        "application/x-ndjson",
        "application/json-seq",
        "text/event-stream",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=X",
        "application/xml",
        "text/html; charset=shift_jis",
        "text/html",
        "application/msgpack",
        "application/grpc",
        "application/grpc+json",
        "application/grpc-web-text+json",
    ]
)
HOSTILE = st.sampled_from(
    [
        *(b"--X\r\n", b"Content-Disposition: form-data; name=a", b"\r\n\r\n", b"--X--", b"<a b='", b"<!DOCTYPE"),
        *(b"<![CDATA[", b"<script>", b"&x;", b"data: ", b"\n\n", b"{", b"[", b'"', b"%ff", b"&", b"="),
        *(b"\xc7\xff", b"\xff", b"\0"),
    ]
)


@given(st.binary(max_size=300) | st.lists(HOSTILE, max_size=20).map(b"".join), ANY_TYPE)
def test_any_bytes_of_any_type_are_a_document_or_unreadable(data: bytes, content_type: str) -> None:
    """Reading raises nothing else, and a document can be written as JSON."""
    with suppress(Unreadable):
        document = read(data, content_type)
        assert depth(document) <= 200
        assert dumps(document)


@given(st.text(max_size=60))
def test_any_content_type_is_understood_somehow(content_type: str) -> None:
    """A header is as hostile as a body."""
    with suppress(Unreadable):
        read(DOCUMENT, content_type)


@pytest.mark.parametrize(
    ("data", "truncated", "expected"),
    [
        (b"", False, Body("", "text", 0)),
        ("é".encode(), False, Body("é", "text", 2)),
        ("aé".encode()[:2], False, Body("YcM=", "base64", 2)),
        ("aé".encode()[:2], True, Body("a", "text", 2, truncated=True)),
        (b"\xffa", True, Body("/2E=", "base64", 2, truncated=True)),
        (b"a\0b", False, Body("YQBi", "base64", 3)),
    ],
)
def test_bytes_are_text_where_they_can_be(data: bytes, truncated: bool, expected: Body) -> None:
    """UTF-8 without NUL is text; a truncated text ends at a whole character."""
    assert bytes_body(data, truncated=truncated) == expected
