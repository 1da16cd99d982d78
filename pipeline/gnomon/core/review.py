"""Judge stored differences by other rules than those they were found under.

A stored difference is all that is left of a pair whose exchanges were not kept. New rules can take it away or make
it noise; they cannot bring back what the old rules hid, nor align arrays anew. `may_reveal` and `same_alignment` say
when that matters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from gnomon.core.compare import CONTROL_NOISE
from gnomon.core.equality import equal_under
from gnomon.core.json import Unreadable, loads
from gnomon.core.pointer import parse_pointer
from gnomon.core.rules import IGNORED_HEADERS, EndpointRules, PathRules, Rule
from gnomon.model import Difference

__all__ = ["may_reveal", "review_differences", "same_alignment"]

_ALIGNING: Final = ("unordered", "key", "map")
_HIDING: Final = (
    "ignore",
    *_ALIGNING,
    "number_tolerance",
    "time_tolerance",
    "treat_as",
    "match",
    "case_insensitive",
    "null_is_missing",
)


def may_reveal(old: EndpointRules, new: EndpointRules) -> bool:
    """Whether the new rules may show a difference that the old ones hid.

    Yes, unless every old rule that makes unlike things equal is there in the new rules too, and none of these
    says `ignore = false` where the old did not, and no header that differs by nature is compared now.
    """
    kept = {_aspects(rule, _HIDING) for rule in new.rules}
    if any(_hides(rule) and _aspects(rule, _HIDING) not in kept for rule in old.rules):
        return True
    known = {_aspects(rule, _HIDING) for rule in old.rules}
    if any(rule.ignore is False and _aspects(rule, _HIDING) not in known for rule in new.rules):
        return True
    return any(new.keeps_header(name) and not old.keeps_header(name) for name in IGNORED_HEADERS)


def same_alignment(old: EndpointRules, new: EndpointRules) -> bool:
    """Whether both rule sets pair array elements alike, so that stored paths still mean what they say."""
    return [_aspects(r, _ALIGNING) for r in old.rules if _aligns(r)] == [
        _aspects(r, _ALIGNING) for r in new.rules if _aligns(r)
    ]


def review_differences(differences: Iterable[Difference], rules: EndpointRules) -> list[Difference]:
    """Give what is left of stored differences under new rules, noise marked anew; the control's noise stays."""
    kept: list[Difference] = []
    for difference in differences:
        state = _state_at(difference, rules.root)
        if state is None or state.aspects.ignore or _equal(difference, state):
            continue
        by_control = difference.noise and difference.reason == CONTROL_NOISE
        noise = state.aspects.noise or by_control
        reason = state.aspects.noise_reason if state.aspects.noise else CONTROL_NOISE if by_control else None
        kept.append(msgspec.structs.replace(difference, noise=noise, reason=reason))
    return kept


def _state_at(difference: Difference, root: PathRules) -> PathRules | None:
    """Walk the rules to the place of a difference; None where something above it is ignored or equal as a whole."""
    state = root
    names = parse_pointer(difference.path)
    steps = difference.pattern[1:].split("/") if difference.pattern else []
    for name, step in zip(names, steps, strict=True):
        aspects = state.aspects
        if state.skip or (aspects.treat_as in ("presence", "type") and not aspects.treats_inside):
            return None
        # a `*` step is an array position, or a key of an object used as a map: both rules know by `*`
        state = state.item(int(name)) if step == "*" and name.isdigit() else state.child(name)
    return None if state.skip else state


def _equal(difference: Difference, state: PathRules) -> bool:
    aspects = state.aspects
    try:
        live = None if difference.live_value is None else loads(difference.live_value.encode())
        shadow = None if difference.shadow_value is None else loads(difference.shadow_value.encode())
    except Unreadable:
        return False
    one_sided = difference.live_value is None or difference.shadow_value is None
    if one_sided:
        return aspects.null_is_missing and live is None and shadow is None
    return difference.kind != "moved" and aspects.equalises and equal_under(live, shadow, aspects)


def _aspects(rule: Rule, names: tuple[str, ...]) -> tuple[object, ...]:
    return rule.path, *(getattr(rule, name) for name in names)


def _hides(rule: Rule) -> bool:
    return any(getattr(rule, name) for name in _HIDING)


def _aligns(rule: Rule) -> bool:
    return any(getattr(rule, name) is not None for name in _ALIGNING)
