"""`gnomon compare` as a function: captures in, comparisons in a database, a summary of this run out.

Two passes. The first reads the captures and groups their records by request id, on disk where memory does not
hold them; the second joins, compares and stages each request. The stage lands in the database at the very end, in
one transaction: a run that is killed leaves the database as it was.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gnomon.capture import FormatChoice, RawRecord, Source, capture_size, read_captures
from gnomon.capture import Limits as CaptureLimits
from gnomon.capture.spill import Spill
from gnomon.core.body import BodyOptions
from gnomon.core.decode import EXCERPT_BYTES, decode_exchange, peek_request_id
from gnomon.core.formats.protobuf import Descriptors
from gnomon.core.join import Group, Member, split_by_horizon
from gnomon.core.json import Unreadable, loads
from gnomon.core.openapi import templates_from_openapi
from gnomon.core.population import PopulationBounds
from gnomon.engine import Engine, EngineOptions
from gnomon.errors import ConfigError, UsageError
from gnomon.evidence import EVIDENCE_BYTES, EvidenceBudget
from gnomon.model import Exchange, Reject
from gnomon.redaction import make_redactor
from gnomon.store import Bounds, RunRecord, Selection, StagedRun, Statistics, work_directory
from gnomon.summary import Reason, RunSummary

if TYPE_CHECKING:
    from gnomon.config import Settings
    from gnomon.core.rules import RuleSet

__all__ = ["CompareRequest", "build_engine", "compare_captures"]

Progress = Callable[[int], None]

_MICROSECOND: Final = timedelta(microseconds=1)
_MAX_REASONS: Final = 100
_FIELDS_IN_SUMMARY: Final = 1000
_POPULATIONS_AT_ONCE: Final = 1000


class CompareRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to compare and where to put it; `command` is what the user typed, for the table `runs`."""

    sources: Sequence[Source]
    fmt: FormatChoice = "auto"
    db: Path
    rules: RuleSet
    settings: Settings
    report: Path | None = None
    command: str = ""


def compare_captures(request: CompareRequest, progress: Progress | None = None) -> RunSummary:
    """Compare captures, land the result and give the summary of this run.

    Args:
        request: What to do.
        progress: Gets, bit by bit, as many units as the captures have bytes: half of them for reading, half for
            comparing.

    Raises:
        InputError: A capture or the database cannot be read, or a directory cannot be written.
        ConfigError: A setting names a file that is not what it should be.
        DependencyError: Another process has the database open, or the disk is full.
        UsageError: The report cannot be written where it should be.
    """
    engine = build_engine(request.rules, request.settings)
    with work_directory(request.db) as work_dir:
        run = _Run(request, engine, work_dir)
        with run.stage:
            return run.execute(progress or _no_progress)


def build_engine(rules: RuleSet, settings: Settings) -> Engine:
    """Make an engine from settings; reads the files that they name.

    Raises:
        ConfigError: An OpenAPI document, descriptor set or key file cannot be read or is something else.
    """
    templates = [t for path in settings.endpoints.openapi for t in _read_openapi(path)]
    descriptors = None if settings.decode.descriptors is None else _read_descriptors(settings.decode.descriptors)
    limits = settings.limits
    options = EngineOptions(
        body=BodyOptions(max_bytes=limits.body_bytes, max_values=limits.values, descriptors=descriptors),
        expect=settings.join.expect,
        templates=tuple(templates),
        differences=limits.differences,
        value_bytes=limits.value_bytes,
        populations=PopulationBounds(limits.shapes, limits.endpoints),
    )
    return Engine(rules, options, make_redactor(settings.redact, EVIDENCE_BYTES))


def _read_openapi(path: Path) -> list[str]:
    try:
        return templates_from_openapi(loads(path.read_bytes()))
    except OSError as error:
        raise ConfigError(f"endpoints.openapi: {path} cannot be read: {error.strerror}", "correct the path") from error
    except Unreadable as unreadable:
        what = f"endpoints.openapi: {path}: {unreadable.reason}"
        raise ConfigError(what, "give the document as JSON") from unreadable


