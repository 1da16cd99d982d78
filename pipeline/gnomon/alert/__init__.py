"""Alerts on their way out: the durable ledger, the hooks, and what each of them is sent."""

from __future__ import annotations

from gnomon.alert.delivery import Courier, Event, Sends
from gnomon.alert.ledger import Entry, Lease, Ledger
from gnomon.alert.payloads import link_to
from gnomon.alert.send import Sender, SendFailedError
from gnomon.alert.topic import TopicSender, topic_hook

__all__ = [
    "Courier",
    "Entry",
    "Event",
    "Lease",
    "Ledger",
    "SendFailedError",
    "Sender",
    "Sends",
    "TopicSender",
    "link_to",
    "topic_hook",
]
