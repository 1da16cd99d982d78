"""What the edge decides before routing: whose tags count, who gets an id, and which share is mirrored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.envoy.conftest import System
from tests.integration.envoy.parts import COLLECTOR, DEPLOY, CollectorProcess, ask, envoy, free_ports

from gnomon.core.sampling import place
from gnomon.core.tags import Tags, read_tags

pytestmark = [pytest.mark.integration, pytest.mark.envoy]

STRANGER = "127.0.0.2"
TAGS = {
    "x-synthetic": "load-test",
    "x-feature-flags": "new-cart=on",
    "x-as-of": "2027-07-12T00:00:00Z",
    "x-gnomon-role": "shadow",
    "baggage": "user=7, synthetic=probe;why=x ,as-of=2027-07-12T00:00:00Z,flag.b=2, region=eu",
}
MINE = "11111111-2222-4333-8444-555555555555"


def test_a_stranger_plays_no_role_and_hides_nothing(system: System) -> None:
    """Tags, roles and ids of callers that are not allow-listed are gone; other baggage stays."""
    ask(system.port, "GET", "/stranger", headers={**TAGS, "x-request-id": MINE}, source=STRANGER)
    for role, record in system.collector.wait("/stranger").items():
        assert record["request_id"] != MINE
        assert (record["synthetic"], record["flags"], record["as_of"]) == (None, {}, None)
        headers = dict(record["request"]["headers"])
        assert headers["baggage"].replace(" ", "") == "user=7,region=eu"
        assert headers.get("x-gnomon-role") == (None if role == "live" else role)
    (asked,) = [asked for asked in system.live.asked if asked.path == "/stranger"]
    assert [asked.header(name) for name in ("x-synthetic", "x-feature-flags", "x-as-of", "x-gnomon-role")] == [None] * 4


def test_tags_in_disguise_are_none(system: System) -> None:
    """Names with underscores, and white space that HTTP does not know, bring no tag to anybody behind the edge."""
    disguised = {"x_synthetic": "a", "x_gnomon_role": "shadow", "baggage": "\xa0synthetic=b,user=7,Synthetic,FLAG.a=1"}
    ask(system.port, "GET", "/disguised", headers=disguised, source=STRANGER)
    for role, record in system.collector.wait("/disguised").items():
        assert (record["role"], record["synthetic"]) == (role, None)
    (asked,) = [asked for asked in system.live.asked if asked.path == "/disguised"]
    assert not [name for name, _ in asked.headers if "_" in name]
    assert read_tags(asked.headers) == Tags(request_id=asked.header("x-request-id"))
    assert asked.header("baggage") == "user=7"


def test_baggage_that_held_only_tags_is_removed(system: System) -> None:
    """A stranger's baggage of nothing but tags leaves no empty header, in one header or in several."""
    ask(system.port, "GET", "/only-tags", headers={"baggage": "synthetic=a"}, source=STRANGER)
    for record in system.collector.wait("/only-tags").values():
        assert "baggage" not in dict(record["request"]["headers"])


def test_an_allow_listed_caller_keeps_tags_and_id(system: System) -> None:
    """The id that the caller chose joins the sides, and the tags are in every record."""
    tags = {name: value for name, value in TAGS.items() if name != "x-gnomon-role"}
    ask(system.port, "GET", "/listed", headers={**tags, "x-request-id": MINE})
    for record in system.collector.wait("/listed").values():
        assert record["request_id"] == MINE
        assert record["synthetic"] == "load-test"
        assert record["flags"] == {"new-cart": "on", "b": "2"}
        assert record["as_of"] == "2027-07-12T00:00:00Z"


def test_a_request_without_an_id_gets_one(system: System) -> None:
    """Ids are made where there are none, one for all sides."""
    ask(system.port, "GET", "/no-id")
    ids = {record["request_id"] for record in system.collector.wait("/no-id").values()}
    assert len(ids) == 1
    assert len(ids.pop()) == 36


@pytest.fixture(scope="module")
def halved(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Another Envoy in front of the same services that mirrors a third."""
    with envoy(tmp_path_factory.mktemp("share"), system.ports, {"share: 1.0": "share: 0.3"}) as port:
        yield port


def test_the_share_is_of_ids_and_the_record_says_who_was_asked(system: System, halved: int) -> None:
    """Which requests are mirrored follows from their ids alone, by the function that the collector samples with."""
    ids = [f"share-{number}" for number in range(60)]
    for request_id in ids:
        ask(halved, "GET", f"/share/{request_id}", headers={"x-request-id": request_id})
    for request_id in ids:
        mirrored = place(request_id) < 0.3
        roles = ("live", "shadow", "control") if mirrored else ("live",)
        records = system.collector.wait(f"/share/{request_id}", roles)
        assert set(records) == set(roles)
        assert records["live"]["expect"] == (["shadow:shop@2", "control"] if mirrored else [])
    assert 5 < sum(place(request_id) < 0.3 for request_id in ids) < 35


def test_a_target_gets_credentials_of_its_own(system: System, tmp_path: Path) -> None:
    """With credentials.yaml the shadow never sees a caller's Authorization; live does."""
    secret = tmp_path / "secret.yaml"
    secret.write_text(
        'resources:\n- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n'
        '  name: shadow-credential\n  generic_secret: {secret: {inline_string: "Bearer for-the-shadow"}}\n'
    )
    injector = (DEPLOY / "credentials.yaml").read_text().replace("/etc/envoy/shadow-credential.yaml", str(secret))
    marker = next(line for line in (DEPLOY / "envoy.yaml").read_text().splitlines() if "credentials.yaml" in line)
    indented = "".join(f"          {line}\n" for line in injector.splitlines() if not line.startswith("#"))
    with envoy(tmp_path, system.ports, {marker + "\n": indented}) as port:
        ask(port, "GET", "/credentials", headers={"authorization": "Bearer of-the-caller"})
        records = system.collector.wait("/credentials")
    seen = {
        service.name: next(asked for asked in service.asked if asked.path == "/credentials").header("authorization")
        for service in (system.live, system.shadow, system.control)
    }
    assert seen == {
        "live": "Bearer of-the-caller",
        "shadow": "Bearer for-the-shadow",
        "control": "Bearer of-the-caller",
    }
    assert len({dict(record["request"]["headers"])["authorization"] for record in records.values()}) == 1


def test_a_collector_that_samples_keeps_pairs(system: System, tmp_path: Path) -> None:
    """Both sides of a request are recorded or neither is."""
    (port,) = free_ports(1)
    collector = CollectorProcess(
        tmp_path, port, environment={"GNOMON_COLLECT_SAMPLE": "0.5", "GNOMON_COLLECT_FLOOR": "0"}
    )
    collector.start()
    ids = [f"sample-{number}" for number in range(40)]
    with envoy(tmp_path, {**system.ports, COLLECTOR: port}) as caller:
        for request_id in ids:
            ask(caller, "GET", f"/sample/{request_id}", headers={"x-request-id": request_id})
        kept = [request_id for request_id in ids if place(request_id) < 0.5]
        for request_id in kept:
            collector.wait(f"/sample/{request_id}")
    assert collector.stop() == 0
    assert sorted(record["request_id"] for record in collector.records()) == sorted(kept * 3)
    assert 8 < len(kept) < 32
