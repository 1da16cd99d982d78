"""The group of all commands; a command's module is imported when the command is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from gnomon.cli.options import ClosestGroup, Given

__all__ = ["COMPLETION_VARIABLE", "app"]

COMPLETION_VARIABLE: Final = "_GNOMON_COMPLETE"

_COMMANDS: Final = {
    "alerts": "gnomon.cli.alerts:alerts",
    "catalog": "gnomon.cli.store:catalog",
    "collect": "gnomon.cli.collect:collect",
    "compact": "gnomon.cli.store:compact",
    "compare": "gnomon.cli.compare:compare",
    "completion": "gnomon.cli.completion:completion",
    "config": "gnomon.cli.config:config",
    "demo": "gnomon.cli.demo:demo",
    "produce": "gnomon.cli.produce:produce",
    "export": "gnomon.cli.store:export",
    "query": "gnomon.cli.query:query",
    "rejudge": "gnomon.cli.rejudge:rejudge",
    "report": "gnomon.cli.report:report",
    "route": "gnomon.cli.route:route",
    "rules": "gnomon.cli.rules:rules",
    "topics": "gnomon.cli.topics:topics",
    "verdict": "gnomon.cli.verdict:verdict",
    "watch": "gnomon.cli.watch:watch",
    "web": "gnomon.cli.web:web",
    "worker": "gnomon.cli.worker:worker",
}


class LazyGroup(ClosestGroup):
    """A group that knows its commands by name and imports them one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names, sorted."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or give None for a name that there is not."""
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gnomon", prog_name="gnomon", message="%(prog)s %(version)s")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Settings file. [default: GNOMON_CONFIG, else ./gnomon.toml if it exists]",
)
@click.option("--debug", is_flag=True, help="Print a traceback where something goes wrong.")
@click.pass_context
def app(context: click.Context, /, config: Path | None, **_: Any) -> None:  # noqa: ANN401 - flags read elsewhere
    """Knows from real traffic whether the new version of a service behaves like the old one.

    \b
    Examples:
      $ gnomon compare --live live.ndjson --shadow shadow.ndjson --report report.html
      $ gnomon query "SELECT endpoint, divergence_rate FROM endpoint_stats ORDER BY 2 DESC"
    """
    context.obj = Given(config)
