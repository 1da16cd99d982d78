"""What the audit calls a leak where several routes share a clean topic."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from gnomon.config import Registry, Route, RouteTag
from gnomon.stream.route.audit import judges_of


class Record(NamedTuple):
    """What is read of a record."""

    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def route(source: str, **more: object) -> Route:
    """Make a route to one clean topic."""
    return Route(source=source, clean="clean", synthetic="s", quarantine="q", **more)  # type: ignore[arg-type]


def test_what_one_route_cannot_read_may_be_anothers() -> None:
    """It is unreadable where no route can read it, and synthetic where any says so."""
    probe = RouteTag(path="/probe", equals=1)
    both = judges_of([route("a", tags=(probe,)), route("b", value="bytes")], "clean", Registry())
    assert both.leak(Record(b"\x00\xff")) is None
    assert both.leak(Record(b'{"probe": 1}')) == "path /probe equals 1"
    assert both.leak(Record(b"\xff", (("x-synthetic", b"load"),))) == "header x-synthetic"
    same = judges_of([route("a"), route("b")], "clean", Registry())
    assert same.leak(Record(b"{")) == "unreadable value"
    assert same.leak(Record(None)) is None


@pytest.mark.parametrize(("among", "value", "leaks"), [(("",), b'{"t": ""}', True), ((False,), b'{"t": ""}', False)])
def test_an_empty_text_may_be_listed(among: tuple[str | bool, ...], value: bytes, leaks: object) -> None:
    """It is a value as any other."""
    judges = judges_of([route("a", tags=(RouteTag(path="/t", among=among),))], "clean", Registry())
    assert (judges.leak(Record(value)) is not None) is leaks


async def look(file: Path) -> list[str | None]:
    """Judge an event before and after a file of users changes."""
    judges = judges_of([route("a", users_file=file)], "clean", Registry())
    record = Record(b'{"user_id": "u-2"}')
    found = [judges.leak(record)]
    file.with_name("new").write_text("u-2\n")
    file.with_name("new").rename(file)
    for _ in range(2):
        await judges.look_at_users()
    return [*found, judges.leak(record)]


def test_users_are_read_again(tmp_path: Path) -> None:
    """Rules of today are those of the file as it is."""
    import asyncio

    (tmp_path / "users").write_text("u-1\n")
    assert asyncio.run(look(tmp_path / "users")) == [None, "users /user_id"]
