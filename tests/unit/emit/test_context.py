from __future__ import annotations

import threading

from gnomon.core.tags import Tags
from gnomon.emit.context import carry_tags, current_tags, outgoing_headers, put_tags, take_back_tags

TAGS = Tags(request_id="r-1", synthetic="probe", flags={"theme": "b"}, as_of="2027-07-12T00:00:00Z")


def test_tags_are_carried_within_a_block() -> None:
    """They come back when the block ends, whatever was in it."""
    assert current_tags() == Tags()
    assert outgoing_headers() == []
    with carry_tags(TAGS):
        assert current_tags() is TAGS
        assert outgoing_headers() == [
            ("x-request-id", "r-1"),
            ("x-synthetic", "probe"),
            ("x-as-of", "2027-07-12T00:00:00Z"),
            ("x-feature-flags", "theme=b"),
        ]
        with carry_tags(Tags()):
            assert outgoing_headers() == []
        assert current_tags() is TAGS
    assert current_tags() == Tags()


def test_another_thread_has_tags_of_its_own() -> None:
    """Requests that are served at once do not see one another."""
    seen: list[Tags] = []
    with carry_tags(TAGS):
        thread = threading.Thread(target=lambda: seen.append(current_tags()))
        thread.start()
        thread.join()
    assert seen == [Tags()]


def test_tags_taken_back_in_another_context_leave_nothing_behind() -> None:
    """Some servers end a request in another thread than they began it in."""
    token = put_tags(TAGS)
    seen: list[Tags] = []

    def end() -> None:
        put_tags(Tags(request_id="other"))
        take_back_tags(token)
        seen.append(current_tags())

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    take_back_tags(token)
    assert seen == [Tags()]
