"""`gnomon web` as a process, asked by a real client: what it answers, whom it answers, and what it never does."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import duckdb
import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hooks.server import make_alert

from gnomon.capture import Source
from gnomon.compare import CompareRequest, compare_captures
from gnomon.config import Settings
from gnomon.core.rules import parse_rules
from gnomon.store import land_alerts
from gnomon.store.log import prepare_store
from gnomon.testing import pair

pytestmark = pytest.mark.integration

HOSTILE = "</script><img src=x onerror=alert(1)>'\";--\n\u202e"
ODD_ID = "a/b?c=d#e%2f../\u00e9 <x>"


GOOD = 4000
"""Pairs that a flawless build needs to be seen to keep every limit."""


class Answer(NamedTuple):
    """A status, headers by lower-case name, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Server:
    """A running `gnomon web`."""

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port, self.process = port, process

    def ask(
        self, path: str, *, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Ask one thing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def flagger(self, **fields: Any) -> Answer:
        """Post what Flagger posts."""
        call = {"name": "shop", "namespace": "test", "phase": "Progressing", "checksum": "8f", "metadata": {}, **fields}
        return self.ask("/hooks/flagger", method="POST", body=json.dumps(call).encode())


def start(arguments: list[str], **variables: str) -> subprocess.Popen[str]:
    """Start `gnomon web` on a free port."""
    return subprocess.Popen(
        [sys.executable, "-m", "gnomon", "web", *arguments],
        env={**os.environ, "GNOMON_WEB_BIND": "127.0.0.1:0", **variables},
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(*arguments: str, **variables: str) -> Iterator[Server]:
    """A server until the end of the block."""
    with start(list(arguments), **variables) as process:
        assert process.stderr is not None
        first = ""
        try:
            while (found := re.search(r"listening on http://[^ ]+:(\d+)$", first.strip())) is None:
                first = process.stderr.readline()
                assert first, "it ended before it listened"
            yield Server(int(found[1]), process)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def fill(path: Path) -> None:
    """A broken service shop of real traffic, a good one of synthetic, and one whose names are hostile."""
    start_us = int((datetime.now(UTC) - timedelta(minutes=5)).timestamp() * 1_000_000)
    records = []
    for n in range(800):
        live = {"id": n, "price": 10}
        at = {"started_us": start_us + n * 1000}
        records += pair(f"r-{n}", live, live | {"price": "10"} if n % 2 else live, path=f"/p{n % 3}/{n}", **at)
    for n in range(GOOD):
        records += pair(f"s-{n}", n, n, service="fine", path=f"/f/{n}", started_us=start_us + n)
    records += pair(ODD_ID, {HOSTILE: 1}, {HOSTILE: 2}, service=HOSTILE, path="/x", started_us=start_us)
    records += pair("synth", 1, 2, service="robots", synthetic="load", started_us=start_us)
    capture = path.with_suffix(".ndjson")
    capture.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    compare_captures(
        CompareRequest(sources=[Source(str(capture))], db=path, rules=parse_rules(""), settings=Settings())
    )
    land_alerts(path, [make_alert(), make_alert(key="k2", service=HOSTILE)])


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database."""
    path = tmp_path_factory.mktemp("web") / "g.duckdb"
    fill(path)
    return path


@pytest.fixture(scope="module")
def server(db: Path) -> Iterator[Server]:
    """A server of that database."""
    with serving("--db", str(db)) as running:
        yield running


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    """Its description of itself."""
    return server.ask("/openapi.json").json


def check(document: Any, path: str, method: str, answer: Answer) -> None:
    """Hold an answer to the description: a documented status, and a body of its shape."""
    responses = document["paths"][path][method]["responses"]
    assert str(answer.status) in responses, answer
    [(kind, content)] = responses[str(answer.status)]["content"].items()
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    if kind == "application/json":
        jsonschema.validate(answer.json, {**content["schema"], "components": document["components"]})


@pytest.mark.parametrize(
    "path",
    [
        "/api/verdict?service=shop",
        "/api/verdict?service=&target=",
        "/api/summary?synthetic=include&since=1h&until=0s",
        "/api/endpoints",
        "/api/fields?limit=1",
        "/api/differences?kind=changed&severity=medium",
        "/api/alerts?state=firing",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ],
)
def test_every_answer_is_as_described(server: Server, document: Any, path: str) -> None:
    """Status, content type and shape are those of /openapi.json."""
    answer = server.ask(path)
    assert answer.status == 200, answer
    check(document, path.partition("?")[0], "get", answer)


def test_a_verdict_is_what_rollouts_read(server: Server) -> None:
    """`verdict`, `pairs`, `interval` and reasons with request ids, the worst first."""
    verdict = server.ask("/api/verdict?service=shop").json
    assert (verdict["verdict"], verdict["pairs"], verdict["divergence_rate"]) == ("fail", 800, 0.5)
    assert verdict["reasons"][0]["code"] == "max_divergence"
    assert set(verdict["reasons"][0]["request_ids"]) <= {f"r-{n}" for n in range(800)}
    assert server.ask("/api/verdict?service=fine").json["verdict"] == "pass"
    assert server.ask("/api/verdict?service=fine&flag=new-cart%3Don&as_of=2027-07-12").json["pairs"] == 0
    canary = server.ask("/api/verdict?canary=shop%402&baseline=shop%401").json
    assert (canary["verdict"], canary["pairs"], set(canary)) == ("undecided", 0, set(verdict))
    nothing = server.ask("/api/verdict?service=nobody").json
    assert (nothing["verdict"], nothing["pairs"]) == ("undecided", 0)


def test_periods_targets_and_synthetic_traffic_are_chosen(server: Server) -> None:
    """Real traffic by default; parameters narrow it."""
    assert server.ask("/api/summary?service=robots").json["pairs"] == 0
    assert server.ask("/api/summary?service=robots&synthetic=only").json["pairs"] == 1
    assert server.ask("/api/summary?synthetic=include").json["pairs"] == 800 + GOOD + 2
    assert server.ask("/api/summary?until=1h").json["pairs"] == 0
    assert server.ask("/api/summary?since=2020-01-01&service=shop").json["pairs"] == 800


def test_a_name_that_nothing_has_is_said(server: Server, document: Any) -> None:
    """404 with the closest one; a gate asks before there is traffic, so a verdict is undecided and says why."""
    for path in ("summary", "endpoints", "fields", "differences"):
        for query, sentence in (("service=shpo", "did you mean 'shop'?"), ("target=nobody", "the target 'nobody'")):
            answer = server.ask(f"/api/{path}?{query}")
            check(document, f"/api/{path}", "get", answer)
            assert (answer.status, sentence in answer.json["error"]) == (404, True), answer
    verdict = server.ask("/api/verdict?service=shop&target=shop@3")
    check(document, "/api/verdict", "get", verdict)
    assert (verdict.status, verdict.json["verdict"]) == (200, "undecided")
    [*_, reason] = verdict.json["reasons"]
    assert (reason["code"], reason["target"]) == ("unknown_name", "shop@3")
    assert "the target 'shop@3'" in reason["message"]
    gate = server.flagger(metadata={"target": "shop@3"})
    assert (gate.status, gate.json["reasons"][-1]["code"]) == (409, "unknown_name")


def test_differences_are_chosen_and_bounded(server: Server) -> None:
    """By pattern, kind, severity and endpoint, as many as asked for, with a word on whether there are more."""
    some = server.ask("/api/differences?service=shop&pattern=/body/price&limit=3").json
    assert (len(some["differences"]), some["more"]) == (3, True)
    assert {row["kind"] for row in some["differences"]} == {"type_changed"}
    assert server.ask("/api/differences?service=shop&kind=added").json == {"differences": [], "more": False}
    endpoint = quote("GET /p1/{id}")
    assert len(server.ask(f"/api/differences?endpoint={endpoint}&limit=1000").json["differences"]) == 134


def test_one_request_has_all_its_evidence(server: Server, document: Any) -> None:
    """Its comparison, its differences and both exchanges; an id is any text."""
    found = server.ask("/api/comparisons/r-1")
    check(document, "/api/comparisons/{request_id}", "get", found)
    [one] = found.json["comparisons"]
    assert (one["comparison"]["outcome"], one["differences"][0]["path"]) == ("diff", "/body/price")
    assert one["live"]["role"] == "live"
    assert one["shadow"]["role"] == "shadow"
    odd = server.ask(f"/api/comparisons/{quote(ODD_ID, safe='')}")
    assert odd.json["request_id"] == ODD_ID
    missing = server.ask("/api/comparisons/nobody")
    check(document, "/api/comparisons/{request_id}", "get", missing)
    assert missing.status == 404
    assert server.ask("/api/comparisons/%00").status == 404


def test_what_is_told_of_one_request_is_bounded(tmp_path: Path, document: Any) -> None:
    """A request of many megabytes comes without its exchanges, and a name that no id can have is not looked for."""
    path = tmp_path / "g.duckdb"
    body = {"text": "x" * 900_000}  # larger ones are not kept
    records = [record for n in range(12) for record in pair("large", body, body | {"n": n}, target=f"v{n}")]
    capture = path.with_suffix(".ndjson")
    capture.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    compare_captures(
        CompareRequest(sources=[Source(str(capture))], db=path, rules=parse_rules(""), settings=Settings())
    )
    with serving("--db", str(path)) as server:
        answer = server.ask("/api/comparisons/large")
        check(document, "/api/comparisons/{request_id}", "get", answer)
        assert len(answer.body) <= 8 * 2**20 + 1000
        assert len(answer.json["comparisons"]) == 12
        assert answer.json["more"] is True
        assert server.ask(f"/api/comparisons/{'x' * 300}").status == 404
        for odd in ("%00", "a%00b", "large%00"):
            assert server.ask(f"/api/comparisons/{odd}").status == 404


def test_hostile_values_are_data(server: Server) -> None:
    """They come back as JSON that no browser takes for a page, chosen as they are, and reach no log or SQL."""
    found = server.ask(f"/api/endpoints?{urlencode({'service': HOSTILE})}")
    assert [row["service"] for row in found.json["endpoints"]] == [HOSTILE]
    assert found.headers["content-type"] == "application/json"
    alerts = server.ask(f"/api/alerts?{urlencode({'service': HOSTILE})}").json["alerts"]
    assert [alert["key"] for alert in alerts] == ["k2"]
    metrics = server.ask("/metrics").body.decode()
    [line] = [line for line in metrics.splitlines() if "onerror" in line and "pairs{" in line]
    assert line.endswith("} 1.0")


@pytest.mark.parametrize(
    ("query", "parameter", "sentence"),
    [
        ("verdict?servce=x", "servce", "no such parameter: 'servce'; did you mean 'service'?"),
        ("verdict?service=a&service=b", "service", "the parameter 'service' is given twice; keep one"),
        ("verdict?flag=new-cart", "flag", "flag: expected NAME=VALUE, got 'new-cart'"),
        ("verdict?canary=a", "canary", "canary and baseline are two targets of live traffic; name both"),
        (
            "verdict?canary=a&baseline=b&target=c",
            "target",
            "target chooses pairs, which a canary has not; leave it out",
        ),
        ("verdict?as_of=soon", "as_of", "as_of: 'soon' is neither a time"),
        ("verdict?since=soon", "since", "since: 'soon' is neither a time such as 2027-07-12T08:00:00Z"),
        ("verdict?since=1h&until=2h", "since", "since is not before until"),
        (
            "verdict?synthetic=maybe",
            "synthetic",
            "synthetic: expected one of 'exclude', 'include', 'only', got 'maybe'",
        ),
        ("fields?limit=0", "limit", "limit: expected a whole number between 1 and 1000, got '0'"),
        ("fields?limit=1e9", "limit", "limit: expected a whole number between 1 and 1000"),
        ("differences?kind=x", "kind", "kind: expected one of 'added', "),
        ("alerts?state=x", "state", "state: expected one of 'firing', 'resolved', got 'x'"),
        ("summary?target=%00", "target", "target: has a NUL character"),
        (f"summary?service={'x' * 2000}", "service", "service: "),
        ("comparisons/r-1?x=1", "x", "no such parameter: 'x'; there are none here"),
    ],
)
def test_a_mistake_in_a_parameter_is_said(server: Server, query: str, parameter: str, sentence: str) -> None:
    """400 with one sentence that names the parameter, what was expected and the closest one."""
    answer = server.ask(f"/api/{query}")
    assert answer.status == 400, answer
    assert answer.json["parameter"] == parameter
    assert answer.json["error"].startswith(sentence)


def test_what_there_is_not_and_other_methods_are_refused(server: Server) -> None:
    """It only reads: nothing but the gate takes a body."""
    assert server.ask("/nothing").json["error"].startswith("there is nothing at this path")
    assert server.ask("/").status == 404
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        refused = server.ask("/api/summary", method=method, body=b"{}")
        assert (refused.status, refused.json["error"]) == (405, "not with this method")
    assert server.ask("/hooks/flagger").status == 405


TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)


@settings(max_examples=80)
@given(st.data())
def test_whatever_is_asked_the_answer_is_as_described(server: Server, document: Any, data: st.DataObject) -> None:
    """Property: any parameters, known or not, good or not, give a documented status and a body of its shape."""
    gets = [path for path, methods in document["paths"].items() if "get" in methods]
    path = data.draw(st.sampled_from(gets))
    known = {p["name"]: p["schema"] for p in document["paths"][path]["get"].get("parameters", []) if p["in"] == "query"}
    query = []
    for name in data.draw(st.lists(st.sampled_from([*known, "x"]), max_size=4)):
        schema = known.get(name, {})
        good = st.sampled_from([*schema.get("enum", []), *schema.get("examples", []), "shop", "1", "5"])
        query.append((name, str(data.draw(good | TEXTS))))
    asked = path.replace("{request_id}", quote(data.draw(TEXTS.filter(bool)), safe=""))
    answer = server.ask(f"{asked}?{urlencode(query)}" if query else asked)
    check(document, path, "get", answer)
    assert answer.status < 500


@settings(max_examples=40)
@given(st.binary(max_size=80) | st.dictionaries(TEXTS, TEXTS).map(lambda value: json.dumps(value).encode()))
def test_whatever_is_posted_to_the_gate_is_no_go(server: Server, document: Any, body: bytes) -> None:
    """Property: a body that is not Flagger's never lets a rollout go on, nor breaks anything."""
    answer = server.ask("/hooks/flagger", method="POST", body=body)
    check(document, "/hooks/flagger", "post", answer)
    assert answer.status in {400, 409}


def test_the_gate_lets_go_on_what_passes_and_nothing_else(server: Server, document: Any) -> None:
    """200 for pass, 409 for fail and for undecided unless the canary says that undecided may go on."""
    cases = [
        ({"name": "fine"}, 200, "pass"),
        ({"name": "fine", "metadata": None}, 200, "pass"),
        ({"name": "shop"}, 409, "fail"),
        ({"name": "nobody"}, 409, "undecided"),
        ({"name": "nobody", "metadata": {"undecided": "go", "eventMessage": "x"}}, 200, "undecided"),
        ({"name": "shop", "metadata": {"undecided": "go"}}, 409, "fail"),
        ({"name": "canary-of-shop", "metadata": {"service": "fine", "since": "1h"}}, 200, "pass"),
    ]
    for fields, status, verdict in cases:
        answer = server.flagger(**fields)
        check(document, "/hooks/flagger", "post", answer)
        assert (answer.status, answer.json["verdict"]) == (status, verdict), fields


def test_a_gate_that_names_a_target_sees_what_nobody_answered(tmp_path: Path) -> None:
    """Live's records expect a shadow and do not say which: three of ten are missing, and nothing lets go on."""
    start_us = int((datetime.now(UTC) - timedelta(minutes=5)).timestamp() * 1_000_000)
    records = []
    for n in range(2_000):
        live, shadow = pair(f"r-{n}", n, n, path=f"/p/{n}", started_us=start_us + n * 1000)
        records += [live, msgspec.structs.replace(shadow, target="shop@2")] if n % 10 < 7 else [live]
    capture = tmp_path / "mute.ndjson"
    capture.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    db = tmp_path / "mute.duckdb"
    compare_captures(CompareRequest(sources=[Source(str(capture))], db=db, rules=parse_rules(""), settings=Settings()))
    with serving("--db", str(db)) as server:
        for query in ("service=shop&target=shop%402", "service=shop", "service=shop&target=shop%402&since=1h"):
            verdict = server.ask(f"/api/verdict?{query}").json
            assert (verdict["verdict"], verdict["pairs"], verdict["divergence_rate"]) == ("fail", 1_400, 0.3), query
        assert server.flagger(metadata={"target": "shop@2", "undecided": "go"}).status == 409
        metrics = server.ask("/metrics").body.decode()
        rates = [line for line in metrics.splitlines() if line.startswith("gnomon_divergence_rate{")]
        assert len(rates) == 1
        assert 'target="shop@2"' in rates[0]
        assert rates[0].endswith(" 0.3")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"metadata": {"servise": "fine"}}, "metadata has no key 'servise'; did you mean 'service'?"),
        ({"metadata": {"undecided": "maybe"}}, "metadata.undecided is 'halt' or 'go'"),
        ({"metadata": {"since": "soon"}}, "since: 'soon' is neither a time"),
        ({"metadata": {"service": 7}}, "the body is not what Flagger posts: "),
        ({"name": "x" * 70_000}, "the body is larger than 65536 bytes"),
    ],
)
def test_a_mistake_in_a_gate_halts_and_is_said(server: Server, fields: dict[str, Any], sentence: str) -> None:
    """4xx with a sentence: a typo must not let a rollout go on by another verdict than was meant."""
    answer = server.flagger(**fields)
    assert answer.status == 400
    assert answer.json["error"].startswith(sentence)


