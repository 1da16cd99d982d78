"""`gnomon rejudge` and `gnomon rules test` as a function: new rules on what has landed.

Three kinds of evidence, from the best down:

- the stored exchanges: the request is compared anew, unless redaction took from them what the differences still show;
- the stored differences: each is looked at under the new rules, as long as these align documents as the old did;
- the outcome alone (`match`, errors, missing sides): it stays, unless the old rules may have hidden something that
  the new ones would show.

What cannot be judged again keeps its row, with the old rules' version, and is counted by the reason. What the new
rules hide is hidden in all that is stored, whether it can be judged again or not.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from gnomon.compare import build_engine
from gnomon.core.compare import Findings, outcome_of
from gnomon.core.join import Joined, Member
from gnomon.core.reach import Reach, UnmetRule
from gnomon.core.review import may_reveal, review_differences, same_alignment
from gnomon.core.rules import Rule, RuleSet, parse_rules
from gnomon.engine import Engine
from gnomon.model import Comparison, Difference, DifferenceKind, Exchange
from gnomon.store import Bounds, JudgedRequest, RunRecord, Selection, StagedRun, open_store, work_directory
from gnomon.store.log import Maintainer, Retention, RowsRead, is_store, rewrite_store, store_at
from gnomon.summary import OutcomeCounts

if TYPE_CHECKING:
    from gnomon.config import Settings
    from gnomon.store import Store

__all__ = ["FieldChange", "RejudgeSummary", "rejudge"]

Judged = tuple[Comparison, list[Difference]]
Obstacle = Literal["hidden", "evidence_gone"]

_MARK: Final = re.compile(r"\bredacted\b")
"""What was redacted lost its type and what was in it; the differences were found before."""
_DROPPED: Final = re.compile(r"\bredacted\b(?!:hmac-sha256:)")
"""What a rule dropped looks alike on both sides, whatever it was."""
MAX_FIELDS: Final = 100
_MOST_FIELDS_COUNTED: Final = 100_000
_DECIDED_WITHOUT_BODIES: Final = ("live_error", "shadow_error", "shadow_missing", "live_missing")


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """How many shadow comparisons differ at a field, noise aside, before and after."""

    endpoint: str
    pattern: str
    kind: DifferenceKind
    before: int
    after: int


class RejudgeSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What judging again came to; counts are comparisons of both roles, outcomes of role shadow.

    `hidden` counts those whose old rules may have hidden what the new rules would show, `evidence_gone` those whose
    exchanges were not kept and whose differences do not suffice. Both keep their rows as they were. So do `overtaken`:
    what landed while they were judged took the place of what was read. `fields` are those that change, the most changed
    first, `MAX_FIELDS` at most. `unmet` are rules that nothing judged was under.
    """

    rules: str
    comparisons: int
    judged: int
    changed: int
    hidden: int
    evidence_gone: int
    overtaken: int = 0
    before: OutcomeCounts
    after: OutcomeCounts
    fields: list[FieldChange] = []
    unmet: list[UnmetRule] = []
    dry_run: bool


