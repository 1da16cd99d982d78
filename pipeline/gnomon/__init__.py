"""Gnomon: does the new version of a service behave like the old one, on real traffic?

The names below are the public ones. They are imported when they are first asked for: `import gnomon` starts no
database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.capture import Source
    from gnomon.compare import CompareRequest, compare_captures
    from gnomon.config import Settings, load_settings
    from gnomon.core.rules import parse_rules
    from gnomon.errors import GnomonError
    from gnomon.model import Comparison, Difference, Exchange, Reject
    from gnomon.report import render_report
    from gnomon.store import open_store as open  # noqa: A004 - read as gnomon.open(path)
    from gnomon.summary import RunSummary

__all__ = [
    "CompareRequest",
    "Comparison",
    "Difference",
    "Exchange",
    "GnomonError",
    "Reject",
    "RunSummary",
    "Settings",
    "Source",
    "compare_captures",
    "load_settings",
    "open",
    "parse_rules",
    "render_report",
]

_HOMES = {
    "CompareRequest": "gnomon.compare",
    "Comparison": "gnomon.model",
    "Difference": "gnomon.model",
    "Exchange": "gnomon.model",
    "GnomonError": "gnomon.errors",
    "Reject": "gnomon.model",
    "RunSummary": "gnomon.summary",
    "Settings": "gnomon.config",
    "Source": "gnomon.capture",
    "compare_captures": "gnomon.compare",
    "load_settings": "gnomon.config",
    "open": "gnomon.store",
    "parse_rules": "gnomon.core.rules",
    "render_report": "gnomon.report",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as many types as there are names
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    found = getattr(import_module(_HOMES[name]), "open_store" if name == "open" else name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
