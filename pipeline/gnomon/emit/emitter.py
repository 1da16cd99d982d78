"""From a service's requests to the transport, without ever standing in their way.

A request only puts what was seen of it into a bounded queue; one thread makes records of that, redacted, and writes
them. Kafka down, slow or full: the queue fills, and the fuller it is the smaller is the share of request ids that it
takes (`core.sampling`), so that what the processes of both sides keep are pairs. What is shed is counted, and while it
may have cost one side of a request live records expect nobody (`doubt`). Nothing is raised into the service, and
nothing but counters grows.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from gnomon.config import Settings, find_rules, load_settings
from gnomon.core.redact import Redactor
from gnomon.core.rules import RuleSet, parse_rules
from gnomon.core.sampling import place, share_left
from gnomon.emit.delivery import deliver
from gnomon.emit.doubt import Doubt
from gnomon.emit.handoff import Handoff
from gnomon.emit.observed import BodyCapture, Identity, Observed
from gnomon.emit.record import Record, RecordWriter
from gnomon.emit.transport import FileTransport, Transport
from gnomon.errors import ConfigError
from gnomon.redaction import make_redactor

__all__ = ["EmitStats", "Emitter", "shared_emitter"]

_LOG: Final = logging.getLogger("gnomon.emit")
_THREAD: Final = "gnomon-emit"
_EXPANDS: Final = 4
"""How many times the bound on bodies a compressed one may grow when it is looked into for secrets."""

_MOST: Final = 200
_LINGER: Final = 0.02
_STRETCH_NS: Final = 500_000
_BREATH: Final = 0.0005


class EmitStats(msgspec.Struct, frozen=True):
    """What became of the exchanges seen so far; `seen` is the sum of the others.

    `written`: Kafka, or the file, has them. `shed`: there was no room to wait, or the process ended first. `failed`: no
    record could be made, or it is larger than a message may be. `waiting`: not written yet. `problem` says why nothing
    is written at present, "" where all is well. `unsure` of the records did not say who else was sent the request, for
    records of the other sides may have been shed.
    """

    seen: int
    written: int
    shed: int
    failed: int
    waiting: int
    problem: str = ""
    unsure: int = 0


class Emitter:
    """Takes what middlewares saw and writes records of it in the background.

    The thread starts with the first exchange, so that servers that fork have one in each process; a fork after that
    starts anew with an empty queue. At the end of the process it waits for `emit.drain`, no longer.

    Args:
        settings: The settings; by default those of `gnomon.toml` and the environment.
        transport: Where records go; by default what the settings say.

    Raises:
        ConfigError: The settings say something impossible, or name a file that cannot be read.
    """

    _handoff: Handoff[Observed]
    _thread: threading.Thread | None
    _deadline: float
    _seen: int
    _written: int
    _shed: int
    _failed: int
    _unsure: int
    _told_shed: int
    _faulted: bool
    _ended: bool
    _problem: str

    def __init__(self, settings: Settings | None = None, *, transport: Transport | None = None) -> None:
        loaded = settings if settings is not None else load_settings(None, os.environ).settings
        self.settings = loaded.emit
        self.enabled = loaded.emit.enabled
        self.redactor = _redactor(loaded)
        self._writer = RecordWriter(self.redactor, _rules(loaded), loaded.emit.record_bytes)
        self._transport = transport or _transport(loaded)
        self._lock = threading.Lock()
        self._begin()
        _ALL.add(self)
        atexit.register(_close_at_exit, weakref.ref(self))

    def identity(self, service: str, target: str) -> Identity:
        """Say who answers: what the middleware was told, else the settings."""
        return Identity(service or self.settings.service, target or self.settings.target, self.settings.role)

    def body(self) -> BodyCapture:
        """Give what captures a body within the bound of the settings."""
        return BodyCapture(self.settings.body_bytes, self.redactor.body_hasher)

    def put(self, seen: Observed) -> None:
        """Queue one exchange; where there is no room it is counted and forgotten."""
        size = seen.held_bytes
        with self._lock:
            self._seen += 1
            share = share_left(self._handoff.fill)
            is_taken = share >= 1 or place(seen.tags.request_id or "") < share
            if not is_taken or not self._handoff.put(seen, size):
                self._shed += 1
            elif self._thread is None:
                self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)
                self._thread.start()

    def fault(self, error: Exception) -> None:
        """Count an exchange that the middleware could not make sense of; the service goes on."""
        with self._lock:
            self._seen += 1
            self._failed += 1
            first = not self._faulted
            self._faulted = True
        if first:
            _LOG.warning("an exchange could not be recorded (others like it are only counted)", exc_info=error)

    @property
    def stats(self) -> EmitStats:
        """Give the counters; for a metric, or a health page."""
        with self._lock:
            waiting = self._seen - self._written - self._shed - self._failed
            return EmitStats(self._seen, self._written, self._shed, self._failed, waiting, self._problem, self._unsure)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was put is written, `emit.drain` or `timeout` seconds at most; whether that is so."""
        return self._handoff.wait_empty(self._drain if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Write what waits, `emit.drain` or `timeout` seconds at most, and end; what comes later is shed.

        Returns:
            Whether all was written. What was not is counted as shed. Closing again does nothing.
        """
        timeout = self._drain if timeout is None else timeout
        self._deadline = time.monotonic() + timeout
        with self._lock:
            shed = self._shed
        self._handoff.close()
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        with self._lock:
            left = self._seen - self._written - self._shed - self._failed
            self._shed += left
            self._ended = True
            return self._shed == shed

    @property
    def _drain(self) -> float:
        return self.settings.drain.total_seconds()

    def _begin(self) -> None:
        self._handoff = Handoff(self.settings.queue_records, self.settings.queue_bytes)
        self._thread = None
        self._deadline = float("inf")
        self._doubt = Doubt()
        self._seen = self._written = self._shed = self._failed = self._unsure = self._told_shed = 0
        self._faulted = self._ended = False
        self._problem = ""

    def _begin_in_child(self) -> None:
        """Start anew in a forked process: the thread, what waits and the connections stay with the parent."""
        self._lock = threading.Lock()
        self._begin()
        self._transport.forget()

    def _run(self) -> None:
        while taken := self._handoff.take(_MOST, _LINGER):
            self._deliver(self._records([seen for _, seen in taken]))
            self._handoff.done(len(taken), sum(size for size, _ in taken))
        self._transport.close(max(0.1, min(1.0, self._left())))

    def _records(self, taken: Sequence[Observed]) -> list[Record]:
        """Make records, with a breath now and then: while Python works here, no request is served."""
        records = []
        failed = unsure = 0
        self._look_for_shed()
        worked_until = time.perf_counter_ns() + _STRETCH_NS
        for seen in taken:
            doubt = False
            try:
                now = time.monotonic()
                self._doubt.note(now, waited=seen.seconds_since)
                doubt = seen.role == "live" and self._doubt.holds(now)
                record = self._writer.write(seen, doubt=doubt)
            except Exception as error:  # noqa: BLE001 - one hostile exchange must not cost the others
                record = None
                _LOG.debug("an exchange could not be recorded", exc_info=error)
            if record is None:
                failed += 1
            else:
                records.append(record)
                unsure += doubt
            if time.perf_counter_ns() > worked_until:
                time.sleep(_BREATH)
                worked_until = time.perf_counter_ns() + _STRETCH_NS
        if failed or unsure:
            self._count(failed=failed, unsure=unsure)
        return records

    def _look_for_shed(self) -> None:
        """Doubt other sides where something was shed since the last look, and say so once until that is over."""
        with self._lock:
            shed, self._told_shed = self._shed - self._told_shed, self._shed
        now = time.monotonic()
        if shed and not self._doubt.holds(now):
            _LOG.warning(
                "the queue of records is full, so exchanges are shed, by their ids; where they are a shadow's or a"
                " control's alone they will be missed: give it room (emit.queue_records, emit.queue_bytes), or sample"
            )
        self._doubt.note(now, shed=bool(shed))

    def _deliver(self, records: Sequence[Record]) -> None:
        """Write records, trying again for as long as the process lives."""
        deliver(
            self._transport,
            records,
            left=self._left,
            closing=self._handoff.closing,
            tell=lambda done: self._count(
                written=done.written, shed=done.given_up, failed=done.refused, problem=done.problem
            ),
        )

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _count(
        self, *, written: int = 0, shed: int = 0, failed: int = 0, unsure: int = 0, problem: str | None = None
    ) -> None:
        with self._lock:
            if self._ended:  # what was left was counted as shed already
                return
            self._written += written
            self._shed += shed
            self._failed += failed
            self._unsure += unsure
            before, lost = self._problem, self._shed
            if problem is not None:
                self._problem = problem
        if problem and not before:
            _LOG.warning("records are not written: %s; they wait while there is room, then they are shed", problem)
        elif problem == "" and before:
            _LOG.warning("records are written again; %d were shed so far", lost)


_ALL: Final[weakref.WeakSet[Emitter]] = weakref.WeakSet()


def _begin_in_child() -> None:
    for emitter in list(_ALL):
        emitter._begin_in_child()  # noqa: SLF001 - one module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


def _close_at_exit(emitter: weakref.ref[Emitter]) -> None:
    found = emitter()
    if found is not None:
        found.close()


@cache
def shared_emitter() -> Emitter:
    """Give the emitter of this process, made from the settings when it is first asked for."""
    return Emitter()


def _redactor(settings: Settings) -> Redactor:
    if settings.redact.enabled and settings.emit.enabled and settings.redact.read_key() is None:
        _LOG.warning(
            "no redaction key is set, so secrets get hashes that nothing else makes: set GNOMON_REDACT_KEY to the same"
            " value wherever exchanges to be compared are recorded"
        )
    return make_redactor(settings.redact, _EXPANDS * settings.emit.body_bytes)


def _rules(settings: Settings) -> RuleSet:
    path = find_rules(None, settings)
    if path is None:
        return parse_rules("")
    try:
        return parse_rules(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "correct the path or its permissions") from error


def _transport(settings: Settings) -> Transport:
    if settings.emit.out is not None or not settings.emit.enabled:
        return FileTransport(settings.emit.out or Path(os.devnull))
    from gnomon.emit.kafka import KafkaTransport  # noqa: PLC0415 - aiokafka is for those who write to Kafka

    return KafkaTransport(settings.kafka)
