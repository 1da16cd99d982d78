"""What is wrong with SQL that does not work, from DuckDB's words about it: its suggestions are kept."""

from __future__ import annotations

import re
from typing import Final

from gnomon.errors import UsageError

__all__ = ["wrong_sql"]

_TIMES: Final = "a time is written '2027-07-12T08:00:00Z', or as now() - INTERVAL 1 HOUR"

_TABLES: Final = "`SHOW TABLES` lists tables and views, docs/tables.md the macros too"
_COLUMNS: Final = "`DESCRIBE` and the table's name show its columns"
_SHOWN: Final = 5


def wrong_sql(text: str) -> UsageError:
    """Make the error of DuckDB's message `text`, in one sentence.

    The first line says what is wrong; the next ones, before the place in the SQL, what DuckDB takes for meant:
    `Did you mean "x"?`, or candidates.
    """
    said, _, rest = text.partition("\n")
    said = re.sub(r"^(\w+ ){1,4}Error: ", "", said).removesuffix(" You might need to add explicit type casts.")
    said = said.rstrip("!. ")
    meant, hint = _meant(rest), _where_to_look(said)
    if meant is None:
        remedy = hint or "`gnomon query --help` has examples"
    else:
        remedy = " ".join(filter(None, [meant if meant.endswith("?") or not hint else f"{meant};", hint]))
    return UsageError(f"the SQL does not work: {said}", remedy)


def _meant(rest: str) -> str | None:
    """What DuckDB suggests."""
    if found := re.search(r'Did you mean ("[^"\n]+"(?:,? or "[^"\n]+")*)', rest):
        return f"did you mean {found[1]}?"
    if found := re.search(r"Candidate macros?:\s*(\w+)\((.*)\)", rest):
        return f"{found[1]} takes {found[2]}"
    if found := re.search(r"Candidate (?:bindings|tables): ?:? ?(.+)", rest):
        return f"candidates are {', '.join(found[1].split(', ')[:_SHOWN])}"
    if found := re.search(r"^Either (.+?)\.?$", rest, re.MULTILINE):
        return found[1]
    return None


def _where_to_look(said: str) -> str | None:
    if re.search(r"^Macro \w+\(\) does not support|timestamp field", said):
        return _TIMES
    if re.search(r"^Table (Function )?with name|Referenced table", said):
        return _TABLES
    if re.search(r"Referenced column|have a column", said):
        return _COLUMNS
    return None
