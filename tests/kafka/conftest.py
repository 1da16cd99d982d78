"""Fixtures for tests of the synthetic filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.kafka.brokers import KafkaProcess, wait_for
from tests.kafka.fixtures import Topics
from tests.kafka.routers import EventSender, RouteProcess, Split, Start, committed
from tests.kafka.workers import Store


@pytest.fixture
def split(process_topics: Topics) -> Split:
    """A topic of four partitions and what it is split into."""
    return Split.make(process_topics)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that is not there yet."""
    return Store(tmp_path / "store")


@pytest.fixture
def start(kafka_process: KafkaProcess, split: Split, group: str, store: Store, tmp_path: Path) -> Iterator[Start]:
    """Start filters of one group; `more` is what the route has beside its topics, or other topics."""
    with ExitStack() as stack:

        def run(more: str | Split = "", **environment: str) -> RouteProcess:
            file = more.configure(tmp_path) if isinstance(more, Split) else split.configure(tmp_path, more)
            settings = {
                "GNOMON_KAFKA": kafka_process.bootstrap,
                "GNOMON_GROUP": group,
                "GNOMON_CONFIG": str(file),
                **environment,
            }
            return stack.enter_context(RouteProcess(store.path, settings))

        yield run


@pytest.fixture
def sender(kafka_process: KafkaProcess, split: Split) -> EventSender:
    """Puts events on the topic."""
    return EventSender(kafka_process.bootstrap, split.source)


@pytest.fixture
def done(kafka_process: KafkaProcess, split: Split, group: str) -> Callable[[int, float], None]:
    """Wait until that many events are committed."""

    def wait(count: int, seconds: float = 120) -> None:
        wait_for(
            f"{count} events are committed",
            lambda: committed(kafka_process.bootstrap, group, split.source) >= count,
            seconds,
        )

    return wait
