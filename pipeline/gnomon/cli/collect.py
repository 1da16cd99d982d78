"""`gnomon collect`: Envoy's access log to exchanges on Kafka, or in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gnomon.cli.options import FILE, check_writable, config_option, load, read_rules, rules_option
from gnomon.errors import UsageError

if TYPE_CHECKING:
    from gnomon.collect import Collector
    from gnomon.config import Settings
    from gnomon.emit.transport import Transport

__all__ = ["collect"]


@click.command()
@click.option("--out", metavar="FILE", type=FILE, help="Append NDJSON to this file in place of Kafka; - for stdout.")
@rules_option
@config_option
@click.pass_context
def collect(context: click.Context, out: Path | None, rules: Path | None, config: Path | None) -> None:
    """Collect exchanges from Envoy's gRPC access log.

    deploy/envoy holds the configuration that mirrors requests and reports both sides. Records go to the topic
    kafka.topic, redacted, keyed by request id. What there is no room for is shed and counted; Envoy never waits.

    \b
    Examples:
      $ gnomon collect
      $ gnomon collect --out capture.ndjson
      $ gnomon collect --out - | jq .request.path
    """
    from gnomon.collect.setup import make_collector

    loaded = load(context, config)
    settings = loaded.settings
    if settings.redact.enabled and settings.redact.read_key() is None:
        click.echo(
            "gnomon: warning: no redaction key is set, so hashes hold only within this run; "
            "set GNOMON_REDACT_KEY to the same value wherever exchanges to be compared are recorded",
            err=True,
        )
    _run(make_collector(settings, read_rules(rules, loaded), _transport(out, settings)), settings)


def _transport(out: Path | None, settings: Settings) -> Transport:
    if out is None:
        import asyncio

        from gnomon.emit.kafka import KafkaTransport
        from gnomon.kafka import check_connection

        asyncio.run(check_connection(settings.kafka))
        return KafkaTransport(settings.kafka)
    if str(out) == "-":
        from gnomon.collect.sinks import StreamTransport

        return StreamTransport(sys.stdout.buffer)
    from gnomon.emit.transport import FileTransport

    if out.suffix in {".gz", ".zst"}:
        raise UsageError(
            f"{out} would be plain lines under the name of a compressed file",
            "name it .ndjson, and compress it when the collector has stopped",
        )
    check_writable(out)
    return FileTransport(out)


def _run(collector: Collector, settings: Settings) -> None:
    """Collect until SIGTERM or Ctrl-C."""
    import asyncio
    import gc
    import signal

    from gnomon.collect.setup import run_collector
    from gnomon.operations import configure_logging

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run_collector(collector, settings, stop)

    configure_logging(settings)
    # What entries leave behind is freed by its reference counts; looking for cycles often is time for nothing
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    asyncio.run(run())
    click.echo(f"gnomon: {collector.counts}", err=True)
