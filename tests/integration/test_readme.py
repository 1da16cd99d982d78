"""The commands of README are run, and what they print is what README shows.

A block is tested when a comment stands before it:

    <!-- tested: tests/data/capture.ndjson -->
    ```console
    $ gnomon compare capture.ndjson
    ...
    ```

Files and directories that the comment names (none: `<!-- tested -->`) are copied into the directory that the commands
run in, one directory for all blocks. Lines below a command are its output, on stdout and stderr; `...` stands for
anything, also for several lines. A command without output below it only has to end well.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"^<!-- tested(?::(?P<files>[^\n]*?))? -->\n+```console\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Step(NamedTuple):
    """A command and what it should print; None where that is not shown."""

    files: tuple[str, ...]
    command: str
    output: str | None


def steps(text: str) -> list[Step]:
    """Give all commands of the tested blocks of a Markdown text, in their order."""
    found = []
    for block in BLOCK.finditer(text):
        files = tuple((block["files"] or "").split())
        for part in re.split(r"^\$ ", block["lines"], flags=re.MULTILINE)[1:]:
            command, output = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]
            found.append(Step(files, command, output.rstrip("\n") or None))
    return found


def shows(expected: str, printed: str) -> bool:
    """Whether what was printed is what is shown, `...` standing for anything and ends of lines left out."""
    pattern = ".*".join(re.escape(part) for part in "\n".join(map(str.rstrip, expected.splitlines())).split("..."))
    return re.fullmatch(pattern, "\n".join(map(str.rstrip, printed.rstrip("\n").splitlines())), re.DOTALL) is not None


def run(step: Step, directory: Path) -> str:
    """Run one command as a user would, with this environment's programs first on the path, and give what it prints."""
    for name in step.files:
        source, copy = ROOT / name, directory / Path(name).name
        if source.is_dir():
            shutil.copytree(source, copy, dirs_exist_ok=True)
        else:
            shutil.copy(source, copy)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    done = subprocess.run(
        ["bash", "-c", step.command],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{step.command} ended with {done.returncode}: {done.stdout}"
    return done.stdout


def test_the_commands_of_readme_do_what_it_shows(tmp_path: Path) -> None:
    """Each tested block runs, in one directory and in the order of the page."""
    for step in steps((ROOT / "README.md").read_text(encoding="utf-8")):
        printed = run(step, tmp_path)
        if step.output is not None:
            assert shows(step.output, printed), f"$ {step.command}\nprinted:\n{printed}\nREADME shows:\n{step.output}"


SAMPLE = """
```console
$ not tested
```

<!-- tested: LICENSE .ci -->

```console
$ ls
LICENSE
...
$ echo one \\
    two
one two
$ true
```

<!-- tested -->
```console
$ gnomon --version
gnomon ...
```
"""


def test_blocks_are_found_with_their_files_and_output() -> None:
    """Only marked blocks count; a command may go on over lines."""
    assert steps(SAMPLE) == [
        Step(("LICENSE", ".ci"), "ls", "LICENSE\n..."),
        Step(("LICENSE", ".ci"), "echo one \\\n    two", "one two"),
        Step(("LICENSE", ".ci"), "true", None),
        Step((), "gnomon --version", "gnomon ..."),
    ]


def test_a_sample_runs(tmp_path: Path) -> None:
    """What is run is compared with what is shown, and the programs of this environment are found."""
    printed = [run(step, tmp_path) for step in steps(SAMPLE)]
    assert printed[1:3] == ["one two\n", ""]
    assert printed[3].startswith("gnomon 0")
    assert (tmp_path / ".ci" / "run").exists()


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\nb", "a  \nb\n", True),
        ("a ... c", "a b c", True),
        ("a\n...\nd", "a\nb\nc\nd\n", True),
        ("a", "a\nb", False),
        ("a.c", "abc", False),
    ],
)
def test_output_is_compared_line_by_line(expected: str, printed: str, same: bool) -> None:
    """Only `...` and white space at the end of lines are free."""
    assert shows(expected, printed) is same
