"""The engine: joined requests in, comparisons as they are stored out."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.compare import CONTROL_NOISE
from gnomon.core.join import Group, Joined, Member
from gnomon.core.json import loads
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.engine import Compared, Engine, EngineOptions
from gnomon.model import Exchange, Place, Reject, TransportError
from gnomon.testing import STARTED_US, body, exchange


def engine(rules: str = "", **options: int) -> Engine:
    """Make an engine whose redaction key is fixed."""
    return Engine(parse_rules(rules), EngineOptions(**options), Redactor(b"key"))  # type: ignore[arg-type]


def join(*exchanges: Exchange, expect: tuple[str, ...] = ("shadow",)) -> Joined:
    """Join exchanges of one request."""
    group = Group(exchanges[0].request_id)
    for one in exchanges:
        group.add(Member(one))
    return group.joined(expect)


def compare(*exchanges: Exchange, rules: str = "", **options: int) -> list[Compared]:
    """Compare the sides of one request."""
    return engine(rules, **options).compare(join(*exchanges)).compared


def test_a_comparison_tells_both_sides() -> None:
    """Statuses, targets, latencies and their difference, flags and tags are live's against the other's."""
    live = exchange(
        path="/users/42?x=1", target="v1", duration_us=5_000, flags={"new": "on"}, as_of="2027-07-12T00:00:00Z"
    )
    shadow = exchange(role="shadow", target="v2", status=500, duration_us=7_500, service="other")
    (compared,) = compare(live, shadow)
    comparison = compared.comparison
    assert (comparison.service, comparison.endpoint, comparison.method) == ("shop", "GET /users/{id}", "GET")
    assert (comparison.path, comparison.target, comparison.live_target) == ("/users/42?x=1", "v2", "v1")
    assert (comparison.live_status, comparison.shadow_status) == (200, 500)
    assert (comparison.live_ms, comparison.shadow_ms, comparison.delta_ms) == (5.0, 7.5, 2.5)
    assert (comparison.outcome, comparison.severity, comparison.differences) == ("diff", "high", 1)
    assert (comparison.flags, comparison.as_of) == ({"new": "on"}, "2027-07-12T00:00:00Z")
    assert comparison.started_at.timestamp() * 1e6 == STARTED_US


@pytest.mark.parametrize(
    ("live", "shadow", "synthetic"), [("", None, None), (None, "", None), ("", "", None), ("", "load", "load")]
)
def test_a_tag_without_a_reason_hides_no_request(live: str | None, shadow: str | None, synthetic: str | None) -> None:
    """Neither side's empty tag takes a comparison out of the figures."""
    (compared,) = compare(exchange(synthetic=live), exchange(role="shadow", synthetic=shadow))
    assert compared.comparison.synthetic == synthetic


def test_missing_sides_are_comparisons() -> None:
    """Who was expected and did not come has a row, and so has a shadow without live."""
    (missing,) = compare(exchange(expect=["shadow:v2"]))
    assert (missing.comparison.outcome, missing.comparison.target) == ("shadow_missing", "v2")
    assert missing.comparison.shadow_ms is None
    (alone,) = compare(exchange(role="shadow", target="v2"))
    assert (alone.comparison.outcome, alone.comparison.live_target) == ("live_missing", None)


def test_transport_errors_are_named() -> None:
    """The kind of each side's error is in the comparison."""
    (compared,) = compare(exchange(), exchange(role="shadow", error=TransportError("timeout", "5 s")))
    comparison = compared.comparison
    assert (comparison.outcome, comparison.severity) == ("shadow_error", "high")
    assert (comparison.live_error, comparison.shadow_error, comparison.shadow_status) == (None, "timeout", None)


def test_the_control_makes_noise_of_what_it_shows_too() -> None:
    """Same pattern and kind are noise in the shadow, the rest counts; the control has a comparison of its own."""
    live = exchange(answer={"at": 1, "price": 1})
    by_role = {
        c.comparison.role: c
        for c in compare(
            live,
            exchange(role="shadow", answer={"at": 2, "price": "1"}),
            exchange(role="control", answer={"at": 3, "price": 1}),
        )
    }
    assert by_role["control"].comparison.outcome == "diff"
    shadow = by_role["shadow"]
    assert [(d.pattern, d.noise, d.reason) for d in shadow.differences] == [
        ("/body/at", True, CONTROL_NOISE),
        ("/body/price", False, None),
    ]
    assert (shadow.comparison.outcome, shadow.comparison.differences, shadow.comparison.noise_differences) == (
        "diff",
        2,
        1,
    )
    assert shadow.patterns == {("/body/price", "type_changed")}


