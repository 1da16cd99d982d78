"""How Faust reaches the brokers: the same settings as every client of aiokafka (`gnomon.kafka`), in Faust's words."""

from __future__ import annotations

import faust
from faust.types.auth import CredentialsT

from gnomon.config import Kafka
from gnomon.kafka import client_options

__all__ = ["faust_credentials"]


def faust_credentials(kafka: Kafka) -> CredentialsT | None:
    """Give Faust's `broker_credentials`, None where a connection is neither wrapped nor authenticated.

    Raises:
        ConfigError: See `gnomon.kafka.client_options`.
    """
    options = client_options(kafka)
    context = options["ssl_context"]
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)
