"""The HTTP side: figures, verdicts and evidence of a store as JSON, and gates for rollouts. It only reads."""

from __future__ import annotations

from gnomon.web.app import create_app
from gnomon.web.server import guarding_token, listen_on, serve

__all__ = ["create_app", "guarding_token", "listen_on", "serve"]
