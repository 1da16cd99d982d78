"""The report as one HTML file, drawn from hostile values."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon.model import Request
from gnomon.report import render_report
from gnomon.summary import EndpointStat, FieldStat, LatencyStat, OutcomeCounts, RejectCount, Report, Sample
from gnomon.testing import exchange

MakeReport = Callable[..., Report]

ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</style><script>alert(1)</script>",
    "</title><svg onload=alert(1)>",
    "</details></main></body></html><iframe src=//evil.example>",
    "{{ 7 * 7 }}{% raw %}",
    "<!--",
    "]]><![CDATA[",
    "\x00\x1b[31m\u202etxt.exe\u200b\ud800",
    "&lt;b&gt;&amp;",
]

VOID = {"meta", "link", "rect", "path", "ellipse", "img", "br", "input"}
DRAWN = {"html", "head", "meta", "title", "link", "style", "body", "a", "header", "svg", "g", "ellipse", "path", "rect"}
PROSE = {"main", "div", "p", "bdi", "code", "h1", "h2", "h4", "span", "dl", "dt", "dd", "nav", "ul", "li", "section"}
TABLES = {"table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary", "mark", "footer"}


class Page(HTMLParser):
    """What a browser would build of a page: tags with their attributes, and the text outside of style."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and that it is open."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last, and no other."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text that a reader sees."""
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def all(self, name: str) -> list[str]:
        """Values of one attribute, wherever it is."""
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


def hostile_report(value: str, make_field: Callable[..., FieldStat]) -> Report:
    """A report in which every text that traffic or a caller can choose is `value`."""
    row = dict.fromkeys(
        ("request_id", "target", "service", "endpoint", "method", "path", "started_at", "outcome", "severity"), value
    )
    row |= dict.fromkeys(("live_target", "live_error", "shadow_error", "as_of", "synthetic"), value)
    difference = dict.fromkeys(
        ("path", "shadow_path", "pattern", "kind", "severity", "live_value", "shadow_value", "reason"), value
    )
    live, shadow = (
        msgspec.to_builtins(
            exchange(
                "r-1",
                role,  # type: ignore[arg-type]
                json.dumps({value: [value, text]}),
                headers=(("content-type", "application/json"), ("x" + value, value)),
                request=Request(value, value, value, [(value, value)]),
            )
        )
        for role, text in (("live", "one"), ("shadow", "two"))
    )
    body = {"path": f"/body/{value}/1", "shadow_path": f"/body/{value}/1", "kind": "changed", "severity": "high"}
    stat = {"service": value, "endpoint": value, "target": value}
    field = make_field(value, request_ids=[value], live_value=value, shadow_value=value + "x", **stat)
    when = field.first_seen
    return Report(
        title=value,
        source=value,
        created_at=when,
        since=when,
        until=when,
        rules=[value],
        comparisons=2,
        pairs=2,
        outcomes=OutcomeCounts(match=1, diff=1),
        control_outcomes=OutcomeCounts(match=1),
        divergences=1,
        divergence_rate=0.5,
        interval=(0.1, 0.9),
        endpoints=[
            EndpointStat(
                **stat,
                pairs=2,
                outcomes=OutcomeCounts(match=1, diff=1),
                divergence_rate=0.5,
                rate_lo=0.1,
                rate_hi=0.9,
                first_seen=when,
                last_seen=when,
            )
        ],
        fields=[field, msgspec.structs.replace(field, requests=0, noise_requests=1)],
        latency=[],
        rejects=[RejectCount(reason=value, count=1, first_place=value)],
        samples=[
            Sample(
                comparison={**row, "flags": {value: value}},
                differences=[difference, body],
                live=live,
                shadow=shadow,
            )
        ],
    )


@pytest.mark.parametrize("value", ATTACKS)
def test_no_value_becomes_markup(value: str, make_field: Callable[..., FieldStat]) -> None:
    """Whatever stands in any field of traffic, the page has its own tags and attributes and no others."""
    calm = Page(render_report(hostile_report("calm", make_field)))
    page = Page(render_report(hostile_report(value, make_field)))
    assert {tag for tag, _ in page.tags} <= DRAWN | PROSE | TABLES
    # Values that differ may lay out in another number of rows; the kinds of attributes stay.
    known = {(tag, name) for tag, attributes in calm.tags for name in attributes}
    assert {(tag, name) for tag, attributes in page.tags for name in attributes} <= known
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    assert page.open == []


