"""nginx with the deployed configuration in front of two services whose middleware records."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.integration.envoy.parts import ask, free_ports, wait_for

from gnomon.core.decode import decode_exchange
from gnomon.core.join import Group, Member
from gnomon.core.redact import Redactor
from gnomon.core.rules import parse_rules
from gnomon.engine import Engine, EngineOptions
from gnomon.model import Exchange, Place

pytestmark = [pytest.mark.integration, pytest.mark.nginx]

ROOT = Path(__file__).parents[3]
STRANGER = "127.0.0.2"
MINE = "11111111-2222-4333-8444-555555555555"


class Behind(NamedTuple):
    """nginx's port, the services' ports, and the file that each service records to."""

    port: int
    ports: dict[str, int]
    files: dict[str, Path]

    def of(self, path: str) -> dict[str, dict[str, Any]]:
        """The records of the requests for a path, by role."""
        texts = [file.read_text() for file in self.files.values() if file.exists()]
        lines = [line for text in texts for line in text.splitlines(keepends=True)]
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return {record["role"]: record for record in records if record["request"]["path"] == path}

    def wait(self, path: str, *roles: str) -> dict[str, dict[str, Any]]:
        """Wait until these roles have recorded the request for a path."""
        wait_for(lambda: set(roles) <= set(self.of(path)), f"{roles} of {path}")
        return self.of(path)


@contextmanager
def service(name: str, port: int, file: Path) -> Iterator[None]:
    """Run one of the services."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GNOMON_")}
    environment |= {"SERVICE_NAME": name, "GNOMON_EMIT_OUT": str(file), "GNOMON_REDACT_KEY": "a key for tests"}
    environment["GNOMON_TARGET"] = {"live": "shop@1", "shadow": "shop@2"}[name]
    command = [sys.executable, "-m", "uvicorn", "tests.integration.nginx.service:app", "--port", str(port)]
    with subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=environment) as process:
        try:
            wait_for(lambda: _answers(port), f"{name}'s start")
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/started").status < 500
    except OSError:
        return False


