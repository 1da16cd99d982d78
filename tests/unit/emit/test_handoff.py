from __future__ import annotations

import threading

from gnomon.emit.handoff import Handoff


def test_what_was_put_is_taken_in_order_with_its_size() -> None:
    """A queue is first in, first out."""
    queue: Handoff[str] = Handoff(10, 100)
    assert queue.put("a", 1)
    assert queue.put("b", 2)
    assert queue.take(10, 0) == [(1, "a"), (2, "b")]


def test_items_count_until_they_are_done() -> None:
    """The bound on their number holds for what is being written too."""
    queue: Handoff[int] = Handoff(2, 100)
    assert [queue.put(item, 1) for item in range(3)] == [True, True, False]
    queue.take(1, 0)
    assert not queue.put(3, 1)
    queue.done(1, 1)
    assert queue.put(3, 1)
    assert len(queue) == 2


def test_bytes_are_bounded_too() -> None:
    """A few large items fill it."""
    queue: Handoff[int] = Handoff(100, 10)
    assert queue.put(1, 6)
    assert not queue.put(2, 5)
    assert queue.put(3, 4)


def test_how_full_it_is_goes_by_what_there_is_less_room_for() -> None:
    """By their number, or by their bytes; what is being written counts."""
    queue: Handoff[int] = Handoff(4, 100)
    assert queue.fill == 0
    queue.put(1, 10)
    assert queue.fill == 0.25
    queue.put(2, 80)
    assert queue.fill == 0.9
    queue.take(2, 0)
    assert queue.fill == 0.9
    queue.done(1, 80)
    assert queue.fill == 0.25


def test_a_closed_queue_gives_out_what_it_has_and_then_nothing() -> None:
    """Closing refuses what is new and loses nothing."""
    queue: Handoff[int] = Handoff(10, 10)
    queue.put(1, 1)
    queue.close()
    assert not queue.put(2, 1)
    assert queue.take(10, 60) == [(1, 1)]
    assert queue.take(10, 60) == []


def test_waiting_for_empty_ends_when_all_is_done() -> None:
    """Whoever waits learns whether it was in time."""
    queue: Handoff[int] = Handoff(10, 10)
    assert queue.wait_empty(0)
    queue.put(1, 1)
    assert not queue.wait_empty(0.001)
    waiter = threading.Thread(target=lambda: queue.done(1, 1))
    queue.take(1, 0)
    waiter.start()
    assert queue.wait_empty(10)
    waiter.join()


def test_nothing_is_lost_between_many_threads() -> None:
    """Whatever they do at once, each item that was accepted is taken exactly once."""
    queue: Handoff[int] = Handoff(10**6, 10**6)
    threads = [
        threading.Thread(target=lambda first=first: [queue.put(first + n, 1) for n in range(500)])  # type: ignore[misc]
        for first in range(0, 4000, 500)
    ]
    taken: list[int] = []

    def take() -> None:
        while items := queue.take(7, 0):
            taken.extend(item for _, item in items)
            queue.done(len(items), len(items))

    taker = threading.Thread(target=take)
    taker.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.wait_empty(10)
    queue.close()
    taker.join()
    assert sorted(taken) == list(range(4000))
