"""Live answers counted as populations: what is counted, what is not shown, and what bounds it."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core import population as module
from gnomon.core.population import MANY, MOST_VALUES, OTHER, PopulationBounds, Populations, bucket_of, bucket_top
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.engine import Engine, EngineOptions
from gnomon.model import Exchange, PopulationCount, TransportError
from gnomon.testing import STARTED_US, exchange

JSON = ("content-type", "application/json")


def populations(rules: str = "", **bounds: int) -> Populations:
    """What an engine under these rules counts with."""
    options = EngineOptions(populations=PopulationBounds(**bounds))
    return Engine(parse_rules(rules), options, Redactor(b"k" * 32)).populations()


def counted(*exchanges: Exchange, rules: str = "") -> dict[tuple[str, str, str], int]:
    """The counts of some exchanges by measure, field and value."""
    counting = populations(rules)
    for one in exchanges:
        counting.add(one)
    return {(row.measure, row.field, row.value): row.responses for row in counting.drain()}


def units(answer: Any, rules: str = "", measure: str = "type") -> set[tuple[str, str]]:
    """The fields and values of one answer."""
    return {(field, value) for kind, field, value in counted(exchange(answer=answer), rules=rules) if kind == measure}


def test_requests_failures_and_latencies_are_counted_by_minute_and_target() -> None:
    """A transport error is a failure without a latency; rows are keyed by endpoint, target and minute."""
    counting = populations()
    counting.add(exchange("a", target="shop@1", duration_us=10_000))
    counting.add(exchange("b", target="shop@1", duration_us=10_050, status=503))
    counting.add(exchange("c", target="shop@2", error=TransportError("timeout", "")))
    counting.add(exchange("d", target="shop@2", started_us=STARTED_US + 60_000_000, duration_us=None))
    assert len(counting) == 3
    rows = counting.drain()
    assert {row.endpoint for row in rows} == {"GET /items/{id}"}
    assert len({row.minute for row in rows}) == 2

    def of(target: str, measure: str) -> list[int]:
        return sorted(row.responses for row in rows if (row.target, row.measure) == (target, measure))

    assert (of("shop@1", "requests"), of("shop@1", "failed"), of("shop@1", "latency")) == ([2], [1], [2])
    assert (of("shop@2", "requests"), of("shop@2", "failed"), of("shop@2", "latency")) == ([1, 1], [1], [])
    assert counting.drain() == []


def test_only_real_live_answers_count() -> None:
    """Shadows, controls and synthetic traffic are no callers' answers."""
    assert counted(exchange(role="shadow"), exchange(role="control"), exchange(synthetic="probe")) == {}


def test_the_shape_of_an_answer() -> None:
    """Patterns with their types, once for each answer; array positions are one pattern, and so are keys of a map."""
    answer = {"id": 7, "price": 1.5, "tags": ["a", "b"], "none": None, "ok": True, "by*day": {"x/y": {"n": 1}}}
    assert units(answer) == {
        ("/body", "object"),
        ("/body/id", "number"),
        ("/body/price", "number"),
        ("/body/tags", "array"),
        ("/body/tags/*", "string"),
        ("/body/none", "null"),
        ("/body/ok", "boolean"),
        ("/body/by~2day", "object"),
        ("/body/by~2day/x~1y", "object"),
        ("/body/by~2day/x~1y/n", "number"),
    }
    rules = '[[rule]]\npath = "/body/users"\nmap = true\n[[rule]]\npath = "/body/ignored"\nignore = true\n'
    shape = units({"users": {"ann": 1, "bob": 2}, "ignored": {"a": 1}}, rules)
    assert shape == {("/body", "object"), ("/body/users", "object"), ("/body/users/*", "number")}


def test_bodies_are_read_as_they_came() -> None:
    """Content encoding is undone; what is no JSON, is cut or is too large has no shape."""
    zipped = exchange(answer=gzip.compress(b'{"a": 1}'), headers=(JSON, ("content-encoding", "gzip")))
    assert ("type", "/body/a", "number") in counted(zipped)
    for other in (
        exchange(answer=b"<a/>", headers=(("content-type", "text/html"),)),
        exchange(answer=b"{", headers=(JSON,)),
        exchange(answer=b""),
        exchange(answer={"a": "x" * module.MOST_BYTES}),
    ):
        assert "shaped" not in {measure for measure, _, _ in counted(other)}


def test_words_are_enumerations_until_there_are_too_many() -> None:
    """From the value too many on a field has no values any more; other strings never were any."""
    few = counted(*(exchange(f"r-{n}", answer={"state": "open" if n % 2 else "shut", "text": "a b"}) for n in range(4)))
    assert (few["value", "/body/state", "open"], few["value", "/body/state", "shut"]) == (2, 2)
    assert not [field for measure, field, _ in few if measure == "value" and field == "/body/text"]
    many = counted(*(exchange(f"r-{n}", answer={"name": f"n{n}"}) for n in range(MOST_VALUES + 5)))
    assert many["value", "/body/name", MANY] == 5


@pytest.mark.parametrize(
    ("answer", "rules"),
    [
        ({"password": "hunter"}, ""),
        ({"session_token": {"x": "hunter"}}, ""),
        ({"x": "hunter"}, '[[rule]]\npath = "/body/x"\nredact = "hash"\n'),
        ({"x": {"y": "hunter"}}, '[[rule]]\npath = "/body/x"\nredact = "drop"\n'),
        ({"x": "hunter"}, '[[rule]]\npath = "/body/x"\nnoise = true\n'),
        ({"x": "hunter"}, '[[rule]]\npath = "/body/x"\ntreat_as = "presence"\n'),
    ],
)
def test_secrets_and_what_rules_hide_are_no_values(answer: Any, rules: str) -> None:
    """A secret's name, a rule that hides or treats values as equal: the type is counted, the value is not."""
    assert "hunter" not in {value for _, value in units(answer, rules, "value")}
    assert units(answer, rules)


