"""What no careful client sends, and a broker takes all the same."""

from __future__ import annotations

from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy


class OddName(str):
    """The name of a header that is written as bytes of choice by aiokafka's builder in Python."""

    __slots__ = ("_data",)

    def __new__(cls, data: bytes) -> Self:
        """Keep the bytes beside some text."""
        name = super().__new__(cls, data.decode("latin-1"))
        name._data = data
        return name

    def encode(self, *_: Any) -> bytes:
        """Give the bytes."""
        return self._data


async def send_odd(bootstrap: str, topic: str, partition: int, records: list[Any]) -> None:
    """Send (key, value, headers) whose names may be `OddName`, in one batch."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        builder = producer.create_batch()
        builder._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1 << 20)
        for key, value, headers in records:
            assert builder.append(timestamp=None, key=key, value=value, headers=headers) is not None
        builder.close()
        await (await producer.send_batch(builder, topic, partition=partition))
    finally:
        await producer.stop()
