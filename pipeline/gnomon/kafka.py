"""How to reach Kafka: what aiokafka's clients are made with, and what it means when a broker cannot be reached.

Everything that talks to Kafka connects by `client_options`. `check_connection` says beforehand and in one sentence why
that would fail: a client by itself tells no more than that it could not.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.helpers import create_ssl_context

from gnomon.config import Kafka, KafkaSecurity
from gnomon.errors import ConfigError, DependencyError

__all__ = ["check_connection", "client_options", "kafka_errors", "make_ssl_context"]

CONNECT_SECONDS: Final = 10.0
_START: Final = "start it, or correct kafka.bootstrap (GNOMON_KAFKA)"


def client_options(kafka: Kafka) -> dict[str, Any]:
    """Give the keyword arguments by which any client of aiokafka reaches the brokers.

    Raises:
        ConfigError: The settings contradict each other, or a file that they name cannot be read.
    """
    security = kafka.security
    _check(security)
    options: dict[str, Any] = {
        "bootstrap_servers": _addresses(kafka),
        "security_protocol": security.protocol.upper(),
        "ssl_context": make_ssl_context(security),
    }
    if security.sasl is not None:
        options |= {
            "sasl_mechanism": security.sasl,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.read_password(),
        }
    return options


def make_ssl_context(security: KafkaSecurity) -> ssl.SSLContext | None:
    """Give the context that connections are wrapped in, None where they are not wrapped in TLS.

    Without `kafka.security.ca` the authorities that this machine trusts are trusted. The broker's name is checked.

    Raises:
        ConfigError: A file cannot be read, or is not what it should be.
    """
    if not security.protocol.endswith("ssl"):
        return None
    password = security.read_key_password()
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=security.ca, certfile=security.cert, keyfile=security.key, password=password or ""
        )
    except OSError as error:  # ssl.SSLError is one
        what = f"the certificates of kafka.security cannot be used: {error.strerror or error}"
        raise ConfigError(what, "correct kafka.security.ca, cert, key and key_password") from error
    return context


async def check_connection(kafka: Kafka, timeout: float = CONNECT_SECONDS) -> None:  # noqa: ASYNC109 - per broker
    """Connect once, and authenticate, to see whether that works; one of the brokers is enough.

    Args:
        kafka: Where the brokers are and how to reach them.
        timeout: How long to wait for each of them, in seconds.

    Raises:
        DependencyError: None of them can be reached; says why, and what to do.
        ConfigError: See `client_options`.
    """
    options = client_options(kafka)
    problems: list[tuple[str, str]] = []
    for address in options.pop("bootstrap_servers"):
        problem = await _try(address, kafka.security, {**options, "request_timeout_ms": int(timeout * 1000)})
        if problem is None:
            return
        problems.append((f"{address}: {problem[0]}", problem[1]))
    what = "; ".join(problem for problem, _ in problems)
    raise DependencyError(f"no Kafka broker can be reached at {what}", problems[-1][1])


async def _try(address: str, security: KafkaSecurity, options: dict[str, Any]) -> tuple[str, str] | None:
    """Connect to one broker and close again; give why that fails and what to do, None where it works."""
    host, _, port = address.rpartition(":")
    connection = AIOKafkaConnection(host.strip("[]"), int(port), **options)
    try:
        await connection.connect()
    except (OSError, TimeoutError) as error:  # there was no connection
        return _explain(error, security)
    except KafkaError as error:
        await _close(connection)
        return _explain(error, security)
    await _close(connection)
    return None


async def _close(connection: Any) -> None:  # noqa: ANN401 - aiokafka has no types
    with suppress(TimeoutError):  # who does not answer TLS's farewell is left
        async with asyncio.timeout(1):
            await connection.close()


@contextmanager
def kafka_errors(kafka: Kafka, doing: str) -> Iterator[None]:
    """Turn what aiokafka raises within into a DependencyError that names the brokers.

    Args:
        kafka: Which brokers.
        doing: What was being done, as in "reading gnomon.exchanges".
    """
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        why, remedy = _explain(error, kafka.security)
        raise DependencyError(f"{doing} at {kafka.bootstrap} failed: {why}", remedy) from error


def _addresses(kafka: Kafka) -> list[str]:
    return [address.strip() for address in kafka.bootstrap.split(",")]


def _check(security: KafkaSecurity) -> None:
    """Refuse settings of which one would silently not hold: nobody wants passwords or traffic in the clear by that."""
    protocol = security.protocol
    if protocol.startswith("sasl"):
        if security.sasl is None:
            what, remedy = f"kafka.security.protocol is {protocol}, and no mechanism is set", "set kafka.security.sasl"
            raise ConfigError(what, remedy)
        if security.username is None or security.read_password() is None:
            missing = "username" if security.username is None else "password"
            raise ConfigError(f"kafka.security.sasl is {security.sasl}, and there is no {missing}", f"set {missing}")
    elif security.sasl is not None:
        what = f"kafka.security.sasl is {security.sasl}, which does not hold with protocol {protocol}"
        raise ConfigError(what, "set kafka.security.protocol to sasl_ssl, or to sasl_plaintext")
    named = next((name for name in ("ca", "cert", "key") if getattr(security, name) is not None), None)
    if named is not None and not protocol.endswith("ssl"):
        what = f"kafka.security.{named} is set, which does not hold with protocol {protocol}"
        raise ConfigError(what, "set kafka.security.protocol to ssl or sasl_ssl")
    if security.key is not None and security.cert is None:
        raise ConfigError("kafka.security.key is set, and no certificate", "set kafka.security.cert")


def _explain(error: Exception, security: KafkaSecurity) -> tuple[str, str]:
    """Say what an error means, and what to do about it."""
    match error:
        case ssl.SSLCertVerificationError():
            why = f"its certificate is not trusted ({error.verify_message})"
            remedy = "set kafka.security.ca to the PEM file of its authority, and ask for it by the name it carries"
        case ssl.SSLError():
            why, remedy = f"TLS failed ({error.reason or error})", "correct kafka.security.protocol, cert and key"
        case SaslAuthenticationFailed() | AuthenticationFailedError():
            why = f"user {security.username} is refused ({_text(error)})"
            remedy = "correct kafka.security.username and password"
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            why, remedy = f"{security.sasl} is not served there ({_text(error)})", "correct kafka.security.sasl"
        case KafkaConnectionError() | ConnectionResetError() | ConnectionAbortedError():
            why = f"the connection was closed (kafka.security.protocol is {security.protocol})"
            remedy = "look whether it is running, and whether it wants another kafka.security.protocol"
        case socket.gaierror():
            why, remedy = "there is no such host", _START
        case ConnectionRefusedError():
            why, remedy = "nothing listens there", _START
        case TimeoutError():
            why, remedy = "no answer in time", _START
        case OSError():
            why, remedy = error.strerror or str(error), _START
        case _:
            why, remedy = f"{type(error).__name__}: {_text(error)}", "look into the broker's log"
    return why, remedy


def _text(error: Exception) -> str:
    """Give what the broker said, without the name of the error that aiokafka puts before it."""
    said = str(error.args[0]) if error.args else ""
    return said or type(error).__name__
