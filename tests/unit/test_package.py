"""What `import gnomon` brings in, and what it offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gnomon

HEAVY = ("aiokafka", "deepdiff", "duckdb", "faust", "lxml", "pandas", "pyarrow", "rich")


def loaded_after(code: str) -> set[str]:
    """Run code in a fresh interpreter and give the heavy modules that it loaded."""
    script = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import gnomon",
        "import gnomon.cli",
        "from gnomon.cli import main; main(['--help'])",
        "from gnomon.cli import main; main(['compare', '--help'])",
        "from gnomon.cli import main; main(['config', 'show'])",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    """The package, the command line and its help start without databases, streams or drawing."""
    assert loaded_after(code) == set()


def test_each_public_name_is_there() -> None:
    """`__all__` is what is exported, each name can be had, and each is listed by dir()."""
    for name in gnomon.__all__:
        assert getattr(gnomon, name) is not None
    assert set(gnomon.__all__) <= set(dir(gnomon))
    assert sorted(gnomon.__all__) == gnomon.__all__


def test_type_checkers_see_the_same_names() -> None:
    """What is imported for type checkers only is exactly what is exported."""
    tree = ast.parse(Path(gnomon.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    names = {
        alias.asname or alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert names == set(gnomon.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """Misspelt names fail as they do in any module."""
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        _ = gnomon.opne  # type: ignore[attr-defined]
