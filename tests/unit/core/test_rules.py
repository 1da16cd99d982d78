"""Rules: which of them hold where, what they say there, and what is wrong with a file of them."""

from __future__ import annotations

from typing import Any

import pytest

from gnomon.core import rules as rules_module
from gnomon.core.aspects import PLAIN, Aspects, NumberTolerance
from gnomon.core.rules import IGNORED_HEADER_PREFIXES, IGNORED_HEADERS, EndpointRules, PathRules, RuleSet, parse_rules
from gnomon.errors import ConfigError


def endpoint_rules(text: str, service: str = "cart", endpoint: str = "GET /users/{id}") -> EndpointRules:
    """Compile rules for one endpoint."""
    return parse_rules(text).for_endpoint(service, endpoint)


def state(text: str, *steps: str | int) -> PathRules:
    """Give the state at a place: names are members, numbers elements."""
    found = endpoint_rules(text).root
    for step in steps:
        found = found.item(step) if isinstance(step, int) else found.child(step)
    return found


def rule(path: str, says: str = "ignore = true") -> str:
    """Write one rule."""
    return f"[[rule]]\npath = '{path}'\n{says}\n"


@pytest.mark.parametrize(
    ("says", "aspects"),
    [
        ("ignore = true", Aspects(ignore=True)),
        ("noise = true", Aspects(noise=True, noise_reason="rule: /body/x")),
        ('noise = true\nreason = "why"', Aspects(noise=True, noise_reason="why")),
        ("unordered = true", Aspects(unordered=True)),
        ('key = "sku"', Aspects(key="sku")),
        ("map = true", Aspects(map=True)),
        (
            "number_tolerance = { relative = 0.001, absolute = 1 }",
            Aspects(number_tolerance=NumberTolerance(relative=0.001, absolute=1.0)),
        ),
        ('time_tolerance = "2s"', Aspects(time_tolerance_us=2_000_000)),
        ('treat_as = "uuid"', Aspects(treat_as="uuid")),
        ('treat_as = "timestamp"', Aspects(treat_as="timestamp")),
        ('treat_as = "presence"', Aspects(treat_as="presence")),
        ('treat_as = "type"', Aspects(treat_as="type")),
        ("case_insensitive = true", Aspects(case_insensitive=True)),
        ("null_is_missing = true", Aspects(null_is_missing=True)),
        ('redact = "hash"', Aspects(redact="hash")),
        ('redact = "drop"', Aspects(redact="drop")),
        ("ignore = false", Aspects()),
    ],
)
def test_each_field_says_its_aspect(says: str, aspects: Aspects) -> None:
    """It holds at the rule's place and not beside it."""
    text = rule("/body/x", says)
    assert state(text, "body", "x").aspects == aspects
    assert state(text, "body", "y").aspects == PLAIN
    assert state(text, "body").aspects == PLAIN


def test_match_is_compiled() -> None:
    """The expression is ready to be searched for."""
    match = state(rule("/body/x", r"match = '^v\d+$'"), "body", "x").aspects.match
    assert match is not None
    assert match.text == r"^v\d+$"


