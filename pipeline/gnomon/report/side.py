"""Two documents side by side, as rows: what differs in full, what does not folded to a word.

The rows are an outline of the compared documents: one value per line, array elements with their position, no
commas. Which rows are marked is decided by the differences and by nothing else, so the page never shows a finding
that the comparison did not make, nor hides one that it did. Only places that lead to a difference are walked: a body
of 100,000 elements with one difference costs one array, not 100,000 rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from gnomon.core.pointer import escape
from gnomon.model import JsonValue
from gnomon.report.brief import brief, fits, scalar
from gnomon.report.elements import Pair, in_live_order, match_up, partners
from gnomon.report.text import contrast, count, legible

__all__ = ["Cell", "Finding", "Row", "lay_out", "lay_out_members"]

MAX_ROWS = 240
"""Rows of one pair that are drawn."""

MAX_DEPTH = 60
"""Levels that are walked; a container below is one row. It bounds the recursion."""

CONTEXT = 3
"""Members without a difference that are shown on either side of one with a difference."""

WHOLE = 24
"""The same for headers, and for a body without any difference."""


class Finding(msgspec.Struct, frozen=True):
    """What the rows need to know of a difference: its `path`, `shadow_path`, `kind` and `noise`."""

    live_path: str
    shadow_path: str | None
    kind: str
    noise: bool


class Cell(msgspec.Struct, frozen=True):
    """One side of a row: `label` is the member's name or position; `before`, `differing`, `after` its value."""

    label: str = ""
    before: str = ""
    differing: str = ""
    after: str = ""


class Row(msgspec.Struct, frozen=True):
    """One line of the outline. `kind` is empty where nothing differs; `folded` says what a folded row stands for."""

    depth: int = 0
    live: Cell | None = None
    shadow: Cell | None = None
    kind: str = ""
    noise: bool = False
    folded: str = ""

    @property
    def same(self) -> bool:
        """Both sides have the same value, so a narrow page may show one of them."""
        return not self.kind and not self.passed and self.live is not None and self.shadow is not None

    @property
    def passed(self) -> bool:
        """The sides do not read the same, and the comparison let it pass: ignored, tolerated, or equal numbers."""
        if self.kind or self.live is None or self.shadow is None:
            return False
        return self.live.before != self.shadow.before


def lay_out(live: JsonValue, shadow: JsonValue, path: str, findings: Sequence[Finding]) -> tuple[list[Row], bool]:
    """Lay two documents out beside each other; `path` is the pointer of both in the compared document.

    Returns the rows, at most `MAX_ROWS`, and whether some were left out.
    """
    below = [finding for finding in findings if (finding.live_path + "/").startswith(path + "/")]
    walk = _Walk(below, CONTEXT if below else WHOLE)
    return _bounded(walk.value(live, shadow, _Spot(path, path, "", "", 0)))


def lay_out_members(
    live: dict[str, JsonValue], shadow: dict[str, JsonValue], path: str, findings: Sequence[Finding]
) -> tuple[list[Row], bool]:
    """Lay two flat objects, such as headers, out beside each other, without the braces around them."""
    walk = _Walk(findings, WHOLE)
    return _bounded(walk.members(live, shadow, _Spot(path, path, "", "", -1)))


def _bounded(rows: Iterator[Row]) -> tuple[list[Row], bool]:
    taken = list(islice(rows, MAX_ROWS + 1))
    return taken[:MAX_ROWS], len(taken) > MAX_ROWS


class _Spot(msgspec.Struct, frozen=True):
    """Where the walk is: a pointer and a label per side, and the depth."""

    live: str
    shadow: str
    live_label: str
    shadow_label: str
    depth: int

    def member(self, name: str) -> _Spot:
        step, label = f"/{escape(name)}", f"{legible(scalar(name), 120)}: "
        return _Spot(self.live + step, self.shadow + step, label, label, self.depth + 1)

    def item(self, live: int | None, shadow: int | None) -> _Spot:
        return _Spot(f"{self.live}/{live}", f"{self.shadow}/{shadow}", f"[{live}] ", f"[{shadow}] ", self.depth + 1)


