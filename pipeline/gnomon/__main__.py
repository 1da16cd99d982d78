"""The process of `gnomon`, or `python -m gnomon`: what holds for the whole process is settled here, then `cli` runs."""

from __future__ import annotations

import gc
import sys

from gnomon.cli import main as run

__all__ = ["main"]


def main() -> int:
    """Run the command line in a process of its own and give its exit code."""
    if sys.argv[1:2] == ["compare"]:
        # Millions of short-lived documents without cycles, which the collector would look through again and again for
        # a sixth of the time
        gc.set_threshold(100_000, 50, 100)
        # pyarrow takes these in where they are installed, for conversions that are not asked for: half a second. Only
        # the verdict of a report computes with one of them.
        if not any(argument.startswith("--report") for argument in sys.argv):
            for module in ("numpy", "pandas"):
                sys.modules[module] = None  # type: ignore[assignment]
    return run()


if __name__ == "__main__":
    sys.exit(main())