@pytest.mark.parametrize(
    ("path", "steps", "holds"),
    [
        ("/body/items/*/price", ("body", "items", 3, "price"), True),
        ("/body/items/*/price", ("body", "items", "3", "price"), True),
        ("/body/items/*/price", ("body", "items", "price"), False),
        ("/body/items/*/price", ("body", "items", 3, 4, "price"), False),
        ("/body/**/price", ("body", "price"), True),
        ("/body/**/price", ("body", "a", 0, "b", "price"), True),
        ("/body/**/price", ("price",), False),
        ("/**/price", ("body", "price", "x", "price"), True),
        ("/body/**", ("body",), True),
        ("/body/**", ("body", "a", 1), True),
        ("/body/**/a/**/b", ("body", "a", "b"), True),
        ("/body/**/a/**/b", ("body", "x", "a", "y", "a", "z", "b"), True),
        ("/body/**/a/**/b", ("body", "x", "b"), False),
        ("/body/**/**/a", ("body", "a"), True),
        ("/*/*", ("headers", "etag"), True),
        ("/*", ("status",), True),
        ("/*", (), False),
        ("", (), True),
        ("", ("body",), False),
        ("/", ("",), True),
        ("/", (), False),
        ("/body/", ("body", ""), True),
        ("/body/~2", ("body", "*"), True),
        ("/body/~2", ("body", "a"), False),
        ("/body/~2~2", ("body", "**"), True),
        ("/body/a~1b", ("body", "a/b"), True),
        ("/body/m~0n", ("body", "m~n"), True),
        ("/body/~02", ("body", "~2"), True),
        ("/body/items/0", ("body", "items", 0), True),
        ("/body/items/0", ("body", "items", 1), False),
        ("/body/items/0", ("body", "items", "0"), True),
        ("/body/items/10", ("body", "items", 1), False),
        ("/body/x-*", ("body", "x-rate"), True),
        ("/body/x-*", ("body", "x-"), True),
        ("/body/x-*", ("body", "y-rate"), False),
        ("/body/*_at", ("body", "created_at"), True),
        ("/body/a*~2", ("body", "ab*"), True),
        ("/body/a*~2", ("body", "ab"), False),
        ("/body/a?[b]*", ("body", "a?[b]c"), True),
        ("/body/a?[b]*", ("body", "axbc"), False),
        ("/body/1*", ("body", 12), True),
        ("/body/1*", ("body", 2), False),
        ("/body/Name", ("body", "name"), False),
        ("/headers/X-Rate", ("headers", "x-rate"), True),
        ("/trailers/Grpc-Status", ("trailers", "grpc-status"), True),
        ("/headers/set-cookie/Session", ("headers", "set-cookie", "Session"), True),
        ("/headers/set-cookie/Session", ("headers", "set-cookie", "session"), False),
    ],
)
def test_paths(path: str, steps: tuple[str | int, ...], holds: bool) -> None:
    """`*` is one step, `**` any number of them, none included; header names have no case."""
    assert state(rule(path, "unordered = true"), *steps).aspects.unordered is holds


def test_a_rule_without_a_path_holds_everywhere() -> None:
    """At the document itself and at every place in it."""
    for steps in ((), ("status",), ("body", "a", 0, "b")):
        assert state("[[rule]]\nunordered = true", *steps).aspects.unordered


def test_some_aspects_hold_below_too() -> None:
    """`ignore`, `noise` and `redact` do; the others are about the place itself."""
    says = 'noise = true\nredact = "hash"\nunordered = true\nkey = "k"\ncase_insensitive = true'
    below = state(rule("/body/x", says), "body", "x", "y", 0)
    assert below.aspects == Aspects(noise=True, noise_reason="rule: /body/x", redact="hash")
    assert below.redact == "hash"
    assert state(rule("/body/x"), "body", "x", "y", 0).aspects.ignore


def test_the_first_rule_decides_each_aspect() -> None:
    """A rule further down only says what the ones above do not."""
    text = (
        rule("/body/x", 'key = "a"') + rule("/body/*", 'key = "b"\nunordered = true') + rule("/body/**", "noise = true")
    )
    assert state(text, "body", "x").aspects == Aspects(
        key="a", unordered=True, noise=True, noise_reason="rule: /body/**"
    )
    assert state(text, "body", "y").aspects.key == "b"


def test_false_is_said_too() -> None:
    """A rule can take a place out of what later rules say."""
    text = rule("/body/x", "noise = false\nunordered = false") + rule("/body/**", "noise = true\nunordered = true")
    assert state(text, "body", "x").aspects == PLAIN
    assert state(text, "body", "x", "y").aspects.unordered
    assert not state(text, "body", "x", "y").aspects.noise
    assert state(text, "body", "y").aspects.noise


