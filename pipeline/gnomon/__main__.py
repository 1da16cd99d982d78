"""`python -m gnomon` is `gnomon`."""

from __future__ import annotations

import sys

from gnomon.cli import main

if __name__ == "__main__":
    sys.exit(main())