class _Walk:
    """One pass over two documents; holds the findings by place."""

    def __init__(self, findings: Sequence[Finding], context: int) -> None:
        self.context = context
        # The last step of an `added` path is the shadow's: as a place in the live document it means another element.
        self.by_live = {finding.live_path: finding for finding in findings if finding.kind != "added"}
        self.by_shadow = {finding.shadow_path: finding for finding in findings if finding.shadow_path is not None}
        self.live_ways = _ways(finding.live_path for finding in findings)
        self.shadow_ways = _ways(finding.shadow_path for finding in findings if finding.shadow_path is not None)
        self.partners = partners(
            (finding.live_path, finding.shadow_path, finding.kind != "added")
            for finding in findings
            if finding.shadow_path is not None
        )

    def value(self, live: JsonValue, shadow: JsonValue, spot: _Spot) -> Iterator[Row]:
        """Rows of one place that both sides have."""
        finding = self.by_live.get(spot.live) or self.by_shadow.get(spot.shadow)
        leads_on = self._leads_on(spot)
        walkable = spot.depth < MAX_DEPTH and (leads_on or spot.depth == 0)
        if walkable and isinstance(live, dict) and isinstance(shadow, dict):
            yield from self._container(spot, "{}", self._members(live, shadow, spot), finding)
        elif walkable and isinstance(live, list) and isinstance(shadow, list):
            yield from self._container(spot, "[]", self._elements(live, shadow, spot), finding)
        elif finding is None and not leads_on:
            yield Row(spot.depth, _plain(live, spot.live_label), _plain(shadow, spot.shadow_label))
        else:
            yield _contrasted(live, shadow, spot, finding)

    def one_side(self, value: JsonValue, spot: _Spot, *, live: bool) -> Iterator[Row]:
        """Rows of a place that only one side has."""
        finding = self.by_live.get(spot.live) if live else self.by_shadow.get(spot.shadow)
        kind = finding.kind if finding else ""
        noise = finding.noise if finding else False
        label = spot.live_label if live else spot.shadow_label
        for depth, cell in _whole(value, label, spot.depth):
            yield Row(depth, cell if live else None, None if live else cell, kind, noise)

    def _leads_on(self, spot: _Spot) -> bool:
        return spot.live in self.live_ways or spot.shadow in self.shadow_ways

    def _container(
        self, spot: _Spot, brackets: str, children: Iterator[tuple[bool, Iterator[Row]]], finding: Finding | None
    ) -> Iterator[Row]:
        kind, noise = (finding.kind, finding.noise) if finding else ("", False)
        opening = Cell(spot.live_label, brackets[0]), Cell(spot.shadow_label, brackets[0])
        yield Row(spot.depth, *opening, kind=kind, noise=noise)
        yield from self._fold(children, spot)
        yield Row(spot.depth, Cell("", brackets[1]), Cell("", brackets[1]))

    def _fold(self, children: Iterator[tuple[bool, Iterator[Row]]], spot: _Spot) -> Iterator[Row]:
        return _fold(children, spot.depth + 1, self.context, 0 if self._leads_on(spot) else self.context)

    def members(self, live: dict[str, JsonValue], shadow: dict[str, JsonValue], spot: _Spot) -> Iterator[Row]:
        """Rows of the members of two objects, marked or not."""
        return self._fold(self._members(live, shadow, spot), spot)

    def _members(
        self, live: dict[str, JsonValue], shadow: dict[str, JsonValue], spot: _Spot
    ) -> Iterator[tuple[bool, Iterator[Row]]]:
        for name, value in live.items():
            child = spot.member(name)
            if name in shadow:
                yield self._marked(child), self.value(value, shadow[name], child)
            else:
                yield child.live in self.by_live, self.one_side(value, child, live=True)
        for name, value in shadow.items():
            if name not in live:
                child = spot.member(name)
                yield child.shadow in self.by_shadow, self.one_side(value, child, live=False)

    def _elements(
        self, live: list[JsonValue], shadow: list[JsonValue], spot: _Spot
    ) -> Iterator[tuple[bool, Iterator[Row]]]:
        for at, other in self._pairs(live, shadow, spot):
            child = spot.item(at, other)
            if at is None:
                yield child.shadow in self.by_shadow, self.one_side(shadow[other or 0], child, live=False)
            elif other is None:
                yield child.live in self.by_live, self.one_side(live[at], child, live=True)
            else:
                yield self._marked(child), self.value(live[at], shadow[other], child)

    def _marked(self, spot: _Spot) -> bool:
        return spot.live in self.by_live or spot.shadow in self.by_shadow or self._leads_on(spot)

    def _pairs(self, live: list[JsonValue], shadow: list[JsonValue], spot: _Spot) -> list[Pair]:
        """Which element stands beside which: as the differences say, then equal ones, then in order."""
        paired = {
            at: other
            for at, other in self.partners.get((spot.live, spot.shadow), {}).items()
            if at < len(live) and other < len(shadow)
        }
        taken = set(paired.values())
        free_live = [
            at for at in range(len(live)) if at not in paired and self._kind_at(spot.live, at, live=True) != "removed"
        ]
        free_shadow = [
            at for at in range(len(shadow)) if at not in taken and self._kind_at(spot.shadow, at, live=False) != "added"
        ]
        paired.update(match_up(live, shadow, free_live, free_shadow))
        return in_live_order(paired, len(live), len(shadow))

    def _kind_at(self, path: str, at: int, *, live: bool) -> str:
        finding = (self.by_live if live else self.by_shadow).get(f"{path}/{at}")
        return finding.kind if finding else ""