def rejudge(
    db: Path, rules: RuleSet, settings: Settings, *, selection: Selection, dry_run: bool = False
) -> RejudgeSummary:
    """Apply new rules to landed comparisons, in one transaction.

    Args:
        db: The database, or a store's directory.
        rules: The new rules.
        settings: Bounds of the engine and the redaction key.
        selection: Which comparisons to judge.
        dry_run: Only count what would change.

    Raises:
        InputError: The database cannot be read.
        UsageError: Nothing in it is of the service or the target of `selection`.
        DependencyError: Another process has it open.
    """
    started_at = datetime.now(UTC)
    tally = _Tally(Reach(rules))
    layout = store_at(db) if is_store(db) else None
    with work_directory(layout.tmp / "rejudge" if layout else db) as work_dir:
        # What is judged again of a store lands in a database of its own first.
        target = work_dir / "judged.duckdb" if layout else db
        stage = StagedRun(target, work_dir, run=None, horizon=settings.store.horizon)
        with stage, RowsRead(work_dir / "read.parquet") as read:
            with open_store(db, still=True) as store:
                unknown = store.unknown_name(selection)
                if unknown is not None:
                    raise unknown
                reviewer = _Reviewer(build_engine(rules, settings), store, selection.target)
                for batch in store.judged(selection):
                    for request in batch:
                        read.add([old for old, _ in request.comparisons], request.landed_at)
                        for new, differences in reviewer.judge(request, tally):
                            if not dry_run:
                                stage.add(new, differences)
                        if not dry_run:
                            for exchange, endpoint in reviewer.evidence(request):
                                stage.add_exchange(exchange, endpoint, request.comparisons[0][0].started_at)
            if not dry_run:
                stage.add_rules(rules.version, rules.text, started_at)
                stage.bound_names(Bounds(settings.limits.patterns, settings.limits.endpoints))
                now = datetime.now(UTC)
                run = f"{started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
                stage.land(
                    RunRecord(
                        run=run,
                        started_at=started_at,
                        finished_at=now,
                        command="rejudge",
                        sources=[str(db)],
                        rules=rules.version,
                        records=0,
                    ),
                    now,
                )
                if layout is not None:
                    maintainer = Maintainer(layout, Retention.of(settings))
                    tally.overtaken = rewrite_store(layout, target, read, maintainer, now)
    return tally.summary(rules.version, reviewer.old_rules(), dry_run=dry_run)


