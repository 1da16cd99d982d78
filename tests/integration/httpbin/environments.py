"""One virtual environment per release of httpbin, made once and kept in a cache directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NEW", "OLD", "Release", "cache_directory", "python_of"]

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
INSTALL_SECONDS = 300


@dataclass(frozen=True)
class Release:
    """A release of httpbin; `requirements` is the file with the exact version of everything it runs on."""

    version: str
    requirements: Path

    @property
    def target(self) -> str:
        """The name of the build in exchange records."""
        return f"httpbin@{self.version}"


OLD = Release("0.7.0", HERE / "httpbin-0.7.0.txt")
NEW = Release("0.10.4", HERE / "httpbin-0.10.txt")


def cache_directory() -> Path:
    """Where environments are kept: `GNOMON_TEST_CACHE`, else `.cache` in the repository."""
    return Path(os.environ.get("GNOMON_TEST_CACHE") or REPOSITORY / ".cache")


def python_of(release: Release, cache: Path) -> Path:
    """The interpreter of the release's environment, which is made first if it is not there.

    The directory's name holds a hash of the requirements and the interpreter's version, so a changed pin makes a
    new one. A marker file is written last: an environment whose making was interrupted is made again.

    Raises:
        RuntimeError: The packages could not be installed; the message is the installer's output.
    """
    key = hashlib.sha256(release.requirements.read_bytes()).hexdigest()[:12]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    directory = cache / f"{release.requirements.stem}-py{version}-{key}"
    python = directory / "bin" / "python"
    complete = directory / "complete"
    if complete.exists():
        return python
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(directory)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(release.requirements)])
    complete.touch()
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        message = f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
        raise RuntimeError(message)