def test_ignore_is_lifted_below_by_an_earlier_rule() -> None:
    """The order decides, not how exact a path is."""
    lifted = rule("/body/meta/keep", "ignore = false") + rule("/body/meta")
    assert state(lifted, "body", "meta").aspects.ignore
    assert not state(lifted, "body", "meta").skip
    assert state(lifted, "body", "meta", "x").skip
    assert not state(lifted, "body", "meta", "keep", "inside").aspects.ignore
    not_lifted = rule("/body/meta") + rule("/body/meta/keep", "ignore = false")
    assert state(not_lifted, "body", "meta").skip
    assert state(not_lifted, "body", "meta", "keep").aspects.ignore


def test_where_no_rule_can_hold_the_state_is_dead() -> None:
    """A walk stops asking there; asked all the same, it stays dead."""
    text = rule("/body/a/b", "unordered = true") + rule("/headers/x", "noise = true")
    assert not state(text, "body").dead
    assert not state(text, "body", "a", "b").dead
    for dead in (
        state(text, "status"),
        state(text, "body", "z"),
        state(text, "body", "a", "b", "c"),
        state(text, "body", 0),
    ):
        assert dead.dead
        assert dead.child("a").dead
        assert dead.item(5).dead
    assert not state(text, "headers", "x", "below").dead
    assert endpoint_rules("").root.dead


def test_redaction_is_known_from_above() -> None:
    """Whoever redacts need not look where nothing is hidden."""
    text = rule("/body/user/email", 'redact = "hash"') + rule("/body/other", "ignore = true")
    assert state(text, "body").redacts_below()
    assert not state(text, "body").redact
    assert state(text, "body", "user", "email", "x").redacts_below()
    assert not state(text, "body", "other").redacts_below()


def test_tolerances_are_known_from_above() -> None:
    """Arrays are aligned otherwise where elements can be near each other."""
    text = rule("/body/*/price", "number_tolerance = { absolute = 1 }") + rule("/body/*/at", 'time_tolerance = "1s"')
    assert state(text, "body").tolerates_below()
    assert state(text, "body", 0, "at").tolerates_below()
    assert not state(text, "body", 0, "name").tolerates_below()


def test_a_treatment_knows_whether_it_goes_on_below() -> None:
    """It does where the path ends in `**`, or there is none."""
    assert not state(rule("/body", 'treat_as = "type"'), "body").aspects.treats_inside
    assert state(rule("/body/**", 'treat_as = "type"'), "body").aspects.treats_inside
    assert state('[[rule]]\ntreat_as = "type"', "body", 0).aspects.treats_inside
    assert not state(rule("/body/**/x", 'treat_as = "type"'), "body", "x").aspects.treats_inside


def test_an_element_in_general_is_one_no_rule_names() -> None:
    """What holds for one index holds for no other."""
    items = state(rule("/body/0") + rule("/body/*", "noise = true"), "body")
    assert items.item(0).aspects.ignore
    assert not items.element().aspects.ignore
    assert items.element().aspects.noise
    assert items.item(7) is items.element()


def test_states_are_shared() -> None:
    """Places of which the same can be said have the same state, however deep they are."""
    text = rule("/**/price", "noise = true") + rule("/body/*/x")
    assert state(text, "status").child("a") is not state(text, "status")
    root = endpoint_rules(text).root
    assert root.child("status").child("a") is root.child("status")
    assert root.child("body").child("a").child("b") is root.child("status")


