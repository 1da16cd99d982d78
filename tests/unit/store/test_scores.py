"""The score of a request: what only the shadow shows against what only the control shows, and what covers what."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon.core.compare import Comparer
from gnomon.core.join import Group, Member
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.engine import Engine, EngineOptions
from gnomon.model import Exchange, TransportError
from gnomon.store import Landed, Selection, open_store
from gnomon.testing import STARTED_US, exchange

JSON: Final = ("content-type", "application/json")


class Answer(NamedTuple):
    """What one side says: a status, headers and a body, or a transport error."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = {}
    error: Any = None


def sent(request_id: str, role: Any, answer: Answer, target: str = "", number: int = 0) -> Exchange:
    """The exchange of a side that answers so."""
    made: dict[str, Any] = {"target": target, "started_us": STARTED_US + number}
    if answer.error is not None:
        return exchange(request_id, role, error=TransportError(answer.error), **made)
    headers = (JSON, *answer.headers.items())
    return exchange(request_id, role, answer.body, status=answer.status, headers=headers, **made)


Request = tuple[Answer, Mapping[str, Answer | None], Answer | None]
"""Live's answer, those of shadows by target, and the control's; None: no answer came."""

Scores = Callable[..., dict[tuple[str, str], int | None]]


@pytest.fixture
def compared(tmp_path: Path, land: Callable[..., Landed]) -> Callable[..., Path]:
    """Compares requests and lands them in a database of their own."""
    made = 0

    def compared(requests: Iterable[Request], rules: str = "") -> Path:
        nonlocal made
        made += 1
        engine = Engine(parse_rules(rules), EngineOptions(), Redactor(b"key"))
        rows = []
        for number, (live, shadows, control) in enumerate(requests):
            group = Group(str(number))
            group.add(Member(sent(str(number), "live", live, number=number)))
            for target, shadow in shadows.items():
                if shadow is not None:
                    group.add(Member(sent(str(number), "shadow", shadow, target, number)))
            if control is not None:
                group.add(Member(sent(str(number), "control", control, number=number)))
            expected = [f"shadow:{target}" for target in shadows]
            rows += [(c.comparison, c.differences) for c in engine.compare(group.joined(expected)).compared]
        place = tmp_path / f"{made}.duckdb"
        land(place, rows)
        return place

    return compared


@pytest.fixture
def scores(compared: Callable[..., Path]) -> Scores:
    """Compares requests and gives the score of each by its number and the shadow's target."""

    def scores(requests: Iterable[Request], rules: str = "") -> dict[tuple[str, str], int | None]:
        with open_store(compared(requests, rules)) as store:
            rows = store.sql("SELECT request_id, target, score FROM judged_comparisons()").fetchall()
        return {(request_id, target): score for request_id, target, score in rows}

    return scores


LIVE: Final = Answer({"price": 1, "at": 1})
NOISY: Final = Answer({"price": 1, "at": 2})
TIMEOUT: Final = Answer(error="timeout")
RESET: Final = Answer(error="reset")
TREE: Final = Answer({"a": {"at": 1, "b": 1}, "n": 1})
LIST: Final = Answer({"items": [{"id": 1, "at": 1}, {"id": 2, "at": 1}]})
LIST_NOISY: Final = Answer({"items": [{"id": 1, "at": 2}, {"id": 2, "at": 2}]})
COOKIE: Final = Answer({"a": 1}, headers={"set-cookie": "s=1; path=/a"})

