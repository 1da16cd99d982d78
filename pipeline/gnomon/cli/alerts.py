"""`gnomon alerts`: try the way of an alert."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import click

from gnomon.cli.options import ClosestGroup, config_option, load
from gnomon.errors import DependencyError, UsageError

__all__ = ["alerts"]


@click.group(cls=ClosestGroup)
def alerts() -> None:
    """Try the hooks of an alert.

    \b
    Examples:
      $ gnomon alerts test divergence_rate
    """


@alerts.command()
@click.argument("name")
@config_option
@click.pass_context
def test(context: click.Context, name: str, config: Path | None) -> None:
    """Send a sample of the alert NAME to its hooks; commands are not run.

    \b
    Examples:
      $ gnomon alerts test divergence_rate
    """
    from gnomon.watch import send_samples

    alerting = load(context, config).alerting
    rules = {rule.name: rule for rule in alerting.rules}
    if name not in rules:
        near = get_close_matches(name, rules, n=1)
        known = f"the names are {', '.join(map(repr, rules))}" if rules else "write one into gnomon.toml"
        raise UsageError(f"there is no [[alert]] named {name!r}", f"did you mean {near[0]!r}?" if near else known)
    results = asyncio.run(send_samples(rules[name], alerting.hooks, lambda: datetime.now(UTC), os.environ))
    for hook, problem in results:
        click.echo(f"{hook}: {problem or 'delivered'}")
    if not results:
        raise UsageError(f"the alert {name!r} has no hook to send a sample to", "add hooks to it")
    failed = [hook for hook, problem in results if problem]
    if failed:
        raise DependencyError(f"{len(failed)} of {len(results)} hooks failed: {', '.join(failed)}", "see above")