def test_pages_of_other_names_cannot_ask(server: Server) -> None:
    """Without a token only this machine's own names are answered (DNS rebinding); health is for everybody."""
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        assert server.ask("/api/summary", headers={"host": host}).status == 421, host
        assert server.ask("/healthz", headers={"host": host}).status == 200
    for host in ("localhost", f"127.0.0.1:{server.port}", "[::1]:9", "127.0.0.1"):
        assert server.ask("/api/summary", headers={"host": host}).status == 200, host


def test_a_token_guards_everything_but_health(db: Path, tmp_path: Path) -> None:
    """As a bearer token, or as the password of HTTP Basic for callers that have but a URL."""
    token = tmp_path / "token"
    token.write_text("s3cret-token\n", encoding="utf-8")
    with serving("--db", str(db), "--bind", "0.0.0.0:0", GNOMON_WEB_TOKEN_FILE=str(token)) as server:
        for path in ("/healthz", "/readyz"):
            assert server.ask(path).status == 200
        basic = base64.b64encode(b"flagger:s3cret-token").decode()
        wrong = base64.b64encode(b"s3cret-token:").decode()
        for path in ("/api/summary", "/api/verdict", "/metrics", "/openapi.json", "/nothing"):
            refused = server.ask(path)
            assert refused.status == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
        for shown, status in [
            ("Bearer s3cret-token", 200),
            ("bearer s3cret-token", 200),
            (f"Basic {basic}", 200),
            (f"Basic {wrong}", 401),
            ("Basic ???", 401),
            ("Bearer s3cret-toke", 401),
            ("Bearer ", 401),
            ("s3cret-token", 401),
            ("Digest s3cret-token", 401),
        ]:
            answer = server.ask("/api/summary", headers={"authorization": shown, "host": "gnomon.example"})
            assert answer.status == status, shown
        assert server.ask("/hooks/flagger", method="POST", body=b"{}").status == 401
        assert server.ask("/healthz/../api/summary").status == 401