def test_traffic_cannot_make_states_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are forgotten and built anew, and say the same as before."""
    monkeypatch.setattr(rules_module, "_MAX_STATES", 20)
    root = endpoint_rules(rule("/**/a/*/*/*/*/*/b", "unordered = true")).root
    built = set()
    for number in range(256):
        here = root
        for bit in range(8):
            here = here.child("a" if number >> bit & 1 else "x")
            built.add(id(here))
    automaton = root._automaton
    assert len(automaton._states) <= 20
    here = root
    for name in ("x", "a", "1", "2", "3", "4", "5", "b"):
        here = here.child(name)
    assert here.aspects.unordered


# Headers


def test_headers_that_differ_by_nature_are_left_out() -> None:
    """All others are kept, and so are those that only look like them."""
    rules = endpoint_rules("")
    for name in (*IGNORED_HEADERS, *(prefix + "any" for prefix in IGNORED_HEADER_PREFIXES)):
        assert not rules.keeps_header(name)
        assert not rules.keeps_header(name, "trailers")
    for name in ("etag", "content-type", "x-date", "x-envoy", "dates", "set-cookie"):
        assert rules.keeps_header(name)


@pytest.mark.parametrize(
    ("path", "says", "kept"),
    [
        ("/headers/date", "ignore = false", True),
        ("/headers/Date", "ignore = false", True),
        ("/headers/*", "ignore = false", True),
        ("/headers", "ignore = false", True),
        ("/headers/**", "ignore = false", True),
        ("/headers/da*", "ignore = false", True),
        ("/**/date", "ignore = false", True),
        ("/*/date", "ignore = false", True),
        ("/headers/date", 'treat_as = "timestamp"', True),
        ("/headers/date", 'time_tolerance = "2s"', True),
        ("/headers/date", "noise = true", True),
        ("/headers/date", 'redact = "hash"', False),
        ("/headers/date", "ignore = true", False),
        ("/headers/age", "ignore = false", False),
        ("/trailers/date", "ignore = false", False),
        ("/headers/*", "noise = true", False),
        ("/body/date", "ignore = false", False),
        ("/**", "ignore = false", False),
        ("/**", "noise = true", False),
        ("", "ignore = false", False),
    ],
)
def test_a_rule_can_bring_a_header_back(path: str, says: str, kept: bool) -> None:
    """By `ignore = false` on a way into the headers, or by saying how to compare it under its own name."""
    assert endpoint_rules(rule(path, says)).keeps_header("date") is kept


def test_a_header_is_brought_back_by_its_part() -> None:
    """Headers and trailers are two things; a prefix is no name."""
    rules = endpoint_rules(rule("/trailers/date", "ignore = false") + rule("/headers/x-b3-sampled", "ignore = false"))
    assert rules.keeps_header("date", "trailers")
    assert not rules.keeps_header("date")
    assert rules.keeps_header("x-b3-sampled")
    assert not rules.keeps_header("x-b3-traceid")


def test_the_first_rule_decides_about_a_header() -> None:
    """What ignores it first keeps it out."""
    ignored = rule("/headers/date") + rule("/headers/*", "ignore = false")
    assert not endpoint_rules(ignored).keeps_header("date")
    assert endpoint_rules(ignored).keeps_header("age")


def test_a_rule_without_a_path_brings_no_header_back() -> None:
    """It speaks of everything, and of no header in particular."""
    rules = endpoint_rules("[[rule]]\nignore = false\n" + rule("/headers/age", "ignore = false"))
    assert not rules.keeps_header("date")
    assert rules.keeps_header("age")


# Scopes


@pytest.mark.parametrize(
    ("match", "service", "endpoint", "holds"),
    [
        ("", "cart", "GET /x", True),
        ('service = "cart"', "cart", "GET /x", True),
        ('service = "cart"', "cart2", "GET /x", False),
        ('service = "cart"', "Cart", "GET /x", False),
        ('service = "cart*"', "cart2", "GET /x", True),
        ('service = "*"', "", "GET /x", True),
        ('endpoint = "GET /users/{id}"', "cart", "GET /users/{id}", True),
        ('endpoint = "GET /users/{id}"', "cart", "GET /users/{id}/orders", False),
        ('endpoint = "GET /users/*"', "cart", "GET /users/{id}", True),
        ('endpoint = "GET /users/*"', "cart", "GET /users/{id}/orders/{order}", True),
        ('endpoint = "* /users/{id}"', "cart", "DELETE /users/{id}", True),
        ('endpoint = "GET /users/?"', "cart", "GET /users/7", True),
        ('endpoint = "GET /a[b]"', "cart", "GET /a[b]", True),
        ('endpoint = "GET /a[b]*"', "cart", "GET /a[b]/c", True),
        ('endpoint = "GET /a[b]*"', "cart", "GET /ab/c", False),
        ('endpoint = "GET /[!x]"', "cart", "GET /[!x]", True),
        ('endpoint = "/shop.Cart/*"', "cart", "/shop.Cart/Get", True),
        ('service = "cart"\nendpoint = "GET /x"', "cart", "GET /y", False),
        ('service = "cart"\nendpoint = "GET /x"', "other", "GET /x", False),
    ],
)
def test_services_and_endpoints_are_globs(match: str, service: str, endpoint: str, holds: bool) -> None:
    """`*` and `?` are special; braces and brackets, which names hold, stand for themselves."""
    text = f"[[rule]]\n{match}\nignore = true"
    assert endpoint_rules(text, service, endpoint).root.aspects.ignore is holds


def test_endpoints_with_the_same_rules_share_them() -> None:
    """And a set of rules that holds nowhere is dead at its root."""
    rules = parse_rules('[[rule]]\nservice = "cart"\nignore = true')
    assert rules.for_endpoint("cart", "GET /a") is rules.for_endpoint("cart", "GET /b")
    assert rules.for_endpoint("other", "GET /a").root.dead
    assert [r.service for r in rules.for_endpoint("cart", "GET /a").rules] == ["cart"]


def test_endpoint_names_from_traffic_are_not_remembered_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is emptied when it is full, and fills again."""
    monkeypatch.setattr(rules_module, "_MAX_ENDPOINTS", 10)
    rules = parse_rules("[[rule]]\nignore = true")
    for number in range(100):
        assert rules.for_endpoint("cart", f"GET /{number}").root.skip
    assert len(rules._by_endpoint) <= 10


