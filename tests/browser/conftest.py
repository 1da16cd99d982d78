"""A real browser that looks at one page, and a web server that sees every request the page makes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

# The page under test is framed by one that may run scripts: it measures, and tells what happened.
HARNESS = """<!doctype html><meta charset="utf-8"><title>harness</title><link rel="icon" href="data:,">
<iframe id="frame" src="/page.html%(fragment)s" style="width:%(width)dpx;height:800px;border:0"></iframe>
<pre id="out"></pre>
<script>
window.alert = () => { window.pwned = true };
frame.onload = () => setTimeout(() => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const target = page.querySelector(":target");
  const seen = { targetSeen: target ? target.getBoundingClientRect().height > 0 : null };
  page.querySelectorAll("details").forEach(one => { one.open = true; });
  const right = view.innerWidth + 1;
  out.textContent = JSON.stringify({
    ...seen,
    title: page.title,
    pwned: Boolean(window.pwned || view.pwned),
    inner: view.innerWidth,
    scrolls: page.documentElement.scrollWidth,
    beyond: [...page.querySelectorAll("body *")].filter(one => !one.closest(".scroll, svg, .unseen")
      && one.getBoundingClientRect().right > right).map(one => one.outerHTML.slice(0, 120)),
    background: view.getComputedStyle(page.body).backgroundColor,
    foreign: [...page.querySelectorAll("script, img, iframe, object, embed, form, input")].map(one => one.tagName),
  });
}, 300);
</script>"""


class Seen(NamedTuple):
    """What the browser made of a page, and every URL that was asked for."""

    page: dict[str, Any]
    requests: list[str]


class Browser:
    """Looks at pages; each look is a browser of its own, without a past."""

    def __init__(self, program: str) -> None:
        self._program = program

    def look(self, html: str, *, width: int = 1280, dark: bool = False, fragment: str = "") -> Seen:
        """Show a page in a frame of `width` CSS pixels and tell what became of it."""
        pages = {"/": HARNESS % {"width": width, "fragment": fragment}, "/page.html": html}
        requests: list[str] = []
        with _serving(pages, requests) as port, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            options = [
                "--headless",
                "--disable-gpu",
                "--disable-quic",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-default-apps",
                "--disable-extensions",
                "--disable-features=NetworkTimeServiceQuerying",  # the browser's own clock, not the page
                "--disable-sync",
                "--no-first-run",
                f"--user-data-dir={profile}",
                f"--window-size={max(width, 500)},900",
                f"--host-resolver-rules=MAP * 127.0.0.1:{port}",  # whoever is asked, we hear it
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                "--virtual-time-budget=5000",
                "--dump-dom",
            ]
            if hasattr(os, "geteuid") and os.geteuid() == 0:
                options.append("--no-sandbox")
            done = subprocess.run(
                [self._program, *options, f"http://127.0.0.1:{port}/"],
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
        told = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
        assert told, done.stderr[-2000:]
        assert told[1], done.stderr[-2000:]
        return Seen(json.loads(unescape(told[1])), requests)


class _serving:  # noqa: N801 - used as a verb
    """A web server on a free port that notes what it is asked for."""

    def __init__(self, pages: dict[str, str], requests: list[str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(f"{self.headers['host']}{self.path}")
                page = pages.get(self.path)
                self.send_response(404 if page is None else 200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write((page or "").encode())

            def log_message(self, *args: object) -> None:
                """Say nothing on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._server.server_address[1])

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="session")
def browser() -> Browser:
    """A real browser; where there is none, tests marked `browser` are left out before they get here."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert program is not None, f"none of {', '.join(NAMES)} is on the path"
    return Browser(program)