@contextmanager
def nginx(directory: Path, ports: dict[str, int], *, share: str = "100%", reads_on: bool = False) -> Iterator[int]:
    """Run nginx; gives its port."""
    port, hop = free_ports(2)
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    replaced = {"listen 8000": f"listen 127.0.0.1:{port}", "{ 100% 1; * 0; }": "{ * 0; }" if share == "0" else None}
    replaced |= {"127.0.0.1:9000": f"127.0.0.1:{ports['live']}", "127.0.0.1:9001": f"127.0.0.1:{ports['shadow']}"}
    replaced["127.0.0.1:8001"] = f"127.0.0.1:{hop}"
    stored = "proxy_store /var/lib/nginx/proxy/"
    replaced[f"# {stored}"] = f"proxy_store {directory}/" if reads_on else None
    for old, new in replaced.items():
        assert old in text
        text = text if new is None else text.replace(old, new)
    temporary = "".join(
        f"  {kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = re.sub(r"^http \{\n", lambda found: found[0] + temporary, text, flags=re.MULTILINE)
    (directory / "nginx.conf").write_text(text)
    # Started by root its workers would be nobody's, and could not write below this directory
    user = "user root;" if os.geteuid() == 0 else ""
    command = ["nginx", "-p", str(directory), "-c", "nginx.conf", "-g", f"daemon off; {user}"]
    with (directory / "nginx.log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            wait_for(lambda: process.poll() is not None or _answers(port), "nginx's start")
            assert process.poll() is None, (directory / "nginx.log").read_text()
            yield port
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """nginx, live and a shadow, started."""
    directory = tmp_path_factory.mktemp("nginx")
    ports = dict(zip(("live", "shadow"), free_ports(2), strict=True))
    files = {name: directory / f"{name}.ndjson" for name in ports}
    with ExitStack() as stack:
        for name, port in ports.items():
            stack.enter_context(service(name, port, files[name]))
        yield Behind(stack.enter_context(nginx(directory, ports)), ports, files)


def test_both_services_record_the_request_under_one_id(behind: Behind) -> None:
    """The caller gets live's answer; the id, the roles and who was asked are nginx's."""
    assert json.loads(ask(behind.port, "GET", "/a?b=1").body)["service"] == "live"
    records = behind.wait("/a?b=1", "live", "shadow")
    assert records["live"]["request_id"] == records["shadow"]["request_id"]
    assert records["live"]["expect"] == ["shadow:shop@2"]
    assert records["shadow"]["target"] == "shop@2", "who is expected is who answers"
    assert {role: json.loads(r["response"]["body"]["data"])["service"] for role, r in records.items()} == {
        "live": "live",
        "shadow": "shadow",
    }
    assert records["live"]["request"]["host"] == records["shadow"]["request"]["host"] == f"127.0.0.1:{behind.port}"


def test_unsafe_methods_are_live_s_alone(behind: Behind) -> None:
    """A POST is not mirrored, and live's record says that nobody else was asked."""
    assert json.loads(ask(behind.port, "POST", "/order", b"x" * 1_000_000).body)["got"] == 1_000_000
    assert behind.wait("/order", "live")["live"]["expect"] == []
    ask(behind.port, "GET", "/after-order")
    behind.wait("/after-order", "live", "shadow")
    assert set(behind.of("/order")) == {"live"}


def test_an_allow_listed_caller_keeps_tags_and_id(behind: Behind) -> None:
    """What the caller says of the request is in both records."""
    headers = {"x-request-id": MINE, "x-synthetic": "probe", "baggage": "flag.a=1, region=eu"}
    ask(behind.port, "GET", "/listed", headers=headers)
    for record in behind.wait("/listed", "live", "shadow").values():
        assert (record["request_id"], record["synthetic"], record["flags"]) == (MINE, "probe", {"a": "1"})


@pytest.mark.parametrize(
    ("baggage", "kept"),
    [
        ("region=eu", "region=eu"),
        ("synthetic=1", None),
        ("region=eu, flag.new=on", None),
        ("region=eu ,as-of = 2027-07-12T00:00:00Z;x=y", None),
        ("a=1,\xa0Synthetic", None),
        ("flag.x;y=1", None),
        ("synthetic-not=1,x.synthetic=2,flagged", "synthetic-not=1,x.synthetic=2,flagged"),
        ("unsynthetic=1,flags=2", "unsynthetic=1,flags=2"),
    ],
)
def test_a_stranger_plays_no_role_and_hides_nothing(behind: Behind, baggage: str, kept: str | None) -> None:
    """Tags, roles and ids of callers that are not allow-listed are gone; baggage goes where tags are in it."""
    path = "/stranger/" + baggage.encode().hex()
    tags = {"x-synthetic": "x", "x-feature-flags": "a=1", "x-as-of": "2027-07-12T00:00:00Z", "x-gnomon-role": "shadow"}
    headers = {**tags, "x-request-id": MINE, "x-gnomon-expect": "none", "baggage": baggage}
    ask(behind.port, "GET", path, headers=headers, source=STRANGER)
    records = behind.wait(path, "live", "shadow")
    for record in records.values():
        assert record["request_id"] != MINE
        assert (record["synthetic"], record["flags"], record["as_of"]) == (None, {}, None)
        assert dict(record["request"]["headers"]).get("baggage") == kept
    assert records["live"]["expect"] == ["shadow:shop@2"]


def test_a_slow_shadow_delays_no_answer(behind: Behind) -> None:
    """Nor the next request on a connection that is kept; the mirrored ones take longer here than a caller waits."""
    with closing(http.client.HTTPConnection("127.0.0.1", behind.port, timeout=20)) as connection:
        for _ in range(3):
            connection.request("GET", "/slow")
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["service"]) == (200, "live")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_every_safe_method_reaches_the_shadow(behind: Behind, method: str) -> None:
    """Whatever the hop answers to it."""
    path = f"/method/{method}"
    assert ask(behind.port, method, path).status == 200
    records = behind.wait(path, "live", "shadow")
    assert {record["request"]["method"] for record in records.values()} == {method}


def outcomes(behind: Behind, path: str) -> tuple[str, int]:
    """What comparing the sides of a request comes to, and the size of the shadow's body."""
    ask(behind.port, "GET", path)
    records = behind.wait(path, "live", "shadow")
    group = Group(records["live"]["request_id"])
    for record in records.values():
        exchange = decode_exchange(json.dumps(record).encode(), Place("c"))
        assert isinstance(exchange, Exchange)
        group.add(Member(exchange))
    engine = Engine(parse_rules(""), EngineOptions(), Redactor(b"k"))
    (compared,) = engine.compare(group.joined(["shadow"])).compared
    return compared.comparison.outcome, records["shadow"]["response"]["body"]["size"]


@pytest.mark.parametrize(("path", "size"), [("/paced", 6), ("/late", 11)])
def test_a_stream_that_pauses_is_not_held_against_the_shadow(behind: Behind, path: str, size: int) -> None:
    """The same application on both sides: nginx hangs up on the shadow's stream, which is as much as can be said."""
    outcome, got = outcomes(behind, path)
    assert (outcome, got) in {("incomparable", size), ("match", 11)}


@pytest.mark.parametrize("path", ["/paced", "/late"])
def test_a_stream_can_be_read_to_its_end(behind: Behind, tmp_path: Path, path: str) -> None:
    """With the line that says so, streams are compared in full, and one of their bodies is left on disk."""
    with nginx(tmp_path, behind.ports, reads_on=True) as port:
        assert outcomes(behind._replace(port=port), f"{path}?to=end") == ("match", 11)
        wait_for((tmp_path / "shadow.discarded").exists, "what nginx has read")
    assert (tmp_path / "shadow.discarded").stat().st_mode & 0o077 == 0


def test_a_shadow_that_is_gone_is_not_noticed(behind: Behind, tmp_path: Path) -> None:
    """Callers are answered, however often."""
    (nobody, live) = free_ports(2)
    with service("live", live, tmp_path / "live.ndjson"), nginx(tmp_path, {"live": live, "shadow": nobody}) as port:
        answers = [ask(port, "GET", f"/gone/{number}") for number in range(30)]
    assert {answer.status for answer in answers} == {200}


def test_of_a_share_the_record_says_who_was_asked(behind: Behind, tmp_path: Path) -> None:
    """A request that is not in the share is live's alone, and its record says so."""
    live = free_ports(1)[0]
    with (
        service("live", live, tmp_path / "live.ndjson"),
        nginx(tmp_path, {"live": live, "shadow": 9}, share="0") as port,
    ):
        ask(port, "GET", "/unshared")
        record = Behind(port, {}, {"live": tmp_path / "live.ndjson"}).wait("/unshared", "live")["live"]
    assert record["expect"] == []
