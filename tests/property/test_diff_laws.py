"""Laws of the structural difference, for any two documents; DeepDiff is the oracle of equality and coverage."""

from __future__ import annotations

from decimal import Decimal

from deepdiff import DeepDiff
from hypothesis import example, given
from hypothesis import strategies as st

from gnomon.core.diff import diff_documents
from gnomon.core.equality import same
from gnomon.core.patch import apply_differences
from gnomon.core.pointer import parse_pointer
from gnomon.model import Difference, JsonValue

names = st.sampled_from(["a", "b", "id", "*", "~", "/", "", "é", "0"]) | st.text(max_size=3)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers(2**63 - 1, 2**70)
    | st.sampled_from([0.0, 1.0, 0.5, -1.5, 1e300, Decimal("1e400"), Decimal("0.10000000000000000001")])
    | st.sampled_from(["", "1", "true", "a", "b"])
)
documents: st.SearchStrategy[JsonValue] = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(names, inner, max_size=4)
        | st.lists(st.fixed_dictionaries({"id": st.integers(0, 5), "v": inner}), max_size=5)
    ),
    max_leaves=25,
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[JsonValue, JsonValue]:
    """Two documents, most often akin: one is the other with something shuffled, dropped, doubled or replaced."""
    live = draw(documents)
    return live, draw(st.just(live) | documents | mutated(live))


def mutated(document: JsonValue) -> st.SearchStrategy[JsonValue]:
    """Documents that share much with the given one."""
    if isinstance(document, dict) and document:
        return st.fixed_dictionaries(
            {name: st.just(value) | mutated(value) for name, value in document.items()}
        ).flatmap(lambda d: st.sampled_from([d, {k: d[k] for k in list(d)[1:]}, d | {"new": 1}]))
    if isinstance(document, list) and document:
        return (
            st.permutations(document)
            | st.tuples(*(st.just(v) | mutated(v) for v in document)).map(list)
            | st.lists(st.sampled_from(document) | scalars, max_size=8)
            | st.integers(0, len(document)).map(lambda n: [*document[:n], 0, *document[n:]])
        )
    return scalars


def mirror(difference: Difference) -> Difference:
    """Give the difference as seen from the other side."""
    kind = {"added": "removed", "removed": "added"}.get(difference.kind, difference.kind)
    return Difference(
        path=difference.shadow_path or "",
        shadow_path=None if kind == "removed" else difference.path,
        pattern=difference.pattern,
        kind=kind,  # type: ignore[arg-type]
        severity=difference.severity,
        live_value=difference.shadow_value,
        shadow_value=difference.live_value,
    )


@given(documents)
def test_a_document_does_not_differ_from_itself(document: JsonValue) -> None:
    """diff(a, a) is empty."""
    assert diff_documents(document, document) == []


@given(pairs())
@example(([1, 2, 3], [3, 1, 2]))
@example(([[0], [0, 1]], [[0, 1], [1], [0]]))
def test_applying_the_differences_gives_the_shadow(pair: tuple[JsonValue, JsonValue]) -> None:
    """What differs is told completely: live with its differences applied is the shadow."""
    live, shadow = pair
    assert same(apply_differences(live, diff_documents(live, shadow)), shadow)


@given(pairs())
def test_the_other_direction_mirrors(pair: tuple[JsonValue, JsonValue]) -> None:
    """diff(b, a) is diff(a, b) with sides swapped."""
    live, shadow = pair
    there = {(d.shadow_path if d.kind == "added" else d.path, d.kind, d.live_value, d.shadow_value) for d in diff_documents(live, shadow)}
    back = set()
    for d in diff_documents(shadow, live):
        kind = {"added": "removed", "removed": "added"}.get(d.kind, d.kind)
        back.add((d.path if kind == "added" else d.shadow_path, kind, d.shadow_value, d.live_value))
    # an added element's own place is its shadow_path; a removed one's is its path
    assert {t for t in there if t[1] not in ("added", "removed")} == {
        t for t in back if t[1] not in ("added", "removed")
    }
    assert {t for t in there if t[1] == "added"} == {t for t in back if t[1] == "added"}
    assert sorted(t[2] or "" for t in there if t[1] == "removed") == sorted(
        t[2] or "" for t in back if t[1] == "removed"
    )


@given(pairs())
def test_it_is_empty_exactly_when_the_documents_are_the_same(pair: tuple[JsonValue, JsonValue]) -> None:
    """No difference means the same document, and the same document means no difference."""
    live, shadow = pair
    assert (diff_documents(live, shadow) == []) == same(live, shadow)
