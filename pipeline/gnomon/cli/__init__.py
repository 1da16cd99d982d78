"""The command line: `gnomon`. Each command parses, calls the library and formats; each has a file of its own.

Commands import what they need when they run, so `gnomon --help` starts neither a database nor a stream.
"""

from __future__ import annotations

from gnomon.cli.run import main

__all__ = ["main"]
