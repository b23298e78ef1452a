"""The plain rule as a candidate: its lines in the table, and what is said of it."""

from typing import Any

import numpy as np
import pandas as pd

from expectations.contract import Contract
from expectations.parts import Persona
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
    """The verdict, its figures and the rule with tuned cutoffs, as JSON values."""
    if judged is None:
        return None
    figures = {name: getattr(judged, name) for name in OF_THE_RULE}
    return {**figures, "tuned": [in_words(persona) for persona in judged.tuned]}


def in_words(persona: Persona) -> str:
    """A persona's pattern, as `New: tenure below 9`."""
    bounds = [
        f"{column} {bound.replace('_', ' ')} {value:g}"
        for column, condition in persona.when.items()
        for bound, value in condition.model_dump(exclude_none=True).items()
    ]
    return f"{persona.name}: {' and '.join(bounds) or 'the rest'}"
