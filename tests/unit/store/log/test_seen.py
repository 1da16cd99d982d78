"""What is remembered of what has landed: exact within the horizon, bounded, and not led astray by odd clocks."""

from __future__ import annotations

import random
import threading

import duckdb

from gnomon.store.log.seen import Seen, seen_key

HOUR = 3_600_000_000
START = 1_800_000_000_000_000


def test_within_and_beyond_the_horizon() -> None:
    """Known until a horizon has passed, in both directions of time."""
    seen = Seen(HOUR)
    key = seen_key("r-1")
    seen.add(key, START)
    for apart in (0, HOUR - 1_000_000, -HOUR + 1_000_000):
        assert seen.has(key, START + apart)
    for apart in (HOUR, -HOUR, 5 * HOUR):
        assert not seen.has(key, START + apart)
    assert not seen.has(seen_key("r-2"), START)


def test_what_duckdb_tells_of_many_is_the_same() -> None:
    """Loaded at once or one by one, over several lengths of time; what stands beside its equal counts once."""
    at = [START + n * HOUR // 300 for n in range(1_000)]
    ids = [f"r-\u00fc-{n}" for n in range(1_000)]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE rows AS SELECT unnest($ids) AS id, unnest($us) AS us", {"ids": ids, "us": at})
        both = "SELECT id, us FROM rows UNION ALL FROM rows ORDER BY us"
        columns = connection.execute(
            f"SELECT md5_number_lower(id), md5_number_upper(id), us FROM ({both})"
        ).fetchnumpy()
    one, many = Seen(HOUR), Seen(HOUR)
    many.load(*(column[:900] for column in columns.values()))
    many.load(*(column[900:] for column in columns.values()))
    for request_id, moment in zip(ids, at, strict=True):
        one.add(seen_key(request_id), moment)
    assert len(one) == len(many)
    for request_id, moment in zip(ids, at, strict=True):
        for apart in (0, HOUR - 1_000_000, -HOUR):
            assert one.has(seen_key(request_id), moment + apart) == many.has(seen_key(request_id), moment + apart)
    assert many.has(seen_key(ids[-1]), at[-1])
    assert not many.has(seen_key("other"), at[-1])


def test_it_agrees_with_a_dictionary() -> None:
    """Ten thousand keys by chance, asked at chance moments."""
    rng = random.Random(5)
    seen, plain = Seen(HOUR), dict[bytes, int]()
    for number in range(10_000):
        key, at = seen_key(str(number)), START + rng.randrange(3 * HOUR)
        plain[key] = at
        seen.add(key, at)
    assert len(seen) == 10_000
    for number in range(20_000):
        key, at = seen_key(str(number)), START + rng.randrange(3 * HOUR)
        near = key in plain and abs(plain[key] // 1_000_000 - at // 1_000_000) < 3_600
        assert seen.has(key, at) == near


def test_the_past_is_forgotten() -> None:
    """Memory holds the lengths that can still matter, however long the stream."""
    seen = Seen(HOUR)
    for hour in range(10):
        for number in range(2_000):
            seen.add(seen_key(f"{hour}-{number}"), START + hour * HOUR)
    assert len(seen) <= 3 * 2_000
    assert seen.has(seen_key("8-0"), START + 8 * HOUR)


def test_clocks_that_run_ahead_move_nothing() -> None:
    """A handful of records from the far future, or past, neither drop what is known nor pile up."""
    seen = Seen(HOUR)
    for number in range(2_000):
        seen.add(seen_key(str(number)), START)
    for number in range(200):
        seen.add(seen_key(f"far-{number}"), START + number * 1_000 * HOUR)
    seen.add(seen_key("year 9999"), 253_402_300_799_999_999)
    assert seen.has(seen_key("7"), START)
    assert len(seen) < 2_100


def test_a_request_counts_once_however_often_it_is_compared_anew() -> None:
    """Duplicates and late records without end take no memory."""
    seen = Seen(HOUR)
    for _ in range(1_000):
        seen.add(seen_key("r-1"), START)
    assert len(seen) == 1


def test_what_is_known_is_found_while_another_thread_adds() -> None:
    """Also where room is made for more meanwhile."""
    seen = Seen(HOUR)
    known = [seen_key(str(number)) for number in range(2_000)]
    for key in known:
        seen.add(key, START)

    def add() -> None:
        for number in range(50_000):
            odd = number // 100 % 30 * 100 if number % 100 == 0 else number % 2
            seen.add(seen_key(f"new-{number}"), START + odd * HOUR)

    adder = threading.Thread(target=add)
    adder.start()
    while adder.is_alive():
        assert all(seen.has(key, START) for key in known)
    adder.join()