CASES: Final[dict[str, tuple[Answer, Answer | None, Answer | None, int | None]]] = {
    "neither differs": (LIVE, LIVE, LIVE, 0),
    "both show the same": (LIVE, Answer({"price": 1, "at": 3}), NOISY, 0),
    "only the shadow": (LIVE, Answer({"price": 2, "at": 1}), LIVE, 1),
    "only the control": (LIVE, LIVE, NOISY, -1),
    "the shadow shows noise and more": (LIVE, Answer({"price": 2, "at": 3}), NOISY, 1),
    "each its own": (LIVE, Answer({"price": 2, "at": 1}), NOISY, 0),
    "another status": (LIVE, Answer({"error": "no"}, 404), NOISY, 1),
    "another status without a body": (LIVE, Answer("", 503), NOISY, 1),
    "another status with the noise": (LIVE, Answer({"error": "no", "at": 3}, 404), NOISY, 1),
    "the control's status": (LIVE, NOISY, Answer({"error": "no"}, 404), -1),
    "both another status": (LIVE, Answer({"error": "no"}, 404), Answer({"message": "no"}, 503), 0),
    "a noisy field removed": (LIVE, Answer({"price": 1}), NOISY, 1),
    "a noisy field removed by the control": (LIVE, NOISY, Answer({"price": 1}), -1),
    "a noisy field becomes null": (LIVE, Answer({"price": 1, "at": None}), NOISY, 1),
    "removed elsewhere": (LIVE, Answer({"at": 1}), NOISY, 0),
    "a prefix is no ancestor": (Answer({"a": 1, "ab": 1}), Answer({"ab": 1}), Answer({"a": 1, "ab": 2}), 0),
    "the object around it removed": (TREE, Answer({"n": 1}), Answer({"a": {"at": 2, "b": 1}, "n": 1}), 1),
    "the object around it a list": (TREE, Answer({"a": [], "n": 1}), Answer({"a": {"at": 2, "b": 1}, "n": 1}), 1),
    "the control adds below": (TREE, Answer({"n": 1}), Answer({"a": {"at": 1, "b": 1, "new": 1}, "n": 1}), 1),
    "what the shadow removes besides": (TREE, Answer({"n": 2}), Answer({"a": {"at": 2, "b": 1}, "n": 3}), 1),
    "the control shows more than is hidden": (TREE, Answer({"n": 1}), Answer({"a": {"at": 2, "b": 1}, "n": 2}), 0),
    "an addition hides nothing": (LIVE, Answer({"price": 1, "at": 1, "x": 1}), NOISY, 0),
    "another body altogether": (LIVE, Answer(["at"]), NOISY, 1),
    "an empty list": (LIST, Answer({"items": []}), LIST_NOISY, 1),
    "elements that moved hide nothing": (LIST, Answer({"items": LIST.body["items"][::-1]}), LIST_NOISY, 0),
    "a header removed": (COOKIE, Answer({"a": 1}), Answer({"a": 1}, headers={"set-cookie": "s=1; path=/b"}), 1),
    "a header added hides no body": (LIVE, Answer(LIVE.body, headers={"x-a": "2"}), NOISY, 0),
    "a status hides headers": (COOKIE, Answer({}, 500), Answer({"a": 1}, headers={"set-cookie": "s=1; path=/b"}), 1),
    "the shadow failed": (LIVE, TIMEOUT, NOISY, 1),
    "the shadow failed alone": (LIVE, TIMEOUT, LIVE, 1),
    "the shadow did not answer": (LIVE, None, NOISY, 1),
    "the control failed": (LIVE, Answer({"price": 2, "at": 1}), TIMEOUT, 1),
    "live failed for both": (TIMEOUT, LIVE, NOISY, 0),
    "live failed for the shadow": (TIMEOUT, LIVE, TIMEOUT, 1),
    "live failed for the control": (TIMEOUT, TIMEOUT, LIVE, -1),
    "live failed and the control in another way": (TIMEOUT, LIVE, RESET, 1),
    "live failed and the shadow in another way": (TIMEOUT, RESET, LIVE, -1),
    "all failed, the shadow in another way": (TIMEOUT, RESET, TIMEOUT, 1),
    "all failed, the control in another way": (TIMEOUT, TIMEOUT, RESET, -1),
    "no control": (LIVE, Answer({"price": 2, "at": 1}), None, 1),
    "no control, alike": (LIVE, LIVE, None, 0),
    "nothing to judge": (LIVE, Answer(b"\x00{", headers={}), LIVE, None),
}


def test_what_is_not_there_cannot_be_seen_to_change(scores: Scores) -> None:
    """Each case scores as written: a difference takes nothing off where the other side could not show it."""
    found = scores((live, {"cart@2": shadow}, control) for live, shadow, control, _ in CASES.values())
    assert {name: found[str(number), "cart@2"] for number, name in enumerate(CASES)} == {
        name: case[3] for name, case in CASES.items()
    }


def test_what_a_rule_calls_noise_scores_nothing(scores: Scores) -> None:
    """Noise of the control takes nothing off, and noise of the shadow hides nothing of its own accord."""
    rules = '[[rule]]\npath = "/body/at"\nnoise = true\n'
    requests: list[Request] = [
        (LIVE, {"cart@2": LIVE}, NOISY),
        (LIVE, {"cart@2": NOISY}, LIVE),
        (LIVE, {"cart@2": NOISY}, Answer({"price": 2, "at": 1})),
        (LIVE, {"cart@2": Answer({"price": 2})}, NOISY),
        (LIVE, {"cart@2": Answer({"error": "no"}, 404)}, NOISY),
    ]
    assert list(scores(requests, rules).values()) == [0, 0, -1, 1, 1]


def test_shadows_score_each_for_itself(scores: Scores) -> None:
    """What one shadow hides is not hidden of another."""
    shadows = {"cart@2": Answer({"error": "no"}, 404), "cart@3": LIVE, "cart@4": Answer({"price": 2, "at": 1})}
    assert scores([(LIVE, shadows, NOISY)]) == {("0", "cart@2"): 1, ("0", "cart@3"): -1, ("0", "cart@4"): 0}


