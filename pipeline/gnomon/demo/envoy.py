"""Envoy for the demo: the program, and the configuration of deploy/envoy with the demo's ports."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from gnomon.errors import DependencyError, InputError

__all__ = ["PORTS", "find_envoy", "write_configuration"]

PORTS: Final = {
    "admin": 9901,
    "callers": 8000,
    "shadow hop": 8001,
    "control hop": 8002,
    "live": 9000,
    "shadow": 9001,
    "control": 9002,
    "collector": 9090,
}
"""What listens where in deploy/envoy/envoy.yaml."""

_FILES: Final = ("envoy.yaml", "edge.lua", "capture.lua")
_PORT: Final = re.compile(r"(?<=port_value: )\d+")


def find_envoy(given: Path | None) -> Path:
    """Give the program: the one that is named, the one from PyPI, or the one on the path.

    Raises:
        InputError: The one that is named is not there.
        DependencyError: There is none.
    """
    if given is not None:
        if not given.is_file():
            raise InputError(f"there is no Envoy at {given}", "name the program with --envoy")
        return given
    # PyPI's comes as a command beside this interpreter
    found = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if found is None:
        what = "Envoy is not installed; PyPI has it for Linux with glibc 2.31 or newer, and for macOS 15 on arm"
        raise DependencyError(
            what, "there, in the clone: pip install '.[demo]'; elsewhere install Envoy and name it with --envoy"
        )
    return Path(found)


def write_configuration(directory: Path, ports: Mapping[str, int]) -> Path:
    """Write the configuration with other ports (names as in `PORTS`), for the loopback interface; give its path."""
    directory.mkdir(exist_ok=True)
    known = {default: ports[name] for name, default in PORTS.items()}
    source = _source()
    for name in _FILES:
        text = source.joinpath(name).read_text(encoding="utf-8")
        if name == "envoy.yaml":
            text = _PORT.sub(lambda found: str(known[int(found[0])]), text).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        (directory / name).write_text(text, encoding="utf-8")
    return directory / "envoy.yaml"


def _source() -> Path:
    """Find deploy/envoy: inside the package where it is installed, beside it in a checkout."""
    package = Path(str(files("gnomon")))
    installed = package / "deploy" / "envoy"
    return installed if installed.is_dir() else package.parents[1] / "deploy" / "envoy"