def _read_descriptors(path: Path) -> Descriptors:
    try:
        return Descriptors.from_bytes(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"decode.descriptors: {path} cannot be read: {error.strerror}", "correct the path") from error
    except Unreadable as unreadable:
        what = f"decode.descriptors: {path}: {unreadable.reason}"
        raise ConfigError(what, "make it with `protoc --include_imports -o FILE`") from unreadable


class _Run:
    """One run of `compare_captures`."""

    def __init__(self, request: CompareRequest, engine: Engine, work_dir: Path) -> None:
        self.request = request
        self.engine = engine
        self.work_dir = work_dir
        self.started_at = datetime.now(UTC)
        self.started = time.perf_counter()
        self.id = f"{self.started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        settings = request.settings
        has_key = not settings.redact.enabled or settings.redact.read_key() is not None
        self.stage = StagedRun(
            request.db, work_dir, run=self.id, horizon=settings.store.horizon, marks_differ=not has_key
        )
        self.records = 0
        self.rejects = 0
        self.first_reject: str | msgspec.UnsetType = msgspec.UNSET
        self.unread: Counter[str] = Counter()
        self.populations = engine.populations()
        self.evidence = EvidenceBudget(request.settings.limits.evidence)

    def execute(self, progress: Progress) -> RunSummary:
        with Spill(self.work_dir, self.request.settings.limits.spill_bytes) as spill:
            pending = self._read(spill, progress)
            self._compare(spill, pending, progress)
        self.stage.add_populations(self.populations.drain())
        rules = self.request.rules
        self.stage.add_rules(rules.version, rules.text, self.started_at)
        limits = self.request.settings.limits
        self.stage.bound_names(Bounds(limits.patterns, limits.endpoints))
        statistics = self.stage.statistics()
        self._report(statistics)
        return self._land(statistics)

    def _read(self, spill: Spill, progress: Progress) -> int:
        """Group all records by request id; give how many bytes of progress are left for comparing."""
        limits = CaptureLimits(record=self.request.settings.limits.line_bytes)
        seen = 0

        def half(count: int) -> None:
            nonlocal seen
            progress((seen + count) // 2 - seen // 2)
            seen += count

        for item in read_captures(self.request.sources, self.request.fmt, half, limits):
            self.records += 1
            if isinstance(item, Reject):
                self._reject(item)
                continue
            request_id = peek_request_id(item.data)
            if request_id is not None:
                spill.add(request_id, item)
                continue
            refused = decode_exchange(item.data, item.place, role=item.role)
            if isinstance(refused, Reject):
                self._reject(refused)
            else:  # who peeks is stricter than the record's decoder only in theory
                spill.add(refused.request_id, item)
        total = capture_size(self.request.sources) or seen
        return total - seen // 2

    def _compare(self, spill: Spill, pending: int, progress: Progress) -> None:
        accepted = max(self.records - self.rejects, 1)
        done = told = 0
        for request_id, raw in spill.groups():
            for members in self._requests(request_id, raw):
                self._compare_one(request_id, members)
            done += len(raw)
            if done * pending // accepted - told > 1 << 18:
                progress(done * pending // accepted - told)
                told = done * pending // accepted
        progress(pending - told)

    def _requests(self, request_id: str, raw: Sequence[RawRecord]) -> Iterator[list[Member]]:
        members: list[Member] = []
        for record in raw:
            decoded = decode_exchange(record.data, record.place, role=record.role)
            if isinstance(decoded, Reject):
                self._reject(decoded)
            elif decoded.request_id != request_id:
                reason = "`request_id` is there twice, with two values"
                self._reject(Reject(record.place, reason, record.data[:EXCERPT_BYTES]))
            else:
                members.append(Member(decoded))
        if len(members) > 2 or (len(members) == 2 and members[0].slot == members[1].slot):
            horizon = self.request.settings.store.horizon // _MICROSECOND
            yield from split_by_horizon(members, horizon)
        elif members:
            yield members

    def _compare_one(self, request_id: str, members: Sequence[Member]) -> None:
        group = Group(request_id)
        for member in members:
            group.add(member)
        joined = group.joined(self.engine.options.expect)
        live = joined.live
        if live is not None and not joined.others and not joined.missing:
            self._count(live.exchange)
            return
        request = self.engine.compare(joined)
        if live is not None:
            self._count(live.exchange, request.endpoint)
        for compared in request.compared:
            self.stage.add(compared.comparison, compared.differences)
            if compared.unread is not None and compared.comparison.outcome == "incomparable":
                self._count_unread(compared.unread)
        if self.evidence.wants(request):
            started_at = request.compared[0].comparison.started_at
            for exchange in self.engine.evidence(request):
                self.stage.add_exchange(exchange, request.endpoint, started_at)

    def _count(self, live: Exchange, endpoint: str | None = None) -> None:
        """Count a live answer, and stage what was counted before it becomes much."""
        self.populations.add(live, endpoint)
        if len(self.populations) >= _POPULATIONS_AT_ONCE:
            self.stage.add_populations(self.populations.drain())

    def _count_unread(self, reason: str) -> None:
        if reason in self.unread or len(self.unread) < _MAX_REASONS:
            self.unread[reason] += 1
        else:  # reasons quote traffic: their number is bounded
            self.unread["(other)"] += 1

    def _reject(self, reject: Reject) -> None:
        self.rejects += 1
        redacted = self.engine.redact_reject(reject)
        if self.first_reject is msgspec.UNSET:
            self.first_reject = f"{redacted.place}: {redacted.reason}"
        self.stage.add_reject(redacted)

    def _report(self, statistics: Statistics) -> None:
        if self.request.report is None:
            return
        # What takes a while to import, and few runs want a report.
        from gnomon.report import render_report  # noqa: PLC0415
        from gnomon.verdict import judge_store, report_verdict  # noqa: PLC0415

        everything = Selection(synthetic="include")
        names = ", ".join(source.path for source in self.request.sources)
        report = statistics.report(everything, title="Shadow traffic report", source=names, now=self.started_at)
        judged = judge_store(statistics, everything, self.request.settings.verdict)
        report = msgspec.structs.replace(report, verdict=report_verdict(judged))
        try:
            self.request.report.write_text(render_report(report), encoding="utf-8")
        except OSError as error:
            what = f"the report cannot be written to {self.request.report}: {error.strerror}"
            raise UsageError(what, "choose another place") from error

    def _land(self, statistics: Statistics) -> RunSummary:
        everything = Selection(synthetic="include")
        totals = statistics.totals(everything)
        endpoints = statistics.endpoints(everything)
        fields = statistics.fields(everything, _FIELDS_IN_SUMMARY)
        now = datetime.now(UTC)
        record = RunRecord(
            run=self.id,
            started_at=self.started_at,
            finished_at=now,
            command=self.request.command or "compare",
            sources=[source.path for source in self.request.sources],
            rules=self.request.rules.version,
            records=self.records,
        )
        landed = self.stage.land(record, now)
        return RunSummary(
            run=self.id,
            rules=self.request.rules.version,
            db=str(self.request.db),
            records=self.records,
            rejects=self.rejects,
            first_reject=self.first_reject,
            duplicates=totals.duplicates,
            comparisons=totals.comparisons,
            pairs=totals.pairs,
            outcomes=totals.outcomes,
            incomparable=[Reason(reason, count) for reason, count in self.unread.most_common()],
            control_comparisons=totals.control_comparisons,
            control_outcomes=totals.control_outcomes,
            divergences=totals.divergences,
            scored=totals.scored,
            divergence_rate=totals.divergence_rate,
            interval=totals.interval,
            new=landed.new,
            unchanged=landed.unchanged,
            replaced=landed.replaced,
            seconds=round(time.perf_counter() - self.started, 3),
            endpoints=endpoints,
            fields=fields,
        )


def _no_progress(count: int) -> None:
    """Tell nobody."""
