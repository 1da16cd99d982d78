"""`gnomon rules suggest` as a function: rules proposed from what has landed, each with its evidence.

Proposed are endpoint templates: where many names show that a path segment holds values. The views apply them anyway;
as `[[endpoint]]` rules they name what lands from then on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from gnomon.core.learned import learn_templates

if TYPE_CHECKING:
    from gnomon.store import Selection, Store

__all__ = ["SuggestedTemplate", "suggest_templates", "toml_of"]

EXAMPLES: Final = 3
MAX_NAMES: Final = 100_000


class SuggestedTemplate(msgspec.Struct, frozen=True):
    """An endpoint template and what speaks for it: so many names, so many comparisons, the first names."""

    service: str
    template: str
    names: int
    comparisons: int
    examples: tuple[str, ...]


def suggest_templates(store: Store, selection: Selection) -> list[SuggestedTemplate]:
    """Propose templates from the endpoint names of the selected comparisons, by service and template."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for service, endpoint, count in store.sql(_NAMES, selection.parameters() | {"most": MAX_NAMES}).fetchall():
        counts[service][endpoint] = count
    return [
        SuggestedTemplate(
            service,
            learned.template,
            len(learned.endpoints),
            sum(seen[endpoint] for endpoint in learned.endpoints),
            learned.endpoints[:EXAMPLES],
        )
        for service, seen in sorted(counts.items())
        for learned in learn_templates(seen)
    ]


def toml_of(suggestions: Sequence[SuggestedTemplate]) -> str:
    """Write suggestions as a rules file, the evidence as comments above each."""
    return "\n".join(_table(suggestion) for suggestion in suggestions)


def _table(suggestion: SuggestedTemplate) -> str:
    examples = "".join(f"#   {_one_line(example)}\n" for example in suggestion.examples)
    return (
        f"# {suggestion.names} names in {suggestion.comparisons} comparisons, such as\n{examples}"
        f"[[endpoint]]\nservice = {_quoted(suggestion.service)}\ntemplate = {_quoted(suggestion.template)}\n"
    )


def _one_line(text: str) -> str:
    """Escape what could end a comment: names come from traffic."""
    return _quoted(text)[1:-1]


def _quoted(text: str) -> str:
    """Write a TOML basic string; JSON's escapes are TOML's, and DEL has to be escaped too."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


_NAMES: Final = """
SELECT c.service, c.endpoint, count(*) FROM comparisons AS c
WHERE ($since IS NULL OR c.started_at >= $since) AND ($until IS NULL OR c.started_at < $until)
    AND ($service IS NULL OR c.service = $service) AND ($target IS NULL OR c.target = $target)
    AND CASE $synthetic WHEN 'include' THEN true WHEN 'only' THEN c.synthetic IS NOT NULL ELSE c.synthetic IS NULL END
GROUP BY ALL ORDER BY 3 DESC, 1, 2 LIMIT $most
"""
