"""`gnomon completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


@click.command(short_help="Print a script that completes commands in your shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that lets your shell complete gnomon's commands and options.

    \b
    Examples:
      $ gnomon completion bash >> ~/.bashrc
      $ gnomon completion zsh >> ~/.zshrc
      $ gnomon completion fish > ~/.config/fish/completions/gnomon.fish
    """
    from gnomon.cli.app import COMPLETION_VARIABLE, app

    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    click.echo(script(app, {}, "gnomon", COMPLETION_VARIABLE).source())
