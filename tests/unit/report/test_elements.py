"""Which array elements stand beside which."""

from __future__ import annotations

import pytest

from gnomon.model import JsonValue
from gnomon.report.elements import SEARCH, in_live_order, match_up, partners


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ([("/body/items/3/price", "/body/items/5/price", True)], {("/body/items", "/body/items"): {3: 5}}),
        ([("/body/3", "/body/5", True)], {("/body", "/body"): {3: 5}}),
        ([("/body/3", "/body/5", False)], {}),
        (
            [("/body/1/a/2/b", "/body/4/a/0/b", False)],
            {("/body", "/body"): {1: 4}, ("/body/1/a", "/body/4/a"): {2: 0}},
        ),
        ([("/body/name", "/body/name", True), ("", "", True)], {}),
        ([("/body/99999999999999999999", "/body/1", True)], {}),
        ([("/body/²", "/body/1", True)], {}),
    ],
)
def test_partners(places: list[tuple[str, str, bool]], found: dict[tuple[str, str], dict[int, int]]) -> None:
    """The two paths of a difference say which elements were compared; the last step of an added one has no partner."""
    assert partners(places) == found


@pytest.mark.parametrize(
    ("live", "shadow", "paired"),
    [
        ([1, 2, 3], [1, 2, 3], {0: 0, 1: 1, 2: 2}),
        ([1, 2, 3], [3, 1, 2], {0: 1, 1: 2, 2: 0}),
        ([1, 2], [1, 9], {0: 0, 1: 1}),
        ([1, 1], [1], {0: 0}),
        ([], [1], {}),
    ],
)
def test_match_up(live: list[JsonValue], shadow: list[JsonValue], paired: dict[int, int]) -> None:
    """Equal elements pair wherever they are, the others in order, and a surplus stays alone."""
    assert match_up(live, shadow, list(range(len(live))), list(range(len(shadow)))) == paired


def test_long_arrays_pair_in_order() -> None:
    """Above a bound nothing is searched: a long reversed array pairs by position."""
    live: list[JsonValue] = list(range(SEARCH + 1))
    shadow = live[::-1]
    assert match_up(live, shadow, list(range(len(live))), list(range(len(live))))[0] == 0


def test_what_only_the_shadow_has_follows_its_predecessor() -> None:
    """Order is live's; an added element comes after the element that it follows in the shadow."""
    assert in_live_order({0: 1, 1: 2}, 3, 4) == [(None, 0), (0, 1), (1, 2), (None, 3), (2, None)]
