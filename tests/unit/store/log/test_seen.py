"""What is remembered of what has landed: exact within the horizon, bounded, and not led astray by odd clocks."""

from __future__ import annotations

import random

from gnomon.store.log.seen import Seen, seen_key

HOUR = 3_600_000_000
START = 1_800_000_000_000_000


def test_within_and_beyond_the_horizon() -> None:
    """Known until a horizon has passed, in both directions of time."""
    seen = Seen(HOUR)
    key = seen_key("r-1", "t", "shadow")
    seen.add(key, START, missing=False)
    for apart in (0, HOUR - 1_000_000, -HOUR + 1_000_000):
        assert seen.get(key, START + apart) is False
    for apart in (HOUR, -HOUR, 5 * HOUR):
        assert seen.get(key, START + apart) is None
    assert seen.get(seen_key("r-1", "t", "control"), START) is None


def test_an_answer_outweighs_a_missing_row() -> None:
    """Missing until an answer is known, in whatever order they are remembered."""
    for order in ((True, False), (False, True)):
        seen = Seen(HOUR)
        key = seen_key("r-1", "t", "shadow")
        seen.add(key, START, missing=order[0])
        assert seen.get(key, START) is order[0]
        seen.add(key, START + 1, missing=order[1])
        assert seen.get(key, START) is False


def test_it_agrees_with_a_dictionary() -> None:
    """Ten thousand keys by chance, asked at chance moments."""
    rng = random.Random(5)
    seen, plain = Seen(HOUR), dict[bytes, int]()
    for number in range(10_000):
        key, at = seen_key(str(number), "t", "shadow"), START + rng.randrange(3 * HOUR)
        plain[key] = at
        seen.add(key, at, missing=False)
    assert len(seen) == 10_000
    for number in range(20_000):
        key, at = seen_key(str(number), "t", "shadow"), START + rng.randrange(3 * HOUR)
        near = key in plain and abs(plain[key] // 1_000_000 - at // 1_000_000) < 3_600
        assert (seen.get(key, at) is False) == near


def test_the_past_is_forgotten() -> None:
    """Memory holds the lengths that can still matter, however long the stream."""
    seen = Seen(HOUR)
    for hour in range(10):
        for number in range(2_000):
            seen.add(seen_key(f"{hour}-{number}", "t", "shadow"), START + hour * HOUR, missing=False)
    assert len(seen) <= 3 * 2_000
    assert seen.get(seen_key("8-0", "t", "shadow"), START + 8 * HOUR) is False


def test_clocks_that_run_ahead_move_nothing() -> None:
    """A handful of records from the far future, or past, neither drop what is known nor pile up."""
    seen = Seen(HOUR)
    for number in range(2_000):
        seen.add(seen_key(str(number), "t", "shadow"), START, missing=False)
    for number in range(200):
        seen.add(seen_key(f"far-{number}", "t", "shadow"), START + number * 1_000 * HOUR, missing=False)
    seen.add(seen_key("year 9999", "t", "shadow"), 253_402_300_799_999_999, missing=False)
    assert seen.get(seen_key("7", "t", "shadow"), START) is False
    assert len(seen) < 2_100
