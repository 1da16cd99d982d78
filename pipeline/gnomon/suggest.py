"""`gnomon rules suggest` as a function: rules proposed from what has landed, each with its evidence.

Proposed are endpoint templates, where many names show that a path segment holds values (the views apply them anyway;
as `[[endpoint]]` rules they name what lands from then on), and `[[rule]]` tables for volatile fields, whose values live
makes anew for each response. Nothing is hidden before a person has put the rule into a file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gnomon.core.compare import CONTROL_NOISE
from gnomon.core.learned import learn_templates
from gnomon.core.volatile import (
    MIN_REQUESTS,
    FieldSample,
    Observation,
    Refusal,
    VolatileField,
    learn_volatile,
)

if TYPE_CHECKING:
    from gnomon.store import Selection, Store

__all__ = ["RefusedField", "SuggestedRule", "SuggestedTemplate", "suggest_rules", "suggest_templates", "toml_of"]

EXAMPLES: Final = 3
MAX_NAMES: Final = 100_000
MAX_FIELDS: Final = 200
MAX_OBSERVATIONS: Final = 500
LONGEST_EXAMPLE: Final = 100


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


class SuggestedRule(msgspec.Struct, frozen=True):
    """A rule for a volatile field, what it was learned from, and what was learned."""

    sample: FieldSample
    learned: VolatileField


class RefusedField(msgspec.Struct, frozen=True):
    """A field that differs often, and why no rule is proposed for it."""

    service: str
    endpoint: str
    pattern: str
    reason: str


def suggest_rules(store: Store, selection: Selection) -> tuple[list[SuggestedRule], list[RefusedField]]:
    """Propose rules for the fields that differ most often, and say which are refused and why; the most frequent first.

    Looked at are 200 fields that differ in 20 requests or more, and 500 differences of each.
    """
    parameters = {
        **selection.parameters(),
        "control": CONTROL_NOISE,
        "least": MIN_REQUESTS,
        "fields": MAX_FIELDS,
        "observations": MAX_OBSERVATIONS,
    }
    rules, refused = [], []
    for row in store.sql(_FIELDS, parameters).fetchall():
        sample = _sample(*row)
        learned = learn_volatile(sample)
        if isinstance(learned, Refusal):
            refused.append(RefusedField(sample.service, sample.endpoint, sample.pattern, learned.reason))
        else:
            rules.append(SuggestedRule(sample, learned))
    return rules, refused


def _sample(  # noqa: PLR0913, PLR0917 - the columns of a row
    service: str,
    endpoint: str,
    pattern: str,
    pairs: int,
    requests: int,
    kinds: Sequence[str],
    observations: Sequence[Mapping[str, Any]],
) -> FieldSample:
    return FieldSample(
        service=service,
        endpoint=endpoint,
        pattern=pattern,
        pairs=pairs,
        requests=requests,
        kinds=frozenset(kinds),
        observations=[Observation(**observation) for observation in observations or ()],
    )


def toml_of(suggestions: Sequence[SuggestedTemplate | SuggestedRule]) -> str:
    """Write suggestions as a rules file, the evidence as comments above each."""
    return "\n".join(_rule(one) if isinstance(one, SuggestedRule) else _table(one) for one in suggestions)


def _rule(suggestion: SuggestedRule) -> str:
    sample, learned = suggestion.sample, suggestion.learned
    examples = "".join(
        f"#   {_short(o.request_id)}: {_short(o.live)} -> {_short(o.shadow)}\n" for o in sample.observations[:EXAMPLES]
    )
    again = f", and in {learned.repeats} answers to a request seen before" if learned.repeats else ""
    return (
        f"# {learned.kind}: differs in {sample.requests} of {sample.pairs} pairs; {learned.distinct} different values"
        f" of live in {len(sample.observations)} looked at{again}; such as\n{examples}"
        f"[[rule]]\nservice = {_quoted(sample.service)}\nendpoint = {_quoted(sample.endpoint)}\n"
        f"path = {_quoted(sample.pattern)}\n{learned.aspect} = {_quoted(learned.value)}\n"
        f"reason = {_quoted(learned.meaning)}\n"
    )


def _table(suggestion: SuggestedTemplate) -> str:
    examples = "".join(f"#   {_one_line(example)}\n" for example in suggestion.examples)
    return (
        f"# {suggestion.names} names in {suggestion.comparisons} comparisons, such as\n{examples}"
        f"[[endpoint]]\nservice = {_quoted(suggestion.service)}\ntemplate = {_quoted(suggestion.template)}\n"
    )


def _short(text: str) -> str:
    return _one_line(text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]}...")


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

# A request is looked at once, however many shadows it had; what differs by a rule's noise has its rule already.
_FIELDS: Final = """
WITH pairs AS (
    SELECT c.service, c.endpoint, count(DISTINCT hash(c.request_id, c.started_at)) AS pairs
    FROM comparisons AS c
    WHERE c.role = 'shadow' AND is_pair(c.outcome) AND c.outcome <> 'incomparable'
        AND ($since IS NULL OR c.started_at >= $since) AND ($until IS NULL OR c.started_at < $until)
        AND ($service IS NULL OR c.service = $service) AND ($target IS NULL OR c.target = $target)
        AND CASE $synthetic WHEN 'include' THEN true WHEN 'only' THEN c.synthetic IS NOT NULL
            ELSE c.synthetic IS NULL END
    GROUP BY c.service, c.endpoint
),
shown AS MATERIALIZED (
    SELECT
        d.service, d.endpoint, d.pattern, d.kind, d.path, d.request_id, d.started_at, d.live_value, d.shadow_value,
        c.method || ' ' || c.path AS asked, hash(d.request_id, d.started_at) AS request
    FROM differences AS d
    JOIN comparisons AS c ON c.request_id = d.request_id AND c.started_at = d.started_at AND c.target = d.target
        AND c.role = d.role
    WHERE d.role = 'shadow' AND NOT (d.noise AND d.reason IS DISTINCT FROM $control)
        AND ($since IS NULL OR c.started_at >= $since) AND ($until IS NULL OR c.started_at < $until)
        AND ($service IS NULL OR c.service = $service) AND ($target IS NULL OR c.target = $target)
        AND CASE $synthetic WHEN 'include' THEN true WHEN 'only' THEN c.synthetic IS NOT NULL
            ELSE c.synthetic IS NULL END
),
counted AS (
    SELECT
        s.service, s.endpoint, s.pattern, count(DISTINCT s.request) AS requests, list(DISTINCT s.kind) AS kinds
    FROM shown AS s
    GROUP BY s.service, s.endpoint, s.pattern
    HAVING count(DISTINCT s.request) >= $least
    ORDER BY requests DESC, s.service, s.endpoint, s.pattern
    LIMIT $fields
),
placed AS (
    SELECT
        s.service, s.endpoint, s.pattern, s.request_id, any_value(s.asked) AS request, s.started_at, s.path,
        min(s.live_value) AS live, min(s.shadow_value) AS shadow
    FROM shown AS s
    SEMI JOIN counted AS c ON c.service = s.service AND c.endpoint = s.endpoint AND c.pattern = s.pattern
    WHERE s.kind = 'changed' AND s.live_value IS NOT NULL AND s.shadow_value IS NOT NULL
    GROUP BY s.service, s.endpoint, s.pattern, s.request_id, s.started_at, s.path
    QUALIFY row_number() OVER (
        PARTITION BY s.service, s.endpoint, s.pattern ORDER BY s.started_at, s.request_id, s.path
    ) <= $observations
),
observed AS (
    SELECT p.service, p.endpoint, p.pattern, list({
        'request_id': p.request_id, 'request': p.request, 'started_us': epoch_us(p.started_at), 'path': p.path,
        'live': p.live, 'shadow': p.shadow
    } ORDER BY p.started_at, p.request_id, p.path) AS observations
    FROM placed AS p
    GROUP BY p.service, p.endpoint, p.pattern
)
SELECT c.service, c.endpoint, c.pattern, p.pairs, c.requests, c.kinds, o.observations
FROM counted AS c
JOIN pairs AS p ON p.service = c.service AND p.endpoint = c.endpoint
LEFT JOIN observed AS o ON o.service = c.service AND o.endpoint = c.endpoint AND o.pattern = c.pattern
ORDER BY c.requests DESC, c.service, c.endpoint, c.pattern
"""
