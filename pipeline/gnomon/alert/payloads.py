"""What each kind of hook is sent: bodies and headers, made from an alert alone.

Webhook: the alert as JSON. Slack: incoming webhooks (https://api.slack.com/messaging/webhooks). Alertmanager: API v2,
`POST /api/v2/alerts`. PagerDuty: Events API v2. Names from traffic are data in all of them, never markup.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from gnomon.model import Alert

__all__ = ["REPEAT", "Message", "alertmanager", "link_to", "pagerduty", "signed", "slack", "webhook"]

REPEAT: Final = timedelta(minutes=1)
"""How often Alertmanager is told of an alert that still fires: it forgets what it is not told again."""

_ENDS_AFTER: Final = 5 * REPEAT
_PAGERDUTY_SUMMARY: Final = 1024
_SLACK_TEXT: Final = 2900
_SLACK_ICONS: Final = {"critical": ":rotating_light:", "warning": ":warning:", "info": ":information_source:"}


class Message(msgspec.Struct, frozen=True):
    """One HTTP POST: what is appended to the hook's URL, the body, and headers beside `content-type`."""

    body: bytes
    path: str = ""
    headers: dict[str, str] = {}


def link_to(base: str, alert: Alert, window: timedelta) -> str:
    """Give the URL at which the differences that an alert is about can be seen."""
    asked = {
        "since": _rfc3339(alert.since - window),
        "until": _rfc3339(alert.at),
        **({"service": alert.service} if alert.service else {}),
        **({"target": alert.target} if alert.target else {}),
    }
    return f"{base.rstrip('/')}/api/differences?{urlencode(asked, quote_via=quote)}"


def webhook(alert: Alert) -> Message:
    """The alert as one JSON object, with the names of the table `alerts`."""
    return Message(msgspec.json.encode(alert))


def signed(message: Message, secret: str, now: datetime) -> Message:
    """Add `x-gnomon-timestamp` (epoch seconds) and `x-gnomon-signature`: sha256=HMAC-SHA256(secret, timestamp.body)."""
    timestamp = str(int(now.timestamp()))
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + message.body, hashlib.sha256).hexdigest()
    more = {"x-gnomon-timestamp": timestamp, "x-gnomon-signature": f"sha256={digest}"}
    return msgspec.structs.replace(message, headers={**message.headers, **more})


def slack(alert: Alert) -> Message:
    """A message with a heading, the sentence, where it was seen, and the link."""
    icon = ":white_check_mark:" if alert.state == "resolved" else _SLACK_ICONS[alert.severity]
    lines = [f"{icon} *{_mrkdwn(alert.name)}* {alert.state}", _mrkdwn(alert.summary)]
    if alert.patterns:
        lines.append("fields: " + ", ".join(f"`{_mrkdwn(pattern)}`" for pattern in alert.patterns))
    if alert.request_ids:
        lines.append("requests: " + ", ".join(f"`{_mrkdwn(request)}`" for request in alert.request_ids))
    text = "\n".join(lines)[:_SLACK_TEXT]
    if alert.link:
        text += f"\n<{_mrkdwn(alert.link)}|look at it>"
    block = {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}
    return Message(msgspec.json.encode({"text": f"{alert.name} {alert.state}", "blocks": [block]}))


def alertmanager(alert: Alert, now: datetime) -> Message:
    """One alert: labels that stay the same while it lasts, and what changes in annotations.

    Its end is in the past once it is resolved, else a few repeats ahead.
    """
    labels = {
        "alertname": alert.name,
        "severity": alert.severity,
        "service": alert.service,
        "target": alert.target,
        "metric": alert.metric,
        "gnomon_key": alert.key,
    }
    annotations = {
        "summary": alert.summary,
        "endpoint": alert.endpoint,
        "patterns": "\n".join(alert.patterns),
        "request_ids": "\n".join(alert.request_ids),
    }
    ends = alert.at if alert.state == "resolved" else now + _ENDS_AFTER
    sent = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": _rfc3339(alert.since),
        "endsAt": _rfc3339(ends),
        **({"generatorURL": alert.link} if alert.link else {}),
    }
    return Message(msgspec.json.encode([sent]), "/api/v2/alerts")


def pagerduty(alert: Alert, routing_key: str) -> Message:
    """Trigger or resolve the incident of the alert's key."""
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "resolve" if alert.state == "resolved" else "trigger",
        "dedup_key": alert.key,
    }
    if alert.state == "firing":
        event["payload"] = {
            "summary": alert.summary[:_PAGERDUTY_SUMMARY],
            "source": alert.service or "gnomon",
            "severity": alert.severity,
            "timestamp": _rfc3339(alert.at),
            "component": alert.target,
            "class": alert.metric,
            "custom_details": msgspec.to_builtins(alert),
        }
        event["client"] = "Gnomon"
        if alert.link:
            event["links"] = [{"href": alert.link, "text": "Differences"}]
    return Message(msgspec.json.encode(event))


def _mrkdwn(text: str) -> str:
    """Escape as Slack wants it; a back quote would end the quotation it stands in."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
