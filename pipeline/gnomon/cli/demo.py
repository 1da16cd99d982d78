"""`gnomon demo`: the whole system on this machine, with real traffic."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gnomon.cli.tables import print_table
from gnomon.cli.text import one_line
from gnomon.errors import UsageError

if TYPE_CHECKING:
    from gnomon.demo.findings import Findings
    from gnomon.demo.system import System

__all__ = ["demo"]

FIND_SECONDS: Final = 45
"""How long, from the first request on, planted regressions may take to be found."""

MOST: Final = "SELECT endpoint, pattern, kind, requests FROM field_stats WHERE requests > 0 ORDER BY rate_lo DESC"
"""Fields by how often they differ at least; those of noise alone are left out."""

_LOOK_SECONDS: Final = 1.0


class _Stopped(Exception):  # noqa: N818 - not an error
    """The demo was told to end."""


@click.command()
@click.option("--seconds", type=click.FloatRange(0), help="End by itself this long after the table. [default: Ctrl-C]")
@click.option("--kafka", metavar="HOST:PORT", help="Use this broker in place of the one from PyPI.")
@click.option("--envoy", metavar="PATH", type=click.Path(path_type=Path), help="Use this Envoy in place of PyPI's.")
@click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path("gnomon-demo"),
    show_default=True,
    help="Where store, settings and logs go; they stay there until the next demo.",
)
def demo(seconds: float | None, kafka: str | None, envoy: Path | None, directory: Path) -> int:
    """Run the whole system on this machine, with a shop in two builds and regressions planted in one.

    Envoy answers callers from the shop's live build and mirrors them to a candidate and a control. What is planted in
    the candidate is looked for in what lands, and an alert fires to a hook of the demo's. Exits 0 when all of it was
    found and nothing else. The revenue is shown with and without the orders of a load test: judged by the synthetic
    filter, and split by it where a broker of your own has transactions.

    \b
    Examples:
      $ gnomon demo
      $ gnomon demo --seconds 30 --directory /tmp/demo
      $ gnomon demo --kafka 127.0.0.1:9092
    """
    from gnomon.demo.system import DemoOptions, System

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what is wrong is said once, in a sentence
    with _fresh(directory) as place, _signals():
        options = DemoOptions(directory=place, kafka=kafka, envoy=envoy)
        findings: Findings | None = None
        alerted = False
        try:
            with System(options, _tell) as system:
                findings = _find(system)
                _print(findings, place)
                alerted = _print_alert(system)
                _print_orders(system)
                _linger(system, seconds)
                findings = system.findings() or findings
        except _Stopped:
            _tell("stopped")
    if findings is None:
        return 1
    for unexpected in findings.unexpected:
        click.echo(f"unexpected: {one_line(unexpected)}")
    click.echo(findings.line)
    return 0 if alerted and findings.found == len(findings.rows) and not findings.unexpected else 1


def _find(system: System) -> Findings:
    """Look until all that was planted is found, or for as long as it may take."""
    from gnomon.demo.findings import compare_findings

    deadline = time.monotonic() + FIND_SECONDS
    findings = compare_findings([])
    while time.monotonic() < deadline:
        system.check()
        findings = system.findings() or findings
        if findings.found == len(findings.rows) and system.alerts:
            break
        time.sleep(_LOOK_SECONDS)
    return findings


def _linger(system: System, seconds: float | None) -> None:
    """Let traffic go on until told to stop."""
    end = None if seconds is None else time.monotonic() + seconds
    if end is None:
        _tell("traffic goes on; Ctrl-C ends it")
    while end is None or time.monotonic() < end:
        system.check()
        time.sleep(min(_LOOK_SECONDS, max(0.0, end - time.monotonic())) if end is not None else _LOOK_SECONDS)


def _print(findings: Findings, place: Path) -> None:
    click.echo()
    print_table(
        ["planted", "endpoint", "field", "found", "by request"],
        [
            (
                row.planted.what,
                row.planted.endpoint,
                f"{row.planted.pattern} {row.planted.kind}" if row.planted.kind else "latency",
                "yes" if row.found else "no",
                ", ".join(row.request_ids[:2]),
            )
            for row in findings.rows
        ],
    )
    click.echo(f"\nLook closer, in {_short(place)}: gnomon verdict; gnomon report; and what differs most:")
    click.echo(f'gnomon query "{MOST}"')


def _print_alert(system: System) -> bool:
    """Say what the alert hook was sent, and where the API answers; tells whether it was sent anything."""
    click.echo(f"While it runs: {system.url}/api/verdict")
    if not system.alerts:
        click.echo("Alert: none fired")
        return False
    alert = system.alerts[0]
    by = ", ".join(alert["request_ids"][:2])
    click.echo(one_line(f"Alert: {alert['severity']}, {alert['name']} ({alert['target']}), by requests {by}"))
    return True


@contextmanager
def _fresh(directory: Path) -> Iterator[Path]:
    """Make the demo's directory, in place of an earlier demo's, and hold it.

    Raises:
        UsageError: There is something else, or a demo runs there.
    """
    from gnomon.demo.system import MARK

    settings = directory / "gnomon.toml"
    if settings.is_file() and settings.read_text(encoding="utf-8").startswith(MARK):
        with _held(directory):
            shutil.rmtree(directory)
    elif directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} is there and is no earlier demo's", "name another one with --directory")
    directory.mkdir(parents=True, exist_ok=True)
    with _held(directory):
        yield directory.resolve()


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Let no other demo have a directory meanwhile; the kernel lets go of it however this one ends."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(f"another demo runs in {directory}", "end it, or name another one with --directory") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _short(place: Path) -> str:
    return str(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place)


def _print_orders(system: System) -> None:
    """Say what the filter made of the shop's orders."""
    counted = system.orders.count()
    click.echo()
    print_table(["topic", "orders", "revenue"], [(row.topic, row.events, f"{row.revenue:,.2f}") for row in counted])
    everything, clean = counted[0].revenue, counted[1].revenue
    click.echo(f"\nRevenue: {clean:,.2f} EUR; with the load test's orders it would be {everything:,.2f}")
    if not system.orders.is_split:
        click.echo("(Judged as gnomon route would; the demo's broker lacks the transactions to split a topic)")


@contextmanager
def _signals() -> Iterator[None]:
    """Turn the signals that end a program into `_Stopped`, so that every part is stopped."""

    def stop(*_: object) -> None:
        raise _Stopped

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: list[Callable[..., object] | int | None] = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _tell(line: str) -> None:
    click.echo(f"demo: {line}", err=True)
