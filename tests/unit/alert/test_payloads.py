"""What hooks are sent."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from gnomon.alert import link_to
from gnomon.alert.payloads import Message, alertmanager, pagerduty, signed, slack, webhook
from gnomon.model import Alert
from gnomon.testing import ManualClock


def decode(message: Message) -> Any:
    """The body as JSON."""
    return msgspec.json.decode(message.body)


def test_a_webhook_is_the_alert_with_its_evidence(alert: Callable[..., Alert]) -> None:
    """The names are those of the table, times are RFC 3339."""
    sent = decode(webhook(alert()))
    assert (sent["state"], sent["since"], sent["interval"]) == ("firing", "2027-01-15T08:00:00Z", [0.4, 0.6])
    assert (sent["request_ids"], sent["patterns"]) == (["r-1", "r-2"], ["/body/price"])
    assert sent["link"].startswith("http://gnomon.example/")


def test_a_signature_is_over_the_time_and_the_body(alert: Callable[..., Alert], clock: ManualClock) -> None:
    """A receiver that knows the secret gets the same, and neither can be changed."""
    message = signed(webhook(alert()), "s3cret", clock())
    timestamp = message.headers["x-gnomon-timestamp"]
    assert int(timestamp) == clock().timestamp()
    expected = hmac.new(b"s3cret", timestamp.encode() + b"." + message.body, hashlib.sha256).hexdigest()
    assert message.headers["x-gnomon-signature"] == f"sha256={expected}"
    assert b"s3cret" not in message.body


def test_slack_gets_text_and_never_markup(alert: Callable[..., Alert]) -> None:
    """Names from traffic cannot mention a channel, make a link or end a quotation."""
    sent = decode(slack(alert(summary="<!channel> & <http://evil|x>", patterns=["/body/`*_x"])))
    text = sent["blocks"][0]["text"]["text"]
    assert "<!channel>" not in text
    assert "&lt;!channel&gt; &amp; &lt;http://evil|x&gt;" in text
    assert "`/body/'*_x`" in text
    assert "`r-1`" in text
    assert text.endswith("<http://gnomon.example/api/differences?service=cart|look at it>")
    assert len(decode(slack(alert(summary="x" * 99_999)))["blocks"][0]["text"]["text"]) < 3000
    assert ":white_check_mark:" in decode(slack(alert(state="resolved")))["blocks"][0]["text"]["text"]


def test_alertmanager_gets_the_same_labels_when_it_fires_and_when_it_ends(
    alert: Callable[..., Alert], clock: ManualClock
) -> None:
    """Only what changes is in annotations; the end is ahead while it fires and past once it is resolved."""
    firing = decode(alertmanager(alert(), clock()))[0]
    over = decode(alertmanager(alert(state="resolved", value=0.0, summary="fine"), clock()))[0]
    assert firing["labels"] == over["labels"]
    assert firing["labels"]["alertname"] == "prices"
    assert firing["annotations"]["request_ids"] == "r-1\nr-2"
    assert (firing["startsAt"], firing["endsAt"]) == ("2027-01-15T08:00:00.000Z", "2027-01-15T08:05:00.000Z")
    assert over["endsAt"] == "2027-01-15T08:00:00.000Z"
    assert "target" not in decode(alertmanager(alert(target=""), clock()))[0]["labels"]


def test_pagerduty_triggers_and_resolves_one_incident(alert: Callable[..., Alert]) -> None:
    """Both have the alert's key; a summary is no longer than its limit."""
    firing = decode(pagerduty(alert(summary="x" * 2000), "rk"))
    over = decode(pagerduty(alert(state="resolved"), "rk"))
    assert (firing["event_action"], over["event_action"]) == ("trigger", "resolve")
    assert firing["dedup_key"] == over["dedup_key"] == alert().key
    assert len(firing["payload"]["summary"]) == 1024
    assert firing["payload"]["custom_details"]["request_ids"] == ["r-1", "r-2"]
    assert firing["routing_key"] == "rk"


def test_a_link_leads_to_the_differences_of_the_window(alert: Callable[..., Alert]) -> None:
    """Names from traffic are escaped; nothing is added for what has no service."""
    link = urlsplit(link_to("https://g.example/", alert(service="a&b=c#d"), timedelta(minutes=10)))
    assert (link.netloc, link.path) == ("g.example", "/api/differences")
    assert parse_qs(link.query) == {
        "since": ["2027-01-15T07:50:00.000Z"],
        "until": ["2027-01-15T08:00:00.000Z"],
        "service": ["a&b=c#d"],
        "target": ["cart@2"],
    }
    assert "service" not in link_to("https://g.example", alert(service=""), timedelta())