@pytest.mark.parametrize("value", ATTACKS)
def test_links_stay_in_the_page(value: str, make_field: Callable[..., FieldStat]) -> None:
    """Each link is a fragment that exists once, made of a word and a hash, never of a value."""
    page = Page(render_report(hostile_report(value, make_field)))
    ids = Counter(page.all("id"))
    links = [link for link in page.all("href") if link != "data:,"]
    assert all(re.fullmatch(r"#[a-z]+(-[0-9a-f]{16})?", link) for link in links)
    assert {link[1:] for link in links} <= ids.keys()
    assert page.all("src") == []


def test_values_are_shown_for_what_they_are(make_field: Callable[..., FieldStat]) -> None:
    """Escaping keeps a value readable: the reader sees the very characters that came."""
    page = Page(render_report(hostile_report("<b>&amp;\"'", make_field)))
    assert "<b>&amp;\"'" in page.texts


def test_hidden_characters_are_written_out(make_field: Callable[..., FieldStat]) -> None:
    """NULs, escapes, direction overrides and lone surrogates are seen, and the file is valid UTF-8."""
    html = render_report(hostile_report("\x00\u202e\ud800", make_field))
    assert "\\u0000\\u202e\\ud800" in html
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]", html)
    html.encode()


def test_a_megabyte_is_cut_everywhere(make_field: Callable[..., FieldStat]) -> None:
    """A huge value in every field makes a page of a hundred kilobytes, with notes."""
    html = render_report(hostile_report("x" * 1_000_000, make_field))
    assert len(html) < 150_000
    assert "more characters)" in html


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(alphabet=st.characters(), max_size=40))
def test_any_text_draws(value: str, make_field: Callable[..., FieldStat]) -> None:
    """No text makes drawing fail or breaks the nesting of the page."""
    html = render_report(hostile_report(value, make_field))
    html.encode()
    assert Page(html).open == []


def test_the_policy_allows_this_style_and_nothing_else(make_report: MakeReport) -> None:
    """The content security policy has the hash of the style that is there, and neither scripts nor requests."""
    html = render_report(make_report())
    policy = next(content for content in Page(html).all("content") if "default-src" in content)
    style = html.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_holds_what_a_reader_asks_for(make_report: MakeReport) -> None:
    """The headline, each section, the field with its example, and the pair."""
    page = Page(render_report(make_report()))
    text = " ".join("".join(page.texts).split())
    for part in (
        "10.0% of requests diverge",
        "10 of 100 comparable requests; 95% interval 5.50% to 17.4%.",
        "Outcomes",
        "Endpoints",
        "Fields that differ",
        "/body/price",
        "Pairs, side by side",
        "None: every record that was read could be decoded.",
        "How to read this",
    ):
        assert part in text


def test_an_empty_report_says_so(make_report: MakeReport) -> None:
    """Nothing compared is drawn in words, not as an empty page or an error."""
    empty = make_report(
        comparisons=0,
        pairs=0,
        outcomes=OutcomeCounts(),
        divergences=0,
        divergence_rate=None,
        interval=None,
        endpoints=[],
        fields=[],
        latency=[],
        samples=[],
        rules=[],
    )
    text = "".join(Page(render_report(empty)).texts)
    for part in ("nothing could be compared", "Nothing was compared.", "No endpoint was compared.", "No field differs"):
        assert part in text


def test_tables_can_be_read_without_eyes(make_report: MakeReport) -> None:
    """Each table has a caption and scoped headings, each drawing a label or is hidden, each section a title."""
    page = Page(render_report(make_report(control_outcomes=OutcomeCounts(match=1))))
    tags = Counter(tag for tag, _ in page.tags)
    assert tags["table"] == tags["caption"]
    assert tags["h1"] == tags["main"] == 1
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")
        if tag == "section":
            assert attributes["aria-labelledby"] in page.all("id")


def test_thousands_of_endpoints_and_fields_make_one_page(
    make_report: MakeReport,
    make_endpoint: Callable[..., EndpointStat],
    make_field: Callable[..., FieldStat],
    make_latency: Callable[..., LatencyStat],
) -> None:
    """5,000 endpoints with a field each stay within a megabyte, and the page says what is left out."""
    names = [f"GET /{i}" for i in range(5000)]
    html = render_report(
        make_report(
            endpoints=[make_endpoint(name, diff=1) for name in names],
            fields=[make_field(f"/body/{i}", endpoint=name) for i, name in enumerate(names)],
            latency=[make_latency(name) for name in names],
        )
    )
    assert len(html) < 1_000_000
    assert "4,800 endpoints that diverge less are left out here" in html
    assert "4,900 more fields differ" in html
