"""URL-encoded forms and multipart bodies."""

from __future__ import annotations

import hashlib
import logging
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.body import BodyOptions, read_body
from gnomon.core.formats.forms import read_form
from gnomon.core.formats.multipart import MAX_PARTS
from gnomon.core.json import Unreadable
from gnomon.core.quota import MAX_VALUES, Quota
from gnomon.model import JsonValue


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (b"a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}),
        (b"a=x+y%20z%C3%A9&b=%2B", {"a": ["x y zé"], "b": ["+"]}),
        (b"a=&b&=c&&", {"a": [""], "b": [""], "": ["c"]}),
        (b"a=1=2;3\r\n", {"a": ["1=2;3"]}),
        (b"a=%zz%4", {"a": ["%zz%4"]}),
        (b"a=%ff&b=\xe9", {"a": ["ÿ"], "b": ["é"]}),
        ("ä=ö".encode(), {"ä": ["ö"]}),
    ],
)
def test_a_form_is_an_object_of_arrays(form: bytes, expected: JsonValue) -> None:
    """Every name has all its values in order, empty ones too."""
    assert read_form(form, None, Quota(MAX_VALUES)) == expected


def test_a_form_in_another_character_set() -> None:
    """The content type's character set is that of what is percent-encoded."""
    assert read_form(b"a=%E9", "cp1251", Quota(MAX_VALUES)) == {"a": ["й"]}


def test_a_form_of_too_many_fields_is_unreadable() -> None:
    """A megabyte of ampersands is not a million objects."""
    assert read_form(b"&".join([b"a=1"] * 500), None, Quota(1000)) == {"a": ["1"] * 500}
    with pytest.raises(Unreadable, match="more than 1,000 values"):
        read_form(b"a&" * 501, None, Quota(1000))


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_what_a_browser_encodes_is_read_back(fields: list[tuple[str, str]]) -> None:
    """All names and values survive."""
    expected: dict[str, list[str]] = {}
    for name, value in fields:
        expected.setdefault(name, []).append(value)
    assert read_form(urlencode(fields).encode(), None, Quota(MAX_VALUES)) == expected


def part(headers: str, body: bytes, boundary: str = "X") -> bytes:
    """Write one part of a multipart body."""
    return f"--{boundary}\r\n{headers}\r\n\r\n".encode() + body + b"\r\n"


def read(data: bytes, content_type: str = "multipart/form-data; boundary=X") -> JsonValue:
    """Read a multipart body with the default options."""
    return read_body(data, content_type=content_type, content_encoding="", grpc_method="", options=BodyOptions())


END = b"--X--\r\n"
FIELD = part('Content-Disposition: form-data; name="a"', b"1")


def test_fields_are_strings_and_files_are_objects() -> None:
    """A file's body is read by its own content type."""
    data = (
        FIELD
        + part('content-disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=latin1', b"\xe9\r\n2")
        + part('Content-Disposition: form-data; name="f"; filename="x.json"\r\nContent-Type: application/json', b"[1]")
        + part('Content-Disposition: form-data; name="f"; filename="y.bin"\r\nContent-Type: image/png', b"\x89\r\n--")
        + part('Content-Disposition: form-data; name="g"; filename=""', b"")
        + part('Content-Disposition: form-data; name="h"\r\nContent-Type: application/json', b'{"b":2}')
        + END
    )
    digest = hashlib.sha256(b"\x89\r\n--").hexdigest()
    assert read(data) == {
        "a": ["1", "é\r\n2"],
        "f": [
            {"filename": "x.json", "content_type": "application/json", "body": [1]},
            {"filename": "y.bin", "content_type": "image/png", "body": {"size": 5, "hash": f"sha256:{digest}"}},
        ],
        "g": [{"filename": "", "content_type": None, "body": None}],
        "h": [{"filename": None, "content_type": "application/json", "body": {"b": 2}}],
    }


def test_parts_without_a_name_are_kept() -> None:
    """Batch and mixed bodies have parts but no form."""
    data = part("Content-Type: application/json", b"[1]") + part("Content-ID: 2", b"two") + END
    assert read(data, 'multipart/mixed; boundary="X"') == {
        "": [{"filename": None, "content_type": "application/json", "body": [1]}, "two"]
    }


def test_transfer_encodings_of_parts_are_undone() -> None:
    """Old clients send base64 and quoted-printable."""
    data = part('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', b"aGk=")
    data += part('Content-Disposition: form-data; name="b"\r\nContent-Transfer-Encoding: Quoted-Printable', b"=C3=A9")
    assert read(data + END) == {"a": ["hi"], "b": ["é"]}
    with pytest.raises(Unreadable, match="not the base64"):
        read(part('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', b"a") + END)


def test_a_multipart_body_inside_another_is_not_taken_apart() -> None:
    """Nesting them would multiply the work with every level."""
    inner = part("a: b", b"x", "Y") + b"--Y--"
    data = part("Content-Type: multipart/mixed; boundary=Y", inner) + END
    digest = hashlib.sha256(inner).hexdigest()
    body: JsonValue = {"size": len(inner), "hash": f"sha256:{digest}"}
    assert read(data) == {"": [{"filename": None, "content_type": "multipart/mixed; boundary=Y", "body": body}]}


@pytest.mark.parametrize(
    ("data", "content_type", "reason"),
    [
        (FIELD + END, "multipart/form-data", "without a boundary"),
        (FIELD + END, "multipart/form-data; boundary=Y", "not multipart"),
        (FIELD + END, "multipart/form-data; boundary=" + "Y" * 5000, "not multipart"),
        (FIELD, "multipart/form-data; boundary=X", "ends before its closing boundary"),
        (FIELD + END[:-4], "multipart/form-data; boundary=X", "ends before its closing boundary"),
        (part("no colon", b"") + END, "multipart/form-data; boundary=X", "not multipart"),
        (part("a: " + "b" * 100_000, b"") + END, "multipart/form-data; boundary=X", "not multipart"),
        (part("a: b", b"") * (MAX_PARTS + 1) + END, "multipart/form-data; boundary=X", "more than 10,000 parts"),
        (
            part("Content-Type: application/json", b"{") + END,
            "multipart/form-data; boundary=X",
            "not JSON",
        ),
    ],
)
def test_what_breaks_the_rules_is_unreadable(
    data: bytes, content_type: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason says why, and traffic writes nothing to the log."""
    with caplog.at_level(logging.DEBUG), pytest.raises(Unreadable, match=reason):
        read(data, content_type)
    assert not caplog.records


@given(st.binary(), st.binary(max_size=5))
def test_the_bytes_of_a_file_arrive(content: bytes, tail: bytes) -> None:
    """Whatever they are, even almost a boundary."""
    content += b"\r\n--" + tail
    if b"\r\n--X" in content:
        content = b""
    data = part('Content-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: image/png', content) + END
    digest = hashlib.sha256(content).hexdigest()
    body: JsonValue = {"size": len(content), "hash": f"sha256:{digest}"} if content else None
    assert read(data) == {"f": [{"filename": "f", "content_type": "image/png", "body": body}]}