def test_only_noise_is_noise() -> None:
    """Nothing that counts, something that does not."""
    rules = '[[rule]]\npath = "/body/at"\nnoise = true\nreason = "a clock"'
    (compared,) = compare(exchange(answer={"at": 1}), exchange(role="shadow", answer={"at": 2}), rules=rules)
    assert (compared.comparison.outcome, compared.comparison.severity) == ("noise", None)
    assert compared.differences[0].reason == "a clock"


def test_every_comparison_names_the_rules_version() -> None:
    """What judged it can be looked up."""
    rules = '[[rule]]\npath = "/body/at"\nignore = true'
    (compared,) = compare(exchange(answer={"at": 1}), exchange(role="shadow", answer={"at": 2}), rules=rules)
    assert (compared.comparison.outcome, compared.comparison.rules) == ("match", parse_rules(rules).version)


def test_endpoint_rules_and_names_hold_per_service() -> None:
    """An `[[endpoint]]` template names, and a rule for that name applies."""
    rules = """
        [[endpoint]]
        service = "shop"
        template = "GET /items/{sku}"
        [[rule]]
        endpoint = "GET /items/{sku}"
        ignore = true
    """
    (compared,) = compare(
        exchange(path="/items/abc", answer=[1]), exchange(role="shadow", path="/items/abc", answer=[2]), rules=rules
    )
    assert (compared.comparison.endpoint, compared.comparison.outcome) == ("GET /items/{sku}", "match")


def test_of_many_differences_all_are_counted_and_some_are_kept() -> None:
    """The bound keeps what counts, and the most severe of it."""
    live = exchange(answer={"n": list(range(50)), "s": 1})
    shadow = exchange(role="shadow", answer={"n": list(range(100, 150)), "s": "1"})
    (compared,) = compare(live, shadow, differences=5)
    assert compared.comparison.differences == 51
    assert len(compared.differences) == 5
    assert "type_changed" in {d.kind for d in compared.differences}


def test_a_long_value_is_cut_and_stays_json() -> None:
    """A value past the bound becomes a string that says how long it was."""
    live, shadow = exchange(answer={"a": ["x" * 5000]}), exchange(role="shadow", answer={})
    (compared,) = compare(live, shadow, value_bytes=100)
    kept = compared.differences[0].live_value
    assert kept is not None
    assert "5,004 characters" in str(loads(kept.encode()))
    assert len(kept) < 300


def test_secrets_are_redacted_in_values_paths_and_evidence() -> None:
    """Nothing that looks like a credential reaches what is stored."""
    secret = "ghp_" + "a1B2" * 9
    live = exchange(path=f"/items/7?token={secret}", answer={"key": secret})
    shadow = exchange(role="shadow", path=f"/items/7?token={secret}", answer={"key": 1})
    eng = engine()
    request = eng.compare(join(live, shadow))
    stored = msgspec.json.encode(
        [request.compared[0].comparison, request.compared[0].differences, eng.evidence(request)]
    )
    assert secret.encode() not in stored
    assert b"redacted:hmac-sha256:" in stored
    reject = eng.redact_reject(Reject(Place("f", 1), "why", f'{{"authorization": "{secret}"'.encode()))
    assert secret.encode() not in reject.excerpt


def test_a_place_on_kafka_is_kept() -> None:
    """Topic, partition and both offsets are in the row; a file's line is not an offset."""
    group = Group("r-1")
    group.add(Member(exchange(), Place("t", partition=3, offset=10)))
    group.add(Member(exchange(role="shadow"), Place("t", partition=3, offset=11)))
    comparison = engine().compare(group.joined(())).compared[0].comparison
    assert (comparison.topic, comparison.partition, comparison.live_offset, comparison.shadow_offset) == (
        "t",
        3,
        10,
        11,
    )


answers = st.sampled_from([{"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": [1, 2]}, {"a": [2, 1]}, None])
sides = st.lists(
    st.builds(
        lambda role, target, answer, started, expect: exchange(
            role=role,
            answer=answer,
            target=target,
            started_us=STARTED_US + started,
            expect=expect if role == "live" else None,
        ),
        st.sampled_from(["live", "shadow", "control"]),
        st.sampled_from(["", "x"]),
        answers,
        st.integers(0, 2),
        st.none() | st.just(["shadow:x", "control"]),
    ),
    min_size=1,
    max_size=5,
)


