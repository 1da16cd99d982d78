"""`gnomon web`: the HTTP API."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from gnomon.cli.options import config_option, db_option, load
from gnomon.config import find_database

__all__ = ["web"]


def address_of(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no address."""
    if value is not None and re.fullmatch(r"[^\s,]+:\d{1,5}", value) is None:
        raise click.BadParameter(f"{value!r} is not an address such as 127.0.0.1:8080")
    return value


@click.command()
@db_option
@click.option("--bind", metavar="HOST:PORT", callback=address_of, help="Address to listen on. [default: web.bind]")
@config_option
@click.pass_context
def web(context: click.Context, db: Path | None, bind: str | None, config: Path | None) -> None:
    """Serve figures, verdicts and evidence over HTTP, until stopped; /openapi.json describes it.

    \b
    Examples:
      $ gnomon web
      $ GNOMON_WEB_TOKEN=... gnomon web --bind 0.0.0.0:8080
    """
    from gnomon.operations import configure_logging
    from gnomon.web import create_app, guarding_token, listen_on, serve

    settings = load(context, config).settings
    address = settings.web if bind is None else msgspec.structs.replace(settings.web, bind=bind)
    token = guarding_token(address)
    app = create_app(lambda: find_database(db, settings), settings, token=token, clock=lambda: datetime.now(UTC))
    configure_logging(settings)
    place = find_database(db, settings)
    if not place.exists():
        missing = f"there is no database at {place} yet, so questions are answered by 503 until there is"
        click.echo(f"gnomon: warning: {missing}; --db names another one", err=True)
    listening = listen_on(address.bind)
    host, port = listening.getsockname()[:2]
    click.echo(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}", err=True)
    asyncio.run(serve(app, listening))
