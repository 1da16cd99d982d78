from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gnomon.config import Kafka, KafkaSecurity, Log, Redact, Settings
from gnomon.operations import configure_logging


@pytest.fixture(autouse=True)
def _undo() -> Iterator[None]:
    """Find logging as a process does that has just begun, and leave it as the tests after these want it."""
    root, client = logging.getLogger(), logging.getLogger("aiokafka")
    handlers, level, silenced = root.handlers[:], root.level, client.level
    client.setLevel(logging.NOTSET)  # `gnomon produce`, run in this process, silences it
    yield
    client.setLevel(silenced)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("gnomon").setLevel(logging.NOTSET)


def logged(log: Log, settings: Settings | None = None) -> io.StringIO:
    """Have the log written to a stream."""
    stream = io.StringIO()
    fields = {} if settings is None else {"kafka": settings.kafka, "redact": settings.redact}
    configure_logging(Settings(log=log, **fields), stream)
    return stream


def test_logfmt_is_one_line_whatever_an_event_says() -> None:
    """Line breaks, quotes and escapes of traffic are escaped; fields keep their kinds."""
    stream = logged(Log())
    logging.getLogger("gnomon.x").warning(
        "path %s", '/a\nlevel=error "\x1b[31m\u202e', extra={"count": 3, "a key": True}
    )
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert line.startswith("time=20")
    assert r'level=warning logger=gnomon.x message="path /a\nlevel=error \"\u001b[31m\u202e" count=3 a_key=true' in line


def test_json_has_the_same_fields() -> None:
    """With `log.format = "json"` each line is an object; a traceback is a field of it."""
    stream = logged(Log(format="json"))
    try:
        raise ValueError("bad\nvalue")  # noqa: TRY301 - to have a traceback
    except ValueError:
        logging.getLogger("gnomon.x").exception("it broke", extra={"partition": 3, "reason": None})
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["level"], event["message"], event["partition"], event["reason"]) == ("error", "it broke", 3, None)
    assert event["traceback"].endswith("ValueError: bad\nvalue")


def test_the_level_is_that_of_our_own_events() -> None:
    """Libraries are heard from warnings on, whatever the level."""
    stream = logged(Log(level="debug"))
    logging.getLogger("gnomon.x").debug("ours")
    logging.getLogger("aiokafka.client").info("chatter")
    logging.getLogger("aiokafka.client").warning("trouble")
    assert [line.rpartition("=")[2] for line in stream.getvalue().splitlines()] == ["ours", "trouble"]


def test_secrets_are_masked_wherever_they_turn_up(tmp_path: Path) -> None:
    """A password or a key, in place or from a file, is not written, whoever logs it."""
    key = tmp_path / "key"
    key.write_text("the redaction key\n")
    security = KafkaSecurity(protocol="sasl_ssl", sasl="PLAIN", username="alice", password="correct horse")
    stream = logged(Log(), Settings(kafka=Kafka(security=security), redact=Redact(key_file=key)))
    logging.getLogger("aiokafka").error("sent %s", "correct horse", extra={"key": "the redaction key", "user": "alice"})
    text = stream.getvalue()
    assert "horse" not in text
    assert "redaction" not in text
    assert 'message="sent ********" key=******** user=alice' in text


def client_says(seconds: float, message: str, name: str = "aiokafka.consumer.group_coordinator") -> None:
    """Have a library's warning logged, at a time."""
    record = logging.makeLogRecord(
        {"name": name, "levelno": logging.WARNING, "levelname": "WARNING", "msg": message, "created": seconds}
    )
    logging.getLogger(name).handle(record)


def test_what_the_kafka_client_mends_is_no_news_until_it_lasts() -> None:
    """Brokers that have just started choose coordinators and leaders; one that stays away is said to be so."""
    stream = logged(Log())
    dead = "Marking the coordinator dead (node 1)for group gnomon."
    missing = "Group Coordinator Request failed: [Error 15] GroupCoordinatorNotAvailableError"
    for second in range(0, 12, 2):
        client_says(1_000 + second, dead if second % 4 else missing)
    client_says(1_020, "Got error produce response: [Error 6] NotLeaderForPartitionError", "aiokafka.producer.sender")
    assert len(stream.getvalue().splitlines()) == 1  # 20 s after the first, and less than 15 after the last
    client_says(1_021, missing)
    assert "GroupCoordinatorNotAvailable" in stream.getvalue()
    said = len(stream.getvalue().splitlines())
    client_says(2_000, dead)
    assert len(stream.getvalue().splitlines()) == said


def test_other_troubles_of_the_client_are_heard_at_once() -> None:
    """As are those of anything else that speaks of coordinators."""
    stream = logged(Log())
    client_says(1_000, "Unable connect to node with id 1", "aiokafka")
    client_says(1_000, "Marking the coordinator dead", "another")
    assert len(stream.getvalue().splitlines()) == 2