class _Tally:
    """Counts of one run."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.before: Counter[str] = Counter()
        self.after: Counter[str] = Counter()
        self.comparisons = 0
        self.judged = 0
        self.changed = 0
        self.overtaken = 0
        self.obstacles: Counter[Obstacle] = Counter()
        self.fields: dict[tuple[str, str, DifferenceKind], list[int]] = {}

    def count(self, old: Judged, new: Judged) -> None:
        self.comparisons += 1
        self.reach.see(new[0].service, new[0].endpoint, chain(old[1], new[1]))
        self.changed += old[0].outcome != new[0].outcome
        if old[0].role == "shadow":
            self.before[old[0].outcome] += 1
            self.after[new[0].outcome] += 1
            for side, (comparison, differences) in enumerate((old, new)):
                for pattern, kind in {(d.pattern, d.kind) for d in differences if not d.noise}:
                    key = (comparison.endpoint, pattern, kind)
                    if key in self.fields or len(self.fields) < _MOST_FIELDS_COUNTED:
                        self.fields.setdefault(key, [0, 0])[side] += 1

    def changes(self) -> list[FieldChange]:
        """The fields that change, the most changed first."""
        changed = [(key, before, after) for key, (before, after) in self.fields.items() if before != after]
        changed.sort(key=lambda change: (-abs(change[1] - change[2]), change[0]))
        return [
            FieldChange(endpoint=endpoint, pattern=pattern, kind=kind, before=before, after=after)
            for (endpoint, pattern, kind), before, after in changed[:MAX_FIELDS]
        ]

    def summary(self, version: str, before: Sequence[Rule], *, dry_run: bool) -> RejudgeSummary:
        return RejudgeSummary(
            rules=version,
            comparisons=self.comparisons,
            judged=self.judged,
            changed=self.changed,
            hidden=self.obstacles["hidden"],
            evidence_gone=self.obstacles["evidence_gone"],
            overtaken=self.overtaken,
            before=OutcomeCounts(**self.before),
            after=OutcomeCounts(**self.after),
            fields=self.changes(),
            unmet=self.reach.unmet(before),
            dry_run=dry_run,
        )


class _Reviewer:
    """Judges stored requests under the engine's rules."""

    def __init__(self, engine: Engine, store: Store, target: str | None) -> None:
        self._engine = engine
        self._target = target
        self._store = store
        self._old: dict[str, RuleSet | None] = {}

    def judge(self, request: JudgedRequest, tally: _Tally) -> Iterator[Judged]:
        """Give the new rows of one request, and count."""
        answers = msgspec.json.encode([exchange.response for exchange in request.exchanges]).decode()
        exchanges = [] if _DROPPED.search(answers) else request.exchanges
        anew = {(new.role, new.target): (new, differences) for new, differences in self._anew(exchanges)}
        marked = _MARK.search(answers) is not None
        for old, differences in request.comparisons:
            self._rules_of(old.rules)
            if self._target not in (None, old.target):
                continue  # a control comes along for what it says of noise
            judged = anew.get((old.role, old.target))
            if judged is not None and judged[0].outcome == "incomparable" != old.outcome:
                judged = None  # redaction has taken from the stored body what could be compared
            reviewed = self._review(old, differences) if judged is None or marked else None
            if isinstance(reviewed, tuple):
                judged = reviewed
            elif judged is not None:
                judged = (_placed(judged[0], old), judged[1])
            else:
                tally.obstacles[reviewed or "evidence_gone"] += 1
                tally.count((old, differences), (old, differences))
                yield old, self._engine.redacted_differences(old, differences)
                continue
            tally.judged += 1
            tally.count((old, differences), judged)
            yield judged

    def evidence(self, request: JudgedRequest) -> Iterator[tuple[Exchange, str]]:
        """Give the exchanges of a judged request that are to be stored otherwise now, with its endpoint's name."""
        old = request.comparisons[0][0]
        before = self._rules_of(old.rules)
        endpoint = old.endpoint if before is None else self._engine.renamed(old, before)
        for exchange in request.exchanges:
            redacted = self._engine.redacted(exchange, endpoint)
            if redacted != exchange or endpoint != old.endpoint:
                yield redacted, endpoint

    def old_rules(self) -> list[Rule]:
        """Give the rules that what was judged had been compared under."""
        return [rule for rules in self._old.values() if rules is not None for rule in rules.file.rule]

    def _anew(self, exchanges: list[Exchange]) -> Iterator[Judged]:
        """Compare stored exchanges; only sides that were stored are known."""
        members = [Member(exchange) for exchange in exchanges]
        live = next((m for m in members if m.exchange.role == "live"), None)
        if live is None:
            return
        others = {m.slot: m for m in members if m is not live}
        joined = Joined(live.exchange.request_id, live, others, (), {})
        for compared in self._engine.compare(joined).compared:
            yield compared.comparison, compared.differences

    def _review(self, old: Comparison, differences: list[Difference]) -> Judged | Obstacle:
        """Judge by the stored differences, or by the outcome alone."""
        version = self._engine.rules.version
        if old.rules == version:
            return old, differences
        before = self._rules_of(old.rules)
        if before is None:
            return "evidence_gone"
        endpoint = self._engine.renamed(old, before)
        mine = before.for_endpoint(old.service, old.endpoint)
        theirs = self._engine.rules.for_endpoint(old.service, endpoint)
        old = msgspec.structs.replace(old, endpoint=endpoint)
        if old.outcome not in _DECIDED_WITHOUT_BODIES and may_reveal(mine, theirs):
            return "hidden"
        unread = "as before" if old.outcome == "incomparable" and not theirs.ignores_body else None
        if not old.differences and (unread or old.outcome != "incomparable"):
            return msgspec.structs.replace(old, rules=version), []
        if len(differences) < old.differences or not same_alignment(mine, theirs):
            return "evidence_gone"
        kept = self._engine.redacted_differences(old, review_differences(differences, theirs))
        return self._engine.rebuilt(old, kept, outcome_of(Findings(kept, unread), kept)), kept

    def _rules_of(self, version: str) -> RuleSet | None:
        if version not in self._old:
            text = self._store.rules(version)
            self._old[version] = None if text is None else parse_rules(text, f"rules {version}")
        return self._old[version]


def _placed(new: Comparison, old: Comparison) -> Comparison:
    """Give a new comparison what only the stored one knows: where it came from, and how often."""
    return msgspec.structs.replace(
        new,
        late=old.late,
        duplicates=old.duplicates,
        topic=old.topic,
        partition=old.partition,
        live_offset=old.live_offset,
        shadow_offset=old.shadow_offset,
    )
