"""Rules that match nothing of what landed."""

from __future__ import annotations

import pytest

from gnomon.core.reach import Reach
from gnomon.core.rules import parse_rules
from gnomon.model import Difference


def different(path: str) -> Difference:
    """One changed value."""
    return Difference(path, path, path, "changed", "medium", "1", "2")


def unmet(rules: str, *paths: str, before: str = "") -> list[str]:
    """Say what rules did not match, of one comparison of service shop at GET /carts/{id}."""
    reach = Reach(parse_rules(rules))
    reach.see("shop", "GET /carts/{id}", map(different, paths))
    found = reach.unmet(parse_rules(before).file.rule)
    return [f"{one.number} {one.rule}: {one.why}" for one in found]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('endpoint = "GET /cart/*"', "1 endpoint 'GET /cart/*': no endpoint; did you mean 'GET /carts/{id}'?"),
        ('service = "shpo"', "1 service 'shpo': no endpoint; did you mean 'shop'?"),
        ('service = "pay"\npath = "/body"', "1 service 'pay', path '/body': no endpoint"),
        ('path = "/body/prcie"', "1 path '/body/prcie': no difference"),
        ('path = "/**/prcie"', "1 path '/**/prcie': no difference"),
        ('path = "/body/items/*/price/*/x"', None),
        ('endpoint = "GET /carts/*"', None),
        ('path = "/body/items/*/price"', None),
        ('path = "/body/items/7/price"', None),
        ('path = "/body/items"', None),
        ('path = "/body/it*/**"', None),
        ('path = "/**/price"', None),
        ('path = "/headers/ETag"', None),
        ("", None),
    ],
)
def test_a_rule_that_matches_nothing_is_named(rule: str, said: str | None) -> None:
    """An endpoint that there is not, or a field that does not differ; above or below one that does is near enough."""
    found = unmet(f"[[rule]]\n{rule}\nignore = true\n", "/body/items/0/price", "/headers/etag")
    assert found == ([] if said is None else [said])


def test_what_was_in_force_before_may_have_nothing_left_to_match() -> None:
    """What a rule hid makes no difference any more; what is only hidden from readers need not differ."""
    hiding = '[[rule]]\npath = "/body/a"\nignore = true\n'
    assert unmet(hiding) == ["1 path '/body/a': no difference"]
    assert unmet(hiding, before=f'{hiding}reason = "as ever"\n') == []
    assert unmet('[[rule]]\npath = "/body/a"\nredact = "hash"\n') == []


def test_without_anything_to_match_no_rule_is_named() -> None:
    """Nothing that was judged says nothing about rules."""
    assert Reach(parse_rules('[[rule]]\nservice = "x"\nignore = true\n')).unmet([]) == []
