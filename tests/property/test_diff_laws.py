"""Laws of the structural difference, for any two documents; DeepDiff is the oracle of equality and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from deepdiff import DeepDiff
from hypothesis import example, given
from hypothesis import strategies as st

from gnomon.core.diff import diff_documents, severity_of
from gnomon.core.equality import same
from gnomon.core.json import dumps, loads
from gnomon.core.patch import apply_differences
from gnomon.core.pointer import escape, escape_pattern, parse_pointer
from gnomon.core.rules import PathRules, parse_rules
from gnomon.model import Difference, JsonValue

names = st.sampled_from(["a", "b", "id", "*", "~", "/", "", "é", "0"]) | st.text(max_size=3)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers(2**63 - 1, 2**70)
    | st.sampled_from(
        [0.0, -0.0, 1.0, 0.5, -1.5, 1e23, 10**23, 1e300, Decimal("1e400"), Decimal("0.10000000000000000001")]
    )
    | st.sampled_from(["", "1", "true", "a", "b"])
)


def documents_of(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Documents with these scalars: nested, with arrays of objects that have ids or not, and few distinct values."""
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=6)
            | st.dictionaries(names, inner, max_size=4)
            | st.lists(st.fixed_dictionaries({"id": st.integers(0, 5), "v": inner}), max_size=5)
        ),
        max_leaves=25,
    )


