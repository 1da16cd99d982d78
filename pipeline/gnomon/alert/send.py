"""One attempt at one hook: an HTTP POST, or a command."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec

from gnomon.alert.payloads import Message, alertmanager, pagerduty, signed, slack, webhook
from gnomon.config import Hook
from gnomon.config.alerts import PAGERDUTY, check_url
from gnomon.errors import ConfigError, GnomonError
from gnomon.model import Alert

__all__ = ["SendFailedError", "Sender"]

MOST_ANSWER: Final = 512
"""Bytes of an answer that are read: enough to say what was wrong."""

MOST_RETRY_AFTER: Final = 3600.0


class SendFailedError(GnomonError):
    """An attempt failed. `retry_after` is how many seconds the receiver asked to wait, None where it did not."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class Sender:
    """Sends alerts to hooks; an async context manager.

    Redirects are not followed, proxies of the environment are not used, answers are read to `MOST_ANSWER` bytes, and
    an attempt takes no longer than the hook's timeout. No error names a URL: it may be a secret.

    Args:
        clock: The time, for signatures.
        environ: Where secrets that are named by a variable are read.
    """

    def __init__(self, clock: Callable[[], datetime], environ: Mapping[str, str]) -> None:
        self._clock = clock
        self._environ = environ
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connections' pool."""
        self._session = aiohttp.ClientSession(
            headers={"user-agent": "gnomon"}, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def send(self, hook: Hook, alert: Alert, identity: str) -> None:
        """Make one attempt.

        Args:
            hook: Where to.
            alert: What.
            identity: The same for every attempt: what a receiver tells repeats by.

        Raises:
            SendFailedError: It did not work; says why.
        """
        if hook.type == "command":
            await asyncio.to_thread(run_command, hook, alert, self._environ)
            return
        try:
            url, message = self._message(hook, alert)
        except ConfigError as error:
            raise SendFailedError(str(error)) from error
        headers = {"content-type": "application/json", "idempotency-key": identity, **message.headers}
        await self._post(url, message.body, headers, hook.timeout.total_seconds())

    def _message(self, hook: Hook, alert: Alert) -> tuple[str, Message]:
        now = self._clock()
        if hook.type == "slack":
            message = slack(alert)
        elif hook.type == "alertmanager":
            message = alertmanager(alert, now)
        elif hook.type == "pagerduty":
            message = pagerduty(alert, hook.routing_key.read(self._environ) or "")
        else:
            message = webhook(alert)
        url = hook.url.read(self._environ) or PAGERDUTY
        check_url(url, f"hook {hook.name}")
        url = url.rstrip("/") + message.path if message.path else url
        if secret := hook.secret.read(self._environ):
            message = signed(message, secret, now)
        if token := hook.token.read(self._environ):
            message = msgspec.structs.replace(message, headers={**message.headers, "authorization": f"Bearer {token}"})
        return url, message

    async def _post(self, url: str, body: bytes, headers: dict[str, str], seconds: float) -> None:
        if self._session is None:
            raise RuntimeError("a Sender is an async context manager")
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                said = (await answer.content.read(MOST_ANSWER)).decode("utf-8", "replace")
                if not 200 <= answer.status < 300:
                    words = " ".join("".join(c if c.isprintable() else " " for c in said).split())[:200]
                    told = f"it answered {answer.status}" + (f": {words}" if words else "")
                    raise SendFailedError(told, _seconds(answer.headers.get("retry-after")))
        except TimeoutError as error:
            raise SendFailedError(f"no answer within {seconds:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise SendFailedError(f"no connection: {error.os_error.strerror or 'refused'}") from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise SendFailedError(f"the exchange failed: {type(error).__name__}") from error


def _seconds(text: str | None) -> float | None:
    """Read a Retry-After header in seconds; a date or nonsense is none."""
    return min(float(text), MOST_RETRY_AFTER) if text and text.isascii() and text.isdecimal() else None


def run_command(hook: Hook, alert: Alert, environ: Mapping[str, str]) -> None:
    """Run a hook's command with the alert as JSON on its stdin; past the time limit it and its children are killed.

    It sees the environment without Gnomon's own variables, which may hold secrets. It has a session of its own, so it
    goes on when this program is killed: half a rollback is worse than none.

    Raises:
        SendFailedError: It could not be started, took too long, or ended with another code than 0.
    """
    seconds = hook.timeout.total_seconds()
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own arguments, without a shell
            hook.command or (),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=None,  # what it complains of belongs beside our own log
            env={name: value for name, value in environ.items() if not name.startswith("GNOMON_")},
            start_new_session=True,
        )
    except OSError as error:
        raise SendFailedError(f"the command cannot be started: {error.strerror}") from error
    with process:
        try:
            process.communicate(msgspec.json.encode(alert), timeout=seconds)
        except subprocess.TimeoutExpired as error:
            # Whatever it started goes with it; what one that ended left running in the background is its own affair.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise SendFailedError(f"the command took longer than {seconds:g} s") from error
    if process.returncode != 0:
        raise SendFailedError(f"the command ended with code {process.returncode}")