def _ways(paths: Iterable[str]) -> set[str]:
    """All places above the given ones, as deep as the walk goes."""
    ways: set[str] = set()
    for path in paths:
        names = path.split("/", MAX_DEPTH + 2)
        ways.update("/".join(names[:depth]) for depth in range(1, len(names)))
    return ways


def _fold(children: Iterator[tuple[bool, Iterator[Row]]], depth: int, context: int, first: int) -> Iterator[Row]:
    """Give the rows of marked children with `context` unmarked ones around them, and count the rest.

    `first` unmarked ones at the head are shown in any case.
    """
    waiting: list[Iterator[Row]] = []
    hidden = 0
    after = first
    for marked, rows in children:
        if marked:
            if hidden:
                yield _folded(hidden + len(waiting) - context, depth)
                waiting = waiting[len(waiting) - context :]
            for kept in waiting:
                yield from kept
            waiting, hidden, after = [], 0, context
            yield from rows
        elif after:
            after -= 1
            yield from rows
        else:
            waiting.append(rows)
            if len(waiting) > context + 1:  # one more than is shown: a fold in place of a single row would be no gain
                waiting.pop(0)
                hidden += 1
    if hidden or len(waiting) > 1:
        yield _folded(hidden + len(waiting), depth)
    elif waiting:
        yield from waiting[0]


def _folded(hidden: int, depth: int) -> Row:
    return Row(depth, folded=f"{count(hidden)} more without a difference")


def _contrasted(live: JsonValue, shadow: JsonValue, spot: _Spot, finding: Finding | None) -> Row:
    """One row for a value that differs (or has a difference deeper than the walk), with the differing part apart."""
    before, after = contrast(brief(live), brief(shadow))
    return Row(
        spot.depth,
        Cell(spot.live_label, *before),
        Cell(spot.shadow_label, *after),
        finding.kind if finding else "changed",
        noise=finding is not None and finding.noise,
    )


def _plain(value: JsonValue, label: str) -> Cell:
    return Cell(label, legible(brief(value)))


def _whole(value: JsonValue, label: str, depth: int) -> Iterator[tuple[int, Cell]]:
    """A value that stands alone, one line per value; the caller stops reading at its bound."""
    if not isinstance(value, dict | list) or depth >= MAX_DEPTH or fits(value):
        yield depth, _plain(value, label)
        return
    brackets = "{}" if isinstance(value, dict) else "[]"
    yield depth, Cell(label, brackets[0])
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _whole(child, f"{legible(scalar(name), 120)}: ", depth + 1)
    else:
        for at, child in enumerate(value):
            yield from _whole(child, f"[{at}] ", depth + 1)
    yield depth, Cell("", brackets[1])
