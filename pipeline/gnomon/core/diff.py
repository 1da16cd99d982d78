"""The structural difference of two JSON documents: a plain recursive walk.

Where values are equal, a walk builds nothing and asks no rule: paths are chains of steps that become text only when
there is a difference to report. Documents are at most 200 levels deep (`core.json`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from gnomon.core.align import Budget
from gnomon.core.arrays import Aligner, Near
from gnomon.core.equality import NUMBERS, equal_under, identical
from gnomon.core.json import dumps, same_number
from gnomon.core.pointer import escape
from gnomon.model import Difference, DifferenceKind, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gnomon.core.rules import PathRules
    from gnomon.model import JsonValue

__all__ = ["ALIGNMENT_UNITS", "diff_documents", "severity_of"]

ALIGNMENT_UNITS: Final = 2_000_000
"""Work that the alignments of one comparison may take, in units of `align.Budget`: about a second."""

ROOM: Final = 64 << 20
"""Characters that the differences of one comparison may take, and those that are noise as many again."""

CUT: Final = "there are more differences than can be kept"
_OVERHEAD: Final = 200
_PROBE_UNITS: Final = 30
_SHALLOW: Final = 12
"""Levels down to which parts are first compared as wholes, which is fast, and done again at each level inside."""

_MISSING: Final[Any] = object()

_Side: TypeAlias = Any
"""A JSON value, or `_MISSING`."""

_Step: TypeAlias = list[Any]
"""One step of the way to a place: [the step before or None, name or index in live, the same in the shadow, whether the
pattern has `*` here, the texts of the way up to here once somebody asked for them]."""


def diff_documents(
    live: JsonValue,
    shadow: JsonValue,
    rules: PathRules | None = None,
    budget: Budget | None = None,
    at: tuple[str, ...] = (),
) -> list[Difference]:
    """Compare two documents, or two parts of documents that stand at the same place.

    Args:
        live: The document as live answered it.
        shadow: The same of the other side.
        rules: The rules at this place; None: no rules.
        budget: What alignments may cost; a fresh one of `ALIGNMENT_UNITS` when there is none.
        at: Names from the root to this place, `("body",)`.

    Returns:
        The differences in live's order, the shadow's additions after live's members; empty when equal under the rules.
        What does not fit in `ROOM` is left out, and the last difference says so.
    """
    walk = _Walk(Aligner(Budget(ALIGNMENT_UNITS) if budget is None else budget), _near)
    step: _Step | None = None
    for name in at:
        step = [step, name, name, False, None]
    walk.value(live, shadow, step, rules)
    return walk.found()


def severity_of(part: str, kind: DifferenceKind) -> Severity:
    """Give a difference's severity: by the document's part (`status`, `headers`, ...) and by its kind."""
    if part in ("status", "error"):
        return "high"
    if part in ("headers", "trailers"):
        return "low"
    if kind in ("type_changed", "removed"):
        return "high"
    return "medium" if kind == "changed" else "low"


class _Walk:
    """One walk over two documents; collects differences.

    `_depth` counts the containers around the present place, `_reason` is why the arrays among them were not aligned as
    they should be.
    """

    __slots__ = ("_aligner", "_cut", "_depth", "_found", "_near", "_reason", "_room")

    def __init__(self, aligner: Aligner, near: Near | None) -> None:
        self._aligner = aligner
        self._near = near
        self._depth = 0
        self._reason: str | None = None
        self._found: list[Difference] = []
        self._room = [ROOM, ROOM]
        self._cut = False

    def value(self, live: JsonValue, shadow: JsonValue, at: _Step | None, rules: PathRules | None) -> None:
        """Compare two values at one place."""
        if rules is not None:
            if rules.dead:
                rules = None
            elif rules.skip or (rules.equalises and equal_under(live, shadow, rules.aspects)):
                return
        kind = type(live)
        if kind is type(shadow):
            if kind is dict or kind is list:
                self._depth += 1
                if kind is dict:
                    self._object(live, shadow, at, rules)  # type: ignore[arg-type]
                else:
                    self._array(live, shadow, at, rules)  # type: ignore[arg-type]
                self._depth -= 1
            elif live != shadow:
                self._emit("changed", live, shadow, at, rules)
        elif kind not in NUMBERS or type(shadow) not in NUMBERS:
            self._emit("type_changed", live, shadow, at, rules)
        elif not same_number(live, shadow):  # type: ignore[arg-type]
            self._emit("changed", live, shadow, at, rules)

    def _object(
        self, live: dict[str, JsonValue], shadow: dict[str, JsonValue], at: _Step | None, rules: PathRules | None
    ) -> None:
        is_map = rules is not None and rules.aspects.map
        is_shallow = self._depth <= _SHALLOW
        in_shadow = shadow.get
        in_both = 0
        for name, one in live.items():
            other = in_shadow(name, _MISSING)
            kind = type(one)
            if kind is type(other):
                in_both += 1
                if kind is dict or kind is list:
                    if is_shallow and identical(one, other):
                        continue
                elif one == other:  # what is equal needs no rule
                    continue
                self.value(one, other, [at, name, name, is_map, None], None if rules is None else rules.child(name))
            else:
                in_both += other is not _MISSING
                self._member(one, other, [at, name, name, is_map, None], None if rules is None else rules.child(name))
        if in_both != len(shadow):
            for name, other in shadow.items():
                if name not in live:
                    below = None if rules is None else rules.child(name)
                    self._member(_MISSING, other, [at, name, name, is_map, None], below)

    def _member(self, live: _Side, shadow: _Side, at: _Step | None, rules: PathRules | None) -> None:
        """Compare two members of which one may be missing."""
        if rules is not None and rules.aspects.null_is_missing:
            live = _MISSING if live is None else live
            shadow = _MISSING if shadow is None else shadow
        if live is _MISSING:
            if shadow is not _MISSING:
                self._emit("added", live, shadow, at, rules)
        elif shadow is _MISSING:
            self._emit("removed", live, shadow, at, rules)
        else:
            self.value(live, shadow, at, rules)

    def _array(self, live: list[JsonValue], shadow: list[JsonValue], at: _Step | None, rules: PathRules | None) -> None:
        is_shallow = self._depth <= _SHALLOW
        aligned = self._aligner.align(live, shadow, rules, self._near, shallow=is_shallow)
        if aligned is None:
            return
        (equal, paired, moved, removed, added, _), keyed, reason = aligned
        outer, self._reason = self._reason, reason or self._reason
        if keyed and is_shallow:  # the other way of aligning has set aside what is the same
            paired = [(i, j) for i, j in paired if not identical(live[i], shadow[j])]
        visits = [(i, j, False) for i, j in paired]
        visits += [(i, j, True) for i, j in moved]
        visits += [(i, -1, False) for i in removed]
        if rules is not None:  # equal by what the rules leave of them: one may name an element by its index
            visits += [(i, j, False) for i, j in equal]
        visits.sort()
        for i, j, has_moved in visits:
            below = None if rules is None else rules.item(i)
            if j < 0:
                self._emit("removed", live[i], _MISSING, [at, i, i, True, None], below)
                continue
            if has_moved:
                self._emit("moved", live[i], shadow[j], [at, i, j, True, None], below)
            if not has_moved or keyed or below is not None:
                self.value(live[i], shadow[j], [at, i, j, True, None], below)
        for j in added:
            below = None if rules is None else rules.item(j)
            self._emit("added", _MISSING, shadow[j], [at, j, j, True, None], below)
        self._reason = outer

    def _emit(
        self, kind: DifferenceKind, live: _Side, shadow: _Side, at: _Step | None, rules: PathRules | None
    ) -> None:
        """Make a difference, as the rules at its place want it."""
        noise, reason = False, self._reason
        if rules is not None:
            aspects = rules.aspects
            if aspects.ignore:
                if not rules.skip and kind != "moved":
                    self._lift(live, shadow, at, rules)
                return
            if aspects.noise:
                noise, reason = True, f"{aspects.noise_reason}; {reason}" if reason else aspects.noise_reason
        self._report(kind, live, shadow, at, noise=noise, reason=reason)

    def _lift(self, live: _Side, shadow: _Side, at: _Step | None, rules: PathRules) -> None:
        """Look for what rules want to see inside a value that they ignore, and that the other side has not."""
        for value in (live, shadow):
            inside: Iterable[tuple[str | int, JsonValue, PathRules]] = ()
            if type(value) is dict:
                inside = ((name, inner, rules.child(name)) for name, inner in value.items())
            elif type(value) is list:
                inside = ((index, inner, rules.item(index)) for index, inner in enumerate(value))
            for name, inner, below in inside:
                step = [at, name, name, rules.aspects.map or type(value) is list, None]
                if value is live:
                    self._member(inner, _MISSING, step, below)
                else:
                    self._member(_MISSING, inner, step, below)

    def _report(
        self, kind: DifferenceKind, live: _Side, shadow: _Side, at: _Step | None, *, noise: bool, reason: str | None
    ) -> None:
        """Keep a difference, as long as there is room for its like."""
        if self._room[noise] <= 0:
            self._cut = True
            return
        path, shadow_path, pattern = _texts(at)
        live_value = None if live is _MISSING else dumps(live)
        shadow_value = None if shadow is _MISSING else dumps(shadow)
        self._room[noise] -= 2 * len(path) + len(pattern) + len(live_value or "") + len(shadow_value or "") + _OVERHEAD
        self._found.append(
            Difference(
                path,
                None if kind == "removed" else shadow_path,
                pattern,
                kind,
                severity_of(path[1:].partition("/")[0], kind),
                live_value,
                shadow_value,
                noise,
                reason,
            )
        )

    def found(self) -> list[Difference]:
        """Give the differences; the last one says so if there was no room for more."""
        if self._cut:
            last = self._found[-1]
            reason = f"{last.reason}; {CUT}" if last.reason else CUT
            self._found[-1] = msgspec.structs.replace(last, reason=reason)
        return self._found


class _DifferentError(Exception):
    """Two values are not equal under their rules."""


class _Probe(_Walk):
    """A walk that only asks whether there is a difference, and pays for each step.

    Inside, elements are matched by what they exactly are: probes within probes would cost too much.
    """

    __slots__ = ()

    def value(self, live: JsonValue, shadow: JsonValue, at: _Step | None, rules: PathRules | None) -> None:
        """Compare two values at one place."""
        self._depth = _SHALLOW  # what is compared as a whole cannot be paid for by the step
        self._aligner.pay(_PROBE_UNITS + (len(live) if isinstance(live, dict | list) else 0))
        super().value(live, shadow, at, rules)

    def _report(self, *_: object, **__: object) -> None:
        raise _DifferentError


def _near(aligner: Aligner, live: JsonValue, shadow: JsonValue, rules: PathRules) -> bool:
    """Whether two elements are equal under the rules at their place.

    Raises:
        OverBudgetError: The budget did not last until that was known.
    """
    try:
        _Probe(aligner, None).value(live, shadow, None, rules)
    except _DifferentError:
        return False
    return True


def _texts(at: _Step | None) -> tuple[str, str, str]:
    """Turn a chain of steps into the path, the shadow's path and the pattern; each step keeps its own."""
    missing: list[_Step] = []
    while at is not None and at[4] is None:
        missing.append(at)
        at = at[0]
    path, shadow_path, pattern = ("", "", "") if at is None else at[4]
    for step in reversed(missing):
        _, live, shadow, star, _ = step
        if type(live) is str:  # members have the same name on both sides
            name = escape(live)
            path, shadow_path = f"{path}/{name}", f"{shadow_path}/{name}"
            pattern = f"{pattern}/*" if star else f"{pattern}/{name.replace('*', '~2')}"
        else:
            path, shadow_path, pattern = f"{path}/{live}", f"{shadow_path}/{shadow}", f"{pattern}/*"
        step[4] = (path, shadow_path, pattern)
    return path, shadow_path, pattern
