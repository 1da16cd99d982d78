"""The report in a real browser: drawn from hostile traffic, on a phone, and by itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gnomon.capture import Source
from gnomon.compare import CompareRequest, compare_captures
from gnomon.config import Settings
from gnomon.core.rules import parse_rules
from gnomon.testing import exchange

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.browser

RUN = "parent.pwned = window.pwned = true; document.title = 'pwned'"
ATTACKS = [
    f"<script>{RUN}</script>",
    f'"><img src="http://evil.example/a.png" onerror="{RUN}">',
    f'</style></title></details><svg onload="{RUN}">',
    f"javascript:{RUN}",
    '<link rel="stylesheet" href="http://evil.example/a.css"><meta http-equiv="refresh" content="0;url=http://evil.example/">',
    f'<iframe srcdoc="<script>{RUN}</script>" src="http://evil.example/"></iframe>',
    '<form action="http://evil.example/"><input name="a" autofocus onfocus="alert(1)"></form>',
    "\x00\u202ex\u2066" + "W" * 4000,
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a capture in which attackers chose ids, paths, header values, member names and bodies."""
    directory = tmp_path_factory.mktemp("report")
    capture, html = directory / "capture.ndjson", directory / "report.html"
    with capture.open("wb") as lines:
        for number, attack in enumerate(ATTACKS):
            for role in ("live", "shadow"):
                made = exchange(
                    f"{number}{attack[:200]}",
                    role,  # type: ignore[arg-type]
                    {attack: attack, "list": [attack, role], "wide": "w" * 500},
                    path=f"/{attack}",
                    headers=(("content-type", "application/json"), ("x-attack", attack + role)),
                    target=attack[:100] if role == "shadow" else "",
                    service=attack[:100],
                )
                lines.write(msgspec.json.encode(made) + b"\n")
        lines.write(b"<script>parent.pwned = true</script>\n")
    compare_captures(
        CompareRequest(
            sources=[Source(str(capture))],
            db=directory / "gnomon.duckdb",
            rules=parse_rules(""),
            settings=Settings(),
            report=html,
        )
    )
    return html.read_text(encoding="utf-8")


def without_policy(html: str) -> str:
    """The same page without its content security policy."""
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    assert bare != html
    return bare


def asked_for(seen: Any) -> set[str]:
    """The paths that were asked for."""
    return {request.partition("/")[2] for request in seen.requests}


@pytest.mark.parametrize("prepare", [str, without_policy], ids=["as it is", "without its policy"])
def test_hostile_traffic_runs_nothing_and_asks_for_nothing(
    prepare: Callable[[str], str], report: str, browser: Any
) -> None:
    """Escaping alone keeps scripts from running and the page from calling out; the policy stands behind it."""
    seen = browser.look(prepare(report))
    assert not seen.page["pwned"]
    assert seen.page["title"].endswith("diverge · Shadow traffic report")
    assert seen.page["foreign"] == []
    assert asked_for(seen) == {"", "page.html"}


def test_the_policy_stops_what_escaping_would_let_through(report: str, browser: Any) -> None:
    """A script and an image that are put into the page by hand do nothing; without the policy they do."""
    planted = report.replace("<main", f'<script>{RUN}</script><img src="http://evil.example/a.png"><main')
    guarded = browser.look(planted)
    assert not guarded.page["pwned"]
    assert asked_for(guarded) == {"", "page.html"}
    open_to_all = browser.look(without_policy(planted))
    assert open_to_all.page["pwned"]
    assert "evil.example/a.png" in open_to_all.requests


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_page(width: int, report: str, browser: Any) -> None:
    """At the width of a phone, a tablet and a desk, with all pairs open, the page does not scroll sideways."""
    page = browser.look(report, width=width).page
    assert page["inner"] == width
    assert page["scrolls"] <= width
    assert page["beyond"] == []


def test_the_style_is_applied_in_light_and_dark(report: str, browser: Any) -> None:
    """The browser accepts the style's hash, and follows the reader's preference."""
    light = browser.look(report).page["background"]
    dark = browser.look(report, dark=True).page["background"]
    assert (light, dark) == ("rgb(252, 251, 247)", "rgb(23, 24, 26)")


def test_a_link_to_a_closed_pair_opens_it(report: str, browser: Any) -> None:
    """Following a request id shows the pair, although all pairs but one are closed."""
    last = re.findall(r'id="(pair-[0-9a-f]{16})"', report)[-1]
    assert browser.look(report, fragment=f"#{last}").page["targetSeen"]
