"""The operations page: what the long-running commands answer, and every metric."""

from __future__ import annotations

from typing import Final

from gnomon.operations import METRICS, Metric

__all__ = ["operations_page"]

_BEFORE: Final = """\
# Operations

The long-running commands (`gnomon worker`, `route`, `collect`, `watch`) answer three questions over HTTP on
`operations.bind` (`127.0.0.1:6066`; where that default is taken, a free port is used and said in the log):

| path | answers |
| --- | --- |
| `/healthz` | 200 while the process lives: it is answered by the loop that does the work |
| `/readyz` | 200 when every part can do its work, else 503; JSON: `{"ready": false, "reasons": {"store": "..."}}` |
| `/metrics` | the metrics below, and those of the process (CPU, memory, garbage collection), for Prometheus |

The endpoint has no token: listen on an address that only operators and Prometheus reach.

## Metrics

Units are base units; what ends in `_total` only grows while a process lives.

| metric | kind | labels | of | what |
| --- | --- | --- | --- | --- |
"""

_AFTER: Final = """
`deploy/prometheus/gnomon.rules.yaml` has alerts on them, `deploy/grafana/gnomon.json` a dashboard.

## Logs

One line per event on stderr, as logfmt (`log.format = "logfmt"`) or JSON (`"json"`): `time`, `level`, `logger`,
`message`, and what belongs to the event. `log.level` is the least level of Gnomon's own events; libraries are heard
from warnings on. Values are escaped, so traffic cannot write lines of its own, and configured secrets are masked.

```
time=2027-01-15T08:00:00.000Z level=warning logger=gnomon.operations.server message="127.0.0.1:6066 is taken, ..."
```

## Kafka

`gnomon topics create` makes the topics of the settings where they are not there. TLS and SASL are `[kafka.security]`
(docs/configuration.md); settings that contradict each other, such as a password without a protocol that uses it, are
refused, so that nothing goes in the clear by mistake. Where no broker can be reached, one-shot commands end with exit
code 4 and one sentence that names the address, the reason and what to correct.
"""


def operations_page() -> str:
    """Write docs/operations.md."""
    return _BEFORE + "".join(_row(metric) for metric in METRICS) + _AFTER


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    commands = ", ".join(metric.commands)
    cells = (f"`{metric.name}`", metric.kind, labels, commands, metric.help)
    return "| " + " | ".join(cells).replace("|  |", "| |") + " |\n"
