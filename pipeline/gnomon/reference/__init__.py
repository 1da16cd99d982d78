"""The published descriptions of Gnomon, made from its code: JSON Schemas, settings, commands, metrics, tables.

`python -m gnomon.reference` writes them; nothing reads them at run time.
"""

from __future__ import annotations

from gnomon.reference.commands import commands_page
from gnomon.reference.operations import operations_page
from gnomon.reference.schemas import schemas
from gnomon.reference.settings import settings_page
from gnomon.reference.tables import tables_page

__all__ = ["commands_page", "operations_page", "pages", "schemas", "settings_page", "tables_page"]


def pages() -> dict[str, str]:
    """Give every generated file: its path from the repository's root, and its text."""
    files = {f"schemas/{name}.json": text for name, text in schemas().items()}
    return files | {
        "docs/cli.md": commands_page(),
        "docs/configuration.md": settings_page(),
        "docs/operations.md": operations_page(),
        "docs/tables.md": tables_page(),
    }