def test_words_and_names_shaped_like_secrets_are_not_shown() -> None:
    """What redaction would touch is no enumeration, and a member's name that is a token is redacted."""
    token = "ghp_" + "a1B2" * 7
    found = counted(exchange(answer={"x": token, token + "Z" * 4: 1}))
    assert not [key for key in found if token in "".join(key)]


def test_what_traffic_can_make_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields of an answer and of a minute, elements, depth and answers looked at have bounds."""
    assert len(units([[n] for n in range(module.MOST_ELEMENTS * 2)])) == 3
    wide = counted(exchange(answer={f"f{n}": n for n in range(module.MOST_NODES * 2)}))
    assert len([key for key in wide if key[1]]) == module.MOST_FIELDS
    assert (wide["cut", "", "type"], wide["cut", "", "value"]) == (1, 1)
    deep: Any = 1
    for _ in range(150):
        deep = {"member": deep}
    assert max(len(field) for _, field, _ in counted(exchange(answer=deep))) <= module.MOST_PATTERN + len("/member")
    counting = populations(shapes=3)
    for n in range(9):
        counting.add(exchange(f"r-{n}", answer={"a": 1}))
    few = {(row.measure, row.value): row.responses for row in counting.drain() if row.field != "/body"}
    assert (few["requests", ""], few["shaped", ""], few["type", "number"]) == (9, 3, 3)
    monkeypatch.setattr(module, "_MOST_KEYS", 2)
    counting = populations()
    for n in range(5):
        counting.add(exchange(f"r-{n}", answer={"state": "x"}, path=f"/{'abcde'[n]}"))
    values = Counter(row.value for row in counting.drain() if row.measure == "value")
    assert values == {"x": 2, MANY: 3}


def test_what_was_cut_is_told() -> None:
    """Words are cut before types: each kind has a bound of its own."""
    rng = random.Random(1)
    few = [{f"f{n}": rng.choice("abc") for n in range(700)} for _ in range(40)]
    found = counted(*(exchange(f"r-{n}", answer=answer) for n, answer in enumerate(few)))
    assert ("cut", "", "type") not in found
    assert found["cut", "", "value"] > 0
    assert {found["type", f"/body/f{n}", "string"] for n in range(700)} == {40}


@given(st.floats(min_value=0.001, max_value=1e7))
def test_buckets_are_within_one_percent(latency: float) -> None:
    """A latency is in its bucket, whose middle is off by 1 % at most."""
    bucket = bucket_of(latency)
    assert bucket_top(bucket - 1) * (1 - 1e-9) <= latency <= bucket_top(bucket) * (1 + 1e-9)
    middle = (bucket_top(bucket) + bucket_top(bucket - 1)) / 2
    assert abs(middle / latency - 1) <= 0.0101


def test_rows_add_up() -> None:
    """Drained in two parts the sums are those of one."""
    exchanges = [exchange(f"r-{n}", answer={"state": "a"}, duration_us=n * 1000 + 1) for n in range(10)]
    parts: Counter[tuple[str, str, str]] = Counter()
    counting = populations()
    for at, one in enumerate(exchanges):
        counting.add(one)
        if at % 3 == 2:
            parts.update({(r.measure, r.field, r.value): r.responses for r in counting.drain()})
    rest: list[PopulationCount] = counting.drain()
    parts.update({(r.measure, r.field, r.value): r.responses for r in rest})
    assert parts == counted(*exchanges)


def test_endpoints_of_a_service_are_bounded() -> None:
    """Those that came first keep their name while they are asked for; the rest is one endpoint, and nothing is lost."""
    counting = populations(endpoints=2)

    def ask(path: str, minute: int = 0, service: str = "shop") -> None:
        counting.add(exchange(path=path, service=service, answer={}, started_us=STARTED_US + minute * 60_000_000))

    def names() -> Counter[str]:
        found: Counter[str] = Counter()
        for row in counting.drain():
            if row.measure == "requests":
                found[row.endpoint] += row.responses
        return found

    for path in ("/a", "/b", "/c", "/d", "/a"):
        ask(path)
    ask("/c", service="cart")
    assert names() == {"GET /a": 2, "GET /b": 1, OTHER: 2, "GET /c": 1}
    for minute in range(1, 15):
        ask("/a", minute)
        ask(f"/scan-{'abcdefghijklmnopqrstuvwxyz'[minute]}", minute)
    assert names() == {"GET /a": 14, OTHER: 13, "GET /scan-l": 1}, "who was not asked for in ten minutes made room"


def test_too_many_services_are_forgotten() -> None:
    """Names of services come from traffic too: what is remembered of them does not grow without a bound."""
    counting = populations(endpoints=1)
    for number in range(module._MOST_KEYS + 1):
        counting.add(exchange(path="/a", service=f"host-{number}", answer={}))
    counting.drain()
    counting.add(exchange(path="/b", service="host-1", answer={}))
    assert [row.endpoint for row in counting.drain()][:1] == ["GET /b"]


def test_rules_of_the_rest_are_those_of_its_endpoints() -> None:
    """An endpoint that is counted under no name of its own is still read by its own rules."""
    rules = '[[rule]]\nendpoint = "GET /b"\npath = "/body/hidden"\nignore = true\n'
    counting = populations(rules, endpoints=1)
    for path in ("/a", "/b"):
        counting.add(exchange(path=path, answer={"hidden": 1}))
    fields = {(row.endpoint, row.field) for row in counting.drain() if row.measure == "type"}
    assert fields == {("GET /a", "/body"), ("GET /a", "/body/hidden"), (OTHER, "/body")}
