"""`gnomon config`: validate the settings, or show those that hold."""

from __future__ import annotations

from pathlib import Path

import click

from gnomon.cli.options import ClosestGroup, config_option, load, read_rules
from gnomon.cli.text import plural
from gnomon.config import Loaded, find_rules, render_settings
from gnomon.errors import ConfigError

__all__ = ["config"]


@click.group(cls=ClosestGroup)
def config() -> None:
    """Validate the settings, or show those that hold.

    \b
    Examples:
      $ gnomon config check
      $ gnomon config show
    """


@config.command()
@config_option
@click.pass_context
def check(context: click.Context, config: Path | None) -> None:
    """Validate gnomon.toml, the GNOMON_* variables, and every file that they name.

    \b
    Examples:
      $ gnomon config check
      $ gnomon config check --config gnomon.toml
    """
    loaded = load(context, config)
    _check_files(loaded)
    rules = read_rules(None, loaded)
    file = find_rules(None, loaded.settings)
    said = f"{plural(len(rules.file.rule), 'rule')} in {file}" if file else "no rules"
    click.echo(f"{loaded.file or 'no settings file'}: good, {plural(len(loaded.origins), 'setting')} set, {said}")


@config.command()
@config_option
@click.pass_context
def show(context: click.Context, config: Path | None) -> None:
    """Print the settings that hold, as TOML, and where each is from; secrets are masked.

    \b
    Examples:
      $ gnomon config show
      $ GNOMON_JOIN_WINDOW=1m gnomon config show
    """
    click.echo(render_settings(load(context, config)), nl=False)


def _check_files(loaded: Loaded) -> None:
    settings = loaded.settings
    settings.redact.read_key()
    settings.web.read_token()
    settings.kafka.security.read_password()
    settings.kafka.security.read_key_password()
    for hook in loaded.alerting.hooks.values():
        for secret in (hook.url, hook.secret, hook.token, hook.routing_key):
            if secret.file is not None:
                secret.read({})
    security = settings.kafka.security
    named = [("decode.descriptors", settings.decode.descriptors)]
    named += [("endpoints.openapi", file) for file in settings.endpoints.openapi]
    named += [(f"kafka.security.{name}", getattr(security, name)) for name in ("ca", "cert", "key")]
    for key, file in named:
        if file is not None and not file.is_file():
            raise ConfigError(f"{key}: {file} is not there", "correct the path")
