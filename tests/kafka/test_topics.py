"""`gnomon topics create` on a real broker."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import ConfigResource
from tests.kafka.brokers import Broker, free_port
from tests.kafka.fixtures import Topics

from gnomon.cli import main


@pytest.fixture
def names(kafka: Broker, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of topics that are not there yet, set as those of the settings."""
    named = {name: topics.name(name) for name in ("TOPIC", "KAFKA_REJECTS", "KAFKA_COMPARISONS", "KAFKA_ALERTS")}
    monkeypatch.setenv("GNOMON_KAFKA", kafka.bootstrap)
    for variable, name in named.items():
        monkeypatch.setenv(f"GNOMON_{variable}", name)
    return list(named.values())


@pytest.mark.apache_kafka
def test_topics_are_made_once(names: list[str], topics: Topics, capsys: pytest.CaptureFixture[str]) -> None:
    """All topics of the settings are made with room for large records; doing it again changes nothing."""
    assert main(["topics", "create", "--partitions", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: made, 3 partitions" for name in names]
    found = topics.admin.list_topics(timeout=30).topics
    assert [len(found[name].partitions) for name in names] == [3, 3, 3, 3]
    resource = ConfigResource(ConfigResource.Type.TOPIC, names[0])
    config = topics.admin.describe_configs([resource])[resource].result(30)
    assert config["max.message.bytes"].value == str(2 * 2**20)
    assert config["retention.ms"].value == str(3 * 24 * 3600 * 1000)
    assert main(["topics", "create", "--partitions", "3"]) == 0
    again = capsys.readouterr()
    assert again.out.splitlines() == [f"{name}: is there already, 3 partitions" for name in names]
    assert again.err == ""


@pytest.mark.apache_kafka
def test_a_topic_with_other_partitions_is_left_and_told(
    names: list[str], kafka: Broker, topics: Topics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Partitions are never added: that would part the records of requests; the others are made, eight by default."""
    monkeypatch.setenv("GNOMON_TOPIC", there := topics.make(partitions=2))
    assert main(["topics", "create"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[:2] == [
        f"{there}: is there already, 2 partitions",
        f"{names[1]}: made, 8 partitions",
    ]
    assert f"{there} has 2 partitions where 8 were asked for; it is left as it is" in printed.err
    assert len(topics.admin.list_topics(there, 30).topics[there].partitions) == 2


@pytest.mark.apache_kafka
def test_outputs_of_routes_are_made_like_the_topic_that_is_split(
    names: list[str],
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As many partitions, kept for as long, for events as large; one that is not there ends it with 2 at last."""
    config = {"retention.ms": "86400000", "max.message.bytes": "3000000"}
    source, missing = topics.make(partitions=3, config=config), topics.name("missing")
    (tmp_path / "gnomon.toml").write_text(f'[[route]]\nfrom = "{source}"\n[[route]]\nfrom = "{missing}"\n')
    monkeypatch.chdir(tmp_path)
    outputs = [f"{source}.{name}" for name in ("clean", "quarantine", "synthetic")]
    for done in ("made", "is there already"):
        assert main(["topics", "create", "--partitions", "2"]) == 2
        printed = capsys.readouterr()
        assert printed.out.splitlines()[len(names) :] == [f"{name}: {done}, 3 partitions" for name in outputs]
        assert printed.err.startswith(f"gnomon: there is no topic {missing} to make the outputs of its [[route]] like")
    resource = ConfigResource(ConfigResource.Type.TOPIC, outputs[0])
    found = topics.admin.describe_configs([resource])[resource].result(30)
    assert {name: found[name].value for name in config} == config


@pytest.mark.apache_kafka
def test_what_one_route_makes_another_may_split(
    names: list[str],
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The outputs of both are made at once; comparisons have no topic where none is set."""
    source = topics.make(partitions=3)
    (tmp_path / "gnomon.toml").write_text(f'[[route]]\nfrom = "{source}"\n[[route]]\nfrom = "{source}.clean"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GNOMON_KAFKA_COMPARISONS", "")
    assert main(["topics", "create"]) == 0
    printed = capsys.readouterr()
    outputs = [
        f"{name}.{kind}" for name in (source, f"{source}.clean") for kind in ("clean", "quarantine", "synthetic")
    ]
    made = [line.partition(":")[0] for line in printed.out.splitlines()]
    assert (made, printed.err) == ([names[0], names[1], names[3], *outputs], "")


@pytest.mark.apache_kafka
def test_what_has_to_be_remembered_is_not_compacted(
    names: list[str],
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor is what is in quarantine; an output of two routes does for both. Where taint needs it, others are refused."""
    config = {"cleanup.policy": "compact", "retention.ms": "60000"}
    one, other = topics.make(partitions=2, config=config), topics.make(partitions=3)
    refused = topics.name("refused")
    (tmp_path / "gnomon.toml").write_text(
        f'[[route]]\nfrom = "{one}"\nquarantine = "{refused}"\ntaint = {{ path = "/s", for = "1h" }}\n'
        f'[[route]]\nfrom = "{other}"\nquarantine = "{refused}"\n'
    )
    monkeypatch.chdir(tmp_path)
    assert main(["topics", "create"]) == 0
    assert f"{refused}: made, 3 partitions" in capsys.readouterr().out.splitlines()

    def config_of(topic: str) -> tuple[str, str]:
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        found = topics.admin.describe_configs([resource])[resource].result(30)
        return found["cleanup.policy"].value, found["retention.ms"].value

    assert config_of(f"{one}.clean") == ("compact", "60000")
    assert config_of(f"{one}.synthetic") == ("delete", "3600000")
    assert config_of(refused) == ("delete", str(7 * 24 * 3600 * 1000))
    third = topics.make(partitions=3, config=config)
    (tmp_path / "gnomon.toml").write_text(
        f'[[route]]\nfrom = "{other}"\nsynthetic = "{third}"\nquarantine = "{refused}"\n'
        'taint = { path = "/s", for = "1h" }\n'
    )
    assert main(["route"]) == 2
    assert f"taint is remembered by '{third}', and it is compacted (cleanup.policy)" in capsys.readouterr().err


@pytest.mark.apache_kafka
def test_what_kafka_refuses_is_told(
    names: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """More copies than brokers, and a name that Kafka takes not, are wrong use with what to correct."""
    assert main(["topics", "create", "--replication", "100"]) == 2
    assert "cannot have 100 copies" in capsys.readouterr().err
    monkeypatch.setenv("GNOMON_TOPIC", "a topic/with spaces")
    assert main(["topics", "create"]) == 2
    assert "Kafka takes no topic of the name 'a topic/with spaces'" in capsys.readouterr().err


def test_without_a_broker_the_exit_code_is_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing listens, one sentence says where and what to do."""
    monkeypatch.setenv("GNOMON_KAFKA", address := f"127.0.0.1:{free_port()}")
    assert main(["topics", "create"]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        f"gnomon: no Kafka broker can be reached at {address}: nothing listens there; "
        "start it, or correct kafka.bootstrap (GNOMON_KAFKA)\n"
    )
