from __future__ import annotations

from gnomon.emit.doubt import BEHIND, HOLD, Doubt


def test_signs_of_trouble_count_for_a_time() -> None:
    """Records that waited, and others that were shed; what is prompt is none."""
    doubt = Doubt()
    assert not doubt.holds(0)
    doubt.note(0, waited=BEHIND)
    assert not doubt.holds(0)
    doubt.note(1, waited=BEHIND + 1)
    doubt.note(2)
    assert doubt.holds(HOLD)
    assert not doubt.holds(HOLD + 1)
    doubt.note(100, shed=True)
    assert doubt.holds(100)
