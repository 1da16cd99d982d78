"""The redactor that the settings ask for, for whatever records, sends or stores exchanges."""

from __future__ import annotations

import secrets

from gnomon.config import Redact
from gnomon.core.redact import Redactor
from gnomon.core.redact_body import MAX_EXPANDED

__all__ = ["make_redactor"]


def make_redactor(settings: Redact, max_expanded: int = MAX_EXPANDED) -> Redactor:
    """Make a redactor under the key of the settings, or under a random one where there is none.

    Args:
        settings: Whether to redact, and the key.
        max_expanded: Bytes that a body may have, expanded where it is compressed; a larger one is withheld.

    Raises:
        ConfigError: The file that holds the key cannot be read.
    """
    key = settings.read_key() if settings.enabled else None
    return Redactor(
        key.encode() if key is not None else secrets.token_bytes(32),
        enabled=settings.enabled,
        max_expanded=max_expanded,
    )
