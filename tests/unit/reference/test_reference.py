"""Published descriptions are what the code says, and the dependencies are all explained."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest
from click import Group

from gnomon.cli.app import app
from gnomon.config import Route
from gnomon.reference import commands_page, pages, settings_page
from gnomon.reference.__main__ import run
from gnomon.reference.commands import walk

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", sorted(pages()))
def test_generated_files_are_fresh(name: str) -> None:
    """Each file in the repository is what `make docs` would write."""
    assert (ROOT / name).read_text(encoding="utf-8") == pages()[name], "run make docs"


def test_no_schema_is_left_over() -> None:
    """There is no schema in the repository that is not generated."""
    assert {f"schemas/{file.name}" for file in (ROOT / "schemas").iterdir()} == {
        name for name in pages() if name.startswith("schemas/")
    }


def test_files_are_written_once_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A check names what is stale and writes nothing; writing names what it wrote, and a second time does nothing."""
    assert run(["--check"], tmp_path) == 1
    assert "schemas/exchange.json" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert run([], tmp_path) == 0
    assert "docs/cli.md written" in capsys.readouterr().out
    assert run(["--check"], tmp_path) == 0
    assert run([], tmp_path) == 0
    assert capsys.readouterr().out == ""


def test_every_command_is_explained_with_an_example() -> None:
    """Each command has help and at least one example, and is on the page."""
    page = commands_page()
    for command, context in walk(app, app.make_context("gnomon", [], resilient_parsing=True)):
        assert "Examples:" in (command.help or ""), context.command_path
        assert f"## `{context.command_path}`" in page


def test_groups_too_are_explained_with_an_example() -> None:
    """Who asks for the help of a group sees one of its commands at work."""
    top = app.make_context("gnomon", [], resilient_parsing=True)
    groups = [command for name in app.list_commands(top) if isinstance(command := app.get_command(top, name), Group)]
    assert {group.name for group in groups} >= {"rules", "topics", "alerts", "config", "route"}
    for group in groups:
        assert "Examples:" in (group.help or ""), group.name


def test_every_key_of_a_route_is_on_the_page() -> None:
    """docs/configuration.md names them as they are written, with every kind of value."""
    rows = settings_page().split("## `[[route]]`")[1]
    for field in msgspec.structs.fields(Route):
        assert f"`{field.encode_name}`" in rows, field.name
    for kind in get_args(get_type_hints(Route)["value"]):
        assert f"`{kind}`" in rows, kind


def test_every_dependency_has_its_reason() -> None:
    """docs/dependencies.md names each package of pyproject.toml, and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {re.split(r"[<>=\[ ]", item)[0] for item in declared} - {"gnomon"}
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([^`]+)` \| \S", page, re.MULTILINE)) == names


def test_pinned_versions_name_no_place() -> None:
    """constraints.txt has exact versions and nothing about where they came from; all dependencies are pinned."""
    lines = [
        line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
