"""The plain rule as a candidate: its lines in the table, and what is said of it."""

from typing import Any

import numpy as np
import pandas as pd

from expectations.contract import Contract
from tasks.audit import Audit, Candidate, Verdicts
from tasks.plain_rule import PlainRule, PlainRuleOptions, judge_plain_rule
from tasks.yardsticks import Partition

RULE, TUNED_RULE = "plain rule", "plain rule, tuned"
NEVER_REFITTED = {"bootstrap_ari": 1.0, "worst_jaccard": 1.0, "survival": 1.0, "resamples": 0.0}
OF_THE_RULE = ("verdict", "says", "lead", "lead_error", "excesses")


def judge(
    audit: Audit,
    clean: pd.DataFrame,
    contract: Contract,
    chosen: Candidate,
    options: PlainRuleOptions,
) -> PlainRule | None:
    """Whether the chosen segments deserve their complexity; nothing without personas."""
    reference, labels = audit.reference, chosen.partition.labels
    return judge_plain_rule(
        clean,
        contract.personas,
        reference.X,
        reference.columns,
        labels,
        chosen.k,
        options,
        audit.seed,
    )


def rule_candidates(audit: Audit, judged: PlainRule | None) -> list[Candidate]:
    """The plain rule as the contract writes it, and with tuned cutoffs."""
    if judged is None:
        return []
    found = []
    for name, labels in ((RULE, judged.written_labels), (TUNED_RULE, judged.tuned_labels)):
        groups, compact = np.unique(labels, return_inverse=True)
        partition = Partition(compact, len(groups))
        line = audit.line(partition, name) | NEVER_REFITTED
        found.append(Candidate(name, len(groups), partition, line))
    return found


def rule_verdict(judged: PlainRule | None) -> Verdicts:
    """What is said of the tuned rule, by its name and number of groups."""
    if judged is None:
        return {}
    return {(TUNED_RULE, len(np.unique(judged.tuned_labels))): judged.says}


def in_short(judged: PlainRule | None) -> dict[str, Any] | None:
    """The verdict and its figures as JSON values."""
    return judged and {name: getattr(judged, name) for name in OF_THE_RULE}