@given(sides.flatmap(lambda s: st.tuples(st.just(s), st.permutations(s))))
def test_outcomes_and_differences_do_not_depend_on_arrival_order(orders: tuple[list[Exchange], list[Exchange]]) -> None:
    """The same records in any order come to the same rows."""
    results = [engine().compare(join(*order)).compared for order in orders]
    assert results[0] == results[1]


@given(sides)
def test_replayed_records_change_nothing_but_the_count(exchanges: list[Exchange]) -> None:
    """A record that comes twice is a duplicate and no other answer."""
    once = engine().compare(join(*exchanges)).compared
    twice = engine().compare(join(*itertools.chain(exchanges, exchanges))).compared
    assert [(msgspec.structs.replace(c.comparison, duplicates=0), c.differences) for c in once] == [
        (msgspec.structs.replace(c.comparison, duplicates=0), c.differences) for c in twice
    ]


def test_bodies_of_bytes_are_compared_by_size_and_hash() -> None:
    """Bytes that are no text have no inside to compare."""
    live = exchange(headers=(("content-type", "image/png"),)), body(b"\x89PNG1")
    shadow = exchange(role="shadow", headers=(("content-type", "image/png"),)), body(b"\x89PNG22")
    sides = [
        msgspec.structs.replace(e, response=msgspec.structs.replace(e.response, body=b)) for e, b in (live, shadow)
    ]
    (compared,) = compare(*sides)
    assert [(d.path, d.kind) for d in compared.differences] == [("/body/size", "changed"), ("/body/hash", "changed")]


def test_values_that_would_take_too_long_to_redact_are_left_out() -> None:
    """A value of megabytes is only said to be there; what is short is shown, and no secret gets through."""
    live = exchange(answer={"a": "password=hunter2 " * 150_000, "b": 1})
    shadow = exchange(role="shadow", target="v2", answer={"a": "x", "b": 2})
    (compared,) = compare(live, shadow)
    assert [(d.live_value, d.shadow_value) for d in compared.differences] == [
        ('"… (cut: 2,550,002 characters of JSON)"', '"… (cut: 3 characters of JSON)"'),
        ("1", "2"),
    ]


def secret_list(secrets: int, filler: int) -> list[dict[str, str]]:
    """Make an array with so many secrets, and so many characters beside them."""
    return [{"password": f"hunter-{n:05}"} for n in range(secrets)] + [{"text": "x" * filler}]


@pytest.mark.parametrize(("secrets", "filler"), [(10_001, 1), (1, 2 << 20)])
def test_where_secrets_cannot_all_be_looked_for_all_is_hidden(secrets: int, filler: int) -> None:
    """Bodies with very many secrets, or very large ones, have their elements and lines as hashes."""
    elements = secret_list(secrets, filler)
    live = exchange(answer=list(elements))
    for hidden, few in ((True, elements), (False, elements[:1])):
        if few is not elements:
            live = exchange(answer=list(few))
        shadow = exchange(role="shadow", target="v2", answer=[*few, {"plain": 1}])
        (compared,) = compare(live, shadow)
        (difference,) = compared.differences
        assert (difference.path, difference.kind) == (f"/body/{len(few)}", "added")
        assert (difference.shadow_value == '{"plain":1}') is not hidden


def test_secrets_are_not_looked_for_in_every_string_for_ever() -> None:
    """Very many secrets and very many strings are each fine; both are hidden as wholes."""
    strings = [f"plain {n}" for n in range(20_000)]
    shadow = exchange(role="shadow", target="v2", answer=[{"x": list(strings)}, *secret_list(2_000, 1)])
    (compared,) = compare(exchange(answer=[]), shadow)
    assert "plain" not in (compared.differences[0].shadow_value or "")
    assert "hunter" not in str(compared.differences)


def test_evidence_has_no_bodies_that_are_too_large() -> None:
    """Their size and keyed hash are kept, and that they are not whole."""
    large = exchange(answer={"a": "x" * 1000})
    redactor = Redactor(b"key", max_expanded=100)
    response = redactor.exchange(large, parse_rules("").for_endpoint("shop", "")).response
    assert response is not None
    assert response.body is not None
    assert (response.body.data, response.body.size, response.body.truncated) == ("", 1008, True)
    assert str(response.body.hash).startswith("hmac-sha256:")