values = st.sampled_from([1, 2, None, {"x": 1}, {"x": 2}, {}, [{"x": 1}], [{"x": 2}, {"y": 1}], []])
documents = st.dictionaries(st.sampled_from(["at", "b", "c"]), values) | st.just([])
answers = st.builds(
    Answer,
    documents,
    st.sampled_from([200, 200, 200, 404, 500]),
    st.dictionaries(st.sampled_from(["x-a", "x-b"]), st.sampled_from(["1", "2"])),
    st.none(),
)
errors = st.sampled_from([TIMEOUT, RESET])
triples = st.tuples(answers, answers, answers) | st.tuples(errors, answers | errors, answers | errors)


def places(live: Answer, other: Answer) -> set[tuple[str, str]]:
    """Where one side differs from live; to answer where live failed is a difference of its own."""
    if live.error is not None and other.error is None:
        return {("", "removed")}
    rules = parse_rules("").for_endpoint("shop", "GET /items/{id}")
    found = Comparer(sent("r", "live", live), rules, EngineOptions().body).compare(sent("r", "shadow", other))
    return {(difference.pattern, difference.kind) for difference in found.differences}


def uncovered(own: set[tuple[str, str]], others: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What of a side's own differences the other's own do not hide."""
    above = {"" if p == "/status" else p for p, kind in others if p == "/status" or kind in {"removed", "type_changed"}}
    return {(p, kind) for p, kind in own if not any(p == a or p.startswith(f"{a}/") for a in above)}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(triples, min_size=1, max_size=30))
def test_to_exchange_shadow_and_control_turns_the_sign(
    scores: Scores, requests: list[tuple[Answer, Answer, Answer]]
) -> None:
    """Scores are those of the sets of differences, and of the same answers with the roles exchanged the negative."""
    count = len(requests)
    exchanged = [(live, {"b": second}, first) for live, first, second in requests]
    found = scores([*((live, {"b": first}, second) for live, first, second in requests), *exchanged])
    for number, (live, first, second) in enumerate(requests):
        shadow, control = places(live, first), places(live, second)
        own, controls = shadow - control, control - shadow
        score = bool(uncovered(own, controls)) - bool(uncovered(controls, own))
        assert (found[str(number), "b"], found[str(count + number), "b"]) == (score, -score)


def flaky(rng: random.Random) -> Answer:
    """An answer of a version whose fields come, go and change by themselves, and that sometimes finds nothing."""
    if rng.random() < 0.03:
        return Answer({"error": "no"}, 404)
    fields = {f"f{number}": rng.randrange(3) for number in range(12) if rng.random() < 0.7}
    return Answer({**fields, "inner": {"at": rng.random()} if rng.random() < 0.8 else None})


def test_two_of_a_kind_have_no_rate_however_flaky(compared: Callable[..., Path]) -> None:
    """Where live, shadow and control are drawn alike, the mean score of everything and of each field is 0."""
    rng = random.Random(11)
    requests: list[Request] = [(flaky(rng), {"b": flaky(rng)}, flaky(rng)) for _ in range(1_500)]
    with open_store(compared(requests)) as store:
        [endpoint], fields = store.evidence(Selection()).endpoints, store.evidence(Selection()).fields
        [row] = store.endpoints()
    tally = endpoint.divergence
    assert tally.total == 1_500
    assert tally.plus + tally.minus > 100
    assert abs(tally.plus - tally.minus) < 2 * (tally.plus + tally.minus) ** 0.5
    assert row.rate_lo == 0
    assert len(fields) > 30
    assert all(abs(f.tally.plus - f.tally.minus) < 4 * (f.tally.plus + f.tally.minus) ** 0.5 for f in fields)


def test_a_field_is_held_to_what_could_be_seen(compared: Callable[..., Path]) -> None:
    """A field that the shadow could not show takes nothing off: the field's score there is 0."""
    broken, changed = Answer({"error": "no"}, 404), Answer({"price": 2, "at": 3})
    requests: list[Request] = [(LIVE, {"b": broken}, NOISY)] * 3
    requests += [(LIVE, {"b": changed}, LIVE), (LIVE, {"b": LIVE}, NOISY)]
    with open_store(compared(requests)) as store:
        fields = {(f.pattern, f.kind): f.tally for f in store.evidence(Selection()).fields}
    assert (fields["/body/at", "changed"].plus, fields["/body/at", "changed"].minus) == (1, 1)
    assert (fields["/status", "changed"].plus, fields["/status", "changed"].minus) == (3, 0)