def test_templates_hold_for_their_services() -> None:
    """In the order of the file."""
    rules = parse_rules(
        '[[endpoint]]\ntemplate = "GET /a/{x}"\n[[endpoint]]\ntemplate = "GET /b/{y}"\nservice = "cart*"\n'
    )
    assert rules.templates_for("cart2") == ["GET /a/{x}", "GET /b/{y}"]
    assert rules.templates_for("other") == ["GET /a/{x}"]
    assert [e.template for e in rules.endpoints] == ["GET /a/{x}", "GET /b/{y}"]


# Versions

FILE = """
[[rule]]
path = "/body/a"
number_tolerance = { relative = 0.5, absolute = 1 }
reason = "why"
[[rule]]
path = "/body/b"
noise = true
"""


def test_the_version_is_what_the_rules_say() -> None:
    """Comments, white space, quotes, the order of keys and the way a number is written do not count."""
    laid_out_otherwise = """
    # a comment
    [[rule]]
    reason = 'why'   # another
    number_tolerance = { absolute = 1.0, relative = 5e-1 }
    path = '''/body/a'''

    [[rule]]
    noise = true
    path = "/body/b"
    """
    assert parse_rules(laid_out_otherwise).version == parse_rules(FILE).version
    assert parse_rules(FILE, "elsewhere.toml").version == parse_rules(FILE).version


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.5", "0.6"), ("/body/a", "/body/c"), ("noise = true", "noise = false"), ('"why"', '"because"')],
)
def test_another_word_is_another_version(old: str, new: str) -> None:
    """Whatever is said otherwise."""
    assert parse_rules(FILE.replace(old, new)).version != parse_rules(FILE).version


def test_another_order_is_another_version() -> None:
    """The first rule wins, so their order counts."""
    one, two = rule("/body/a"), rule("/body/b")
    assert parse_rules(one + two).version != parse_rules(two + one).version


def test_a_set_of_rules_keeps_its_text() -> None:
    """It is stored beside what was judged by it; no rules have a version too."""
    assert parse_rules(FILE).text == FILE
    assert len(parse_rules("").version) == 16
    assert isinstance(parse_rules(""), RuleSet)