def mutated(document: Any, leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Documents that share much with the given one: something shuffled, dropped, doubled, renamed or replaced."""
    if isinstance(document, dict) and document:
        return st.fixed_dictionaries(
            {name: st.just(value) | mutated(value, leaves) for name, value in document.items()}
        ).flatmap(
            lambda d: st.sampled_from([d, {k: d[k] for k in list(d)[1:]}, d | {"new": 1}, dict(reversed(d.items()))])
        )
    if isinstance(document, list) and document:
        return (
            st.permutations(document)
            | st.tuples(*(st.just(v) | mutated(v, leaves) for v in document)).map(list)
            | st.lists(st.sampled_from(document) | leaves, max_size=8)
            | st.integers(0, len(document)).map(lambda n: [*document[:n], 0, *document[n:]])
        )
    return leaves


def pairs_of(chosen: st.SearchStrategy[Any], leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    """Two of these documents, most often akin."""
    return chosen.flatmap(lambda live: st.tuples(st.just(live), chosen | mutated(live, leaves)))


documents = documents_of(scalars)
pairs = pairs_of(documents, scalars)

NASTY = [
    ([1, 2, 3], [3, 1, 2]),
    ([[0], [0, 1]], [[0, 1], [1], [0]]),
    ([{"id": 1, "v": [1]}, {"id": 2}], [{"id": 2}, {"id": 1, "v": [0, 1]}]),
    ([1, True, 1.0, "1", None], [True, 1, "1"]),
    ([{"a": 1, "b": 2}, 0], [0, {"b": 2, "a": 1.0}]),
    ([10**23, 1e23], [1e23]),
]


def with_examples(test: Any) -> Any:
    """Add the pairs that once broke something."""
    for pair in NASTY:
        test = example(pair)(test)
    return test


# What a difference says


@given(documents)
def test_a_document_does_not_differ_from_itself(document: JsonValue) -> None:
    """diff(a, a) is empty, also where `a` was written and read again."""
    assert diff_documents(document, document) == []
    assert diff_documents(document, loads(dumps(document).encode())) == []


@with_examples
@given(pairs)
def test_applying_the_differences_gives_the_shadow(pair: tuple[JsonValue, JsonValue]) -> None:
    """What differs is told completely: live with its differences applied is the shadow."""
    live, shadow = pair
    assert same(apply_differences(live, diff_documents(live, shadow)), shadow)


@with_examples
@given(pairs)
def test_it_is_empty_exactly_when_the_documents_are_the_same(pair: tuple[JsonValue, JsonValue]) -> None:
    """No difference means the same document, and the same document means no difference."""
    live, shadow = pair
    assert (diff_documents(live, shadow) == []) == same(live, shadow)


def resolve(document: Any, path: str) -> Any:
    """Follow a pointer."""
    for name in parse_pointer(path):
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


def parent(path: str) -> str:
    """Give the pointer without its last step."""
    return path.rpartition("/")[0]


@with_examples
@given(pairs)
def test_paths_lead_to_the_values(pair: tuple[JsonValue, JsonValue]) -> None:
    """`path` leads to live_value in live, `shadow_path` to shadow_value in the shadow, and the pattern fits both."""
    live, shadow = pair
    for d in diff_documents(live, shadow):
        if d.kind == "removed":
            assert (d.shadow_path, d.shadow_value) == (None, None)
        else:
            assert d.shadow_path is not None
            assert dumps(resolve(shadow, d.shadow_path)) == d.shadow_value
            assert pattern_of(shadow, d.shadow_path) == d.pattern
        if d.kind == "added":
            assert d.live_value is None
            assert d.path.rpartition("/")[2] == (d.shadow_path or "").rpartition("/")[2]
            assert isinstance(resolve(live, parent(d.path)), dict | list)
        else:
            assert dumps(resolve(live, d.path)) == d.live_value
            assert pattern_of(live, d.path) == d.pattern


def pattern_of(document: Any, path: str) -> str:
    """Make the pattern of a place from the document itself."""
    steps = []
    for name in parse_pointer(path):
        is_array = isinstance(document, list)
        steps.append("*" if is_array else escape_pattern(name))
        document = document[int(name)] if is_array else document[name]
    return "".join(f"/{step}" for step in steps)


@with_examples
@given(pairs)
def test_kinds_are_what_they_say(pair: tuple[JsonValue, JsonValue]) -> None:
    """What changed is of one type on both sides, what moved without a key is the same, and no place is told twice."""
    live, shadow = pair
    found = diff_documents(live, shadow)
    for d in found:
        values = [None if text is None else loads(text.encode()) for text in (d.live_value, d.shadow_value)]
        kinds = [{float: int, Decimal: int}.get(type(value), type(value)) for value in values]
        if d.kind == "changed":
            assert kinds[0] is kinds[1]
            assert kinds[0] not in (dict, list)
        elif d.kind == "type_changed":
            assert kinds[0] is not kinds[1]
        elif d.kind == "moved" and not (isinstance(values[0], dict) and "id" in values[0]):
            assert same(*values)
    assert len({(d.path, d.kind) for d in found}) == len(found)


# The mirror


def counterpart(path: str, live: Any, differences: Sequence[Difference]) -> str:
    """Give the place in the shadow of a container that is on both sides.

    In an array, what was removed, added or moved is named by the differences; the others kept their order.
    """
    here = there = ""
    for name in parse_pointer(path):
        if isinstance(live, list):
            at_this = [d for d in differences if parent(d.path) == here and d.path]
            moved = {
                int(d.path.rpartition("/")[2]): int((d.shadow_path or "").rpartition("/")[2])
                for d in at_this
                if d.kind == "moved"
            }
            removed = {int(d.path.rpartition("/")[2]) for d in at_this if d.kind == "removed"}
            added = {int(d.path.rpartition("/")[2]) for d in at_this if d.kind == "added"}
            taken = added | set(moved.values())
            free = [j for j in range(len(live) - len(removed) + len(added)) if j not in taken]
            stayed = [i for i in range(len(live)) if i not in removed and i not in moved]
            index = int(name)
            there += f"/{moved[index] if index in moved else free[stayed.index(index)]}"
            live = live[index]
        else:
            there += f"/{escape(name)}"
            live = live[name]
        here += f"/{escape(name)}"
    return there


def mirror(d: Difference, live: Any, differences: Sequence[Difference]) -> Difference:
    """Give a difference as seen from the other side.

    Changes and moves swap paths and values. What was removed at a place is added there: below the parents'
    counterpart, where the other side's document has it; what was added at `shadow_path` is removed from there.
    """
    part = d.path[1:].partition("/")[0]
    if d.kind == "removed":
        path = f"{counterpart(parent(d.path), live, differences)}/{d.path.rpartition('/')[2]}"
        return Difference(path, d.path, d.pattern, "added", severity_of(part, "added"), None, d.live_value)
    if d.kind == "added":
        path = d.shadow_path or ""
        return Difference(path, None, d.pattern, "removed", severity_of(part, "removed"), d.shadow_value, None)
    return Difference(
        d.shadow_path or "", d.path, d.pattern, d.kind, d.severity, d.shadow_value, d.live_value, d.noise, d.reason
    )


def order(d: Difference) -> tuple[str, ...]:
    """Sort differences in some way."""
    return (d.path, d.kind, d.shadow_path or "")


@with_examples
@given(pairs)
def test_the_other_direction_mirrors(pair: tuple[JsonValue, JsonValue]) -> None:
    """diff(b, a) is the mirror of diff(a, b), path by path and value by value."""
    live, shadow = pair
    found = diff_documents(live, shadow)
    mirrored = [mirror(d, live, found) for d in found]
    assert sorted(mirrored, key=order) == sorted(diff_documents(shadow, live), key=order)


# The oracle

ordinary = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers(-(2**40), 2**40)
    | st.sampled_from([0.0, 1.0, 0.5, -1.5])
    | st.sampled_from(["", "1", "a", "b"])
)
"""Scalars that DeepDiff compares exactly: it rounds large integers, and fails on large decimals."""

ordinary_pairs = pairs_of(documents_of(ordinary), ordinary)


def without_truth(document: Any) -> Any:
    """Replace true and false by texts: DeepDiff takes them for 1 and 0 once it is told that 1 is 1.0."""
    if isinstance(document, bool):
        return f"<{document}>"
    if isinstance(document, list):
        return [without_truth(element) for element in document]
    if isinstance(document, dict):
        return {name: without_truth(value) for name, value in document.items()}
    return document


def oracle(live: Any, shadow: Any, **options: Any) -> DeepDiff:
    """Compare by DeepDiff, `1` and `1.0` being one number."""
    options |= {"ignore_numeric_type_changes": True, "view": "tree"}
    return DeepDiff(without_truth(live), without_truth(shadow), **options)


@with_examples
@given(ordinary_pairs)
def test_it_is_empty_exactly_when_deepdiff_says_equal(pair: tuple[Any, Any]) -> None:
    """Also for arrays that it aligns otherwise."""
    live, shadow = pair
    assert (diff_documents(live, shadow) == []) == (not oracle(live, shadow))


def steps_of(path: Sequence[object], document: Any, other: Any) -> tuple[str, ...]:
    """Turn DeepDiff's path into the steps of a pattern; alignments differ, so positions do not count."""
    steps = []
    for step in path:
        document = document if isinstance(document, dict | list) else other
        steps.append("*" if isinstance(document, list) else escape_pattern(str(step)))
        document, other = child(document, step), child(other, step)
    return tuple(steps)


def child(document: Any, step: Any) -> Any:
    """Follow a step if there is one."""
    try:
        return document[step]
    except (KeyError, IndexError, TypeError):
        return None


@with_examples
@given(ordinary_pairs)
def test_every_path_that_deepdiff_reports_is_covered(pair: tuple[Any, Any]) -> None:
    """One of ours is at the same place, above it or below it."""
    live, shadow = pair
    ours = [tuple(d.pattern.split("/")[1:]) for d in diff_documents(live, shadow)]
    for kind in (found := oracle(live, shadow)):
        for item in found[kind]:
            theirs = steps_of(item.path(output_format="list"), live, shadow)
            assert any(mine[: len(theirs)] == theirs[: len(mine)] for mine in ours), (theirs, ours)


objects = st.recursive(ordinary, lambda inner: st.dictionaries(names, inner, max_size=4), max_leaves=12)


@given(pairs_of(objects, ordinary))
def test_without_arrays_places_are_those_of_deepdiff(pair: tuple[Any, Any]) -> None:
    """Where nothing is to be aligned, both report the same paths."""
    found = oracle(*pair, threshold_to_diff_deeper=0)
    theirs = [item.path(output_format="list") for kind in found for item in found[kind]]
    ours = [d.path for d in diff_documents(*pair)]
    assert sorted("".join(f"/{escape(name)}" for name in path) for path in theirs) == sorted(ours)


# Rules

steps = st.sampled_from(["a", "b", "id", "v", "*", "**", "~2", "0", "1"])
paths = st.lists(steps, max_size=4).map(lambda chosen: "".join(f"/{step}" for step in chosen))


def compiled(*tables: str) -> PathRules:
    """Compile rules for a document."""
    return parse_rules("\n".join(f"[[rule]]\n{table}" for table in tables)).for_endpoint("", "").root


def places(found: Sequence[Difference]) -> list[tuple[object, ...]]:
    """Give what differences say, without whether they are noise and why."""
    return [(d.path, d.shadow_path, d.pattern, d.kind, d.severity, d.live_value, d.shadow_value) for d in found]


@given(pairs)
def test_ignoring_everything_leaves_nothing(pair: tuple[JsonValue, JsonValue]) -> None:
    """By a path of `**`, by the empty path, or by none."""
    for table in ('path = "/**"\nignore = true', 'path = ""\nignore = true', "ignore = true"):
        assert diff_documents(*pair, compiled(table)) == []


@given(pairs, st.lists(paths, min_size=1, max_size=3))
def test_noise_marks_and_changes_nothing(pair: tuple[JsonValue, JsonValue], chosen: list[str]) -> None:
    """The differences under rules that only say noise are those without rules."""
    marked = diff_documents(*pair, compiled(*(f'path = "{path}"\nnoise = true' for path in chosen)))
    assert places(marked) == places(diff_documents(*pair))
    assert all((d.reason is not None) == d.noise for d in marked)


@given(documents, st.randoms(use_true_random=False))
def test_permutations_are_equal_where_nothing_is_ordered(document: JsonValue, random: Any) -> None:
    """However deep the arrays are that were shuffled."""
    assert diff_documents(document, shuffled(document, random), compiled("unordered = true")) == []


def shuffled(document: Any, random: Any) -> Any:
    """Shuffle every array."""
    if isinstance(document, dict):
        return {name: shuffled(value, random) for name, value in document.items()}
    if isinstance(document, list):
        elements = [shuffled(element, random) for element in document]
        random.shuffle(elements)
        return elements
    return document


@given(pairs, paths)
def test_what_is_ignored_is_not_told(pair: tuple[JsonValue, JsonValue], path: str) -> None:
    """No difference is at a place that the rule matches, or below one."""
    root = compiled(f'path = "{path}"\nignore = true')
    for d in diff_documents(*pair, root):
        assert not ignored(root, d, pair)


def ignored(root: PathRules, d: Difference, pair: tuple[Any, Any]) -> bool:
    """Whether the rules ignore a difference's place, followed step by step in live."""
    state, live = root, pair[0]
    for name in parse_pointer(d.path):
        is_array = isinstance(live, list)
        state = state.item(int(name)) if is_array else state.child(name)
        live = child(live, int(name) if is_array else name)
    return state.aspects.ignore


@given(pairs, paths, paths)
def test_ignoring_adds_nothing_below(pair: tuple[JsonValue, JsonValue], path: str, other: str) -> None:
    """One more rule that ignores, in any position, adds no difference at what it ignores."""
    says = f'path = "{other}"\nunordered = true\nkey = "v"\ncase_insensitive = true'
    added = f'path = "{path}"\nignore = true'
    alone = compiled(added)
    for tables in ((says, added), (added, says)):
        for d in diff_documents(*pair, compiled(*tables)):
            assert not ignored(alone, d, pair)


@given(pairs, paths)
def test_equal_documents_stay_equal_under_any_rule(pair: tuple[JsonValue, JsonValue], path: str) -> None:
    """Rules make unlike things equal, and nothing else."""
    says = (
        'ignore = false\nunordered = true\nkey = "v"\nmap = true\nnumber_tolerance = { absolute = 1 }\n'
        'time_tolerance = "1s"\nmatch = "a"\ncase_insensitive = true\nnull_is_missing = true\ntreat_as = "type"'
    )
    for document in pair:
        assert diff_documents(document, document, compiled(f'path = "{path}"\n{says}')) == []


@given(documents_of(st.integers(-3, 3)), st.integers(1, 9), st.sampled_from(["", "unordered = true\n"]))
def test_a_tolerance_makes_jitter_equal(document: JsonValue, jitter: int, unordered: str) -> None:
    """Numbers that are all off by a little are no difference anywhere, keys of elements aside."""
    root = compiled('path = "/**/id"\nignore = false', unordered + "number_tolerance = { absolute = 0.01 }")
    assert diff_documents(document, off_by(document, jitter / 1000), root) == []


def off_by(document: Any, little: float) -> Any:
    """Add a little to every number that is not an id."""
    if isinstance(document, dict):
        return {name: value if name == "id" else off_by(value, little) for name, value in document.items()}
    if isinstance(document, list):
        return [off_by(element, little) for element in document]
    return document + little
