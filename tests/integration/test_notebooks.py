"""The notebooks run on a small database, and leave the thinking to the package."""

from __future__ import annotations

import ast
import re
import shutil
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from gnomon.core.body import BodyOptions
from gnomon.core.compare import Comparer
from gnomon.core.rules import parse_rules
from gnomon.model import Comparison, instant
from gnomon.store import RunRecord, StagedRun, work_directory
from gnomon.testing import STARTED_US, exchange

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").glob("*.ipynb") if not path.stem.endswith("-run"))
NOW = datetime(2027, 1, 15, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of forty requests to two endpoints: one of them is slower and answers with another type."""
    path = tmp_path_factory.mktemp("notebook") / "small.duckdb"
    rules = parse_rules("")
    with work_directory(path) as work_dir, StagedRun(path, work_dir, run="run-1") as stage:
        for number in range(40):
            odd = number % 2
            live = exchange(f"r-{number}", "live", {"price": 10})
            shadow = exchange(f"r-{number}", "shadow", {"price": "10" if odd else 10})
            differences = Comparer(live, rules.for_endpoint("", ""), BodyOptions()).compare(shadow).differences
            stage.add(
                Comparison(
                    request_id=live.request_id,
                    target="",
                    role="shadow",
                    service="shop",
                    endpoint="GET /prices/{id}" if odd else "GET /items/{id}",
                    method="GET",
                    path="/items/7",
                    started_at=instant(STARTED_US) + timedelta(seconds=number),
                    live_status=200,
                    shadow_status=200,
                    live_ms=5.0,
                    shadow_ms=5.0 + odd * number,
                    delta_ms=float(odd * number),
                    outcome="diff" if differences else "match",
                    differences=len(differences),
                    severity="high" if differences else None,
                    rules=rules.version,
                ),
                differences,
            )
        record = RunRecord(
            run="run-1",
            started_at=NOW,
            finished_at=NOW,
            command="compare",
            sources=["capture.ndjson"],
            rules=rules.version,
            records=80,
        )
        stage.land(record, NOW)
    return path


def code_cells(notebook: nbformat.NotebookNode) -> list[Any]:
    """The cells that run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook: nbformat.NotebookNode, directory: Path) -> None:
    """Run all cells in a directory."""
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(directory)}}
    ).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(
    path: Path, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened in a clone, every cell runs on the database beside README; tables, charts and the findings come out."""
    monkeypatch.delenv("GNOMON_DB", raising=False)
    (tmp_path / "notebooks").mkdir()
    shutil.copy(database, tmp_path / "gnomon.duckdb")
    notebook = nbformat.read(path, as_version=4)
    execute(notebook, tmp_path / "notebooks")
    shown = [output.data for cell in code_cells(notebook) for output in cell.outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == 3
    assert sum("text/html" in data for data in shown) >= 5
    assert any("/body/price" in data.get("text/html", "") for data in shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_another_database_can_be_named(
    path: Path, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`GNOMON_DB` names it, wherever the notebook is."""
    monkeypatch.setenv("GNOMON_DB", str(database))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = code_cells(notebook)[:1]
    execute(notebook, tmp_path)
    assert "'comparisons': 40" in notebook.cells[0].outputs[0].data["text/plain"]


def test_running_a_notebook_leaves_it_as_it_is() -> None:
    """What `make notebook` writes is another file, one that git leaves out."""
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8")
    [written] = re.findall(r"--output=(\S+)", recipe)
    assert "--inplace" not in recipe
    assert not {path.stem for path in NOTEBOOKS} & {written}
    ignored = [line for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines() if "*" in line]
    assert any(fnmatch(f"/notebooks/{written}.ipynb", line) for line in ignored)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_logic_of_its_own(path: Path) -> None:
    """Cells call the package and draw: they define nothing, decide nothing and loop over nothing."""
    logic = (ast.FunctionDef, ast.ClassDef, ast.If, ast.For, ast.While, ast.Try, ast.Lambda)
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, logic)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_committed_is_a_clean_run(path: Path) -> None:
    """Outputs that are in the repository hold no error and no path of the machine that made them."""
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert [output.output_type for output in outputs if output.output_type in {"error", "stream"}] == []
    text = "".join(str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert not [place for place in ("/home/", "/work/", "/root/", "/Users/", "C:\\") if place in text]
