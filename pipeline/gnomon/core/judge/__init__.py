"""The judge: figures that stay honest however often they are looked at.

`betting` tests and bounds shares and differences of paired shares, `quantiles` does so for latencies, `family` keeps
the error over everything tested together, and `verdict` compares it all with limits. `population` judges a canary
without pairs. docs/statistics.md says in
words what each figure means.
"""

from __future__ import annotations

from gnomon.core.judge.betting import Tally, log_evidence, mean_interval
from gnomon.core.judge.checks import Check
from gnomon.core.judge.evidence import EndpointEvidence, Evidence, FieldEvidence, Limits, Timings
from gnomon.core.judge.family import log_threshold
from gnomon.core.judge.population import Population, Populations, judge_populations
from gnomon.core.judge.quantiles import shift_interval
from gnomon.core.judge.verdict import Coverage, Judgement, Part, give_verdict

__all__ = [
    "Check",
    "Coverage",
    "EndpointEvidence",
    "Evidence",
    "FieldEvidence",
    "Judgement",
    "Limits",
    "Part",
    "Population",
    "Populations",
    "Tally",
    "Timings",
    "give_verdict",
    "judge_populations",
    "log_evidence",
    "log_threshold",
    "mean_interval",
    "shift_interval",
]