# Errors


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[rule]\n", "my.toml is not TOML: "),
        ("[[rules]]\nignore = true", "my.toml: no such table: 'rules'; did you mean 'rule'?"),
        ("zzz = 1", "my.toml: no such table: 'zzz'; known: rule, endpoint"),
        ("[rule]\nignore = true", "my.toml: rule must be an array of tables; write [[rule]]"),
        ("endpoint = 5", "my.toml: endpoint must be an array of tables; write [[endpoint]]"),
        ("rule = [5]", "my.toml: [[rule]] number 1 must be a table; write [[rule]]"),
        (
            "[[rule]]\nignore = true\n[[rule]]\nignored = true",
            "my.toml: [[rule]] number 2: no such key: 'ignored'; did you mean 'ignore'?",
        ),
        (
            '[[rule]]\nvalue = "x"\n',
            "my.toml: [[rule]] number 1: no such key: 'value'; known: service, endpoint, path, ignore",
        ),
        (
            "[[rule]]\nnumber_tolerance = { relativ = 1 }",
            "my.toml: [[rule]] number 1: number_tolerance: no such key: 'relativ'; did you mean 'relative'?",
        ),
        ('[[rule]]\nignore = "yes"', "my.toml: [[rule]] number 1: ignore: expected true or false, got a text"),
        ("[[rule]]\npath = 5", "my.toml: [[rule]] number 1: path: expected a text, got an integer"),
        ("[[rule]]\nnumber_tolerance = 0.1", "[[rule]] number 1: number_tolerance: expected a table, got a number"),
        ("[[rule]]\nnumber_tolerance = { absolute = -1 }", "number_tolerance.absolute: expected a number >= 0.0"),
        ("[[rule]]\nnumber_tolerance = { absolute = nan }", "number_tolerance.absolute: expected a number"),
        ("[[rule]]\nnumber_tolerance = { absolute = inf }", "number_tolerance.absolute: expected a number"),
        (
            '[[rule]]\ntreat_as = "uid"',
            "my.toml: [[rule]] number 1: treat_as: no such value: 'uid'; did you mean 'uuid'?",
        ),
        ('[[rule]]\nredact = "x"', "my.toml: [[rule]] number 1: redact: no such value: 'x'; known: hash, drop"),
        ("[[rule]]\nredact = true", "my.toml: [[rule]] number 1: redact: expected a text, got true or false"),
        (
            '[[rule]]\npath = "body/x"\nignore = true',
            "my.toml: [[rule]] number 1: path 'body/x' does not start with '/'; write '/body/x'",
        ),
        (
            '[[rule]]\npath = "/body"\nreason = "x"',
            "my.toml: [[rule]] number 1: says nothing; set one of ignore, noise",
        ),
        ('[[rule]]\nmatch = "("', "my.toml: [[rule]] number 1: match '(' is not a regular expression: missing )"),
        ('[[rule]]\nmatch = "a{99999}"', "[[rule]] number 1: match 'a{99999}' is not a regular expression"),
        ('[[rule]]\ntime_tolerance = "2 sec"', "[[rule]] number 1: time_tolerance: '2 sec' is not a duration; write"),
        ("[[rule]]\ntime_tolerance = 2", "my.toml: [[rule]] number 1: time_tolerance: expected a text, got an integer"),
        ("[[endpoint]]\n", "my.toml: [[endpoint]] number 1: object missing required field `template`"),
        (
            '[[endpoint]]\ntemplate = "GET /"\npath = "/"',
            "my.toml: [[endpoint]] number 1: no such key: 'path'; known: template, service",
        ),
        ("x = " + "[" * 5000 + "]" * 5000, "my.toml is nested too deeply; a rules file has two levels"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, sentence: str) -> None:
    """The file, the table's number, the key, and the closest one there is."""
    with pytest.raises(ConfigError) as caught:
        parse_rules(text, "my.toml")
    assert sentence in str(caught.value)


def test_any_value_of_any_type_is_an_error_and_not_a_crash() -> None:
    """Whatever stands where something else should."""
    values: tuple[Any, ...] = ("1", "1.5", "true", '"x"', "[]", "{}", "2026-07-12", "[[1]]", "{ a = { b = 1 } }")
    for key in ("service", "ignore", "number_tolerance", "treat_as", "match", "time_tolerance", "redact", "key"):
        for value in values:
            try:
                parse_rules(f"[[rule]]\n{key} = {value}")
            except ConfigError as error:
                assert "[[rule]] number 1" in str(error)
