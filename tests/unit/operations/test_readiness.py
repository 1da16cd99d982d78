from __future__ import annotations

from gnomon.operations import Readiness


def test_parts_are_starting_until_they_say_otherwise() -> None:
    """A process is ready when each of its parts has said so."""
    readiness = Readiness(["kafka", "store"])
    assert not readiness.is_ready
    readiness.ready("kafka")
    assert readiness.reasons == {"store": "starting"}
    readiness.ready("store")
    assert readiness.is_ready
    assert readiness.parts == {"kafka": True, "store": True}


def test_a_part_that_recovers_or_goes_takes_its_reason_along() -> None:
    """A reason holds until its part is ready again, or is no longer there."""
    readiness = Readiness([])
    readiness.not_ready("gnomon.exchanges[3]", "the disk is full")
    readiness.not_ready("store", "read-only")
    readiness.forget("gnomon.exchanges[3]")
    readiness.forget("never there")
    assert readiness.reasons == {"store": "read-only"}
    readiness.ready("store")
    assert readiness.is_ready