def test_it_does_not_listen_for_others_without_a_token(db: Path) -> None:
    """Exit code 2 with the remedy, before a port is opened."""
    for bind in ("0.0.0.0:0", "[::]:0", ":0"):
        process = start(["--db", str(db), "--bind", bind])
        _, said = process.communicate(timeout=60)
        assert process.returncode == 2, said
        assert "token" in said or "not an address" in said
    process = start(["--db", str(db)], GNOMON_WEB_TOKEN="with space")
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "web.token is not printable" in said) == (2, True)


def test_an_address_that_is_taken_is_said(db: Path) -> None:
    """Exit code 4."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(["--db", str(db), "--bind", f"127.0.0.1:{taken.getsockname()[1]}"])
        _, said = process.communicate(timeout=60)
    assert (process.returncode, "is taken by another process" in said) == (4, True), said


def test_a_database_that_is_being_written_is_unavailable_for_a_while(tmp_path: Path) -> None:
    """503 with a sentence and Retry-After while another process writes, or before there is one; then it answers."""
    path = tmp_path / "g.duckdb"
    with start(["--db", str(path)]) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"gnomon: warning: there is no database at {path} yet")
        process.terminate()
    with serving("--db", str(path)) as server:
        early = server.ask("/api/summary")
        assert (early.status, early.headers["retry-after"]) == (503, "5")
        assert early.json["error"].startswith("there is no database at")
        assert server.ask("/readyz").status == 503
        assert str(path) not in server.ask("/readyz").body.decode()
        fill(path)
        with duckdb.connect(str(path)):
            busy = server.ask("/api/summary")
            assert (busy.status, "is open in process" in busy.json["error"]) == (503, True)
            assert server.ask("/metrics").status == 200
        assert server.ask("/api/summary").status == 200
        assert server.ask("/readyz").status == 200


def test_a_store_that_is_empty_has_no_verdict(tmp_path: Path) -> None:
    """A store's directory is read like a database."""
    prepare_store(tmp_path / "store")
    with serving("--db", str(tmp_path / "store")) as server:
        assert server.ask("/api/verdict").json["verdict"] == "undecided"
        assert server.ask("/api/alerts").json == {"alerts": [], "more": False}
        assert server.flagger().status == 409


def test_it_ends_in_order_when_told_to(db: Path) -> None:
    """SIGTERM and SIGINT are an ordinary end: exit code 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with serving("--db", str(db)) as server:
            assert server.ask("/healthz").status == 200
            server.process.send_signal(number)
            assert server.process.wait(30) == 0
